"""Tests for wash trading over the last trades of every market, and the evidence that lasts.

A market's last trades lie in a ring; each `step` trades the whole window is measured anew, in one pass over
it, so nothing is ever subtracted and no error grows. Eight numbers come out, each the larger the more it
speaks for washing; a table of what ordinary markets show turns each into a probability.
"""

from math import lgamma
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatCube, FloatMatrix, FloatVector, IntMatrix, IntVector
from detector.kernels.vectors import borrowed

# Columns of the input.
TIME, LOG_RETURN, SIGNED, QUANTITY, RUN, GAP = range(6)
INPUTS: Final = 6
# What a ring keeps of a trade: size in base units, negative when the taker sold; logarithm of the price, from
# the market's first trade; event time in seconds; and how long after the order before, in bins: 0 where that
# says nothing, or `SAME_ORDER`. In one place, as that is where a trade's cost lies when markets are many.
SIZE, PRICE, AT_S, GAP_BIN = range(4)
KEPT: Final = 4
# What is measured of a window.
ROUND_TRIPS, REPEATS, BENFORD, ROUNDING, TIMING, ALTERNATION, BALANCE, STILLNESS = range(8)
TESTS: Final = 8
# What is remembered of a market: then, per test, the evidence that lasts, and value and probability in the
# last window.
SEEN, LEVEL, SCORE, JUDGED, JUDGED_S, SPAN_S, CALM_N, CALM_MEAN, CALM_VARIANCE = range(9)
EVIDENCE: Final = 9
VALUE: Final = EVIDENCE + TESTS
PROBABILITY: Final = VALUE + TESTS
# As many as fill whole lines of the cache: every trade touches the first one only.
MEMORY: Final = 40
# What is noted of a market: values, probabilities, and the time that the window spans.
NOTES: Final = 2 * TESTS + 1

# Sizes are looked up in a table of twice as many places as a window has trades, at least.
_PLACES: Final = 2_048
LARGEST_WINDOW: Final = _PLACES // 2
_MAGNITUDE: Final = 0x7FFF_FFFF_FFFF_FFFF
_SPREAD: Final = 0x1E37_79B9_7F4A_7C15
# Times between orders are told apart by 1/32 of an octave, that is by 1.6 to 3.1 %, from 0.1 s on: what is
# faster is how a venue works. The bins are read off a number's bits, as a logarithm would cost more than all
# else.
_SHORTEST_GAP_S: Final = 0.1
_FINENESS: Final = 47
_FIRST_BIN: Final = (np.float64(_SHORTEST_GAP_S).view(np.int64) >> _FINENESS).item()
GAP_BINS: Final = 1_024
SAME_ORDER: Final = -1
_LEAST_GAPS: Final = 100
# Pairs of one size that do not count: such coincidences happen, the more the fewer digits a size has.
_LEAST_PAIRS: Final = 4
# Windows that say what is usual on a market, and how many are remembered, about.
_CALM_LEAST: Final = 12
_CALM_MOST: Final = 400.0
_LEAST_VARIANCE: Final = 0.01
# Says nothing: the least stillness there is, and what is unknown.
_LIVELIEST: Final = -10.0
# Beyond any market, and small enough that no sum or square of them becomes infinite.
_LARGEST_RETURN: Final = 50.0
LEAST_SIZE: Final = 1e-150
LARGEST_SIZE: Final = 1e150
_TINY: Final = 1e-12

_POWERS: Final = 10.0 ** np.arange(-160, 161)
_UNIT: Final = 160
_LOG_2: Final = float(np.log10(2.0))
_A_HAIR_MORE: Final = 1.0 + 1e-12
_UNDER_TEN: Final = 10.0 - 1e-9
_BENFORD: Final = np.log10(1.0 + 1.0 / np.arange(1, 10))


class Reference(NamedTuple):
    """What ordinary markets show, and how tests are put together.

    Attributes:
        values: (tests, points), what a share of ordinary windows reaches; rising, but that the first may be
            equal: nothing speaks there.
        logs: (points), minus the natural logarithm of that share.
        slopes: (tests), of the logarithm beyond the last value.
        largest: beyond which no probability is believed: minus its logarithm.
        weights: (tests).
        shape: of the gamma distribution that the weighted sum of logarithms follows.
        scale: of it.
    """

    values: FloatMatrix
    logs: FloatVector
    slopes: FloatVector
    largest: float
    weights: FloatVector
    shape: float
    scale: float


class Scratch(NamedTuple):
    """A table of the sizes of one window, used anew for every window.

    Attributes:
        places: hashed: the window that uses the place, and the number of the size that is there.
        keys: by number, bits of the size.
        sizes: the same memory.
        orders: by number, how many orders bought it, how many sold it, and which one came last.
        windows: 1, how many windows there have been.
    """

    places: IntVector
    keys: IntVector
    sizes: FloatVector
    orders: IntMatrix
    windows: IntVector


def scratch() -> Scratch:
    """Return a table for windows of any length."""
    sizes = np.zeros(LARGEST_WINDOW, np.float64)
    return Scratch(
        np.zeros(_PLACES, np.int64),
        sizes.view(np.int64),
        sizes,
        np.zeros((LARGEST_WINDOW, 3), np.int64),
        np.zeros(1, np.int64),
    )


@njit(cache=True)
def gap_bin(gap_s: float, bits: int) -> int:
    """Return the bin of a time between orders, also given as bits; 0 where it says nothing."""
    if not gap_s >= _SHORTEST_GAP_S:
        return 0
    return int(min((bits >> _FINENESS) - _FIRST_BIN + 1, GAP_BINS - 1))


@njit(cache=True)
def log_survival(shape: float, x: float) -> float:
    """Return the natural logarithm of the regularised upper incomplete gamma function.

    By the series below the mean, by the continued fraction (Lentz) above it.
    """
    if x <= 0.0:
        return 0.0
    prefix = -x + shape * np.log(x) - lgamma(shape)
    if x < shape + 1.0:
        term = total = 1.0 / shape
        for k in range(1, 1_000):
            term *= x / (shape + k)
            total += term
            if term < total * 1e-16:
                break
        return float(np.log(max(-np.expm1(min(prefix + np.log(total), 0.0)), 1e-300)))
    b = x + 1.0 - shape
    c, d = 1e300, 1.0 / b
    fraction = d
    for k in range(1, 1_000):
        a = -k * (k - shape)
        b += 2.0
        d = 1.0 / (a * d + b)
        c = b + a / c
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return float(prefix + np.log(fraction))


@njit(cache=True)
def _count_sizes(ring: FloatMatrix, bits: IntMatrix, first: int, table: Scratch) -> tuple[int, int, float]:
    """Fill the table; return how many sizes, how many orders and sizes, and how much volume there are."""
    n = ring.shape[0]
    places, keys, _, orders, windows = table
    windows[0] += 1
    stamp = windows[0] * LARGEST_WINDOW
    distinct = order = entries = 0
    volume = 0.0
    for k in range(n):
        at = (first + k) & (n - 1)
        key = bits[at, SIZE] & _MAGNITUDE
        order += ring[at, GAP_BIN] != SAME_ORDER
        volume += abs(ring[at, SIZE])
        place = (key * _SPREAD >> 40) & (_PLACES - 1)
        number = places[place] - stamp
        while number >= 0 and keys[number] != key:
            place = (place + 1) & (_PLACES - 1)
            number = places[place] - stamp
        if number < 0:
            number = distinct
            places[place] = stamp + number
            keys[number] = key
            orders[number, 0] = orders[number, 1] = 0
            orders[number, 2] = -1
            distinct += 1
        # A sweep through many equal orders is one event.
        if orders[number, 2] != order:
            orders[number, 2] = order
            orders[number, 1 if bits[at, SIZE] < 0 else 0] += 1
            entries += 1
    return distinct, entries, volume


@njit(cache=True)
def _leading(size: float, bits: int) -> float:
    """Return a size over the power of ten that makes it 1 to 10; a hair under a power is that power."""
    # The exponent of two is in the bits; it says that of ten, or one less.
    exponent = int(np.floor(((bits >> 52) - 1_023) * _LOG_2))
    lead = size * _POWERS[_UNIT - exponent] * _A_HAIR_MORE
    return float(min(max(lead * 0.1 if lead >= 10.0 else lead, 1.0), _UNDER_TEN))


@njit(cache=True)
def _measure_sizes(ring: FloatMatrix, first: int, table: Scratch, found: FloatVector) -> None:
    """Write what the sizes of a window tell: round trips, repeats, first digits, rounding."""
    distinct, entries, volume = _count_sizes(ring, ring.view(np.int64), first, table)
    tripped = twins = rounded = 0.0
    digits = np.zeros(10, np.int64)
    for k in range(distinct):
        size, buys, sells = table.sizes[k], table.orders[k, 0], table.orders[k, 1]
        pairs = min(buys, sells)
        lead = _leading(size, table.keys[k])
        digits[int(lead)] += 1
        if abs(lead * 10.0 - np.rint(lead * 10.0)) < 1e-6:
            # Many people trade 100, and some buy while others sell.
            rounded += buys + sells
        elif pairs >= _LEAST_PAIRS:
            tripped += 2.0 * pairs * size
            twins += 2.0 * pairs
        elif pairs > 0 and abs(lead * 100.0 - np.rint(lead * 100.0)) > 1e-5:
            tripped += 2.0 * pairs * size
    squares = 0.0
    for digit in range(1, 10):
        expected = distinct * _BENFORD[digit - 1]
        squares += (digits[digit] - expected) ** 2 / expected
    found[ROUND_TRIPS] = tripped / volume
    found[REPEATS] = twins / entries
    found[BENFORD] = squares / 8.0
    found[ROUNDING] = -rounded / entries


@njit(cache=True)
def _measure_order(ring: FloatMatrix, first: int, found: FloatVector) -> float:
    """Write what the succession of orders tells: timing, alternation; return the net flow in deviations."""
    n = ring.shape[0]
    bins = np.zeros(GAP_BINS, np.int64)
    timed = orders = changes = 0
    net = squares = of_order = 0.0
    was_sold = False
    for k in range(n):
        at = (first + k) & (n - 1)
        size, gap = ring[at, SIZE], int(ring[at, GAP_BIN])
        if k == 0 or gap != SAME_ORDER:
            changes += k > 0 and (size < 0.0) != was_sold
            if k > 0 and gap > 0:
                bins[gap] += 1
                timed += 1
            squares += of_order * of_order
            orders += 1
            of_order = 0.0
            was_sold = size < 0.0
        of_order += size
        net += size
    squares += of_order * of_order
    same = 0
    for k in range(GAP_BINS):
        same += bins[k] * (bins[k] - 1)
    found[TIMING] = same / (timed * (timed - 1)) if timed >= _LEAST_GAPS else 0.0
    found[ALTERNATION] = changes / max(orders - 1, 1)
    return float(net / np.sqrt(max(squares, 1e-300)))


@njit(cache=True)
def _measure_price(ring: FloatMatrix, first: int, flow: float, found: FloatVector) -> None:
    """Write what flow and price tell together, and the logarithm of the range as the stillness to compare."""
    n = ring.shape[0]
    before = high = low = ring[first, PRICE]
    squares = 0.0
    for k in range(1, n):
        price = ring[(first + k) & (n - 1), PRICE]
        squares += (price - before) ** 2
        high, low, before = max(high, price), min(low, price), price
    move = before - ring[first, PRICE]
    moved = move / np.sqrt(squares) if squares > _TINY * _TINY else 0.0
    found[BALANCE] = -np.sqrt(min(flow * flow + moved * moved, 1e12))
    found[STILLNESS] = np.log(max(high - low, _TINY))


@njit(cache=True)
def measure(ring: FloatMatrix, first: int, table: Scratch, found: FloatVector) -> None:
    """Measure a full window.

    Args:
        ring: trades, a power of two, x `KEPT`.
        first: place of the oldest.
        table: to look sizes up in.
        found: `TESTS`, written; the timing is 0 where too few orders can be timed, and the stillness is the
            logarithm of the price range, to be compared with the market's own.
    """
    _measure_sizes(ring, first, table, found)
    flow = _measure_order(ring, first, found)
    _measure_price(ring, first, flow, found)


@njit(cache=True)
def _against_own_past(memory: FloatVector, log_range: float) -> float:
    """Return by how many deviations the range is below the market's own; then learn it."""
    n = memory[CALM_N]
    delta = log_range - memory[CALM_MEAN]
    stillness = _LIVELIEST
    if n >= _CALM_LEAST:
        stillness = max(-delta / np.sqrt(max(memory[CALM_VARIANCE], _LEAST_VARIANCE)), _LIVELIEST)
    memory[CALM_N] = n + 1.0
    gain = 1.0 / min(n + 1.0, _CALM_MOST)
    memory[CALM_MEAN] += gain * delta
    memory[CALM_VARIANCE] = (1.0 - gain) * (memory[CALM_VARIANCE] + gain * delta * delta)
    return float(stillness)


@njit(cache=True)
def surprise(reference: Reference, test: int, value: float) -> float:
    """Return minus the logarithm of the share of ordinary windows that reach a value."""
    values, logs = reference.values[test], reference.logs
    if not value > values[0]:
        return 0.0
    last = values.shape[0] - 1
    if value >= values[last]:
        beyond = logs[last] + reference.slopes[test] * (value - values[last])
        return float(min(beyond, reference.largest))
    k = 0
    while value >= values[k + 1]:
        k += 1
    return float(logs[k] + (logs[k + 1] - logs[k]) * (value - values[k]) / (values[k + 1] - values[k]))


@njit(cache=True)
def _weigh(
    ring: FloatMatrix,
    first: int,
    memory: FloatVector,
    reference: Reference,
    lasting_s: float,
    table: Scratch,
) -> None:
    """Measure the window of a market, and bring its evidence up to date."""
    now_s = ring[first - 1, AT_S]
    values = memory[VALUE : VALUE + TESTS]
    measure(ring, first, table, values)
    values[STILLNESS] = _against_own_past(memory, values[STILLNESS])
    memory[SPAN_S] = max(now_s - ring[first, AT_S], 0.0)
    elapsed_s = max(now_s - memory[JUDGED_S], 0.0) if memory[JUDGED] > 0.0 else memory[SPAN_S]
    gain = -np.expm1(-elapsed_s / lasting_s)
    total = 0.0
    for k in range(TESTS):
        log = surprise(reference, k, values[k])
        memory[PROBABILITY + k] = np.exp(-log)
        memory[EVIDENCE + k] += gain * (log - memory[EVIDENCE + k])
        total += reference.weights[k] * memory[EVIDENCE + k]
    memory[JUDGED], memory[JUDGED_S] = 1.0, now_s
    memory[SCORE] = -log_survival(reference.shape, total / reference.scale) / np.log(10.0)


@njit(cache=True)
def _explain(
    memory: FloatVector, reference: Reference, i: int, shares: FloatMatrix, notes: FloatMatrix
) -> None:
    total = 0.0
    for k in range(TESTS):
        total += reference.weights[k] * memory[EVIDENCE + k]
    for k in range(TESTS):
        value = memory[VALUE + k]
        # What speaks for washing by being small is kept negative.
        notes[i, k] = -value if k in {ROUNDING, BALANCE} else value
        notes[i, TESTS + k] = memory[PROBABILITY + k]
        if total > 0.0:
            shares[i, k] = reference.weights[k] * memory[EVIDENCE + k] / total
    notes[i, NOTES - 1] = memory[SPAN_S]


@njit(cache=True)
def judge(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    columns: IntVector,
    reference: Reference,
    step: int,
    lasting_s: float,
    threshold: float,
    explain_all: bool,  # noqa: FBT001 - numba passes by position
    rings: FloatCube,
    memories: FloatMatrix,
    table: Scratch,
    scores: FloatVector,
    shares: FloatMatrix,
    eligible: BoolVector,
    notes: FloatMatrix,
) -> None:
    """Judge rows, market by market; a row's score is that of the last window that was full with it or before.

    Args:
        slots: m markets.
        starts: m + 1, their rows.
        rows: n rows of features.
        columns: `INPUTS`, which of their columns are the input.
        reference: what ordinary markets show.
        step: trades from one judgement to the next, a power of two.
        lasting_s: event time over which evidence is averaged.
        threshold: on the score.
        explain_all: whether contributions are wanted for every row.
        rings: by slot, the last trades, x `KEPT`; changed.
        memories: by slot, `MEMORY` numbers; changed.
        table: to look sizes up in.
        scores: n, written; NaN until the first window is full.
        shares: n x `TESTS`, zeros; written where something is to be explained.
        eligible: n, written.
        notes: n x `NOTES`; written where something is to be explained.
    """
    rows, rings, memories = borrowed(rows), borrowed(rings), borrowed(memories)
    shares, notes = borrowed(shares), borrowed(notes)
    bits, window = rows.view(np.int64), rings.shape[1]
    time, log_return, signed, quantity, run_length, gap = columns
    for run in range(slots.shape[0]):
        slot = slots[run]
        # Views of the market's state cost more than the trades: they are made where a window is measured.
        seen, level = int(memories[slot, SEEN]), memories[slot, LEVEL]
        score = memories[slot, SCORE] if memories[slot, JUDGED] > 0.0 else np.nan
        for i in range(starts[run], starts[run + 1]):
            at = seen & (window - 1)
            level += min(max(rows[i, log_return], -_LARGEST_RETURN), _LARGEST_RETURN)
            size = min(max(rows[i, quantity], LEAST_SIZE), LARGEST_SIZE)
            rings[slot, at, SIZE] = -size if rows[i, signed] < 0.0 else size
            rings[slot, at, PRICE] = level
            rings[slot, at, AT_S] = rows[i, time]
            rings[slot, at, GAP_BIN] = (
                SAME_ORDER if rows[i, run_length] > 1.0 else gap_bin(rows[i, gap], bits[i, gap])
            )
            seen += 1
            if seen >= window and seen & (step - 1) == 0:
                _weigh(rings[slot], seen & (window - 1), memories[slot], reference, lasting_s, table)
                score = memories[slot, SCORE]
            scores[i] = score
            eligible[i] = score >= threshold
            if eligible[i] or (explain_all and not np.isnan(score)):
                _explain(memories[slot], reference, i, shares, notes)
        memories[slot, SEEN], memories[slot, LEVEL] = seen, level
