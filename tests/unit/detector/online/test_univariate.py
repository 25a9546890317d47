"""The detector of one series: what it finds, when it repeats itself, restarts, splits, odd values."""

import numpy as np
import pytest

from detector.arrays import FloatVector, IntVector
from detector.online.univariate import VIEWS, Univariate, UnivariateParams

SMALL = UnivariateParams(history_rows=500, warm_up_rows=50)
FIVE_MINUTES_US = 300_000_000


def daily(rows: int = 3_000, *, seed: int = 1) -> tuple[IntVector, FloatVector]:
    times_us = np.arange(rows, dtype=np.int64) * FIVE_MINUTES_US
    rng = np.random.default_rng(seed)
    return times_us, 10 + 3 * np.sin(np.arange(rows) / 288 * 2 * np.pi) + rng.normal(0, 0.2, rows)


def scores_of(values: FloatVector, params: UnivariateParams = UnivariateParams()) -> FloatVector:  # noqa: B008 - frozen
    times_us = np.arange(len(values), dtype=np.int64) * FIVE_MINUTES_US
    return Univariate(params).score_learn(times_us, values).scores


def strongest(values: FloatVector) -> int:
    return int(scores_of(values)[600:].argmax()) + 600


def test_a_quiet_rhythm_gives_hardly_an_alarm() -> None:
    assert np.count_nonzero(scores_of(daily()[1])[600:]) <= 3


def test_a_spike_is_found() -> None:
    values = daily()[1]
    values[2_000] += 9
    assert 2_000 <= strongest(values) < 2_004


def test_a_level_shift_is_found_once() -> None:
    values = daily()[1]
    values[2_000:] += 6
    scores = scores_of(values)
    assert 2_000 <= strongest(values) < 2_010
    assert 1 <= np.count_nonzero(scores[2_000:2_200]) <= 4, "not for each of 200 rows"


def test_a_day_without_its_rise_is_found() -> None:
    values = daily()[1]
    # At the time of the day's high the value is one that every morning has.
    values[2_016:2_160] = 10 + np.random.default_rng(2).normal(0, 0.2, 144)
    assert 2_016 <= strongest(values) < 2_200


def test_a_flat_line_is_found() -> None:
    values = 10 + 3 * np.sin(np.arange(3_000) / 24 * 2 * np.pi)
    values += np.random.default_rng(3).normal(0, 0.1, 3_000)
    values[2_000:2_100] = 10.0
    assert 2_000 <= strongest(values) < 2_110


def test_spikes_at_the_usual_pace_are_usual_and_more_of_them_are_not() -> None:
    values = np.random.default_rng(4).normal(0, 0.1, 3_000)
    values[::100] += 5
    values[2_010:2_090:10] += 5
    assert 2_005 <= strongest(values) < 2_100
    assert np.count_nonzero(scores_of(values)[600:2_000]) <= 3


def test_the_future_changes_nothing() -> None:
    times_us, values = daily()
    other = values.copy()
    other[2_000:] = 1e9
    one = Univariate(SMALL).score_learn(times_us, values)
    two = Univariate(SMALL).score_learn(times_us, other)
    assert np.array_equal(one.strangeness[:2_000], two.strangeness[:2_000])


@pytest.mark.parametrize("factor", [1e-6, 2.0, 1e9])
def test_the_unit_does_not_matter(factor: float) -> None:
    values = daily()[1]
    values[2_000] += 9
    one, other = scores_of(values), scores_of(values * factor)
    assert np.array_equal(one[600:] > 0, other[600:] > 0)


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_any_split_and_a_restart_are_bit_identical(step: int) -> None:
    times_us, values = daily(1_500)
    values[1_000] = 50.0
    expected = Univariate(SMALL).score_learn(times_us, values)
    detector, parts = Univariate(SMALL), []
    for at in range(0, len(values), step):
        parts.append(detector.score_learn(times_us[at : at + step], values[at : at + step]))
        if at % 3 == 0 and step > 1:
            state = detector.state()
            detector = Univariate(SMALL)
            detector.load_state(state)
    for k, whole in enumerate(expected):
        assert np.array_equal(np.concatenate([part[k] for part in parts]), whole)


def test_a_state_is_a_copy_and_a_damaged_one_is_refused() -> None:
    times_us, values = daily(600)
    detector = Univariate(SMALL)
    detector.score_learn(times_us, values)
    state = detector.state()
    before = {key: np.array(value) for key, value in state.items()}
    detector.score_learn(times_us, values)
    assert all(np.array_equal(before[key], np.asarray(state[key])) for key in before)
    for key in state:
        with pytest.raises(ValueError, match=key):
            Univariate(SMALL).load_state({**state, key: np.zeros(3)})
    with pytest.raises(ValueError, match="recent"):
        Univariate(UnivariateParams()).load_state(state)
    with pytest.raises(ValueError, match="counters"):
        Univariate(SMALL).load_state({**state, "counters": -np.ones_like(before["counters"])})


def test_what_is_not_finite_is_passed_over() -> None:
    times_us, values = daily(1_500)
    clean = Univariate(SMALL).score_learn(times_us, values)
    holes = np.arange(100, 1_500, 100)
    dirty = np.insert(values, holes, np.resize([np.nan, np.inf, -np.inf], len(holes)))
    scored = Univariate(SMALL).score_learn(np.insert(times_us, holes, times_us[holes]), dirty)
    is_hole = ~np.isfinite(dirty)
    assert (scored.strangeness[is_hole] == 0).all()
    assert np.array_equal(scored.strangeness[~is_hole], clean.strangeness)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e300, 1e-300])
def test_a_constant_series_is_never_strange_and_what_ends_it_is(value: float) -> None:
    values = np.full(1_500, value)
    assert not scores_of(values).any()
    values[1_400] = value + 1.0 if abs(value) < 1e200 else 0.0
    scores = scores_of(values)
    assert scores[1_400] > 10
    assert np.isfinite(scores).all()


def test_an_alarm_is_repeated_only_when_it_worsens() -> None:
    times_us, values = daily()
    values[2_000:2_050] += np.linspace(2, 4, 50)
    scored = Univariate(UnivariateParams(worsens_by=1_000.0)).score_learn(times_us, values)
    assert np.count_nonzero(scored.strangeness[2_000:2_050] >= 3.7) > 10
    assert np.count_nonzero(scored.scores[2_000:2_150]) == 1
    repeated = Univariate(UnivariateParams(worsens_by=0.5)).score_learn(times_us, values)
    told = repeated.scores[2_000:2_100]
    assert np.count_nonzero(told) > 1
    assert (np.diff(told[told > 0]) > 0).all()


def test_views_say_what_is_strange() -> None:
    times_us, values = daily()
    values[2_000:2_200] += 6
    views = Univariate(UnivariateParams()).score_learn(times_us, values).views
    assert views.shape == (3_000, len(VIEWS))
    assert views[2_010].argmax() in {VIEWS.index("season"), VIEWS.index("level"), VIEWS.index("drift")}


@pytest.mark.parametrize(
    "params",
    [
        {"history_rows": 10},
        {"warm_up_rows": 1},
        {"quiet_rows": 0},
        {"alarm_from": 0.0},
        {"worsens_by": -1.0},
    ],
)
def test_params_are_checked(params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        UnivariateParams(**params)  # type: ignore[arg-type]


def test_times_and_values_belong_together() -> None:
    with pytest.raises(ValueError, match="3 times for 2 values"):
        Univariate(SMALL).score_learn(np.arange(3, dtype=np.int64), np.zeros(2))
