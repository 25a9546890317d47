"""Storing events once."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shared.events import WorkerStatus
from shared.store import queries
from shared.store.database import Database
from shared.store.tables import AlertRow, DeadLetterRow, QuarantineRow, TradeRow
from shared.store.writes import store
from tests import samples


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    yield database
    database.close()


EVERY_KIND = [
    samples.trade(1),
    samples.anomaly(),
    samples.tape_gap(),
    samples.quarantine(),
    samples.alert(),
    samples.dead_letter(),
]
ONE_OF_EACH = dict.fromkeys(["trades", "anomalies", "tape_gaps", "quarantines", "alerts", "dead_letters"], 1)


def test_every_kind_of_event_has_its_table(database: Database) -> None:
    with database.session() as session:
        assert store(session, EVERY_KIND) == ONE_OF_EACH
        assert queries.counts(session) == {
            **ONE_OF_EACH,
            "deliveries": 0,
            "lifecycle": 0,
            "leases": 0,
            "labels": 0,
        }


def test_what_is_stored_already_is_no_new_row(database: Database) -> None:
    with database.session() as session:
        store(session, EVERY_KIND)
    with database.session() as session:
        assert store(session, EVERY_KIND) == dict.fromkeys(ONE_OF_EACH, 0)
        assert queries.counts(session) == {
            **ONE_OF_EACH,
            "deliveries": 0,
            "lifecycle": 0,
            "leases": 0,
            "labels": 0,
        }


def test_a_batch_may_repeat_itself(database: Database) -> None:
    batch = samples.trades(3)
    with database.session() as session:
        assert store(session, [*batch, *batch, samples.trade(3)]) == {"trades": 4}


def test_the_first_of_two_trades_with_one_id_stays(database: Database) -> None:
    first = samples.trade(1)
    second = msgspec.structs.replace(first, received_time_us=first.received_time_us + 1)
    with database.session() as session:
        store(session, [first])
        store(session, [second])
        assert queries.trades(session, symbol="BTC-USDT") == [first]


def test_a_batch_larger_than_sqlites_limit_on_variables(database: Database) -> None:
    with database.session() as session:
        assert store(session, samples.trades(40_000)) == {"trades": 40_000}


def test_one_id_in_two_markets_is_two_trades(database: Database) -> None:
    with database.session() as session:
        assert store(session, [samples.trade(1), samples.trade(1, symbol="ETH-USDT")]) == {"trades": 2}


def test_bytes_and_lists_come_back_as_they_were(database: Database) -> None:
    with database.session() as session:
        store(session, [samples.dead_letter(b"\x00\xff"), samples.alert()])
        assert session.query(DeadLetterRow).one().payload == b"\x00\xff"
        assert session.query(AlertRow).one().channels == ["telegram"]


def test_letters_that_differ_only_in_their_bytes_are_two(database: Database) -> None:
    with database.session() as session:
        assert store(session, [samples.dead_letter(b"a"), samples.dead_letter(b"b")]) == {"dead_letters": 2}


def test_words_lose_the_character_that_postgresql_cannot_hold(database: Database) -> None:
    with database.session() as session:
        store(session, [samples.quarantine(error="bad\x00frame")])
        assert session.query(QuarantineRow).one().error == "bad\ufffdframe"
        # A trade of a foreign writer is sound with any name.
        store(session, [samples.trade(1, symbol="BAD\x00-USDT")])
        assert session.query(TradeRow).one().symbol == "BAD\ufffd-USDT"


def test_an_event_without_a_table_is_an_error(database: Database) -> None:
    status = WorkerStatus(
        worker="recorder", instance="1", state="running", started_us=0, time_us=0, figures={}
    )
    with database.session() as session, pytest.raises(KeyError):
        store(session, [status])
