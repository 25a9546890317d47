"""A real PostgreSQL for tests: the system's own binaries, a temporary folder, a free loopback port.

Use `serve(folder)` as a context manager, or import `postgresql_fixture` and `postgresql_url_fixture` into a
test module, whose tests may then ask for `postgresql` (a server) and `postgresql_url` (an empty database).
Tests skip, saying why, where PostgreSQL is not installed.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

PASSWORD = "correct-horse"
_START_WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class PostgresqlServer:
    """A running server with one empty database.

    Attributes:
        url: its address, password included.
        port: where it listens on loopback.
        folder: where it keeps its data.
    """

    url: str
    port: int
    folder: Path
    binaries: Path
    prefix: tuple[str, ...]

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server, again."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"), "-t", str(int(_START_WITHIN_S)))

    def _control(self, *arguments: str) -> None:
        program = str(self.binaries / "pg_ctl")
        _run([*self.prefix, program, "-D", str(self.folder / "data"), "-w", *arguments])


def binaries() -> Path | None:
    """Return the folder of the newest installed server, or None."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def serve(folder: Path) -> Iterator[PostgresqlServer]:
    """Run a server in a folder until the block ends.

    Raises:
        pytest.skip.Exception: PostgreSQL is not installed, or cannot run as the user we are.
    """
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    prefix = _as_ordinary_user(folder)
    password_file = folder / "password"
    password_file.write_text(PASSWORD, encoding="utf-8")
    password_file.chmod(0o644)
    _run(
        [
            *prefix,
            str(programs / "initdb"),
            *("-D", str(folder / "data"), "-U", "tapewatch", "-A", "scram-sha-256"),
            *("--pwfile", str(password_file), "-E", "UTF8", "--locale=C", "--no-sync"),
        ]
    )
    port = _free_port()
    server = PostgresqlServer(
        url=f"postgresql://tapewatch:{PASSWORD}@127.0.0.1:{port}/postgres",
        port=port,
        folder=folder,
        binaries=programs,
        prefix=prefix,
    )
    server.start()
    try:
        _wait_until_it_answers(server.url)
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()


@pytest.fixture(scope="module", name="postgresql")
def postgresql_fixture() -> Iterator[PostgresqlServer]:
    """A server for one module's tests."""
    # Not pytest's folder: pytest closes that to other users, and the server may be one.
    with TemporaryDirectory(prefix="tapewatch-postgresql-") as folder, serve(Path(folder)) as server:
        yield server


@pytest.fixture(name="postgresql_url")
def postgresql_url_fixture(postgresql: PostgresqlServer) -> str:
    """The address of a database made for one test."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgresql.url.removesuffix("/postgres") + f"/{name}"


def _as_ordinary_user(folder: Path) -> tuple[str, ...]:
    """Return what to put before a command: `initdb` refuses root."""
    if os.geteuid() != 0:
        return ()
    runuser = shutil.which("runuser")
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user `postgres`")
    if runuser is None:
        pytest.skip("PostgreSQL does not run as root, and `runuser` is not installed")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    folder.chmod(0o755)
    return (runuser, "-u", "postgres", "--")


def _run(command: list[str]) -> None:
    # `pg_ctl start` hands its output to the server; a pipe would never be closed.
    done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{' '.join(command)} exited with {done.returncode}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not answer"
        else:
            return
