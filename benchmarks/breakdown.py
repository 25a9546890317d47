"""Where the runtime's microseconds go: one run, its CPU time divided among the parts that spend it.

The main thread's time always belongs to exactly one part, so that the parts add up; what the process spends
beyond that are librdkafka's threads, which fetch, decompress, batch and send. The run is a steady one
(`steady.py`); what a market costs once, when it is opened, is measured apart.
"""

import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import Row
from benchmarks.steady import Cost, Course, Past, run_steadily
from detector.engine import Engine
from detector.params import EngineParams
from shared.clock import MICROSECONDS_PER_SECOND, SystemClock
from shared.events import Trade
from shared.metrics import Health
from shared.stream.fast_intake import LibraryIntake, fastest
from shared.stream.kafka import KafkaBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from shared.stream.step import Configured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.events import DetectorConfig

_BOOKKEEPING: Final = "runner: checks, positions, metrics"
_CONSUME: Final = "consume: records out of librdkafka"
_DECODE: Final = "decode: bytes to columns"
_ENGINE: Final = "engine: sort by market, thresholds, episodes, events"
_SNAPSHOTS: Final = "snapshots"
_COMMIT: Final = "commit of the transaction"
_THREADS: Final = "librdkafka's threads"
_TOTAL: Final = "all"


class Parts:
    """CPU time of this thread by part; a part within another is taken off the outer one."""

    def __init__(self, outermost: str) -> None:
        self.spent_ns: Counter[str] = Counter()
        self._inside = [outermost]
        self._since_ns = time.thread_time_ns()

    def watch(self, thing: object, method: str, part: str) -> None:
        """Let the time within an object's method belong to a part."""
        inner: Callable[..., object] = getattr(thing, method)

        def watched(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - whatever the method takes
            self._charge()
            self._inside.append(part)
            try:
                return inner(*args, **kwargs)
            finally:
                self._charge()
                self._inside.pop()

        setattr(thing, method, watched)

    def _charge(self) -> None:
        now_ns = time.thread_time_ns()
        self.spent_ns[self._inside[-1]] += now_ns - self._since_ns
        self._since_ns = now_ns

    def start_over(self) -> None:
        """Forget what was spent so far."""
        self._charge()
        self.spent_ns.clear()

    def finish(self) -> Counter[str]:
        """Return nanoseconds by part."""
        self._charge()
        return self.spent_ns


class FixedEngine(Engine):
    """The engine of markets whose settings never change, as a step: its parts can be measured."""

    def configure(self, symbol: str, configs: "Sequence[DetectorConfig]") -> Configured:
        """Take any settings."""
        del symbol, configs
        return Configured(has_changed=False, events=[])


def measure(
    broker: KafkaBroker, past: Past, *, course: Course, enabled: tuple[str, ...], batch: int
) -> list[Row]:
    """Return the parts of one run, exactly once, with fast reads and without snapshots.

    Args:
        broker: whose topic holds the trades.
        past: of the engine.
        course: of the run.
        enabled: detectors.
        batch: records in one call of the step.
    """
    engine = FixedEngine(EngineParams(enabled=enabled))
    past.resume(engine, enabled=enabled)
    spent_ns, cost, _ = _run(broker, engine, course=course, batch=batch, snapshots=SnapshotPolicy(budget_s=0))
    rows = [_row(name, ns / course.measured / 1e3) for name, ns in spent_ns.items()]
    rows.append(_row(_THREADS, cost.threads_us))
    rows.sort(key=lambda row: _ORDER.index(_kind(row.name)))
    return [*rows, _row(_TOTAL, sum(row.values["cpu_us_per_trade"] for row in rows))]


def opening(*, markets: int, enabled: tuple[str, ...]) -> Row:
    """Return what a market costs once, its first trade and its share in the growth of all arrays included.

    Args:
        markets: that are opened by one batch.
        enabled: detectors.
    """
    engine = Engine(EngineParams(enabled=enabled))

    def spent_us(number: int) -> float:
        at_us = number * MICROSECONDS_PER_SECOND
        batch = [Trade("binance", f"M{k}", number, 1.0, 1.0, False, at_us, at_us) for k in range(markets)]
        began_s = time.thread_time()
        engine.on_batch(batch)
        return (time.thread_time() - began_s) * 1e6

    first_us, second_us = spent_us(1), spent_us(2)
    return Row(
        name=f"{markets} markets at once: {', '.join(enabled)}",
        values={"cpu_us_per_market": (first_us - second_us) / markets},
    )


def snapshot_cost(broker: KafkaBroker, past: Past, *, course: Course, markets: int, batch: int) -> Row:
    """Return what a snapshot costs within a run of the whole engine, and what that is per trade at two rates.

    A market's first snapshot is due at once, so a run writes as many as fit into the budget of its commits.

    Args:
        broker: whose topic holds the trades.
        past: of the engine.
        course: of the run.
        markets: in the topic.
        batch: records in one call of the step.
    """
    policy, params = SnapshotPolicy(), EngineParams()
    engine = FixedEngine(params)
    past.resume(engine, enabled=params.enabled)
    spent_ns, _, written = _run(broker, engine, course=course, batch=batch, snapshots=policy)
    each_us = spent_ns[_SNAPSHOTS] / max(written, 1) / 1e3
    # What a second of snapshots costs, whatever the number of trades in it.
    us_per_s = each_us * markets / policy.interval_s
    return Row(
        name=f"{markets} markets, each every {policy.interval_s:g} s",
        values={
            "snapshots": written,
            "cpu_ms_per_snapshot": each_us / 1e3,
            "core_pct": us_per_s / 1e4,
            "us_per_trade_at_2000_per_s": us_per_s / 2_000,
            "us_per_trade_at_20000_per_s": us_per_s / 20_000,
        },
    )


def _run(
    broker: KafkaBroker, engine: FixedEngine, *, course: Course, batch: int, snapshots: SnapshotPolicy
) -> tuple[Counter[str], Cost, int]:
    """Return nanoseconds of the main thread by part, the cost, and how many snapshots were written."""
    clock = SystemClock()
    params = RunnerParams(group=f"bench-{uuid.uuid4().hex}", batch_records=batch, snapshots=snapshots)
    runner = Runner(
        broker=broker, step=engine, params=params, clock=clock, health=Health(clock), intake=fastest
    )
    parts = Parts(_BOOKKEEPING)
    _watch(parts, runner, engine)
    before = 0

    def at_steady() -> None:
        nonlocal before
        before = runner.snapshots_written()
        parts.start_over()

    cost = run_steadily(runner, course, at_steady=at_steady)
    spent_ns, written = parts.finish(), runner.snapshots_written() - before
    runner.close()
    return spent_ns, cost, written


# The first words of the parts' names, in the order in which a trade meets them.
_ORDER: Final = (
    _THREADS,
    "consume",
    "decode",
    "runner",
    "features",
    "alert budget",
    "detector",
    "calibration",
    "engine",
    "produce",
    "snapshots",
    "commit",
)


def _kind(name: str) -> str:
    return next(kind for kind in _ORDER if name.startswith(kind))


def _row(name: str, us_per_trade: float) -> Row:
    return Row(name=name, values={"cpu_us_per_trade": us_per_trade})


def _watch(parts: Parts, runner: Runner, engine: Engine) -> None:
    """Put a clock around everything that has a part of its own; nobody else looks in there."""
    intake, producer = runner._intake, runner._producer  # noqa: SLF001 - see above
    consumer = runner._consumer  # noqa: SLF001 - see above
    parts.watch(intake, "read", _DECODE)
    parts.watch(consumer, "consume", _CONSUME)
    if isinstance(intake, LibraryIntake):
        parts.watch(intake._queue, "read", _CONSUME)  # noqa: SLF001 - see above
    parts.watch(engine, "on_batch", _ENGINE)
    parts.watch(engine._features, "update", "features of all windows")  # noqa: SLF001 - see above
    parts.watch(engine._budget, "count", "alert budget")  # noqa: SLF001 - see above
    for name, lane in engine._lanes.items():  # noqa: SLF001 - see above
        parts.watch(lane._stage, "score_learn", f"detector {name}")  # noqa: SLF001 - see above
        parts.watch(lane._calibration, "calibrate", f"calibration of {name}")  # noqa: SLF001 - see above
    parts.watch(runner._snapshots, "write", _SNAPSHOTS)  # noqa: SLF001 - see above
    parts.watch(producer, "produce", "produce")
    parts.watch(producer, "begin", _COMMIT)
    parts.watch(producer, "commit", _COMMIT)
