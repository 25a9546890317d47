from shared.stream.overload import Overload, OverloadPolicy

POLICY = OverloadPolicy(
    shed_above_lag_s=10.0, calm_share=0.25, raise_after_s=5.0, lower_after_s=30.0, measure_every_s=1.0
)


def loaded(policy: OverloadPolicy = POLICY, *, levels: int = 2) -> Overload:
    """Return one whose step judges 1,000 records a second."""
    overload = Overload(policy, levels=levels)
    overload.processed(records=1_000, busy_s=1.0)
    return overload


def measure(overload: Overload, lag_records: int, now_s: float) -> int:
    overload.processed(records=1_000, busy_s=1.0)
    overload.measured(lag_records, now_s=now_s)
    return overload.level


def test_the_lag_is_the_time_that_judging_what_waits_takes() -> None:
    overload = loaded()
    overload.measured(5_000, now_s=0.0)
    assert overload.lag_s == 5.0


def test_a_lag_without_any_judging_leaves_the_estimate() -> None:
    overload = loaded()
    overload.measured(5_000, now_s=0.0)
    overload.measured(9_000, now_s=1.0)
    assert overload.lag_s == 5.0
    overload.measured(0, now_s=2.0)
    assert overload.lag_s == 0.0


def test_levels_are_added_one_by_one_while_the_lag_stays() -> None:
    overload = Overload(POLICY, levels=2)
    levels = [measure(overload, 20_000, float(second)) for second in range(12)]
    assert levels == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]


def test_a_level_is_taken_away_after_calm_and_not_in_between() -> None:
    overload = Overload(POLICY, levels=1)
    assert measure(overload, 20_000, 0.0) == 1
    # Between a quarter of the limit and the limit: neither up nor down.
    assert [measure(overload, 5_000, float(second)) for second in (10, 100)] == [1, 1]
    assert [measure(overload, 1_000, float(second)) for second in (200, 229, 230)] == [1, 1, 0]


def test_calm_that_is_interrupted_counts_from_anew() -> None:
    overload = Overload(POLICY, levels=1)
    measure(overload, 20_000, 0.0)
    measure(overload, 1_000, 10.0)
    measure(overload, 5_000, 30.0)
    assert measure(overload, 1_000, 45.0) == 1
    assert measure(overload, 1_000, 75.0) == 0


def test_nothing_is_shed_without_a_limit() -> None:
    overload = Overload(OverloadPolicy(), levels=2)
    assert [measure(overload, 10**9, float(second)) for second in range(100)] == [0] * 100


def test_measuring_is_due_once_a_second() -> None:
    overload = loaded()
    assert overload.is_due(0.0)
    overload.measured(0, now_s=0.0)
    assert not overload.is_due(0.9)
    assert overload.is_due(1.0)
