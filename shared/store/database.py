"""Opens the store, brings it to the newest schema, and turns the drivers' errors into ours.

One rule for every session: it is a transaction that commits when the block ends and rolls back when it
raises. On SQLite a writing session takes the write lock at its beginning (BEGIN IMMEDIATE), because a
transaction that reads first and writes later fails at once, without waiting, when another process wrote in
between.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from shared.errors import ConfigError, StoreError, StoreUnavailableError

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"

_SETTING: Final = "DATABASE_URL"
_REMEDY: Final = "write sqlite:///folder/file.db or postgresql://user:password@host:5432/database"
_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_MIGRATIONS: Final = Path(__file__).parent / "migrations"

_LOCK_WAIT_S: Final = 30
_CONNECT_TIMEOUT_S: Final = 5
_SWITCH_RETRY_S: Final = 0.02
# Any number will do, as long as nobody else on the server takes it: "tape" in ASCII.
_MIGRATION_LOCK: Final = 0x74617065

# SQLite's primary result codes that another process, or room on the disk, will cure.
_SQLITE_RETRIABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
# PostgreSQL's classes of SQLSTATE that mean the same: connection, resources, rollback, operator, lock.
_POSTGRESQL_RETRIABLE: Final = ("08", "53", "40", "57P", "55P03")
# Those that mean the URL is wrong, and their words where the server refuses before a code can be had.
_REFUSED_STATES: Final = ("28", "3D000")
_REFUSED_WORDS: Final = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "invalid connection option",
)
_ENCODER: Final = msgspec.json.Encoder()


class Database:
    """One store, safe for use by several threads.

    Nothing is opened before the first `migrate` or `session`.
    """

    def __init__(self, url: str) -> None:
        """Check the address.

        Args:
            url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/database`.

        Raises:
            ConfigError: it is no address of a store that we know; says what to write.
        """
        self._url = _parse(url)
        self._engine = _engine(self._url)
        self._reading = self._engine.execution_options(is_reading=True, postgresql_readonly=True)

    def __repr__(self) -> str:
        return f"Database({self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The address without password and options, for people."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        """Run one transaction: commit at the end of the block, roll back when it raises.

        Args:
            read_only: take no write lock; a write is an error on PostgreSQL.

        Raises:
            StoreUnavailableError: the store cannot be reached or is locked; nothing of the block is stored
                unless the connection broke during the commit itself, so writes must be idempotent.
            ConfigError: the store refuses our credentials.
            StoreError: any other error of the database.
        """
        engine = self._reading if read_only else self._engine
        with self._translated("session"), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may do so at once.

        Raises:
            StoreUnavailableError: the store cannot be reached, or another process migrates for too long.
            ConfigError: the store refuses our credentials, or its folder cannot be made.
            StoreError: a revision failed, or the schema is newer than this program.
        """
        _make_folder(self._url)
        with self._translated("migrate"), self._engine.begin() as connection:
            if self.dialect == POSTGRESQL:
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            try:
                command.upgrade(_alembic(connection), "head")
            except CommandError as error:
                raise StoreError(
                    "migrate", detail=f"{error}; is this program older than the store?"
                ) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        """Turn errors of SQLAlchemy and the drivers into ours."""
        try:
            yield
        except PoolTimeoutError as error:
            raise StoreUnavailableError(operation, detail="every connection is in use") from error
        except DBAPIError as error:
            raise self._ours(operation, error) from error
        except SQLAlchemyError as error:
            raise StoreError(operation, detail=_first_line(error)) from error

    def _ours(self, operation: str, error: DBAPIError) -> StoreError | ConfigError:
        cause = error.orig
        detail = _first_line(cause or error)
        if isinstance(cause, sqlite3.Error):
            # An extended code carries its primary code in the low byte.
            is_retriable = getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_RETRIABLE
        else:
            state = getattr(cause, "sqlstate", None) or ""
            if state.startswith(_REFUSED_STATES) or (not state and _is_refusal(str(cause))):
                return ConfigError([f"{_SETTING}: {self.shown_url} refuses us: {detail}"])
            is_broken = error.connection_invalidated or (
                not state and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
            )
            is_retriable = is_broken or state.startswith(_POSTGRESQL_RETRIABLE)
        return (StoreUnavailableError if is_retriable else StoreError)(operation, detail=detail)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: the parser's message may quote what we must not show.
        raise ConfigError([f"{_SETTING}: is no address of a store; {_REMEDY}"]) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError([f"{_SETTING}: {parsed.drivername!r} is no kind of store that we know; {_REMEDY}"])
    if driver.startswith(SQLITE) and parsed.database in {None, "", ":memory:"}:
        raise ConfigError([f"{_SETTING}: a SQLite store needs a file, its workers are processes; {_REMEDY}"])
    if driver.startswith(POSTGRESQL) and not parsed.database:
        raise ConfigError([f"{_SETTING}: names no database; {_REMEDY}"])
    return parsed.set(drivername=driver)


def _engine(url: URL) -> Engine:
    is_sqlite = url.drivername.startswith(SQLITE)
    connect_args: dict[str, object] = (
        {"timeout": _LOCK_WAIT_S} if is_sqlite else {"connect_timeout": _CONNECT_TIMEOUT_S}
    )
    try:
        engine = create_engine(
            url,
            connect_args=connect_args,
            hide_parameters=True,
            json_serializer=_to_json,
            json_deserializer=msgspec.json.decode,
            pool_pre_ping=not is_sqlite,
        )
    except (ArgumentError, NoSuchModuleError, TypeError, ValueError):
        raise ConfigError([f"{_SETTING}: has options that the driver does not know; {_REMEDY}"]) from None
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # The driver's own transactions begin too late and not around DDL; `_begin_sqlite` begins ours.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_LOCK_WAIT_S * 1_000}",
        # Offsets are committed after the store has answered, so its answer must survive a power cut.
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; the file remembers it.

    While two processes switch a new file at once, SQLite refuses one of them without waiting, whatever the
    busy timeout is: two waiting for each other would wait for ever.
    """
    for attempts_left in reversed(range(round(_LOCK_WAIT_S / _SWITCH_RETRY_S))):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if attempts_left == 0 or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_SWITCH_RETRY_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _make_folder(url: URL) -> None:
    if not url.drivername.startswith(SQLITE) or url.database is None:
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"{_SETTING}: the folder {folder} cannot be made: {error.strerror}"]) from error


def _alembic(connection: Connection) -> Config:
    config = Config()
    # A percent sign begins an interpolation in Alembic's options.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _to_json(value: Any) -> str:  # noqa: ANN401 - whatever a JSON column holds
    return _ENCODER.encode(value).decode()


def _is_refusal(message: str) -> bool:
    return any(words in message for words in _REFUSED_WORDS)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
