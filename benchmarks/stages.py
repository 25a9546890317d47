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
from detector.engine import Engine
from detector.params import EngineParams
from shared import topics
from shared.clock import SystemClock
from shared.events import Trade
from shared.metrics import Health
from shared.stream.broker import Consumer
from shared.stream.columns import TradeColumns
from shared.stream.fast_intake import fastest, scanning
from shared.stream.intake import Intake, MessageIntake
from shared.stream.kafka import KafkaBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from shared.stream.step import OutputEvent, State, Step

BATCH: Final = 500
WITH_SNAPSHOTS: Final = "the same, and snapshots of 400 markets are due"
# A snapshot costs by time and not by trade, so the other stages write none.
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
    ("runner with the z-score alone", lambda: Engine(EngineParams(enabled=("zscore",)))),
    ("runner with the whole engine", lambda: Engine(EngineParams())),
)


def stages(broker: KafkaBroker, trades: int, *, is_exact: bool) -> list[tuple[str, Callable[[], int]]]:
    """Return every stage by name; each reads the whole topic and returns how many snapshots it wrote."""
    guarantees: tuple[Guarantee, ...] = ("exactly_once", "at_least_once") if is_exact else ("at_least_once",)
    found: list[tuple[str, Callable[[], int]]] = [("consume only, messages", lambda: consume(broker, trades))]
    for label, intake in _INTAKES:
        found.append((f"consume and decode, {label}", _reading(broker, trades, intake)))
    for name, step in _STEPS:
        for label, intake in _INTAKES[:: len(_INTAKES) - 1]:
            title = f"{name}, {guarantees[0].replace('_', ' ')}, {label}"
            found.append((title, _running(broker, trades, step, guarantees[0], intake)))
        for guarantee in guarantees[1:]:
            title = f"{name}, {guarantee.replace('_', ' ')}, {_INTAKES[-1][0]}"
            found.append((title, _running(broker, trades, step, guarantee, fastest)))
    whole = _STEPS[-1][1]
    found.append((WITH_SNAPSHOTS, _running(broker, trades, whole, guarantees[0], fastest, SnapshotPolicy())))
    return found


def consume(broker: KafkaBroker, trades: int) -> int:
    """Read all messages and do nothing with them; return 0."""
    consumer = broker.consumer(group=None)
    consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
    seen = 0
    while seen < trades:
        seen += len(consumer.consume(BATCH, 1.0))
    consumer.close()
    return 0


def _reading(broker: KafkaBroker, trades: int, make: MakeIntake) -> Callable[[], int]:
    def read() -> int:
        consumer = broker.consumer(group=None)
        intake = make(consumer)
        consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
        seen = 0
        while seen < trades:
            seen += len(intake.read(BATCH, 1.0).trades)
        consumer.close()
        return 0

    return read


def _running(
    broker: KafkaBroker,
    trades: int,
    step: Callable[[], Step],
    guarantee: Guarantee,
    intake: MakeIntake,
    snapshots: SnapshotPolicy = _NO_SNAPSHOTS,
) -> Callable[[], int]:
    def run() -> int:
        params = RunnerParams(
            group=f"bench-{uuid.uuid4().hex}", guarantee=guarantee, batch_records=BATCH, snapshots=snapshots
        )
        clock = SystemClock()
        runner = Runner(
            broker=broker, step=step(), params=params, clock=clock, health=Health(clock), intake=intake
        )
        runner.start()
        while runner.totals.trades < trades:
            runner.turn()
        runner.close()
        return runner.snapshots_written()

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


def _timed(name: str, stage: Callable[[], int], trades: int) -> Row:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    snapshots = stage()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return Row(
        name=name,
        values={
            "cpu_us_per_trade": cpu_s / trades * 1e6,
            "trades_per_s_and_core": trades / cpu_s,
            "trades_per_s": trades / wall_s,
            "snapshots": snapshots,
        },
    )


def snapshot_cost(staged: Sequence[Row], *, trades: int, markets: int, interval_s: float) -> Row:
    """Return what a snapshot adds to a run, and what that is per trade at two rates.

    Args:
        staged: by `measure`; the last two are the whole engine without and with snapshots.
        trades: in each run.
        markets: that are snapshotted.
        interval_s: between two snapshots of a market.
    """
    by_name = {row.name: row.values for row in staged}
    off = next(
        row.values for row in staged if row.name.startswith(_STEPS[-1][0]) and _INTAKES[-1][0] in row.name
    )
    on = by_name[WITH_SNAPSHOTS]
    each_us = (on["cpu_us_per_trade"] - off["cpu_us_per_trade"]) * trades / max(on["snapshots"], 1)
    return Row(
        name=f"{markets} markets, each every {interval_s:g} s",
        values={
            "cpu_ms_per_snapshot": each_us / 1e3,
            "us_per_trade_at_2000_per_s": each_us * markets / interval_s / 2_000,
            "us_per_trade_at_20000_per_s": each_us * markets / interval_s / 20_000,
            "core_pct": each_us * markets / interval_s / 1e4,
        },
    )
