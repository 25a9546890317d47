"""Compiled sliding windows over the trades of many markets.

Sums are kept in a queue of two stacks: for the older trades of a window (its front) there are the sums from
each of them to the border between old and new, the newer ones (its back) are summed as they come, and when
the front is used up the back becomes the front in one pass. So nothing is ever subtracted, and every trade is
touched a constant number of times. Of the front, only the sums of the trades in its oldest block of `BLOCK`
are kept, and those of the first trade of each later block: the others follow from them, by the very same
additions, when their block becomes the oldest. Means and squared deviations are kept likewise, merged by
Chan's formula, and taken from a trade of the window (its reference), so that no digits are lost to a price
that is large against its changes. Highs and lows come from two queues per market of the trades that no later
trade beats, shared by all windows.

Reference: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The
American Statistician 37 (1983).
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatCube, FloatMatrix, FloatTesseract, FloatVector, IntMatrix, IntVector
from shared.clock import MICROSECONDS_PER_SECOND

# Trades, by sequence number, whose sums are kept together.
_SHIFT: Final = 5
BLOCK: Final = 1 << _SHIFT
_WITHIN: Final = BLOCK - 1

CLOCK_RESTART_US: Final = 3_600 * MICROSECONDS_PER_SECOND

# Columns of a trade, and what is summed of them, in the order of the sums.
PRICE, NOTIONAL, SIGNED, QUANTITY, RETURN, RUSH = range(6)
TRADE_COLUMNS: Final = 6
_SUM_NOTIONAL, _SUM_SIGNED, _SUM_QUANTITY, _SUM_SQUARES, _SUM_RUSH = range(5)
SUMS: Final = 5
# After the sums, when they are asked for: mean and squared deviations of price and of return.
_PRICE_MEAN, _PRICE_M2, _RETURN_MEAN, _RETURN_M2 = range(SUMS, SUMS + 4)
SUMS_AND_MOMENTS: Final = SUMS + 4

# The cursor of a market: next sequence number, latest time, side and length of the run of rush orders, ends
# of the queues of highs and lows; then per window the sequence numbers of its oldest trade and of the border
# between its stacks, and its places in the queues.
NEXT, TIME, RUN_SIDE, RUN_LENGTH, _HIGH_END, _LOW_END = range(6)
CURSOR: Final = 6
TAIL, BORDER, _HIGH, _LOW = range(4)
PER_WINDOW: Final = 4

TRADE_FEATURES: Final = (
    "log_return",
    "notional",
    "log_notional",
    "signed_flow",
    "inter_arrival_s",
    "rush_orders",
    "event_time_s",
    "quantity",
)
WINDOW_FEATURES: Final = (
    "count",
    "notional",
    "imbalance",
    "return",
    "drawdown",
    "drawdown_age",
    "run_up",
    "run_up_age",
    "volatility",
    "rate",
    "quantity",
    "signed_flow",
    "vwap",
    "vwap_deviation",
    "high",
    "low",
    "rush_orders",
    "mean",
    "std",
    "return_std",
)
MOMENT_FEATURES: Final = ("mean", "std", "return_std")
_FIRST: Final = len(TRADE_FEATURES)
_PER: Final = len(WINDOW_FEATURES)
# What is computed together, and left out where nothing of it is asked for. What is not named is always there.
_GROUPS: Final = (
    ("imbalance",),
    ("return",),
    ("drawdown", "drawdown_age", "run_up", "run_up_age", "high", "low"),
    ("volatility",),
    ("rate", "vwap", "vwap_deviation"),
)
_IMBALANCE, _MOVE, _EXTREMES, _VOLATILITY, _REST = (1 << bit for bit in range(len(_GROUPS)))

# Beyond any market, and small enough that no sum or quotient of sound trades becomes infinite.
_LARGEST_NOTIONAL: Final = 1e200
_LARGEST_PRICE: Final = 1e150
_LARGEST_RATIO: Final = 1e200
_LARGEST_RETURN: Final = 1e12
_LEAST_NOTIONAL: Final = 1e-300


def asked_of(wanted: IntVector, *, windows: int) -> IntVector:
    """Return which groups of features are asked of each window, as bits.

    Args:
        wanted: numbers of features, as of `update`.
        windows: how many.
    """
    asked = np.zeros(windows, np.int64)
    for number in wanted.tolist():
        window, feature = divmod(number - _FIRST, _PER)
        for bit, group in enumerate(_GROUPS):
            if window >= 0 and WINDOW_FEATURES[feature] in group:
                asked[window] |= 1 << bit
    return asked


class Pool(NamedTuple):
    """The latest trades of all markets: each market has a span of places, a power of two, used as a ring.

    A span holds `BLOCK` trades at least, and begins where a block does.

    Attributes:
        times: (places), event times.
        trades: (places, 6), columns of trades.
        joined: (places / BLOCK, windows, sums), sums from the first trade of a block to the border; of the
            blocks of the front but the oldest.
        highs: (places), queue of sequence numbers.
        lows: likewise.
    """

    times: IntVector
    trades: FloatMatrix
    joined: FloatCube
    highs: IntVector
    lows: IntVector


class Markets(NamedTuple):
    """The rest of the state, by slot.

    Attributes:
        starts: (slots), first place of the market's span.
        sizes: (slots), places in it.
        cursors: (slots, 6 + 4 windows).
        opened: (slots, windows, BLOCK, sums), sums from each trade of the oldest block to the border.
        backs: (slots, windows, sums), of what came after the border.
        references: (slots, windows, 2), price and return that moments are taken from.
    """

    starts: IntVector
    sizes: IntVector
    cursors: IntMatrix
    opened: FloatTesseract
    backs: FloatCube
    references: FloatCube


@njit(cache=True)
def log_ratio(price: float, before: float) -> float:
    """Return the logarithm of a ratio of prices; of a small change all digits are right."""
    ratio = min(max(price / before, 1.0 / _LARGEST_RATIO), _LARGEST_RATIO)
    return float(np.log1p((price - before) / before) if 0.5 < ratio < 2.0 else np.log(ratio))


@njit(cache=True)
def _change(price: float, before: float) -> float:
    """Return the relative change from one price to another."""
    return float(min((price - before) / before, _LARGEST_RETURN))


@njit(cache=True)
def _sum_back(  # noqa: PLR0917 - compiled; buffers come by position
    w: int,
    tail: int,
    end: int,
    border: int,
    start: int,
    mask: int,
    trades: FloatMatrix,
    joined: FloatCube,
    opened: FloatCube,
) -> None:
    """Sum from the border back to `tail`; keep the sums of the oldest block, and of each later one's first.

    Args:
        w: number of the window.
        tail: sequence number of its oldest trade.
        end: of the trades to go through: the border, or before it the beginning of a block that has its sums.
        border: of the window.
        start: first place of the market's span.
        mask: places in it, less one.
        trades: of the pool.
        joined: of the pool, changed.
        opened: of the market, changed.
    """
    oldest = (tail >> _SHIFT) << _SHIFT
    notional = signed = quantity = squares = rush = 0.0
    if end < border:
        at = (start + (end & mask)) >> _SHIFT
        notional, signed, quantity = (
            joined[at, w, _SUM_NOTIONAL],
            joined[at, w, _SUM_SIGNED],
            joined[at, w, _SUM_QUANTITY],
        )
        squares, rush = joined[at, w, _SUM_SQUARES], joined[at, w, _SUM_RUSH]
    seq = end
    while seq > oldest + BLOCK:
        first = ((seq - 1) >> _SHIFT) << _SHIFT
        at = start + (first & mask)
        for row in range(at + seq - 1 - first, at - 1, -1):
            notional += trades[row, NOTIONAL]
            signed += trades[row, SIGNED]
            quantity += trades[row, QUANTITY]
            squares += trades[row, RETURN] * trades[row, RETURN]
            rush += trades[row, RUSH]
        at >>= _SHIFT
        joined[at, w, _SUM_NOTIONAL] = notional
        joined[at, w, _SUM_SIGNED] = signed
        joined[at, w, _SUM_QUANTITY] = quantity
        joined[at, w, _SUM_SQUARES] = squares
        joined[at, w, _SUM_RUSH] = rush
        seq = first
    at = start + (oldest & mask)
    for k in range(seq - 1 - oldest, tail - oldest - 1, -1):
        row = at + k
        notional += trades[row, NOTIONAL]
        signed += trades[row, SIGNED]
        quantity += trades[row, QUANTITY]
        squares += trades[row, RETURN] * trades[row, RETURN]
        rush += trades[row, RUSH]
        opened[w, k, _SUM_NOTIONAL] = notional
        opened[w, k, _SUM_SIGNED] = signed
        opened[w, k, _SUM_QUANTITY] = quantity
        opened[w, k, _SUM_SQUARES] = squares
        opened[w, k, _SUM_RUSH] = rush


@njit(cache=True)
def _sum_moments_back(  # noqa: PLR0917 - compiled; buffers come by position
    w: int,
    tail: int,
    end: int,
    border: int,
    start: int,
    mask: int,
    trades: FloatMatrix,
    joined: FloatCube,
    opened: FloatCube,
    price: float,
    last_return: float,
) -> None:
    """Do as `_sum_back` for the moments, taken from a price and a return."""
    oldest = tail >> _SHIFT
    price_mean = price_m2 = return_mean = return_m2 = 0.0
    if end < border:
        at = (start + (end & mask)) >> _SHIFT
        price_mean, price_m2 = joined[at, w, _PRICE_MEAN], joined[at, w, _PRICE_M2]
        return_mean, return_m2 = joined[at, w, _RETURN_MEAN], joined[at, w, _RETURN_M2]
    for seq in range(end - 1, tail - 1, -1):
        at = start + (seq & mask)
        n = border - seq
        shifted = min(trades[at, PRICE], _LARGEST_PRICE) - price
        delta = shifted - price_mean
        price_mean += delta / n
        price_m2 += delta * (shifted - price_mean)
        delta = trades[at, RETURN] - last_return - return_mean
        return_mean += delta / n
        return_m2 += delta * (trades[at, RETURN] - last_return - return_mean)
        if seq >> _SHIFT == oldest:
            k = seq & _WITHIN
            opened[w, k, _PRICE_MEAN], opened[w, k, _PRICE_M2] = price_mean, price_m2
            opened[w, k, _RETURN_MEAN], opened[w, k, _RETURN_M2] = return_mean, return_m2
        elif seq & _WITHIN == 0:
            at >>= _SHIFT
            joined[at, w, _PRICE_MEAN], joined[at, w, _PRICE_M2] = price_mean, price_m2
            joined[at, w, _RETURN_MEAN], joined[at, w, _RETURN_M2] = return_mean, return_m2


@njit(cache=True)
def _add_moments(
    back: FloatMatrix, references: FloatMatrix, w: int, n: int, price: float, last_return: float
) -> None:
    """Add the n-th value of a window's back to its moments."""
    shifted = min(price, _LARGEST_PRICE) - references[w, 0]
    delta = shifted - back[w, _PRICE_MEAN]
    back[w, _PRICE_MEAN] += delta / n
    back[w, _PRICE_M2] += delta * (shifted - back[w, _PRICE_MEAN])
    delta = last_return - references[w, 1] - back[w, _RETURN_MEAN]
    back[w, _RETURN_MEAN] += delta / n
    back[w, _RETURN_M2] += delta * (last_return - references[w, 1] - back[w, _RETURN_MEAN])


@njit(cache=True)
def _merged(
    old: int, new: int, mean: float, m2: float, other_mean: float, other_m2: float
) -> tuple[float, float]:
    """Return mean and sample deviation of two parts together."""
    n = old + new
    delta = other_mean - mean
    deviation = np.sqrt(max(m2 + other_m2 + delta * delta * old * new / n, 0.0) / max(n - 1, 1))
    return mean + delta * new / n, deviation


@njit(cache=True)
def update(  # noqa: C901, PLR0912, PLR0915, PLR0917 - compiled: a call in the inner loop is paid for
    first_run: int,
    slots: IntVector,
    run_starts: IntVector,
    prices: FloatVector,
    quantities: FloatVector,
    sells: IntVector,
    times_us: IntVector,
    windows_us: IntVector,
    max_trades: int,
    max_size: int,
    wanted: IntVector,
    asked: IntVector,
    pool: Pool,
    markets: Markets,
    rows: FloatMatrix,
    clock_us: IntVector,
) -> int:
    """Learn the trades of many markets one by one and write one row of features for each.

    Args:
        first_run: of the batch that is still to be done.
        slots: as in `Runs`.
        run_starts: as in `Runs`.
        prices: n.
        quantities: n.
        sells: n, 1 where the taker sold.
        times_us: n.
        windows_us: spans.
        max_trades: that a market's windows hold at most.
        max_size: of a market's span.
        wanted: which features go to which column of the rows.
        asked: what of each window is therefore computed, as of `asked_of`.
        pool: changed.
        markets: changed.
        rows: n, filled.
        clock_us: n, filled with the times after the rule for late trades.

    Returns:
        The run whose market needs a larger span before it can be done; or the number of runs.
    """
    times, trades, joined, highs, lows = pool
    windows = windows_us.shape[0]
    longest = np.argmax(windows_us)
    has_moments = joined.shape[2] > SUMS
    values = np.zeros(_FIRST + windows * _PER, np.float64)
    for run in range(first_run, slots.shape[0]):
        slot = slots[run]
        start, mask = markets.starts[slot], markets.sizes[slot] - 1
        cursor, back, references = markets.cursors[slot], markets.backs[slot], markets.references[slot]
        opened = markets.opened[slot]
        held = cursor[NEXT] - min(cursor[CURSOR + PER_WINDOW * longest + TAIL], max(cursor[NEXT] - 1, 0))
        needed = held + run_starts[run + 1] - run_starts[run]
        if mask + 1 < min(needed, max_size):
            return run
        for i in range(run_starts[run], run_starts[run + 1]):
            seq, latest = cursor[NEXT], cursor[TIME]
            is_first = seq == 0
            now = times_us[i]
            if not is_first and now < latest:
                if latest - now > CLOCK_RESTART_US:
                    is_first = True
                    for w in range(windows):
                        own = CURSOR + PER_WINDOW * w
                        cursor[own + TAIL] = seq
                        cursor[own + BORDER] = seq
                else:
                    now = latest
            price = prices[i]
            notional = min(price * quantities[i], _LARGEST_NOTIONAL)
            side = sells[i]
            log_return = 0.0 if is_first else log_ratio(price, trades[start + ((seq - 1) & mask), PRICE])
            gap_s = 0.0 if is_first else (now - latest) * 1e-6
            if is_first or now != latest or side != cursor[RUN_SIDE]:
                cursor[RUN_LENGTH] = 0
            cursor[RUN_SIDE] = side
            cursor[RUN_LENGTH] += 1
            cursor[TIME] = now
            cursor[NEXT] = seq + 1
            rush = 1.0 if cursor[RUN_LENGTH] > 1 else 0.0
            signed = -notional if side else notional
            for w in range(windows):
                own = CURSOR + PER_WINDOW * w
                before, expired_us = cursor[own + TAIL], now - windows_us[w]
                tail = max(before, seq - max_trades + 1)
                while tail < seq and times[start + (tail & mask)] <= expired_us:
                    tail += 1
                cursor[own + TAIL] = tail
                if tail >= cursor[own + BORDER]:
                    # The newest of the trades that are left is the reference: it leaves last.
                    last = start + ((seq - 1) & mask)
                    references[w, 0] = min(trades[last, PRICE] if tail < seq else price, _LARGEST_PRICE)
                    references[w, 1] = trades[last, RETURN] if tail < seq else log_return
                    cursor[own + BORDER] = seq
                    back[w, :] = 0.0
                    end = seq
                else:
                    # The front's new oldest block is opened; or the old one still is.
                    is_open = tail >> _SHIFT == before >> _SHIFT
                    end = tail if is_open else min(((tail >> _SHIFT) + 1) << _SHIFT, cursor[own + BORDER])
                if tail < end:
                    border = cursor[own + BORDER]
                    _sum_back(w, tail, end, border, start, mask, trades, joined, opened)
                    if has_moments:
                        price_0, return_0 = references[w, 0], references[w, 1]
                        _sum_moments_back(
                            w, tail, end, border, start, mask, trades, joined, opened, price_0, return_0
                        )
                high, low = cursor[own + _HIGH], cursor[own + _LOW]
                while high < cursor[_HIGH_END] and highs[start + (high & mask)] < tail:
                    high += 1
                while low < cursor[_LOW_END] and lows[start + (low & mask)] < tail:
                    low += 1
                cursor[own + _HIGH], cursor[own + _LOW] = high, low
            at = start + (seq & mask)
            times[at] = now
            trades[at, PRICE] = price
            trades[at, NOTIONAL] = notional
            trades[at, SIGNED] = signed
            trades[at, QUANTITY] = quantities[i]
            trades[at, RETURN] = log_return
            trades[at, RUSH] = rush
            # Of equal prices the latest counts. What is before the longest window's place has left the queue.
            high, least = cursor[_HIGH_END], cursor[CURSOR + PER_WINDOW * longest + _HIGH]
            while (
                high > least and trades[start + (highs[start + ((high - 1) & mask)] & mask), PRICE] <= price
            ):
                high -= 1
            highs[start + (high & mask)] = seq
            cursor[_HIGH_END] = high + 1
            low, least = cursor[_LOW_END], cursor[CURSOR + PER_WINDOW * longest + _LOW]
            while low > least and trades[start + (lows[start + ((low - 1) & mask)] & mask), PRICE] >= price:
                low -= 1
            lows[start + (low & mask)] = seq
            cursor[_LOW_END] = low + 1
            values[0] = log_return
            values[1] = notional
            values[2] = np.log(max(notional, _LEAST_NOTIONAL))
            values[3] = signed
            values[4] = gap_s
            values[5] = cursor[RUN_LENGTH]
            values[6] = now * 1e-6
            values[7] = quantities[i]
            for w in range(windows):
                own = CURSOR + PER_WINDOW * w
                tail, border = cursor[own + TAIL], cursor[own + BORDER]
                cursor[own + _HIGH] = min(cursor[own + _HIGH], high)
                cursor[own + _LOW] = min(cursor[own + _LOW], low)
                back[w, _SUM_NOTIONAL] += notional
                back[w, _SUM_SIGNED] += signed
                back[w, _SUM_QUANTITY] += quantities[i]
                back[w, _SUM_SQUARES] += log_return * log_return
                back[w, _SUM_RUSH] += rush
                total, flow = back[w, _SUM_NOTIONAL], back[w, _SUM_SIGNED]
                size, squares, rushes = back[w, _SUM_QUANTITY], back[w, _SUM_SQUARES], back[w, _SUM_RUSH]
                oldest = start + (tail & mask)
                head = tail & _WITHIN
                if tail < border:
                    total += opened[w, head, _SUM_NOTIONAL]
                    flow += opened[w, head, _SUM_SIGNED]
                    size += opened[w, head, _SUM_QUANTITY]
                    squares += opened[w, head, _SUM_SQUARES]
                    rushes += opened[w, head, _SUM_RUSH]
                k = _FIRST + w * _PER
                values[k] = seq - tail + 1
                values[k + 1] = total
                values[k + 10] = size
                values[k + 11] = flow
                values[k + 16] = rushes
                if asked[w] & _IMBALANCE:
                    values[k + 2] = min(1.0, max(-1.0, flow / total)) if total > 0.0 else 0.0
                if asked[w] & _MOVE:
                    values[k + 3] = _change(price, trades[oldest, PRICE])
                if asked[w] & _EXTREMES:
                    highest = start + (highs[start + (cursor[own + _HIGH] & mask)] & mask)
                    lowest = start + (lows[start + (cursor[own + _LOW] & mask)] & mask)
                    values[k + 4] = _change(price, trades[highest, PRICE])
                    values[k + 5] = (now - times[highest]) * 1e-6
                    values[k + 6] = _change(price, trades[lowest, PRICE])
                    values[k + 7] = (now - times[lowest]) * 1e-6
                    values[k + 14] = trades[highest, PRICE]
                    values[k + 15] = trades[lowest, PRICE]
                if asked[w] & _VOLATILITY:
                    values[k + 8] = np.sqrt(squares)
                if asked[w] & _REST:
                    vwap = total / size if size > 0.0 else price
                    values[k + 9] = values[k] / (windows_us[w] * 1e-6)
                    values[k + 12] = vwap
                    values[k + 13] = _change(price, vwap) if vwap > 0.0 else 0.0
                if has_moments:
                    old, new = max(border - tail, 0), seq - border + 1
                    _add_moments(back, references, w, new, price, log_return)
                    mean, deviation = _merged(
                        old,
                        new,
                        opened[w, head, _PRICE_MEAN] if old else 0.0,
                        opened[w, head, _PRICE_M2] if old else 0.0,
                        back[w, _PRICE_MEAN],
                        back[w, _PRICE_M2],
                    )
                    values[k + 17], values[k + 18] = references[w, 0] + mean, deviation
                    values[k + 19] = _merged(
                        old,
                        new,
                        opened[w, head, _RETURN_MEAN] if old else 0.0,
                        opened[w, head, _RETURN_M2] if old else 0.0,
                        back[w, _RETURN_MEAN],
                        back[w, _RETURN_M2],
                    )[1]
            for k in range(wanted.shape[0]):
                rows[i, k] = values[wanted[k]]
            clock_us[i] = now
    return int(slots.shape[0])


@njit(cache=True)
def move(slot: int, start: int, size: int, windows_us: IntVector, pool: Pool, markets: Markets) -> None:
    """Move a market to another span of the pool."""
    cursor = markets.cursors[slot]
    old, old_mask, mask = markets.starts[slot], markets.sizes[slot] - 1, size - 1
    own = CURSOR + PER_WINDOW * np.argmax(windows_us)
    for seq in range(min(cursor[own + TAIL], max(cursor[NEXT] - 1, 0)), cursor[NEXT]):
        here, there = start + (seq & mask), old + (seq & old_mask)
        pool.times[here] = pool.times[there]
        pool.trades[here] = pool.trades[there]
        if seq & _WITHIN == 0:
            pool.joined[here >> _SHIFT] = pool.joined[there >> _SHIFT]
    for at in range(cursor[own + _HIGH], cursor[_HIGH_END]):
        pool.highs[start + (at & mask)] = pool.highs[old + (at & old_mask)]
    for at in range(cursor[own + _LOW], cursor[_LOW_END]):
        pool.lows[start + (at & mask)] = pool.lows[old + (at & old_mask)]
    markets.starts[slot], markets.sizes[slot] = start, size


@njit(cache=True)
def rebuild(slot: int, first: int, pool: Pool, markets: Markets) -> None:
    """Compute anew what follows from a market's trades: fronts, and queues of highs and lows.

    Args:
        slot: of the market; its trades, tails, borders and references are in place.
        first: sequence number of its oldest trade.
        pool: changed.
        markets: changed.
    """
    cursor, references = markets.cursors[slot], markets.references[slot]
    start, mask = markets.starts[slot], markets.sizes[slot] - 1
    windows = references.shape[0]
    cursor[_HIGH_END] = cursor[_LOW_END] = 0
    for seq in range(first, cursor[NEXT]):
        price = pool.trades[start + (seq & mask), PRICE]
        high, low = cursor[_HIGH_END], cursor[_LOW_END]
        while high > 0 and pool.trades[start + (pool.highs[start + high - 1] & mask), PRICE] <= price:
            high -= 1
        while low > 0 and pool.trades[start + (pool.lows[start + low - 1] & mask), PRICE] >= price:
            low -= 1
        pool.highs[start + high] = seq
        pool.lows[start + low] = seq
        cursor[_HIGH_END], cursor[_LOW_END] = high + 1, low + 1
    for w in range(windows):
        own = CURSOR + PER_WINDOW * w
        tail, border = cursor[own + TAIL], cursor[own + BORDER]
        opened = markets.opened[slot]
        _sum_back(w, tail, border, border, start, mask, pool.trades, pool.joined, opened)
        if opened.shape[2] > SUMS:
            price_0, return_0 = references[w, 0], references[w, 1]
            _sum_moments_back(
                w, tail, border, border, start, mask, pool.trades, pool.joined, opened, price_0, return_0
            )
        high = low = 0
        while high < cursor[_HIGH_END] and pool.highs[start + high] < tail:
            high += 1
        while low < cursor[_LOW_END] and pool.lows[start + low] < tail:
            low += 1
        cursor[own + _HIGH], cursor[own + _LOW] = high, low
