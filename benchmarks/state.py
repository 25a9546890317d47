"""What the state of a market costs: memory, bytes of a snapshot, time to write it, time to restore it."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from benchmarks.report import Row
from benchmarks.trades import market_trades
from detector.engine import Engine
from detector.params import EngineParams
from shared.stream.columns import TradeColumns
from shared.stream.memory import MemoryMessage
from shared.stream.runner import RunnerParams
from shared.stream.snapshots import Snapshot, encode_snapshot, read_snapshots

_BATCH: Final = 500
# Enough for every window of the busiest half of the markets to be full.
_TRADES_PER_MARKET: Final = 4_000
_RATE_PER_S: Final = 2_000.0


def measure(*, markets: int, rounds: int) -> list[Row]:
    """Return memory, snapshot and restore costs of so many markets.

    In a process of its own: where memory has been used and freed before, state moves into that and nothing
    grows.

    Args:
        markets: equally active ones are not made: activity is heavy-tailed.
        rounds: of writing and restoring; the fastest counts.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_measure, markets, rounds).result()


def _measure(markets: int, rounds: int) -> list[Row]:
    trades = markets * _TRADES_PER_MARKET
    tape = TradeColumns.of(list(market_trades(trades, markets=markets, rate_per_s=_RATE_PER_S)))
    # The first market pays for what all share: compiled code, first pages of every array.
    Engine(EngineParams()).on_batch(tape[:_BATCH])
    before = _resident_bytes()
    engine = Engine(EngineParams())
    for begin in range(0, trades, _BATCH):
        engine.on_batch(tape[begin : begin + _BATCH])
    grown = _resident_bytes() - before
    symbols = list(engine.symbols())
    last_us = int(tape.times_us[-1])
    write_s, restore_s, kept = [], [], []
    for _ in range(rounds):
        began_s = time.process_time()
        kept = [
            part
            for symbol in symbols
            for part in encode_snapshot(
                Snapshot(symbol, trades, last_us, engine.snapshot(symbol)), fingerprint=engine.fingerprint
            )
        ]
        write_s.append(time.process_time() - began_s)
        restore_s.append(_restored(kept, engine.fingerprint))
    size = sum(len(value) for _, value in kept)
    interval_s = RunnerParams().snapshots.interval_s
    return [
        Row(
            name=f"{len(symbols)} markets, {trades:,} trades",
            values={
                "resident_kb_per_market": grown / len(symbols) / 1e3,
                "snapshot_kb_per_market": size / len(symbols) / 1e3,
                "snapshot_ms_per_market": min(write_s) / len(symbols) * 1e3,
                "snapshot_us_per_trade_at_2000_per_s": min(write_s) / (interval_s * _RATE_PER_S) * 1e6,
                "restore_ms_in_all": min(restore_s) * 1e3,
            },
        )
    ]


def _restored(kept: list[tuple[bytes, bytes]], fingerprint: str) -> float:
    """Return the seconds that decoding and restoring took."""
    messages = [MemoryMessage("snapshots", 0, number, key, value) for number, (key, value) in enumerate(kept)]
    engine = Engine(EngineParams())
    began_s = time.process_time()
    for symbol, snapshot in read_snapshots(messages, fingerprint=fingerprint).snapshots.items():
        engine.restore(symbol, snapshot.state)
    return time.process_time() - began_s


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux tells VmRSS")
