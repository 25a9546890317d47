"""Tapes to judge: seeded random markets, quiet but for what a test puts into them."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np

from detector.features import Tape
from detector.params import EngineParams
from shared.events import Trade

START_US = 1_760_054_400_000_000

# Small memories, so that everything warms up, turns over and is forgotten within a few hundred trades.
SMALL = EngineParams(
    enabled=("zscore", "forest", "combined", "whale", "flash_crash", "spike"),
    budget_per_day=1_000.0,
    min_move_pct=0.05,
    zscore_window_trades=50,
    forest_trees=4,
    forest_window_trades=128,
    warm_up_trades=200,
    flash_crash_drop_pct=2.0,
    wash_window_trades=128,
    whale_min_notional=1_000.0,
    whale_quiet_s=70.0,
    episode_quiet_s=20.0,
)


def market(count: int, *, seed: int = 1, symbol: str = "BTC-USDT", exchange: str = "binance") -> list[Trade]:
    """Return trades of a quiet market: bursts at one instant, heavy-tailed sizes, five trades a second."""
    rng = np.random.default_rng(seed)
    prices = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, count)))
    quantities = rng.lognormal(-1.0, 1.2, count)
    gaps_us = np.where(rng.random(count) < 0.4, 0, rng.exponential(330_000.0, count)).astype(np.int64)
    times_us = START_US + np.cumsum(gaps_us)
    sells = rng.random(count) < 0.5
    return [
        Trade(exchange, symbol, at, price, quantity, sell, time_us, time_us)
        for at, (price, quantity, sell, time_us) in enumerate(
            zip(prices.tolist(), quantities.tolist(), sells.tolist(), times_us.tolist(), strict=True)
        )
    ]


def crash(trades: list[Trade], *, at: int, depth: float, length: int) -> list[Trade]:
    """Return the trades with the price lower by `depth` (a fraction) for `length` trades from `at` on."""
    return [
        altered(trade, price=trade.price * (1.0 - depth)) if at <= number < at + length else trade
        for number, trade in enumerate(trades)
    ]


def altered(trade: Trade, **changes: float | str) -> Trade:
    """Return the trade with some fields changed; numbers are not checked."""
    fields = {name: getattr(trade, name) for name in trade.__struct_fields__}
    return Trade(**(fields | changes))


def tape(trades: list[Trade]) -> Tape:
    """Return the trades in columns."""
    return Tape(
        np.array([trade.price for trade in trades], np.float64),
        np.array([trade.quantity for trade in trades], np.float64),
        np.array([trade.is_buyer_maker for trade in trades], np.int64),
        np.array([trade.event_time_us for trade in trades], np.int64),
    )


def archive_day(path: Path, symbol: str) -> list[Trade]:
    """Return the trades of a file of Binance's public archive (aggTrades, microseconds)."""
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
        return [
            Trade(
                "binance", symbol, int(r[0]), float(r[1]), float(r[2]), r[6] == "True", int(r[5]), int(r[5])
            )
            for r in csv.reader(io.TextIOWrapper(raw))
        ]


def crash_day(path: Path, symbol: str) -> list[Trade]:
    """Return the trades of a file of the crash day (exchange, symbol, times, id, side, price, amount)."""
    with gzip.open(path, "rt") as lines:
        next(lines)
        return [
            Trade(r[0], symbol, int(r[4]), float(r[6]), float(r[7]), r[5] == "sell", int(r[2]), int(r[3]))
            for r in csv.reader(lines)
        ]
