"""What a trade costs from Kafka to commit, stage by stage.

CPU time is that of the whole process, librdkafka's threads included, and not the broker's. Each stage does
what the one above it does and a little more; all read the same topic, each in the steady state of a worker
that has been running for a while (`steady.py`). The rounds are interleaved, and one that is not counted goes
before them, so that no row pays for being the first to touch memory or to run compiled code.
"""

import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from benchmarks import breakdown
from benchmarks.report import Row, median_rows
from benchmarks.steady import Cost, Course, Past, measured, run_steadily
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from shared import topics
from shared.clock import SystemClock
from shared.events import DetectorConfig, Trade
from shared.metrics import Health
from shared.stream.broker import Consumer
from shared.stream.columns import TradeColumns
from shared.stream.fast_intake import fastest, scanning
from shared.stream.intake import Intake, MessageIntake
from shared.stream.kafka import KafkaBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from shared.stream.step import Configured, OutputEvent, State, Step

BATCH: Final = RunnerParams().batch_records
# A snapshot costs by time and not by trade, so the stages write none: `breakdown.py` has them.
_NO_SNAPSHOTS: Final = SnapshotPolicy(budget_s=0)
Guarantee = Literal["exactly_once", "at_least_once"]
MakeIntake = Callable[[Consumer], Intake]


class NullStep:
    """Finds nothing and remembers nothing: what is left is the runner's own cost."""

    @property
    def fingerprint(self) -> str:
        """Name it."""
        return "null"

    @property
    def shed_levels(self) -> int:
        """Return 0: there is nothing to shed."""
        return 0

    def shed(self, level: int) -> None:
        """Shed nothing."""

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Find nothing, after making the columns that every real step works on."""
        TradeColumns.of(trades)
        return []

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:
        """Take any settings."""
        del symbol, configs
        return Configured(has_changed=False, events=[])

    def symbols(self) -> Iterable[str]:
        """Return no markets."""
        return ()

    def snapshot(self, symbol: str) -> State:
        """Return an empty state."""
        return {"symbol": symbol}

    def restore(self, symbol: str, state: State) -> None:
        """Forget it."""

    def evict(self, symbol: str) -> None:
        """Forget nothing."""


_Z_SCORE: Final = ("zscore",)
_WHOLE: Final = EngineParams().enabled
BROKEN_DOWN: Final = {"the z-score alone": _Z_SCORE, "the whole engine": _WHOLE}
_INTAKES: Final[tuple[tuple[str, MakeIntake], ...]] = (
    ("plain reads", MessageIntake),
    ("scanned messages", scanning),
    ("librdkafka's batches", fastest),
)
# With the detectors; None: a step that does nothing.
_STEPS: Final[tuple[tuple[str, tuple[str, ...] | None], ...]] = (
    ("runner with a step that does nothing", None),
    ("runner with the z-score alone", _Z_SCORE),
    ("runner with the whole engine", _WHOLE),
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all stages share.

    Attributes:
        broker: with a topic that holds the trades.
        course: of every run.
        past: of every engine.
        is_exact: whether the broker supports transactions.
    """

    broker: KafkaBroker
    course: Course
    past: Past
    is_exact: bool


def stages(bench: Bench) -> list[tuple[str, Callable[[], Cost]]]:
    """Return every stage by name."""
    guarantees: tuple[Guarantee, ...] = (
        ("exactly_once", "at_least_once") if bench.is_exact else ("at_least_once",)
    )
    found: list[tuple[str, Callable[[], Cost]]] = [("consume only, messages", lambda: _consumed(bench))]
    for label, intake in _INTAKES:
        found.append((f"consume and decode, {label}", partial(_read, bench, intake)))
    for name, enabled in _STEPS:
        for label, intake in _INTAKES[:: len(_INTAKES) - 1]:
            title = f"{name}, {guarantees[0].replace('_', ' ')}, {label}"
            found.append((title, partial(_run, bench, enabled, guarantees[0], intake)))
        for guarantee in guarantees[1:]:
            title = f"{name}, {guarantee.replace('_', ' ')}, {_INTAKES[-1][0]}"
            found.append((title, partial(_run, bench, enabled, guarantee, fastest)))
    return found


def _consumed(bench: Bench) -> Cost:
    consumer = bench.broker.consumer(group=None)
    return _all_of(bench, consumer, lambda: len(consumer.consume(BATCH, 1.0)))


def _read(bench: Bench, make: MakeIntake) -> Cost:
    consumer = bench.broker.consumer(group=None)
    intake = make(consumer)
    return _all_of(bench, consumer, lambda: len(intake.read(BATCH, 1.0).trades))


def _all_of(bench: Bench, consumer: Consumer, read: Callable[[], int]) -> Cost:
    consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
    seen = 0

    def advance(until: int) -> None:
        nonlocal seen
        while seen < until:
            seen += read()

    cost = measured(bench.course, advance)
    consumer.close()
    return cost


def _run(bench: Bench, enabled: tuple[str, ...] | None, guarantee: Guarantee, intake: MakeIntake) -> Cost:
    params = RunnerParams(
        group=f"bench-{uuid.uuid4().hex}",
        guarantee=guarantee,
        batch_records=BATCH,
        snapshots=_NO_SNAPSHOTS,
    )
    clock = SystemClock()
    runner = Runner(
        broker=bench.broker,
        step=_step(bench, enabled),
        params=params,
        clock=clock,
        health=Health(clock),
        intake=intake,
    )
    cost = run_steadily(runner, bench.course)
    runner.close()
    return cost


def _step(bench: Bench, enabled: tuple[str, ...] | None) -> Step:
    if enabled is None:
        return NullStep()
    engines = MarketEngines(EngineParams(enabled=enabled))
    bench.past.resume(engines, enabled=enabled)
    return engines


def measure(bench: Bench, *, rounds: int) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return the median of every stage, and of the parts of the runs that `BROKEN_DOWN` names."""
    counted: list[list[Row]] = []
    parts: dict[str, list[list[Row]]] = {name: [] for name in BROKEN_DOWN}
    for number in range(rounds + 1):
        rows = []
        for name, stage in stages(bench):
            print(f"{_round(number, rounds)}: {name}", file=sys.stderr)
            rows.append(_row(name, stage()))
        counted += [rows] if number else []
        for name, enabled in BROKEN_DOWN.items() if bench.is_exact else ():
            print(f"{_round(number, rounds)}: parts of {name}", file=sys.stderr)
            run = breakdown.measure(
                bench.broker, bench.past, course=bench.course, enabled=enabled, batch=BATCH
            )
            parts[name] += [run] if number else []
    return median_rows(counted), {name: median_rows(runs) for name, runs in parts.items() if runs}


def _round(number: int, rounds: int) -> str:
    return f"round {number} of {rounds}" if number else "round to warm up"


def _row(name: str, cost: Cost) -> Row:
    return Row(
        name=name,
        values={
            "cpu_us_per_trade": cost.cpu_us,
            "trades_per_s_and_core": 1e6 / cost.cpu_us,
            "trades_per_s": 1e6 / cost.wall_us,
        },
    )
