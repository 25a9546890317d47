"""Budget: trades per day from event time, and thresholds from both."""

import numpy as np
import pytest

from detector.arrays import IntVector
from detector.budget import KNOWN_AFTER_US, LARGEST_THRESHOLD, Budget, Daily
from detector.runs import Runs

DAY_US = 86_400_000_000


def steady(per_day: int, days: float) -> IntVector:
    return 10**15 + (np.arange(int(per_day * days)) * (DAY_US / per_day)).astype(np.int64)


def counted(budget: Budget, times_us: IntVector) -> Daily:
    return budget.count(Runs.single(0, len(times_us)), times_us, np.full(len(times_us), 50.0))


def opened() -> Budget:
    budget = Budget(per_day=5.0)
    budget.open(0, identity="")
    return budget


@pytest.mark.parametrize("days", [0.02, 0.5, 3.0])
def test_a_steady_market_is_counted_right(days: float) -> None:
    thresholds, per_day, _ = counted(opened(), steady(100_000, days))
    assert per_day[-1] == pytest.approx(100_000, rel=0.01)
    assert thresholds[-1] == pytest.approx(2.5e-5, rel=0.01)


def test_a_thin_market_keeps_a_threshold_that_means_something() -> None:
    thresholds, *_ = counted(opened(), steady(100, 3.0))
    assert (thresholds[-50:] == LARGEST_THRESHOLD).all()


def test_the_first_minute_counts_as_one() -> None:
    _, per_day, _ = counted(opened(), np.full(10, 10**15))
    assert per_day[-1] == pytest.approx(10 * 1_440, rel=1e-3)


def test_a_rate_of_yesterday_fades() -> None:
    budget = opened()
    counted(budget, steady(1_000_000, 0.2))
    later = steady(10_000, 4.0) + int(0.2 * DAY_US)
    assert counted(budget, later)[1][-1] == pytest.approx(10_000, rel=0.5)


def test_a_clock_set_back_leaves_the_count() -> None:
    budget = opened()
    times = steady(100_000, 0.5)
    expected = counted(budget, times)[1][-1]
    assert counted(budget, times[:1] - 10 * DAY_US)[1][0] == pytest.approx(expected, rel=1e-3)


def test_the_usual_notional_is_known_after_a_while() -> None:
    times_us = steady(100_000, 0.5)
    notional = counted(opened(), times_us).notional
    is_known = times_us - times_us[0] >= KNOWN_AFTER_US
    assert np.array_equal(np.isfinite(notional), is_known)
    assert notional[-1] == pytest.approx(50.0 * 100_000, rel=0.01)


def test_markets_are_counted_apart_and_a_slot_anew() -> None:
    budget = Budget(per_day=5.0)
    for slot in (0, 40):
        budget.open(slot, identity="")
    busy, thin = steady(100_000, 0.5), steady(1_000, 0.5)
    runs = Runs(np.array([40, 0]), np.array([0, len(busy), len(busy) + len(thin)]))
    times_us = np.concatenate([busy, thin])
    both = budget.count(runs, times_us, np.full(len(times_us), 50.0)).trades
    assert np.array_equal(both, np.concatenate([counted(opened(), busy)[1], counted(opened(), thin)[1]]))
    budget.close(0)
    budget.open(0, identity="")
    assert np.array_equal(counted(budget, thin)[1], counted(opened(), thin)[1])
