"""Run one command, and end it when whoever started this guard is gone.

`python guard.py COMMAND ...` writes the command's process id to standard output, sends both outputs of the
command to its own standard error, and exits with the command's status. Standard input is the leash: the lines
`terminate` and `kill` are sent on as signals, and its end (the starter stopped, crashed or was killed) ends
the command. It is run by path in an isolated interpreter, and imports nothing but the standard library.

A pipe is used because, unlike Linux's "parent died" signal, it does not fire when only the starting thread
ends, and it works on every POSIX system.
"""

import ctypes
import signal
import subprocess
import sys
import threading
from types import FrameType

_PR_SET_PDEATHSIG = 1
_GRACE_S = 10.0


def _die_with_the_guard() -> None:
    """Ask Linux to end the command should the guard itself be killed with SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _obey(command: subprocess.Popen[bytes]) -> None:
    for line in sys.stdin:
        if line == "terminate\n":
            command.terminate()
        elif line == "kill\n":
            command.kill()
    command.terminate()
    try:
        command.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        command.kill()


def main(argv: list[str]) -> int:
    """Run `argv`, and return its exit status (128 + n for signal n)."""
    command = subprocess.Popen(  # noqa: S603 - the command is our own starter's
        argv,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
        preexec_fn=_die_with_the_guard if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread runs yet
    )

    def pass_on(number: int, _frame: FrameType | None) -> None:
        command.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    print(command.pid, flush=True)  # noqa: T201 - this is the answer the starter reads
    threading.Thread(target=_obey, args=(command,), daemon=True).start()
    status = command.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
