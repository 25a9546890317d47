"""Budget: trades per day from event time, and thresholds from both."""

import numpy as np
import pytest

from detector.budget import LARGEST_THRESHOLD, Budget

DAY_US = 86_400_000_000


def steady(per_day: int, days: float) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return 10**15 + (np.arange(int(per_day * days)) * (DAY_US / per_day)).astype(np.int64)


@pytest.mark.parametrize("days", [0.02, 0.5, 3.0])
def test_a_steady_market_is_counted_right(days: float) -> None:
    thresholds, per_day = Budget(per_day=5.0).thresholds(steady(100_000, days))
    assert per_day[-1] == pytest.approx(100_000, rel=0.01)
    assert thresholds[-1] == pytest.approx(5e-5, rel=0.01)


def test_a_thin_market_keeps_a_threshold_that_means_something() -> None:
    thresholds, _ = Budget(per_day=5.0).thresholds(steady(100, 3.0))
    assert (thresholds[-50:] == LARGEST_THRESHOLD).all()


def test_the_first_minute_counts_as_one() -> None:
    _, per_day = Budget(per_day=5.0).thresholds(np.full(10, 10**15))
    assert per_day[-1] == pytest.approx(10 * 1_440, rel=1e-3)


def test_a_rate_of_yesterday_fades() -> None:
    budget = Budget(per_day=5.0)
    budget.thresholds(steady(1_000_000, 0.2))
    later = steady(10_000, 4.0) + int(0.2 * DAY_US)
    assert budget.thresholds(later)[1][-1] == pytest.approx(10_000, rel=0.5)


def test_a_clock_set_back_leaves_the_count() -> None:
    budget = Budget(per_day=5.0)
    times = steady(100_000, 0.5)
    expected = budget.thresholds(times)[1][-1]
    assert budget.thresholds(times[:1] - 10 * DAY_US)[1][0] == pytest.approx(expected, rel=1e-3)
