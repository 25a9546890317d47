"""Carries out a schedule: breaks what it says, when it says, and mends it again."""

import math
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from shared.clock import SystemClock
from tests.chaos.poison import Poisoner
from tests.chaos.schedule import BROKER, Action, Fault
from tests.chaos.stage import MARKETS, PauseWatch, Stage
from tests.servers.proxy import Slowness

_PROGRESS_S: Final = 15.0
# Whoever holds the lock may itself be stopped just now.
_LOCK_WITHIN_S: Final = 300.0
# Seldom so slow that nothing could be done in a session time-out.
_DELAYS_S: Final = (0.02, 0.2)
_BYTES_PER_S: Final = (200_000, 2_000_000)
_BROKER_RESTS_S: Final = 8.0
_LOOK_AGAIN_S: Final = 1.0


class _Repair(NamedTuple):
    at_s: float
    mend: Callable[[], None]


class Breaker:
    """Works through a schedule while the market trades.

    Args:
        stage: what is broken.
        schedule: in order.
        tell: is given a line of progress.
        watch: asked for figures of progress.

    Attributes:
        done: faults that were carried out, by kind.
    """

    def __init__(
        self, stage: Stage, schedule: list[Fault], tell: Callable[[str], None], watch: PauseWatch
    ) -> None:
        self.done: Counter[str] = Counter()
        self._stage = stage
        self._waiting = list(schedule)
        self._tell = tell
        self._watch = watch
        self._clock = SystemClock()
        self._random = Random(stage.params.seed)  # noqa: S311 - chaos is no secret
        self._repairs: list[_Repair] = []
        self._poisoner = Poisoner(stage.broker.producer(), MARKETS)
        # A broker takes seconds to start, during which other things break.
        self._nurse = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker")
        self._recovery: Future[None] | None = None
        # Since when it works; how long its start takes is the machine's business.
        self._broker_up_s = -_BROKER_RESTS_S

    @property
    def published_invalid(self) -> Counter[bytes]:
        """Values on `trades` that are no trades, and how often each was published."""
        return self._poisoner.invalid

    def work(self) -> None:
        """Return when the market has ended and everything is up again."""
        started_s = self._clock.monotonic_s()
        told_s = 0.0
        turn = threading.Event()
        try:
            while True:
                now_s = self._clock.monotonic_s() - started_s
                self._mend(now_s)
                while self._waiting and self._waiting[0].at_s <= now_s:
                    self._break_or_wait(self._waiting.pop(0), now_s)
                self._stage.workers.watch()
                if now_s - told_s >= _PROGRESS_S:
                    told_s = now_s
                    self._tell(
                        f"{now_s:7.1f} s  {self._watch.trades} records, pause {self._watch.longest_s:.1f} s"
                    )
                if now_s >= self._stage.params.feed_s and not self._waiting and not self._repairs:
                    self._await_broker()
                    self._poisoner.close()
                    return
                turn.wait(0.1)
        finally:
            for repair in self._repairs:
                repair.mend()
            self._nurse.shutdown()

    def _mend(self, now_s: float) -> None:
        due = [repair for repair in self._repairs if repair.at_s <= now_s]
        for repair in due:
            self._repairs.remove(repair)
            repair.mend()

    def _break_or_wait(self, fault: Fault, now_s: float) -> None:
        """Break it, unless it is a broker that has not worked for long enough since it was last broken."""
        if fault.target == BROKER and not self._has_broker_rested(now_s):
            self._waiting.append(replace(fault, at_s=now_s + _LOOK_AGAIN_S))
            self._waiting.sort(key=lambda waiting: waiting.at_s)
            return
        self._break(fault, now_s)

    def _has_broker_rested(self, now_s: float) -> bool:
        if self._recovery is not None and self._recovery.done():
            self._await_broker()
            self._broker_up_s = now_s
        return self._broker_up_s + _BROKER_RESTS_S <= now_s

    def _break(self, fault: Fault, now_s: float) -> None:
        mend: Callable[[], None] | None = None
        done = True
        if fault.action is Action.POISON:
            self._poisoner.dose()
        elif fault.action is Action.LOCK:
            mend = _locked(self._stage.params.store)
        elif fault.target == BROKER:
            mend = self._break_broker(fault.action)
        else:
            done = self._stage.send(fault.target, _SIGNALS[fault.action])
            if done and fault.action is Action.FREEZE:
                mend = self._thaw(fault.target)
        if mend is not None:
            self._repairs.append(_Repair(now_s + fault.lasts_s, mend))
        if done:
            self.done[fault.kind] += 1
        self._tell(f"{fault}" + ("" if done else " (was down already)"))

    def _break_broker(self, action: Action) -> Callable[[], None]:
        server, disk, proxy = self._stage.server, self._stage.disk, self._stage.proxy
        if action is Action.KILL:
            self._broker_up_s = math.inf
            server.kill()
            return lambda: self._recover(server.start)
        if action is Action.FILL_DISK:
            self._broker_up_s = math.inf
            disk.fill(server)

            def free_and_restart() -> None:
                # With its only log directory failed it has halted by itself, unless it had nothing to write.
                server.kill()
                disk.free()
                server.start()

            return lambda: self._recover(free_and_restart)
        proxy.slowness = Slowness(
            delay_s=self._random.uniform(*_DELAYS_S), bytes_per_s=self._random.uniform(*_BYTES_PER_S)
        )

        def speed_up() -> None:
            proxy.slowness = None

        return speed_up

    def _recover(self, start: Callable[[], None]) -> None:
        self._recovery = self._nurse.submit(start)

    def _await_broker(self) -> None:
        if self._recovery is not None:
            self._recovery.result()
            self._recovery = None

    def _thaw(self, worker: str) -> Callable[[], None]:
        def thaw() -> None:
            self._stage.send(worker, signal.SIGCONT)

        return thaw


_SIGNALS: Final = {
    Action.KILL: signal.SIGKILL,
    Action.FREEZE: signal.SIGSTOP,
    Action.RESTART: signal.SIGTERM,
}


def _locked(store: Path) -> Callable[[], None]:
    """Let another writer take the store, in a thread, for it may have to wait; return how that ends."""
    release = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(store, timeout=_LOCK_WITHIN_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            release.wait()

    holder = threading.Thread(target=hold, name="store lock", daemon=True)
    holder.start()

    def unlock() -> None:
        release.set()
        holder.join()

    return unlock
