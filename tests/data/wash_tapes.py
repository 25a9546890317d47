"""A thin market, and somebody who trades with himself on it."""

from dataclasses import replace

import numpy as np

from detector.params import EngineParams
from shared.events import Trade

WASH_PARAMS = EngineParams(enabled=("wash_trading",))
# Windows that turn over within a few hundred trades.
SMALL_WASH_PARAMS = replace(WASH_PARAMS, wash_window_trades=128)
# 2022-04-13, 19:20 UTC.
START_US = 1_649_877_600_000_000
_SIZES = (47.58, 43.5)


def thin_market(
    count: int,
    *,
    symbol: str = "ALPINE-BTC",
    seed: int = 1,
    seconds: float = 30.0,
    washed: tuple[int, int] = (0, 0),
    share: float = 0.4,
) -> list[Trade]:
    """Return a market of orders with heavy-tailed, half round sizes, some of them washed.

    Args:
        count: trades.
        symbol: of the market.
        seed: of everything random.
        seconds: between trades, on average.
        washed: trades from which, and to before which, some are of one hand: a few sizes, either side.
        share: of them.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.lognormal(2.5, 1.2, count).round(2) + 0.01
    round_ones = rng.random(count) < 0.5
    sizes[round_ones] = 10.0 * np.ceil(sizes[round_ones] / 10.0)
    # Takers come in runs of one side.
    sides = np.repeat(rng.random(count) < 0.5, rng.geometric(0.3, count))[:count]
    prices = 1.44e-4 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, count)))
    times_us = START_US + np.cumsum(rng.exponential(seconds * 1e6, count)).astype(np.int64)
    of_one_hand = np.zeros(count, np.bool_)
    of_one_hand[washed[0] : washed[1]] = rng.random(washed[1] - washed[0]) < share
    hands = int(of_one_hand.sum())
    sizes[of_one_hand] = rng.choice(_SIZES, hands)
    sides[of_one_hand] = rng.random(hands) < 0.5
    return [
        Trade("binance", symbol, at, price, size, bool(sell), time_us, time_us)
        for at, (price, size, sell, time_us) in enumerate(
            zip(prices.tolist(), sizes.tolist(), sides.tolist(), times_us.tolist(), strict=True)
        )
    ]
