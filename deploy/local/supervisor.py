"""Starts worker processes, restarts those that crash, and stops all of them in order.

A worker that crashes is restarted after a growing pause, as an orchestrator would do; one that keeps crashing
is given up with the last lines of its log, because then something is wrong that no restart mends.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.kafka.process import ChildProcess, tail
from shared.clock import Clock
from shared.errors import PrerequisiteError
from shared.stream.retry import Backoff

_CRASHES_ALLOWED: Final = 5
_WITHIN_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One process to run.

    Attributes:
        name: shown to people, and the name of its log.
        argv: the command.
        environ: what differs from the environment of all workers.
    """

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    worker: Worker
    process: ChildProcess
    crashes_s: deque[float] = field(default_factory=deque)
    restart_at_s: float | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, longest_s=10.0))


class Supervisor:
    """Runs workers until told to stop.

    Args:
        log_dir: every worker appends to `NAME.log` in it.
        environ: the environment of all workers.
        clock: the time.
        crashes_allowed: of one worker within two minutes.
    """

    def __init__(
        self,
        *,
        log_dir: Path,
        environ: Mapping[str, str],
        clock: Clock,
        crashes_allowed: int = _CRASHES_ALLOWED,
    ) -> None:
        self._log_dir = log_dir
        self._environ = dict(environ)
        self._clock = clock
        self._crashes_allowed = crashes_allowed
        self._running: list[_Running] = []
        self.restarts = 0

    def start(self, worker: Worker) -> None:
        """Start one more worker."""
        self._running.append(_Running(worker, self._launch(worker)))

    def log_path(self, worker: Worker) -> Path:
        """Return where the worker's output goes."""
        return self._log_dir / f"{worker.name}.log"

    def is_running(self, worker: Worker) -> bool:
        """Return whether the worker's process runs now."""
        return any(r.worker is worker and r.process.running() for r in self._running)

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {running.worker.name: running.process.pid for running in self._running}

    def watch(self) -> None:
        """Restart what has crashed; call it often.

        Raises:
            PrerequisiteError: a worker keeps crashing; the message holds the end of its log.
        """
        now_s = self._clock.monotonic_s()
        for running in self._running:
            if running.process.running():
                continue
            if running.restart_at_s is None:
                self._note_crash(running, now_s)
            elif now_s >= running.restart_at_s:
                running.process.terminate()
                running.process = self._launch(running.worker)
                running.restart_at_s = None
                self.restarts += 1

    def stop(self) -> int:
        """Stop all workers, the last started first, and return how many processes there were."""
        for running in reversed(self._running):
            running.process.terminate()
        count = len(self._running)
        self._running.clear()
        return count

    def _launch(self, worker: Worker) -> ChildProcess:
        return ChildProcess(
            worker.argv, log_path=self.log_path(worker), environ={**self._environ, **worker.environ}
        )

    def _note_crash(self, running: _Running, now_s: float) -> None:
        crashes = running.crashes_s
        crashes.append(now_s)
        while crashes[0] < now_s - _WITHIN_S:
            crashes.popleft()
        if len(crashes) == 1:
            # It ran well for a while: this is a new trouble, not the old one again.
            running.backoff.reset()
        if len(crashes) >= self._crashes_allowed:
            log_path = self.log_path(running.worker)
            raise PrerequisiteError(
                f"{running.worker.name} ended {len(crashes)} times within {_WITHIN_S:g} s. "
                f"The end of {log_path}:\n{tail(log_path)}"
            )
        running.restart_at_s = now_s + running.backoff.next_s()
