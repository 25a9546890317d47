"""Matching alarms with labelled events."""

import math

import pytest

from detector.event_matching import MatchParams, Watch, match, share_interval

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 12 * DAY
WATCH = Watch("FUEL-BTC", 0, START)
OTHER = Watch("NAV-BTC", 0, START)


@pytest.mark.parametrize(
    ("alarm_us", "found", "false_alarms"),
    [
        (START - 60 * SECOND, 1, 0),
        (START - 60 * SECOND - 1, 0, 1),
        (START + 300 * SECOND, 1, 0),
        (START + 300 * SECOND + 1, 0, 0),
        (DAY, 0, 1),
        (DAY - 1, 0, 0),
    ],
)
def test_where_an_alarm_counts(alarm_us: int, found: int, false_alarms: int) -> None:
    result = match([(WATCH, [alarm_us])], MatchParams())
    assert (result.found, result.false_alarms) == (found, false_alarms)


def test_figures_by_hand() -> None:
    alarms = [2 * DAY, START + 10 * SECOND, START + 20 * SECOND]
    result = match([(WATCH, alarms), (OTHER, []), (WATCH, [START + 30 * SECOND])], MatchParams())
    assert (result.events, result.missed, result.delays_s) == (3, ("NAV-BTC",), (10.0, 30.0))
    assert result.recall == pytest.approx(2 / 3)
    assert result.precision == pytest.approx(2 / 3)
    assert result.watched_days == pytest.approx(33)
    assert result.false_per_30_days == pytest.approx(30 / 33)
    assert [result.delay_s(q) for q in (0.0, 0.5, 1.0)] == [10.0, 20.0, 30.0]


def test_nothing_is_no_number() -> None:
    result = match([], MatchParams())
    assert all(math.isnan(x) for x in (result.recall, result.precision, result.false_per_30_days))
    assert math.isnan(result.delay_s(0.5))


def test_the_interval_of_a_share() -> None:
    assert share_interval(58, 60) == pytest.approx((0.8864, 0.9908), abs=1e-4)
    assert math.isnan(share_interval(0, 0)[0])
