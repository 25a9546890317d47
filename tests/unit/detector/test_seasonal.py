"""The rhythm of day and week: off until known, taken away when known, and anomalies left as they are."""

import numpy as np
import pytest

from detector.arrays import FloatMatrix, FloatVector
from detector.features import FEATURES
from detector.online.zscore import ZScore, ZScoreParams
from detector.runs import Runs
from detector.seasonal import Seasonal

HOUR_S, DAY_S = 3_600.0, 86_400.0
MONDAY_S = 4 * DAY_S
STEP_S = 60.0


def clock(days: float) -> FloatVector:
    return MONDAY_S + np.arange(round(days * DAY_S / STEP_S)).astype(np.float64) * STEP_S


def rhythm(times_s: FloatVector, *, weekend: float = 0.0) -> FloatVector:
    is_weekend = (times_s - MONDAY_S) // DAY_S % 7 >= 5
    return 5.0 + 2.0 * np.sin(times_s / DAY_S * 2 * np.pi) - weekend * is_weekend


def made() -> Seasonal:
    seasonal = Seasonal(np.array([1], np.int64))
    seasonal.open(0, identity="")
    return seasonal


def points_of(values: FloatVector) -> FloatMatrix:
    return np.column_stack([values, values])


def adjusted(times_s: FloatVector, values: FloatVector) -> FloatVector:
    points = points_of(values)
    made().adjust(Runs.single(0, len(points)), times_s, points)
    assert np.array_equal(points[:, 0], values), "only the columns that have a rhythm"
    return points[:, 1]


def day(number: int, days: int = 1) -> slice:
    rows = round(DAY_S / STEP_S)
    return slice(number * rows, (number + days) * rows)


def test_nothing_is_changed_until_every_hour_was_seen_three_times() -> None:
    times_s = clock(3)
    values = rhythm(times_s)
    assert np.array_equal(adjusted(times_s, values), values)


def test_the_rhythm_of_the_day_is_gone_once_known() -> None:
    times_s = clock(7)
    left = adjusted(times_s, rhythm(times_s))
    assert np.ptp(rhythm(times_s)[day(5)]) == pytest.approx(4.0, abs=0.1)
    assert np.ptp(left[day(5)]) < 0.2
    assert left[day(5)].mean() == pytest.approx(5.0, abs=0.05), "the level stays"


def test_the_rhythm_of_the_week_is_gone_after_weeks() -> None:
    times_s = clock(63)
    left = adjusted(times_s, rhythm(times_s, weekend=1.5))
    change = left[day(61)].mean() - left[day(60)].mean()
    assert abs(left[day(61)].mean() - left[day(58)].mean()) < 0.5, "Saturday and Wednesday"
    assert abs(change) < 0.45, "of 1.5"
    assert np.ptp(left[day(58)]) < 0.4


def test_there_are_no_jumps() -> None:
    times_s = clock(10)
    values = rhythm(times_s)
    left = adjusted(times_s, values)
    steps = np.abs(np.diff(left - values))
    assert steps.max() < 0.1


def test_what_is_strange_for_the_hour_stays_strange() -> None:
    times_s = clock(7)
    values = rhythm(times_s)
    low = 5 * 1_440 + 18 * 60
    values[low : low + 20] += 3.0
    left = adjusted(times_s, values)
    assert left[low : low + 20].min() > left[low - 200 : low].max() + 2.5
    assert values[low : low + 20].max() < rhythm(times_s).max() + 1.1, "it would have passed at noon"


def test_an_old_rhythm_is_forgotten() -> None:
    times_s = clock(90)
    values = np.where(times_s < MONDAY_S + 20 * DAY_S, rhythm(times_s), rhythm(times_s + DAY_S / 2))
    assert np.ptp(adjusted(times_s, values)[day(88)]) < 1.0


def test_splits_slots_and_restarts_change_nothing() -> None:
    times_s = clock(9)
    values = rhythm(times_s) + np.random.default_rng(1).normal(0, 0.3, len(times_s))
    expected = adjusted(times_s, values)
    seasonal, slot, parts = made(), 0, []
    for at in range(0, len(values), 777):
        points, times = points_of(values[at : at + 777]), times_s[at : at + 777]
        seasonal.adjust(Runs.single(slot, len(points)), times, points)
        parts.append(points[:, 1])
        state, slot = seasonal.state(slot), at % 5
        seasonal = Seasonal(np.array([1], np.int64))
        seasonal.open(slot, identity="")
        seasonal.load_state(slot, state)
    assert np.array_equal(np.concatenate(parts), expected)
    for key in state:
        with pytest.raises(ValueError, match=key):
            made().load_state(0, {**state, key: np.zeros(1_000)})


def test_a_clock_set_back_is_survived() -> None:
    times_s = np.concatenate([clock(5), clock(5)])
    values = rhythm(times_s)
    left = adjusted(times_s, values)
    assert np.isfinite(left).all()
    assert np.ptp(left[-1_440:]) < 0.3


def rows_of(days: int) -> FloatMatrix:
    """Return a thin market: one trade a minute, whose volume has a rhythm."""
    rng = np.random.default_rng(2)
    times_s = clock(days)
    rows = np.zeros((len(times_s), len(FEATURES) + 1))
    loud = rhythm(times_s)
    for name, spread in (("notional_10s", 0.5), ("count_10s", 0.3), ("volatility_10s", 0.3)):
        rows[:, FEATURES.index(name)] = np.exp(loud + rng.normal(0, spread, len(times_s)))
    rows[:, FEATURES.index("return_10s")] = rng.normal(0, 1e-3, len(times_s))
    rows[:, FEATURES.index("imbalance_10s")] = rng.uniform(-1, 1, len(times_s))
    rows[:, FEATURES.index("inter_arrival_s")] = STEP_S
    rows[:, -1] = times_s
    return rows


def test_a_zscore_does_not_alarm_at_the_same_hour_every_day_and_still_sees_what_is_odd() -> None:
    rows = rows_of(12)
    odd = 11 * 1_440 + 18 * 60
    rows[odd, FEATURES.index("notional_10s")] *= 40
    scores = {}
    for seasonal in (False, True):
        stage = ZScore(
            ZScoreParams(window_trades=1_000, seasonal=seasonal), features=(*FEATURES, "event_time_s")
        )
        stage.open(0, identity="")
        scores[seasonal] = stage.score_learn(Runs.single(0, len(rows)), rows).scores
    quiet = slice(6 * 1_440, odd)
    by_hour = {
        key: value[quiet][: 5 * 1_440].reshape(5, 24, 60).mean(axis=(0, 2)) for key, value in scores.items()
    }
    assert np.ptp(by_hour[True]) < 0.3 * np.ptp(by_hour[False])
    assert scores[True][odd] > scores[True][quiet].max()
    assert scores[False][odd] < scores[False][quiet].max(), "hidden by the rhythm"


def test_the_rhythm_is_part_of_the_state_and_needs_a_clock() -> None:
    names = (*FEATURES, "event_time_s")
    rows = rows_of(5)
    one, two = (ZScore(ZScoreParams(window_trades=100, seasonal=True), features=names) for _ in range(2))
    one.open(0, identity="")
    two.open(3, identity="")
    one.score_learn(Runs.single(0, 6_000), rows[:6_000])
    two.load_state(3, one.state(0))
    rest = len(rows) - 6_000
    expected = one.score_learn(Runs.single(0, rest), rows[6_000:]).scores
    assert np.array_equal(two.score_learn(Runs.single(3, rest), rows[6_000:]).scores, expected)
    with pytest.raises(ValueError, match="not in tuple"):
        ZScore(ZScoreParams(seasonal=True), features=FEATURES)
