"""La Morgia's features of the chunk of 25 s that runs, from trades as they come; O(1) in time and memory.

Theirs say how much a standard deviation or mean over the last 900 chunks (10 for prices) changes with a
chunk. Here both fade exponentially with the same weight in the middle (a = 2 / (n + 1)), so that no chunk
need be kept; and the chunk is the one that runs, up to its latest trade, so that nobody waits for its end. As
theirs, it counts purchases of takers only, and chunks without any are none; an instant with several is a rush
order.

Reference: M. La Morgia, A. Mei, F. Sassi, J. Stefa, "Pump and Dumps in the Bitcoin Era: Real Time Detection
of Cryptocurrency Market Manipulations", ICCCN 2020.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatVector

# What is written, in this order.
FEATURES: Final = (
    "std_rush_order",
    "avg_rush_order",
    "std_trades",
    "std_volume",
    "avg_volume",
    "std_price",
    "avg_price",
    "avg_price_max",
    "hour_sin",
    "hour_cos",
    "minute_sin",
    "minute_cos",
)
# What is remembered of a market: the chunk that runs, then means and variances of those before it.
_CHUNK, _LEVEL, _LAST_S, _AT_ONCE = range(4)
_RUSHES, _TRADES, _VOLUME, _PRICES, _HIGHEST = range(4, 9)
_SEEN, _RUSH_MEAN, _RUSH_VAR, _TRADES_MEAN, _TRADES_VAR, _VOLUME_MEAN, _VOLUME_VAR = range(9, 16)
_PRICE_MEAN, _PRICE_VAR, _RECENT_PRICE, _RECENT_HIGHEST = range(16, 20)
MEMORY: Final = 20

_CHUNK_S: Final = 25.0
_WINDOW: Final = 2.0 / 901.0
_PRICE_WINDOW: Final = 2.0 / 11.0
# A level that drifts without end would leave the range of the exponential.
_MOST_LEVEL: Final = 50.0
# Its square is a number still.
_MOST_BOUGHT: Final = 1e100


@njit(cache=True)
def _weight(memory: FloatVector, least: float) -> float:
    """Return the weight of one more chunk: a plain mean until there are enough of them."""
    return float(max(least, 1.0 / (memory[_SEEN] + 1.0)))


@njit(cache=True)
def _spread(variance: float, mean: float, value: float, weight: float) -> float:
    """Return the variance with one more value."""
    return float((1.0 - weight) * (variance + weight * (value - mean) ** 2))


@njit(cache=True)
def _end_chunk(memory: FloatVector) -> None:
    """Learn the chunk that ran."""
    if memory[_TRADES] == 0.0:
        return
    weight, recent = _weight(memory, _WINDOW), _weight(memory, _PRICE_WINDOW)
    price = memory[_PRICES] / memory[_TRADES]
    for mean, value in (
        (_RUSH_MEAN, memory[_RUSHES]),
        (_TRADES_MEAN, memory[_TRADES]),
        (_VOLUME_MEAN, memory[_VOLUME]),
        (_PRICE_MEAN, price),
    ):
        memory[mean + 1] = _spread(memory[mean + 1], memory[mean], value, weight)
        memory[mean] += weight * (value - memory[mean])
    memory[_RECENT_PRICE] += recent * (price - memory[_RECENT_PRICE])
    memory[_RECENT_HIGHEST] += recent * (memory[_HIGHEST] - memory[_RECENT_HIGHEST])
    memory[_SEEN] += 1.0
    for k in range(_RUSHES, _HIGHEST + 1):
        memory[k] = 0.0


@njit(cache=True)
def learn(memory: FloatVector, time_s: float, log_return: float, bought: float) -> None:
    """Take a trade into the chunk that runs.

    Args:
        memory: `MEMORY` numbers, zeros at first; changed.
        time_s: event time.
        log_return: since the trade before.
        bought: in quote units, negative where the taker sold.
    """
    memory[_LEVEL] = min(max(memory[_LEVEL] + log_return, -_MOST_LEVEL), _MOST_LEVEL)
    chunk = np.floor(time_s / _CHUNK_S)
    if chunk != memory[_CHUNK]:
        _end_chunk(memory)
        memory[_CHUNK] = chunk
        memory[_AT_ONCE] = 0.0
    if bought <= 0.0:
        return
    memory[_AT_ONCE] = memory[_AT_ONCE] + 1.0 if time_s == memory[_LAST_S] else 1.0
    memory[_LAST_S] = time_s
    if memory[_AT_ONCE] == 2.0:
        memory[_RUSHES] += 1.0
    price = np.exp(memory[_LEVEL])
    memory[_TRADES] += 1.0
    memory[_VOLUME] = min(memory[_VOLUME] + bought, _MOST_BOUGHT)
    memory[_PRICES] += price
    memory[_HIGHEST] = max(memory[_HIGHEST], price)


@njit(cache=True)
def _change(before: float, after: float) -> float:
    return float((after - before) / before) if before > 0.0 else 0.0


@njit(cache=True)
def write(memory: FloatVector, time_s: float, features: FloatVector) -> None:
    """Write the features of the chunk that runs, as if it ended now, into the first of a vector.

    Args:
        memory: as left by `learn`.
        time_s: event time.
        features: written; as many as `FEATURES`.
    """
    weight, recent = _weight(memory, _WINDOW), _weight(memory, _PRICE_WINDOW)
    trades = max(memory[_TRADES], 1.0)
    price = memory[_PRICES] / trades if memory[_TRADES] > 0.0 else memory[_RECENT_PRICE]
    highest = memory[_HIGHEST] if memory[_TRADES] > 0.0 else memory[_RECENT_HIGHEST]
    at = 0
    for mean, value, has_mean in (
        (_RUSH_MEAN, memory[_RUSHES], True),
        (_TRADES_MEAN, memory[_TRADES], False),
        (_VOLUME_MEAN, memory[_VOLUME], True),
        (_PRICE_MEAN, price, False),
    ):
        variance = memory[mean + 1]
        features[at] = _change(np.sqrt(variance), np.sqrt(_spread(variance, memory[mean], value, weight)))
        at += 1
        if has_mean:
            features[at] = _change(memory[mean], memory[mean] + weight * (value - memory[mean]))
            at += 1
    for mean, value in ((_RECENT_PRICE, price), (_RECENT_HIGHEST, highest)):
        features[at] = _change(memory[mean], memory[mean] + recent * (value - memory[mean]))
        at += 1
    # On circles of 23 and 59, as published.
    for value, length in (
        (np.floor(time_s / 3_600.0) % 24.0, 23.0),
        (np.floor(time_s / 60.0) % 60.0, 59.0),
    ):
        angle = 2.0 * np.pi * value / length
        features[at], features[at + 1] = np.sin(angle), np.cos(angle)
        at += 2
