"""A worker that has been running for a while: where its state comes from, and how its cost is taken.

The first seconds of a worker cost more than all that follow, and not per trade: it connects and joins a
group, opens markets, touches memory for the first time (a page of it costs as much as a trade), and its
windows grow. So nothing of that is measured here:

- a step begins with what it would remember after a quarter of an hour (`trades.earlier_trades`): all markets
  known, all windows full, their memory at its full size;
- of the topic, every run first reads a share that is not counted (`Course`);
- librdkafka's threads read ahead of the runner, so that what they did for a trade cannot be told from what
  they did for the next; they are counted from the assignment of the partitions on, over all trades.

What a market costs when it is opened is a figure of its own (`breakdown.opening`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from benchmarks.trades import earlier_trades
from detector.engine import Engine
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from shared.stream.runner import Runner
from shared.stream.step import State

# Enough for every partition to have its turn.
_WARM_UP_SHARE: Final = 0.4
_BATCH: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a topic is read.

    Attributes:
        trades: in the topic.
    """

    trades: int

    @property
    def warm_up(self) -> int:
        """Trades that are read before the clock runs."""
        return int(_WARM_UP_SHARE * self.trades)

    @property
    def measured(self) -> int:
        """Trades that are read while it runs."""
        return self.trades - self.warm_up


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a trade costs, in microseconds.

    Attributes:
        main_us: CPU of the thread that works.
        threads_us: CPU of librdkafka's threads.
        wall_us: time.
    """

    main_us: float
    threads_us: float
    wall_us: float

    @property
    def cpu_us(self) -> float:
        """CPU of the process."""
        return self.main_us + self.threads_us


class _Instant(NamedTuple):
    main_s: float
    threads_s: float
    wall_s: float

    @classmethod
    def now(cls) -> Self:
        main_s = time.thread_time()
        return cls(main_s, time.process_time() - main_s, time.perf_counter())


def measured(
    course: Course, advance: Callable[[int], None], *, at_steady: Callable[[], None] = lambda: None
) -> Cost:
    """Return what a trade costs.

    Args:
        course: how many trades warm up, and how many are measured.
        advance: reads on until so many trades are done, counted from the beginning.
        at_steady: called when the clock begins to run.
    """
    began = _Instant.now()
    advance(course.warm_up)
    at_steady()
    warm = _Instant.now()
    advance(course.trades)
    ended = _Instant.now()
    return Cost(
        main_us=(ended.main_s - warm.main_s) / course.measured * 1e6,
        threads_us=(ended.threads_s - began.threads_s) / course.trades * 1e6,
        wall_us=(ended.wall_s - warm.wall_s) / course.measured * 1e6,
    )


def run_steadily(runner: Runner, course: Course, *, at_steady: Callable[[], None] = lambda: None) -> Cost:
    """Run from the assignment of partitions to the last commit, and return what a trade costs."""
    runner.start()
    while not runner.lag_records():
        runner.turn()

    def advance(until: int) -> None:
        while runner.totals.trades < until:
            runner.turn()
        runner.commit()

    return measured(course, advance, at_steady=at_steady)


class Past:
    """What workers remember of the time before the topic begins.

    Args:
        markets: as in `market_trades`.
        rate_per_s: likewise.
    """

    def __init__(self, *, markets: int, rate_per_s: float) -> None:
        self._trades = earlier_trades(markets=markets, rate_per_s=rate_per_s)
        self._states: dict[tuple[str, ...], dict[str, State]] = {}

    def resume(self, step: Engine | MarketEngines, *, enabled: tuple[str, ...]) -> None:
        """Let a step that knows no market remember all of them.

        Args:
            step: with these detectors, and all other parameters at their defaults.
            enabled: names of detectors.
        """
        if enabled not in self._states:
            self._states[enabled] = self._lived(enabled)
        for symbol, state in self._states[enabled].items():
            step.restore(symbol, state)

    def _lived(self, enabled: tuple[str, ...]) -> dict[str, State]:
        engine = Engine(EngineParams(enabled=enabled))
        for start in range(0, len(self._trades), _BATCH):
            engine.on_batch(self._trades[start : start + _BATCH])
        return {symbol: engine.snapshot(symbol) for symbol in engine.symbols()}
