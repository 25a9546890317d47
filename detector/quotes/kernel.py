"""Large orders that stand in a book and go before anybody trades with them, in O(levels) per quote.

A quote is compared with the one before. What was added to a level, beyond a share of what usually stands in
the levels that are seen, is watched: how much of it traded, for how long it stood, what traded meanwhile.
When most of it is gone, it is judged `GRACE_US` later, so that a trade which comes after the quote that shows
it still counts, and an order that only moves to another price is none that went: what is withdrawn is no more
than what the side has become thinner by.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import (
    BoolVector,
    FloatCube,
    FloatMatrix,
    FloatTesseract,
    FloatVector,
    IntMatrix,
    IntVector,
)

WATCHED: Final = 16
GRACE_US: Final = 1_000_000.0

# What a quote's row says.
FEATURES: Final = (
    "mid",
    "notional",
    "spread_bps",
    "depth",
    "imbalance",
    "imbalance_sigmas",
    "withdrawn_bid",
    "withdrawn_ask",
    "orders_bid",
    "orders_ask",
    "withdrawn",
    "layers",
    "stood_s",
    "executed",
    "traded_meanwhile",
    "moved_bps",
)
(
    _MID,
    _NOTIONAL,
    _SPREAD,
    _DEPTH,
    _IMBALANCE,
    _SIGMAS,
    _WITHDRAWN_BID,
    _WITHDRAWN_ASK,
    _ORDERS_BID,
    _ORDERS_ASK,
    _WITHDRAWN,
    _LAYERS,
    _STOOD,
    _EXECUTED,
    _TRADED,
    _MOVED,
) = range(len(FEATURES))

# Of a market: when it was first and last seen; what has traded; usual depth; mean and variance of the
# imbalance; per side what was withdrawn and in how many orders, what went within the last second and the
# largest of that, all fading, and of the latest such burst what `FEATURES` tells from `withdrawn` on.
_FIRST, _LAST, _VOLUME_SO_FAR, _USUAL, _MEAN, _VARIANCE = range(6)
_GONE, _COUNT, _BURST, _LARGEST, _LATEST = 6, 8, 10, 12, 14
_OF_BURST: Final = 6
SUMS: Final = _LATEST + 2 * _OF_BURST
# What is set.
_SHARE, _SHORTEST, _LONGEST, _FADE, _HORIZON, _WARM_UP = range(6)

# Of a watched order: its price (0: none), what was added, what of it traded, since when, gone since (0: it
# stands), what is gone, depth of its side before that, the middle when it came, what had traded on the market
# when it came and when it went.
_PRICE, _PEAK, _FILLED, _SINCE, _WENT, _REMOVED, _BEFORE, _FROM, _VOLUME, _VOLUME_WENT = range(10)
ORDER: Final = 10

_BPS: Final = 1e4
_IS_GONE: Final = 0.3
_MOSTLY: Final = 0.5
_TOGETHER_US: Final = 2_000_000.0
_WINSOR: Final = 3.0
# What goes within about a second is one thing, whatever number of orders it was; and what goes in a few large
# things counts more than the same in many small ones, of which every book is full.
_BURST_US: Final = 1_000_000.0
_POWER: Final = 3.0
_IS_NEW: Final = 0.2


@njit(cache=True)
def _depth(levels: FloatMatrix, count: int) -> float:
    total = 0.0
    for i in range(count):
        total += levels[i, 1]
    return total


@njit(cache=True)
def _find(levels: FloatMatrix, count: int, price: float) -> float:
    for i in range(count):
        if levels[i, 0] == price:
            return float(levels[i, 1])
    return 0.0


@njit(cache=True)
def _watch(orders: FloatMatrix, price: float, quantity: float, now: float, mid: float, volume: float) -> None:
    """Watch an order from now on, instead of the smallest of those that stand if there are too many."""
    at, smallest = -1, quantity
    for i in range(WATCHED):
        if orders[i, _PRICE] == price and orders[i, _WENT] == 0.0:
            # More of the same level: one order to whoever looks at it.
            orders[i, _PEAK] += quantity
            return
    for i in range(WATCHED):
        if orders[i, _PRICE] == 0.0:
            at = i
            break
        if orders[i, _WENT] == 0.0 and orders[i, _PEAK] < smallest:
            at, smallest = i, orders[i, _PEAK]
    if at < 0:
        return
    orders[at] = 0.0
    orders[at, _PRICE], orders[at, _PEAK], orders[at, _SINCE] = price, quantity, now
    orders[at, _FROM], orders[at, _VOLUME] = mid, volume


@njit(cache=True)
def _see_additions(  # noqa: PLR0917 - compiled; buffers come by position
    orders: FloatMatrix,
    old: FloatMatrix,
    olds: int,
    new: FloatMatrix,
    news: int,
    sign: float,
    least: float,
    now: float,
    mid: float,
    volume: float,
) -> None:
    """Watch what was added to the levels that were seen before; prices times sign rise from the best on."""
    j = 0
    for i in range(news):
        key = sign * new[i, 0]
        while j < olds and sign * old[j, 0] < key:
            j += 1
        if j == olds:
            # Beyond what was seen: it may have stood there all along.
            return
        had = old[j, 1] if old[j, 0] == new[i, 0] else 0.0
        if new[i, 1] - had >= least:
            _watch(orders, new[i, 0], new[i, 1] - had, now, mid, volume)


@njit(cache=True)
def _see_removals(  # noqa: PLR0917 - compiled; buffers come by position
    orders: FloatMatrix,
    best: float,
    new: FloatMatrix,
    news: int,
    sign: float,
    before: float,
    now: float,
    volume: float,
    longest_us: float,
) -> None:
    """Note which watched orders are gone; `best` was the best price before."""
    worst = sign * new[news - 1, 0]
    for i in range(WATCHED):
        price = orders[i, _PRICE]
        if price == 0.0 or orders[i, _WENT] > 0.0:
            continue
        if now - orders[i, _SINCE] > longest_us:
            orders[i, _PRICE] = 0.0
            continue
        if sign * price > worst:
            # Out of sight.
            continue
        if sign * price < sign * new[0, 0] and price != best:
            # The price has passed it, and better ones with it: it was taken, or had to go.
            orders[i, _PRICE] = 0.0
            continue
        left = _find(new, news, price)
        if left <= _IS_GONE * orders[i, _PEAK]:
            orders[i, _WENT], orders[i, _REMOVED] = now, orders[i, _PEAK] - left
            orders[i, _BEFORE], orders[i, _VOLUME_WENT] = before, volume


@njit(cache=True)
def _judge(
    orders: FloatMatrix,
    sums: FloatVector,
    side: int,
    depth: float,
    mid: float,
    now: float,
    shortest_us: float,
) -> None:
    """Count the orders of a side that went `GRACE_US` ago, unless they traded, moved, or had just come."""
    usual = sums[_USUAL]
    for i in range(WATCHED):
        gone = orders[i, _WENT]
        if orders[i, _PRICE] == 0.0 or gone == 0.0 or now - gone < GRACE_US:
            continue
        removed = orders[i, _REMOVED]
        filled = min(orders[i, _FILLED], removed)
        stood = gone - orders[i, _SINCE]
        missing = min(removed - filled, orders[i, _BEFORE] - depth)
        if filled < _MOSTLY * removed and stood >= shortest_us and missing > 0.0 and usual > 0.0:
            layers = 0.0
            for other in range(WATCHED):
                near = abs(orders[other, _WENT] - gone) <= _TOGETHER_US
                layers += 1.0 if orders[other, _PRICE] > 0.0 and orders[other, _WENT] > 0.0 and near else 0.0
            share = missing / usual
            burst = sums[_BURST + side] + share
            sums[_GONE + side] += burst**_POWER - (burst - share) ** _POWER
            sums[_BURST + side] = burst
            sums[_COUNT + side] += 1.0
            told = sums[_LATEST + side * _OF_BURST : _LATEST + (side + 1) * _OF_BURST]
            is_new = burst - share < _IS_NEW * burst
            told[0], told[1] = burst * usual, layers if is_new else max(layers, told[1])
            if share >= sums[_LARGEST + side]:
                toward = 1.0 if side == 0 else -1.0
                sums[_LARGEST + side] = share
                told[2], told[3] = stood / 1e6, filled / removed
                told[4] = (orders[i, _VOLUME_WENT] - orders[i, _VOLUME] - filled) / usual
                told[5] = toward * (mid / orders[i, _FROM] - 1.0) * _BPS
        orders[i, _PRICE] = 0.0


@njit(cache=True)
def read(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    order: IntVector,
    times_us: IntVector,
    books: FloatTesseract,
    counts: IntMatrix,
    trade_starts: IntVector,
    trades: FloatMatrix,
    is_continuous: BoolVector,
    settings: FloatVector,
    all_books: FloatTesseract,
    all_counts: IntMatrix,
    all_orders: FloatTesseract,
    all_sums: FloatMatrix,
    rows: FloatMatrix,
    clock_us: IntVector,
) -> None:
    """Write a row for every quote.

    Args:
        slots: m markets.
        starts: m + 1, their runs.
        order: n, where in the columns each row comes from.
        times_us: event times of all quotes.
        books: all quotes, two sides, `LEVELS`, price and quantity.
        counts: all quotes, levels of both sides.
        trade_starts: all quotes + 1, which trades came before each.
        trades: price and base units, negative where the taker sold.
        is_continuous: all quotes, whether none is missing before.
        settings: least share of the usual depth; in µs shortest and longest time that an order stands, the
            times in which what was withdrawn fades and in which usual is learned, and the warm-up.
        all_books: by slot, the book before.
        all_counts: by slot, its levels.
        all_orders: by slot and side, watched orders.
        all_sums: by slot.
        rows: n rows of `FEATURES`.
        clock_us: n event times that never go back within a market.
    """
    for run in range(slots.shape[0]):
        slot = slots[run]
        sums, levels, seen, orders = all_sums[slot], all_books[slot], all_counts[slot], all_orders[slot]
        for i in range(starts[run], starts[run + 1]):
            at = order[i]
            now = _advance(float(times_us[at]), sums, settings)
            clock_us[i] = int(now)
            traded = trades[trade_starts[at] : trade_starts[at + 1]]
            notional = _trade(traded, orders, sums)
            book, count = books[at], counts[at]
            mid = 0.5 * (book[0, 0, 0] + book[1, 0, 0])
            if not is_continuous[at]:
                seen[:] = 0
                orders[:] = 0.0
            depths = (_depth(book[0], count[0]), _depth(book[1], count[1]))
            for side in range(2):
                sign, new, news = 2.0 * side - 1.0, book[side], count[side]
                before, volume = _depth(levels[side], seen[side]), sums[_VOLUME_SO_FAR]
                if seen[side] > 0:
                    best, longest = levels[side, 0, 0], settings[_LONGEST]
                    _see_removals(orders[side], best, new, news, sign, before, now, volume, longest)
                    least = settings[_SHARE] * sums[_USUAL]
                    _see_additions(
                        orders[side], levels[side], seen[side], new, news, sign, least, now, mid, volume
                    )
                _judge(orders[side], sums, side, depths[side], mid, now, settings[_SHORTEST])
                levels[side, :news] = new[:news]
                seen[side] = news
            _describe(rows[i], book, mid, notional, depths, sums)
            _learn(row=rows[i], now=now, depths=depths, sums=sums, settings=settings)


@njit(cache=True)
def _advance(now: float, sums: FloatVector, settings: FloatVector) -> float:
    """Let time pass; return what the market's clock shows, which never goes back."""
    if sums[_LAST] == 0.0:
        sums[_FIRST] = sums[_LAST] = now
    now = max(now, sums[_LAST])
    fade = np.exp((sums[_LAST] - now) / settings[_FADE])
    sums[_GONE:_BURST] *= fade
    sums[_BURST:_LATEST] *= np.exp((sums[_LAST] - now) / _BURST_US)
    return now


@njit(cache=True)
def _trade(traded: FloatMatrix, orders: FloatCube, sums: FloatVector) -> float:
    """Fill watched orders at the prices of trades; return what the trades were worth."""
    notional = 0.0
    for i in range(traded.shape[0]):
        price, quantity = traded[i, 0], abs(traded[i, 1])
        side = orders[0] if traded[i, 1] < 0.0 else orders[1]
        for j in range(WATCHED):
            if side[j, _PRICE] == price:
                side[j, _FILLED] += quantity
        sums[_VOLUME_SO_FAR] += quantity
        notional += price * quantity
    return notional


@njit(cache=True)
def _describe(
    row: FloatVector,
    book: FloatCube,
    mid: float,
    notional: float,
    depths: tuple[float, float],
    sums: FloatVector,
) -> None:
    """Write a quote's row, by what was usual before it."""
    bid, ask = depths
    imbalance = (bid - ask) / (bid + ask)
    row[_MID], row[_NOTIONAL], row[_DEPTH], row[_IMBALANCE] = mid, notional, sums[_USUAL], imbalance
    row[_SPREAD] = (book[1, 0, 0] - book[0, 0, 0]) / mid * _BPS
    sd = np.sqrt(sums[_VARIANCE])
    row[_SIGMAS] = (imbalance - sums[_MEAN]) / sd if sd > 0.0 else 0.0
    row[_WITHDRAWN_BID], row[_WITHDRAWN_ASK] = sums[_GONE], sums[_GONE + 1]
    row[_ORDERS_BID], row[_ORDERS_ASK] = sums[_COUNT], sums[_COUNT + 1]
    told = _LATEST if sums[_GONE] >= sums[_GONE + 1] else _LATEST + _OF_BURST
    row[_WITHDRAWN:] = sums[told : told + _OF_BURST]


@njit(cache=True)
def _learn(
    row: FloatVector, now: float, depths: tuple[float, float], sums: FloatVector, settings: FloatVector
) -> None:
    """Learn depth and imbalance, each for as long as it held; what is far beyond usual counts as a bound."""
    age, since = now - sums[_FIRST], now - sums[_LAST]
    sums[_LAST] = now
    depth = 0.5 * (depths[0] + depths[1])
    if sums[_USUAL] == 0.0:
        sums[_USUAL], sums[_MEAN] = depth, row[_IMBALANCE]
    elif since > 0.0:
        weight = max(-np.expm1(-since / settings[_HORIZON]), since / age)
        sums[_USUAL] += weight * (min(depth, _WINSOR * sums[_USUAL]) - sums[_USUAL])
        off = row[_IMBALANCE] - sums[_MEAN]
        sums[_MEAN] += weight * off
        sums[_VARIANCE] += weight * ((1.0 - weight) * off * off - sums[_VARIANCE])
    if age < settings[_WARM_UP]:
        row[_WITHDRAWN_BID] = row[_WITHDRAWN_ASK] = np.nan
