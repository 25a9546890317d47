"""For how long a market's snapshot holds up the batches, at the default parameters and at the largest state.

A snapshot begins with a copy of the state, and is then compressed slice by slice over as many commits as it
takes: what a batch waits for is the longest step, not the sum.
"""

import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.report import Row, median_rows, show
from benchmarks.trades import market_trades
from detector.catalogue import CATALOGUE
from detector.engine import Engine, warm_up_kernels
from detector.params import EngineParams
from shared.stream.columns import TradeColumns
from shared.stream.memory import MemoryMessage
from shared.stream.snapshots import Snapshot, SnapshotEncoder, read_snapshots

_BATCH: Final = 500
_BUSY_PER_S: Final = 2_000
# The upper bounds of the settings, except for trees: 500 of them would only repeat the same arrays.
_LARGEST: Final = EngineParams(
    enabled=tuple(entry.name for entry in CATALOGUE),
    zscore_window_trades=100_000,
    forest_trees=100,
    forest_window_trades=65_536,
)


def run(*, trades: int, rounds: int, write: Path | None) -> None:
    """Measure and print.

    Args:
        trades: of the one market, before its snapshot is taken.
        rounds: of each snapshot; medians are shown.
        write: the Markdown file whose section is replaced.
    """
    warm_up_kernels()
    steps = [("default parameters", EngineParams()), ("largest state", _LARGEST)]
    engines = []
    for name, params in steps:
        print(f"{name}: {trades:,} trades", file=sys.stderr)
        engines.append((name, _fed(params, trades)))
    measured = [[_measured(name, engine) for name, engine in engines] for _ in range(rounds)]
    note = f"one market at {_BUSY_PER_S:,} trades/s; a batch waits for the longest step"
    show("snapshots", median_rows(measured), note=note, write=write)


def _fed(params: EngineParams, trades: int) -> Engine:
    engine = Engine(params)
    tape = list(market_trades(trades, markets=1, rate_per_s=_BUSY_PER_S))
    for start in range(0, trades, _BATCH):
        engine.on_batch(TradeColumns.of(tape[start : start + _BATCH]))
    return engine


def _measured(name: str, engine: Engine) -> Row:
    [symbol] = engine.symbols()
    steps_s = []
    began_s = time.perf_counter()
    encoder = SnapshotEncoder(Snapshot(symbol, 0, 0, engine.snapshot(symbol)), fingerprint="benchmark")
    steps_s.append(time.perf_counter() - began_s)
    is_done = False
    while not is_done:
        began_s = time.perf_counter()
        is_done = encoder.advance()
        steps_s.append(time.perf_counter() - began_s)
    began_s = time.perf_counter()
    records = [MemoryMessage("snapshots", 0, 0, key, value) for key, value in encoder.records()]
    steps_s.append(time.perf_counter() - began_s)
    began_s = time.perf_counter()
    restored = read_snapshots(records, fingerprint="benchmark").snapshots[symbol]
    engine.restore(symbol, restored.state)
    restore_s = time.perf_counter() - began_s
    return Row(
        name=name,
        values={
            "stored_kb": sum(len(record.value()) for record in records) / 1_024,
            "records": len(records),
            "slices": len(steps_s) - 2,
            "encode_ms": sum(steps_s) * 1e3,
            "longest_step_ms": max(steps_s) * 1e3,
            "restore_ms": restore_s * 1e3,
        },
    )
