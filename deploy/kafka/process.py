"""A server as a child process: it ends with us, survives Ctrl-C until it is told, and its log can be read.

Two ways to run one: `ChildProcess` is on a leash (`guard.py`), for the time this process lives;
`start_detached` and `stop_detached` are for a server that outlives the command that started it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_GUARD: Final = Path(__file__).with_name("guard.py")
_POLL_S: Final = 0.02
_ROOT: Final = Path(__file__).resolve().parents[2]


class ChildProcess:
    """A command that runs until it is stopped, or until this process ends in any way at all.

    Args:
        argv: the command.
        log_path: file that both its outputs are appended to.
        environ: its environment; ours by default.
    """

    def __init__(
        self, argv: Sequence[str], *, log_path: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        with log_path.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - the commands are this package's own
                [sys.executable, "-I", "-S", str(_GUARD), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_ROOT,
                env=environ,
                # Ctrl-C in a terminal reaches the whole process group; a broker must outlive its clients.
                start_new_session=True,
            )
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._leash = self._guard.stdin
        with self._guard.stdout as answer:
            line = answer.readline()
        #: Process id of the command itself; 0 when it could not be started at all.
        self.pid = int(line) if line else 0

    def running(self) -> bool:
        """Return whether the command still runs."""
        return self._guard.poll() is None

    def terminate(self, *, within_s: float = 20.0) -> None:
        """Ask the command to end, insist after `within_s`, and return when it is gone."""
        self._say(b"terminate\n")
        if not self._gone(within_s):
            self._say(b"kill\n")
            self._guard.wait()
        self._close_leash()

    def kill(self) -> None:
        """End the command without warning, as a crash would, and return when it is gone."""
        self._say(b"kill\n")
        self._guard.wait()
        self._close_leash()

    def _say(self, word: bytes) -> None:
        # A closed pipe means that the command has ended already, which is what both words ask for.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._leash.write(word)
            self._leash.flush()

    def _close_leash(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._leash.close()

    def _gone(self, within_s: float) -> bool:
        try:
            self._guard.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def wait_until(
    ready: Callable[[], bool], *, running: Callable[[], bool], timeout_s: float, poll_s: float = _POLL_S
) -> bool:
    """Poll until `ready`; return false when `running` turns false or the time is up first."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if ready():
            return True
        if not running():
            return ready()
        time.sleep(poll_s)
    return False


def start_detached(argv: Sequence[str], *, log_path: Path) -> int:
    """Start a command that outlives this process, and return its process id."""
    with log_path.open("ab") as log:
        command = subprocess.Popen(  # noqa: S603 - the commands are this package's own
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_ROOT, start_new_session=True
        )
    return command.pid


def is_running(pid: int, *, mark: str) -> bool:
    """Return whether a process has this id, and `mark` in its command line: ids are used again."""
    listing = subprocess.run(  # noqa: S603 - a number and fixed words
        ["ps", "-o", "stat=,args=", "-ww", "-p", str(pid)],  # noqa: S607 - POSIX names the tool, not its folder
        capture_output=True,
        text=True,
        check=False,
    )
    return mark in listing.stdout and not listing.stdout.lstrip().startswith("Z")


def stop_detached(pid: int, *, mark: str, within_s: float = 20.0) -> None:
    """End a process started by `start_detached`, if it still runs, and return when it is gone."""
    for number, patience_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, within_s)):
        if not is_running(pid, mark=mark):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_until(
            lambda: not is_running(pid, mark=mark), running=lambda: True, timeout_s=patience_s, poll_s=0.1
        )


def tail(path: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log, or an empty text when there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
