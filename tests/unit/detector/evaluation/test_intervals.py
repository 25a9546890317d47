"""Intervals against tables."""

import math

import pytest

from detector.evaluation.intervals import count_interval, quantile_interval, share_interval


def test_the_interval_of_a_share() -> None:
    assert share_interval(58, 60) == pytest.approx((0.8864, 0.9908), abs=1e-4)
    assert math.isnan(share_interval(0, 0)[0])


@pytest.mark.parametrize(
    # Half the 2.5 and 97.5 % points of chi-square with 2 k and 2 k + 2 degrees of freedom.
    ("count", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.3636, 121.6270)],
)
def test_the_interval_of_a_count(count: int, low: float, high: float) -> None:
    assert count_interval(count) == pytest.approx((low, high), abs=1e-3)


def test_large_counts_are_like_a_normal() -> None:
    low, high = count_interval(100_000)
    assert low == pytest.approx(100_000 - 1.96 * math.sqrt(100_000), rel=1e-4)
    assert high == pytest.approx(100_000 + 1.96 * math.sqrt(100_000), rel=1e-4)


def test_the_interval_of_a_quantile() -> None:
    low, high = quantile_interval([float(n) for n in range(101)], 0.5)
    assert 35.0 < low < 45.0
    assert 55.0 < high < 65.0
    assert quantile_interval([7.0] * 5, 0.9) == (7.0, 7.0)
    assert math.isnan(quantile_interval([1.0] * 4, 0.5)[0])
