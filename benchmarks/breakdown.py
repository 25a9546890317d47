"""Where the runtime's microseconds go: one run, its CPU time divided among the parts that spend it.

The main thread's time always belongs to exactly one part, so that the parts add up; what the process spends
beyond that are librdkafka's threads, which fetch, decompress, batch and send.
"""

import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import Row
from detector.engine import Engine
from detector.params import EngineParams
from shared.clock import SystemClock
from shared.metrics import Health
from shared.stream.fast_intake import LibraryIntake, fastest
from shared.stream.kafka import KafkaBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOKKEEPING: Final = "runner: checks, positions, metrics"
_CONSUME: Final = "consume: records out of librdkafka"
_DECODE: Final = "decode: bytes to columns"
_ENGINE: Final = "engine: sort by market, thresholds, episodes, events"
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

    def finish(self) -> Counter[str]:
        """Return nanoseconds by part."""
        self._charge()
        return self.spent_ns


def measure(broker: KafkaBroker, *, trades: int, enabled: tuple[str, ...], batch: int) -> list[Row]:
    """Return the parts of one run, exactly once, with fast reads.

    Args:
        broker: whose topic holds the trades.
        trades: how many.
        enabled: detectors.
        batch: records in one call of the step.
    """
    clock = SystemClock()
    engine = Engine(EngineParams(enabled=enabled))
    # Snapshots cost by time and not by trade, and have a table of their own.
    params = RunnerParams(
        group=f"bench-{uuid.uuid4().hex}", batch_records=batch, snapshots=SnapshotPolicy(budget_s=0)
    )
    runner = Runner(
        broker=broker, step=engine, params=params, clock=clock, health=Health(clock), intake=fastest
    )
    process_s = time.process_time()
    parts = Parts(_BOOKKEEPING)
    _watch(parts, runner, engine)
    runner.start()
    while runner.totals.trades < trades:
        runner.turn()
    runner.close()
    spent_ns = parts.finish()
    whole_ns = (time.process_time() - process_s) * 1e9
    spent_ns[_THREADS] = round(whole_ns - sum(spent_ns.values()))
    rows = [_row(name, ns, trades) for name, ns in spent_ns.items()]
    return [*sorted(rows, key=lambda row: _ORDER.index(_kind(row.name))), _row(_TOTAL, whole_ns, trades)]


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


def _row(name: str, spent_ns: float, trades: int) -> Row:
    return Row(name=name, values={"cpu_us_per_trade": spent_ns / trades / 1e3})


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
    parts.watch(runner._snapshots, "write", "snapshots: asking what is due")  # noqa: SLF001 - see above
    parts.watch(producer, "produce", "produce")
    parts.watch(producer, "begin", _COMMIT)
    parts.watch(producer, "commit", _COMMIT)
