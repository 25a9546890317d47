"""Trades to measure with: many markets whose activity is heavy-tailed, as that of real ones."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Trade
from shared.stream.columns import TradeColumns

_EXCHANGE: Final = "binance"
# Between a trade and its receipt.
_DELAY_US: Final = 30_000
_START_US = 1_760_000_000 * MICROSECONDS_PER_SECOND
# Of the logarithm of a price, per root of a second: 6 % a day.
_VOLATILITY = 2e-4
# The time before: as long as the longest window that is usual; and before that, enough trades of every market
# to fill the windows that count trades.
_EARLIER_S: Final = 300
_FILL_TRADES: Final = 2_200
_FILL_S: Final = 600


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
    shares = _shares(markets)
    chosen = random.choice(markets, size=count, p=shares)
    times_us = _START_US + np.cumsum(random.exponential(MICROSECONDS_PER_SECOND / rate_per_s, count)).astype(
        np.int64
    )
    gaps_s = 1 / shares / rate_per_s
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
            exchange=_EXCHANGE,
            symbol=_symbol(market),
            trade_id=int(ids[market]),
            price=round(float(np.exp(logs[market])), 6),
            quantity=round(float(quantities[index]) + 1e-5, 5),
            is_buyer_maker=bool(is_sale[index]),
            event_time_us=time_us,
            received_time_us=time_us + _DELAY_US,
        )


def earlier_trades(*, markets: int, rate_per_s: float, seed: int = 2) -> TradeColumns:
    """Return what was traded before `market_trades` with the same arguments begins.

    That is five minutes of the same activity, and before them ten minutes in which every market, however
    quiet, trades often enough to fill the windows of all detectors.

    Args:
        markets: as in `market_trades`.
        rate_per_s: likewise.
        seed: of the generator.
    """
    random = np.random.default_rng(seed)
    busy_us = _START_US - _EARLIER_S * MICROSECONDS_PER_SECOND
    filling = np.arange(markets * _FILL_TRADES) % markets
    busy = random.choice(markets, size=round(rate_per_s * _EARLIER_S), p=_shares(markets))
    times_us = np.concatenate(
        [
            np.linspace(busy_us - _FILL_S * MICROSECONDS_PER_SECOND, busy_us, len(filling), endpoint=False),
            np.linspace(busy_us, _START_US, len(busy), endpoint=False),
        ]
    ).astype(np.int64)
    market = np.concatenate([filling, busy])
    n = len(market)
    return TradeColumns(
        venues=[(_EXCHANGE, _symbol(number)) for number in range(markets)],
        venue=market,
        trade_ids=np.arange(n),
        prices=_walks(market, markets=markets, random=random),
        quantities=random.lognormal(-1, 1.5, n) + 1e-5,
        sells=(random.random(n) < 0.5).astype(np.int64),
        times_us=times_us,
        received_us=times_us + _DELAY_US,
    )


def _shares(markets: int) -> NDArray[np.float64]:
    """Return what part of all trades each market has."""
    weights = 1 / np.arange(1, markets + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _symbol(market: int) -> str:
    return f"M{market:03d}-USDT"


def _walks(market: NDArray[np.int64], *, markets: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return prices of all markets that walk until they are where `market_trades` begins."""
    prices = np.empty(len(market), np.float64)
    for number in range(markets):
        mine = np.flatnonzero(market == number)
        steps = random.normal(0, _VOLATILITY * np.sqrt((_FILL_S + _EARLIER_S) / len(mine)), len(mine))
        walk = np.cumsum(steps)
        prices[mine] = 100.0 / (number + 1) * np.exp(walk - walk[-1])
    return prices
