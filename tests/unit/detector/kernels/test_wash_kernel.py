"""The tests for wash trading against plain Python, and the mathematics that puts them together."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.kernels import wash
from detector.patterns.wash_trading import WashTradingParams, ordinary_markets

WINDOW = 256


def tape(seed: int) -> FloatMatrix:
    """Return a full window: repeats, bursts, round sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([47.58, 43.5, 100.0, 0.3, 1.234], WINDOW)
    free = rng.random(WINDOW) < 0.5
    sizes[free] = rng.lognormal(0.0, 2.0, int(free.sum())).round(3) + 0.001
    sizes[rng.random(WINDOW) < 0.4] *= -1.0
    gaps = np.array([gap_bin(gap) for gap in rng.lognormal(1.0, 1.0, WINDOW)], np.float64)
    gaps[rng.random(WINDOW) < 0.2] = wash.SAME_ORDER
    for at in range(1, WINDOW):
        if gaps[at] == wash.SAME_ORDER:
            sizes[at] = math.copysign(sizes[at], sizes[at - 1])
    return np.column_stack([sizes, np.cumsum(rng.normal(0.0, 1e-3, WINDOW)), np.arange(WINDOW), gaps])


def gap_bin(gap_s: float) -> int:
    return wash.gap_bin(gap_s, int(np.float64(gap_s).view(np.int64)))


def significant(size: float) -> str:
    return f"{size:.12g}".replace(".", "").strip("0")


def plainly(ring: FloatMatrix) -> list[float]:
    """Return what `measure` is to find."""
    sizes, levels, _, gaps = ring.T
    orders: list[list[float]] = []
    for size, gap in zip(sizes.tolist(), gaps.tolist(), strict=True):
        if not orders or gap != wash.SAME_ORDER:
            orders.append([])
        orders[-1].append(size)
    entries = Counter(size for order in orders for size in dict.fromkeys(order))
    distinct = {abs(size) for size in entries}
    pairs = {size: min(entries[size], entries[-size]) for size in distinct}
    odd = {size for size in distinct if len(significant(size)) > 2}
    counted = {s for s in odd if pairs[s] >= (4 if len(significant(s)) == 3 else 1)}
    total = sum(entries.values())
    digits = Counter(int(significant(size)[0]) for size in distinct)
    expected = {d: len(distinct) * math.log10(1 + 1 / d) for d in range(1, 10)}
    timed = Counter(int(gap) for gap in gaps[1:] if gap > 0)
    timed_count = sum(timed.values())
    sides = [order[0] < 0 for order in orders]
    flow = sum(map(sum, orders)) / math.sqrt(sum(sum(order) ** 2 for order in orders))
    steps = np.diff(levels)
    moved = (levels[-1] - levels[0]) / math.sqrt(steps @ steps)
    return [
        sum(2 * pairs[size] * size for size in counted) / np.abs(sizes).sum(),
        sum(2 * pairs[size] for size in odd if pairs[size] >= 4) / total,
        sum((digits[d] - expected[d]) ** 2 / expected[d] for d in range(1, 10)) / 8,
        -sum(entries[s] + entries[-s] for s in distinct - odd) / total,
        sum(n * (n - 1) for n in timed.values()) / (timed_count * (timed_count - 1)),
        sum(one != other for one, other in pairwise(sides)) / (len(sides) - 1),
        -math.hypot(flow, moved),
        math.log(np.ptp(levels)),
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("first", [0, 1, 255])
def test_a_window_is_measured_as_plain_python_does(seed: int, first: int) -> None:
    ring = tape(seed)
    found = np.zeros(wash.TESTS)
    table = wash.scratch()
    for _ in range(2):
        wash.measure(np.roll(ring, first, axis=0), first, table, found)
        assert found.tolist() == pytest.approx(plainly(ring), rel=1e-9)


@pytest.mark.parametrize("size", [1e-150, 1e-8, 0.001, 0.1 + 0.2, 9.995, 9.9999999999, 1e4, 3e149, 1e150])
def test_first_digits_of_any_size_are_found(size: float) -> None:
    ring = np.zeros((64, wash.KEPT))
    ring[:, wash.SIZE] = size
    found = np.zeros(wash.TESTS)
    wash.measure(ring, 0, wash.scratch(), found)
    digit = int(f"{size:.11e}"[0])
    expected = math.log10(1 + 1 / digit)
    rest = sum(math.log10(1 + 1 / d) for d in range(1, 10) if d != digit)
    assert found[wash.BENFORD] == pytest.approx(((1 - expected) ** 2 / expected + rest) / 8, rel=1e-9)


def test_times_between_orders_are_told_apart_finely() -> None:
    assert gap_bin(0.0) == gap_bin(0.099) == gap_bin(float("nan")) == 0
    assert gap_bin(60.1) == gap_bin(60.9) < gap_bin(61.1)
    assert [gap_bin(0.1 * 2**octave) for octave in range(20)] == [1 + 32 * octave for octave in range(20)]
    assert gap_bin(1e300) == wash.GAP_BINS - 1


@pytest.mark.parametrize("shape", [1, 2, 7, 30])
@pytest.mark.parametrize("x", [0.01, 0.5, 2.0, 7.9, 8.1, 31.0, 90.0])
def test_the_tail_of_a_gamma_distribution_is_that_of_erlang(shape: int, x: float) -> None:
    exact = math.log(math.fsum(math.exp(-x + k * math.log(x) - math.lgamma(k + 1)) for k in range(shape)))
    assert wash.log_survival(float(shape), x) == pytest.approx(exact, rel=1e-10, abs=1e-14)


def test_the_tail_of_a_gamma_distribution_ends_well() -> None:
    assert wash.log_survival(5.5, 0.0) == 0.0
    assert wash.log_survival(5.5, 1e4) == pytest.approx(-1e4, rel=0.01)
    # Between whole shapes: chi-squared with one degree of freedom.
    assert wash.log_survival(0.5, 2.0) == pytest.approx(math.log(math.erfc(math.sqrt(2.0))))


def test_a_surprise_is_what_the_table_says_and_rises_to_an_end() -> None:
    reference = ordinary_markets(WashTradingParams().weights)
    for test in range(wash.TESTS):
        values = reference.values[test]
        assert wash.surprise(reference, test, values[0]) == 0.0
        assert wash.surprise(reference, test, float("nan")) == 0.0
        for value, log in zip(values[2:], reference.logs[2:], strict=True):
            assert wash.surprise(reference, test, value) == pytest.approx(log)
        grid = np.linspace(values[0], values[-1] + 10.0 * np.ptp(values), 500)
        surprises = [wash.surprise(reference, test, value) for value in grid]
        assert all(one <= other for one, other in pairwise(surprises))
        assert wash.surprise(reference, test, 1e9) == reference.largest
