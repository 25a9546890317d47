"""What a trade costs from Kafka to commit, stage by stage.

CPU time is that of the whole process, librdkafka's threads included, and not the broker's. Each stage does
what the one above it does and a little more; all read the same topic, and the rounds are interleaved.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from benchmarks import breakdown
from benchmarks.report import Row, median_rows
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

BATCH: Final = 500
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


BROKEN_DOWN: Final = {
    "the z-score alone": ("zscore",),
    "the whole engine": EngineParams().enabled,
}
_INTAKES: Final[tuple[tuple[str, MakeIntake], ...]] = (
    ("plain reads", MessageIntake),
    ("scanned messages", scanning),
    ("librdkafka's batches", fastest),
)
_STEPS: Final[tuple[tuple[str, Callable[[], Step]], ...]] = (
    ("runner with a step that does nothing", NullStep),
    ("runner with the z-score alone", lambda: MarketEngines(EngineParams(enabled=("zscore",)))),
    ("runner with the whole engine", lambda: MarketEngines(EngineParams())),
)


def stages(broker: KafkaBroker, trades: int, *, is_exact: bool) -> list[tuple[str, Callable[[], None]]]:
    """Return every stage by name; each reads the whole topic."""
    guarantees: tuple[Guarantee, ...] = ("exactly_once", "at_least_once") if is_exact else ("at_least_once",)
    found: list[tuple[str, Callable[[], None]]] = [
        ("consume only, messages", lambda: consume(broker, trades))
    ]
    for label, intake in _INTAKES:
        found.append((f"consume and decode, {label}", _reading(broker, trades, intake)))
    for name, step in _STEPS:
        for label, intake in _INTAKES[:: len(_INTAKES) - 1]:
            title = f"{name}, {guarantees[0].replace('_', ' ')}, {label}"
            found.append((title, _running(broker, trades, step, guarantees[0], intake)))
        for guarantee in guarantees[1:]:
            title = f"{name}, {guarantee.replace('_', ' ')}, {_INTAKES[-1][0]}"
            found.append((title, _running(broker, trades, step, guarantee, fastest)))
    return found


def consume(broker: KafkaBroker, trades: int) -> None:
    """Read all messages and do nothing with them."""
    consumer = broker.consumer(group=None)
    consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
    seen = 0
    while seen < trades:
        seen += len(consumer.consume(BATCH, 1.0))
    consumer.close()


def _reading(broker: KafkaBroker, trades: int, make: MakeIntake) -> Callable[[], None]:
    def read() -> None:
        consumer = broker.consumer(group=None)
        intake = make(consumer)
        consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
        seen = 0
        while seen < trades:
            seen += len(intake.read(BATCH, 1.0).trades)
        consumer.close()

    return read


def _running(
    broker: KafkaBroker,
    trades: int,
    step: Callable[[], Step],
    guarantee: Guarantee,
    intake: MakeIntake,
) -> Callable[[], None]:
    def run() -> None:
        params = RunnerParams(
            group=f"bench-{uuid.uuid4().hex}",
            guarantee=guarantee,
            batch_records=BATCH,
            snapshots=_NO_SNAPSHOTS,
        )
        clock = SystemClock()
        runner = Runner(
            broker=broker, step=step(), params=params, clock=clock, health=Health(clock), intake=intake
        )
        runner.start()
        while runner.totals.trades < trades:
            runner.turn()
        runner.close()

    return run


def measure(
    broker: KafkaBroker, *, trades: int, rounds: int, is_exact: bool
) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return the median of every stage, and of the parts of the runs that `BROKEN_DOWN` names."""
    measured = []
    parts: dict[str, list[list[Row]]] = {name: [] for name in BROKEN_DOWN}
    for number in range(rounds):
        rows = []
        for name, stage in stages(broker, trades, is_exact=is_exact):
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            rows.append(_timed(name, stage, trades))
        measured.append(rows)
        if is_exact:
            for name, enabled in BROKEN_DOWN.items():
                print(f"round {number + 1} of {rounds}: parts of {name}", file=sys.stderr)
                parts[name].append(breakdown.measure(broker, trades=trades, enabled=enabled, batch=BATCH))
    return median_rows(measured), {name: median_rows(runs) for name, runs in parts.items() if runs}


def _timed(name: str, stage: Callable[[], None], trades: int) -> Row:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    stage()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return Row(
        name=name,
        values={
            "cpu_us_per_trade": cpu_s / trades * 1e6,
            "trades_per_s_and_core": trades / cpu_s,
            "trades_per_s": trades / wall_s,
        },
    )
