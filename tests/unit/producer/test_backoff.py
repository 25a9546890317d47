"""Back-off grows, is bounded, and is forgotten only after healthy data; attempts are counted."""

from random import Random

import pytest

from producer.backoff import AttemptBudget, Backoff, BackoffParams


class Highest(Random):
    """Always draws the upper bound, so that the bound itself can be seen."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def test_the_bound_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(BackoffParams(base_s=1, max_s=10), Highest())
    assert [backoff.on_failure(0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(BackoffParams(max_s=60), Highest())
    assert [backoff.on_failure(0) for _ in range(2_000)][-1] == 60


def test_jitter_covers_the_whole_range() -> None:
    random = Random(1)  # noqa: S311 - jitter
    delays = [Backoff(BackoffParams(base_s=1), random).on_failure(0) for _ in range(1_000)]
    assert min(delays) < 0.05
    assert max(delays) > 0.95


def test_connecting_or_a_little_data_resets_nothing() -> None:
    backoff = Backoff(BackoffParams(base_s=1, max_s=100, healthy_after_s=60), Highest())
    now_s = 0.0
    delays = []
    for _ in range(4):
        backoff.on_data(now_s)
        backoff.on_data(now_s + 59)
        delays.append(backoff.on_failure(now_s + 59))
        now_s += 100
    assert delays == [1, 2, 4, 8]


@pytest.mark.parametrize("last_data_s", [1_000.0, 1_060.0])
def test_healthy_data_resets(last_data_s: float) -> None:
    backoff = Backoff(BackoffParams(base_s=1, max_s=100, healthy_after_s=60), Highest())
    backoff.on_failure(0)
    backoff.on_failure(0)
    backoff.on_data(1_000)
    backoff.on_data(last_data_s)
    assert backoff.on_failure(1_060) == 1


def test_attempts_are_limited_within_a_sliding_window() -> None:
    budget = AttemptBudget(limit=300, window_s=300)
    assert [budget.take(second) for second in range(300)] == [0.0] * 300
    assert budget.take(299.5) == 0.5
    assert budget.take(300) == 0
    assert budget.take(300) == 1


def test_no_window_ever_holds_more_than_the_limit() -> None:
    budget = AttemptBudget(limit=5, window_s=10)
    random = Random(2)  # noqa: S311 - a test's choice
    now_s, taken = 0.0, []
    for _ in range(500):
        now_s += random.uniform(0, 1)
        if budget.take(now_s) == 0:
            taken.append(now_s)
    assert len(taken) > 100
    assert all(later - first >= 10 for first, later in zip(taken, taken[5:], strict=False))
