"""The budget of REST weight: our share, the venue's limit, and orders to wait."""

from random import Random

import pytest

from producer.weights import WeightBudget


def test_our_share_holds_within_any_minute() -> None:
    budget = WeightBudget(per_minute=100, venue_per_minute=6_000)
    random = Random(3)  # noqa: S311 - a test's choice
    now_s, spent = 0.0, []
    for _ in range(1_000):
        now_s += random.uniform(0, 5)
        weight = random.choice((20, 25))
        if budget.take(weight, now_s) == 0:
            spent.append((now_s, weight))
    for end_s, _ in spent:
        assert sum(weight for at_s, weight in spent if end_s - 60 < at_s <= end_s) <= 100
    assert sum(weight for _, weight in spent) > 100 * now_s / 60 * 0.6


def test_waiting_as_told_is_enough() -> None:
    budget = WeightBudget(per_minute=50, venue_per_minute=6_000)
    assert budget.take(25, 0) == 0
    assert budget.take(25, 10) == 0
    wait_s = budget.take(25, 20)
    assert wait_s == 40
    assert budget.take(25, 20 + wait_s) == 0


def test_a_share_can_be_kept_free_for_others() -> None:
    budget = WeightBudget(per_minute=100, venue_per_minute=6_000)
    assert budget.take(50, 0, keep_free=50) == 0
    assert budget.take(25, 0, keep_free=50) == 60
    assert budget.take(25, 0) == 0


def test_an_order_to_wait_blocks_all_and_the_longest_counts() -> None:
    budget = WeightBudget(per_minute=100, venue_per_minute=6_000)
    budget.block(30, 0)
    budget.block(5, 1)
    assert budget.take(1, 10) == 20
    assert budget.take(1, 30) == 0


def test_the_venues_own_count_is_heeded() -> None:
    budget = WeightBudget(per_minute=6_000, venue_per_minute=6_000)
    budget.observe_used(5_000, 0)
    assert budget.take(25, 0) == 0
    budget.observe_used(5_800, 0)
    assert budget.take(25, 0) > 0


def test_what_can_never_be_had_is_an_error() -> None:
    with pytest.raises(ValueError, match="exceeds the budget"):
        WeightBudget(per_minute=20, venue_per_minute=6_000).take(25, 0)


def test_a_venue_that_counts_by_the_second_is_asked_at_its_pace() -> None:
    budget = WeightBudget(per_minute=60, venue_per_minute=60, spacing_s=1.0)
    assert budget.take(1, 10) == 0
    assert budget.take(1, 10.25) == 0.75
    assert budget.take(1, 11) == 0
    budget.block(30, 11)
    assert budget.take(1, 12) == 29
