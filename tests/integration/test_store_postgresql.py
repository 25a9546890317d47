"""The store on a real PostgreSQL: what SQLite cannot show, and that both give the same answers."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from recorder.sink import RecorderSink
from shared import topics
from shared.errors import ConfigError, StoreError, StoreUnavailableError
from shared.store import queries
from shared.store.database import Database
from shared.store.labels import Label, Verdict, labels, save_label
from shared.store.tables import Base
from shared.store.writes import store
from shared.stream.sink import Received
from tests import samples
from tests.servers.postgresql import (
    PASSWORD,
    PostgresqlServer,
    postgresql_fixture,  # noqa: F401 - pytest finds fixtures in the module's names
    postgresql_url_fixture,  # noqa: F401 - the same
)

pytestmark = pytest.mark.integration

EVERY_KIND = [
    *samples.trades(5),
    samples.anomaly(),
    samples.tape_gap(),
    samples.quarantine(error="bad\x00frame"),
    samples.alert(),
    samples.dead_letter(b"\x00\xff"),
]


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url)
    database.migrate()
    yield database
    database.close()


def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    with database.session() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def _migrate(url: str, everybody: Barrier) -> None:
    database = Database(url)
    everybody.wait(timeout=60)
    database.migrate()
    database.close()


def test_several_processes_may_migrate_at_once(postgresql_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    everybody = context.Barrier(4)
    processes = [context.Process(target=_migrate, args=(postgresql_url, everybody)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_every_kind_of_event_is_stored_once_and_read_back(database: Database) -> None:
    with database.session() as session:
        first = store(session, EVERY_KIND)
    with database.session() as session:
        again = store(session, EVERY_KIND)
    with database.session(read_only=True) as session:
        assert queries.anomalies(session) == [samples.anomaly()]
        assert queries.anomaly(session, samples.anomaly().anomaly_id) == samples.anomaly()
        assert queries.trades(session, symbol="BTC-USDT") == samples.trades(5)
        others = dict.fromkeys(("deliveries", "lifecycle", "leases", "labels"), 0)
        assert queries.counts(session) == {**first, **others}
    assert first["trades"] == 5
    assert set(again.values()) == {0}


def test_a_label_takes_the_place_of_its_authors_earlier_one(database: Database) -> None:
    label = Label(
        episode_id="e",
        author="ann",
        verdict=Verdict.REAL,
        note="a\x00b",
        time_us=1,
        symbol="BTC-USDT",
        exchange="binance",
        kind="whale",
        detector="whale",
        fingerprint="f",
        start_us=1,
        end_us=2,
    )
    for said in (label, msgspec.structs.replace(label, verdict=Verdict.FALSE, time_us=2)):
        with database.session() as session:
            save_label(session, said)
    with database.session(read_only=True) as session:
        (kept,) = labels(session)
    assert (kept.verdict, kept.note, kept.time_us) == (Verdict.FALSE, "a\ufffdb", 2)


def test_thousands_of_rows_of_one_batch_are_counted(database: Database) -> None:
    with database.session() as session:
        store(session, samples.trades(100))
        assert store(session, samples.trades(10_000)) == {"trades": 9_900}


def test_a_reading_session_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="read-only"), database.session(read_only=True) as session:
        store(session, [samples.tape_gap()])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(PASSWORD, "hunter2"), ("//tapewatch:", "//nobody:"), ("/postgres", "/nowhere")],
)
def test_what_the_server_refuses_is_a_fault_of_the_setting(
    postgresql: PostgresqlServer, right: str, wrong: str
) -> None:
    with pytest.raises(ConfigError, match=r"DATABASE_URL: .* refuses us") as caught:
        Database(postgresql.url.replace(right, wrong)).migrate()
    assert PASSWORD not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_crashes_is_unavailable_until_it_is_back_and_nothing_is_lost(
    postgresql: PostgresqlServer, database: Database
) -> None:
    sink = RecorderSink(database=database, recording=None, report=lambda **_: None)
    batches = [
        [Received(topics.TRADES, 0, trade.trade_id, trade) for trade in samples.trades(10, first_id=first_id)]
        for first_id in (0, 10)
    ]
    sink.on_events(batches[0])
    postgresql.stop()
    with pytest.raises(StoreUnavailableError):
        sink.on_events(batches[1])
    postgresql.start()
    sink.on_events(batches[1])
    with database.session(read_only=True) as session:
        assert queries.trades(session, symbol="BTC-USDT") == samples.trades(20)


def test_a_connection_cut_within_a_transaction_is_unavailable(
    postgresql: PostgresqlServer, database: Database
) -> None:
    def write_after_the_cut() -> None:
        with database.session() as session:
            own = session.scalar(text("SELECT pg_backend_pid()"))
            other = Database(postgresql.url)
            with other.session() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
            other.close()
            store(session, [samples.tape_gap()])

    with pytest.raises(StoreUnavailableError):
        write_after_the_cut()
    with database.session(read_only=True) as session:
        assert queries.tape_gaps(session) == []
