"""Opening, migrating and locking the store, on SQLite; `tests/integration` does the same on PostgreSQL."""

import logging
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from shared.errors import ConfigError, StoreError, StoreUnavailableError
from shared.store.database import Database
from shared.store.startup import migrate_when_available
from shared.store.tables import Base, TapeGapRow
from shared.store.writes import store
from tests import samples


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    yield database
    database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("tapewatch.db", "is no address of a store"),
        ("postgresql://u:hunter2@host:port/db", "is no address of a store"),
        ("mysql://u:hunter2@host/db", "'mysql' is no kind of store that we know"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("postgresql://u:hunter2@host", "names no database"),
    ],
)
def test_a_wrong_address_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Database(url)
    [fault] = caught.value.faults
    assert fault.startswith("DATABASE_URL: ")
    assert "write sqlite:///" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    database = Database(f"{scheme}://u:hunter2@host:5432/db?application_name=hunter2")
    assert database.dialect == "postgresql"
    assert repr(database) == "Database('postgresql+psycopg://u:***@host:5432/db')"


def test_the_folder_of_a_sqlite_store_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/deep/er/store.db")
    database.migrate()
    database.close()
    assert (tmp_path / "deep" / "er" / "store.db").is_file()


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"DATABASE_URL: the folder .* cannot be made"):
        Database(f"sqlite:///{tmp_path}/file/store.db").migrate()


def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    with database.session() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
        made = session.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'trades'"))
    assert "WITHOUT ROWID" in made, "which the comparison does not see"


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.session() as session:
        store(session, [samples.tape_gap()])
    database.migrate()
    with database.session() as session:
        assert session.scalars(select(TapeGapRow)).one().first_missing_id == 100


def _migrate(url: str, everybody: Barrier) -> None:
    database = Database(url)
    everybody.wait(timeout=60)
    database.migrate()
    database.close()


def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    context = multiprocessing.get_context("spawn")
    everybody = context.Barrier(3)
    processes = [context.Process(target=_migrate, args=(url, everybody)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_schema_newer_than_the_program_is_refused(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="is this program older than the store"):
        database.migrate()


def test_a_session_commits_at_its_end_and_rolls_back_on_an_error(database: Database) -> None:
    def write_and_fail() -> None:
        with database.session() as session:
            store(session, [samples.tape_gap(1)])
            raise RuntimeError("after the write")

    with pytest.raises(RuntimeError, match="after the write"):
        write_and_fail()
    with database.session() as session:
        store(session, [samples.tape_gap(2)])
    with database.session(read_only=True) as session:
        assert [row.first_missing_id for row in session.scalars(select(TapeGapRow))] == [2]


def test_sqlite_is_set_up_to_survive_a_power_cut_and_to_be_read_while_written(database: Database) -> None:
    with database.session() as session:
        pragmas = {name: session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    with database.session() as writer:
        store(writer, [samples.tape_gap()])
        with database.session(read_only=True) as reader:
            assert reader.scalars(select(TapeGapRow)).all() == []


def test_a_locked_store_is_unavailable_and_not_broken(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def write_without_waiting() -> None:
        # The wait for the lock is a setting of each connection; a reading session takes none at its begin.
        with database.session(read_only=True) as session:
            session.execute(text("PRAGMA busy_timeout = 0"))
            store(session, [samples.tape_gap()])

    with pytest.raises(StoreUnavailableError, match="locked"):
        write_without_waiting()
    other.close()


def test_an_error_of_a_statement_is_ours_and_shows_no_values(database: Database) -> None:
    with pytest.raises(StoreError, match="no such table") as caught, database.session() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "hunter2"})
    assert not isinstance(caught.value, StoreUnavailableError)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_an_unreachable_server_is_unavailable_and_its_password_stays_hidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database("postgresql://u:hunter2@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailableError) as caught:
        database.migrate()
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__} {caplog.text}"


def test_waiting_for_a_store_ends_when_stopped() -> None:
    stop = threading.Event()
    stop.set()
    assert migrate_when_available(Database("postgresql://u@127.0.0.1:1/db"), stop) is False


def test_waiting_for_a_store_ends_when_it_is_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    assert migrate_when_available(database, threading.Event()) is True
    database.close()
