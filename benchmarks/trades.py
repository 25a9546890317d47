"""Trades to measure with: many markets whose activity is heavy-tailed, as that of real ones."""

from collections.abc import Iterator

import numpy as np

from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Trade

_START_US = 1_760_000_000 * MICROSECONDS_PER_SECOND
# Of the logarithm of a price, per root of a second: 6 % a day.
_VOLATILITY = 2e-4


def market_trades(count: int, *, markets: int, rate_per_s: float, seed: int = 1) -> Iterator[Trade]:
    """Yield trades of many markets in time order.

    Args:
        count: trades in all.
        markets: market number k has a share proportional to 1/k (Zipf).
        rate_per_s: trades a second over all markets; arrivals are Poisson, sizes log-normal, prices walks
            that are equally volatile in all markets: a move large enough for an anomaly is rare.
        seed: of the generator.
    """
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, markets + 1)
    chosen = random.choice(markets, size=count, p=shares / shares.sum())
    times_us = _START_US + np.cumsum(random.exponential(MICROSECONDS_PER_SECOND / rate_per_s, count)).astype(
        np.int64
    )
    gaps_s = shares.sum() / shares / rate_per_s
    steps = random.normal(0, _VOLATILITY, count) * np.sqrt(gaps_s[chosen])
    quantities = random.lognormal(-1, 1.5, count)
    is_sale = random.random(count) < 0.5
    logs = np.log(100.0 / np.arange(1, markets + 1))
    ids = np.zeros(markets, dtype=np.int64)
    for index in range(count):
        market = int(chosen[index])
        logs[market] += steps[index]
        ids[market] += 1
        time_us = int(times_us[index])
        yield Trade(
            exchange="binance",
            symbol=f"M{market:03d}-USDT",
            trade_id=int(ids[market]),
            price=round(float(np.exp(logs[market])), 6),
            quantity=round(float(quantities[index]) + 1e-5, 5),
            is_buyer_maker=bool(is_sale[index]),
            event_time_us=time_us,
            received_time_us=time_us + 30_000,
        )
