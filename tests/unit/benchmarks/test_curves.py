import math
from pathlib import Path

import pytest

from benchmarks.curve_picture import Panel, Point, draw
from benchmarks.curves import COURSES, Course, Curve, rate_row, reached_at, tally
from benchmarks.staged import Played
from detector.evaluation.events import Alarm, Span, Watch
from detector.evaluation.matching import Tally
from simulator.events.catalogue import SCENARIOS
from simulator.source import Injected

CRASH = Course("flash crash", "flash_crash", "flash_crash", (4.0, 8.0), "crash")
BURST = Course("manipulation", "layered_burst", "manipulation", (0.5,), "burst", True, True)
SECOND = 1_000_000
WHOLE = Span(0, 10_000 * SECOND)


def injected(market: str, start_s: int, *, event_id: str = "", end_s: int = 0) -> Injected:
    return Injected(
        kind="flash_crash",
        symbol=market.replace("-", ""),
        market=market,
        id=event_id,
        start_us=start_s * SECOND,
        end_us=(end_s or start_s + 100) * SECOND,
        parameters={},
    )


def point(strength: float, recall: float) -> Point:
    return Point(strength, recall, recall, recall)


def test_an_event_is_found_by_an_alarm_of_its_market_and_kind() -> None:
    truth = [injected(market, 1_000) for market in ("A-USDT", "B-USDT", "C-USDT")]
    alarms = [
        Alarm("flash_crash", "binance", "A-USDT", 1_030 * SECOND),
        Alarm("whale", "binance", "B-USDT", 1_030 * SECOND),
        Alarm("flash_crash", "binance", "C-USDT", 5_000 * SECOND),
    ]
    watches = [Watch("binance", event.market, (WHOLE,)) for event in truth]
    found = tally(Played(truth, alarms, [], watches), CRASH)
    assert (found.events, found.delays_s, found.false_alarms) == (3, (30.0,), 1)


def test_an_event_of_several_markets_is_one_and_is_told_of_all() -> None:
    truth = [injected(f"{name}-USDT", at_s, event_id="1") for name, at_s in (("A", 1_002), ("B", 1_000))]
    alarms = [
        Alarm("manipulation", "all", "ALL-MARKETS", 1_007 * SECOND),
        Alarm("manipulation", "binance", "A-USDT", 1_007 * SECOND),
    ]
    watches = [Watch("all", "ALL-MARKETS", (WHOLE,)), Watch("binance", "A-USDT", (WHOLE,))]
    found = tally(Played(truth, alarms, [], watches), BURST)
    assert (found.events, found.delays_s, found.false_alarms) == (1, (7.0,), 0)


def test_an_update_finds_an_event_only_where_updates_count() -> None:
    truth, watches = [injected("A-USDT", 1_000)], [Watch("binance", "A-USDT", (WHOLE,))]
    update = Alarm("flash_crash", "binance", "A-USDT", 1_030 * SECOND)
    played = Played(truth, [], [update], watches)
    assert tally(played, CRASH).found == 0
    assert tally(played, CRASH._replace(counts_updates=True)).delays_s == (30.0,)


def test_events_of_a_strength_add_up() -> None:
    curve = Curve(course=CRASH)
    curve.add(8.0, Tally(events=2, delays_s=(1.0,)))
    curve.add(4.0, Tally(events=3))
    curve.add(8.0, Tally(events=2, delays_s=(3.0, 5.0)))
    assert [(p.strength, p.recall) for p in curve.points] == [(4.0, 0.0), (8.0, 0.75)]
    assert curve.points[0].low == 0.0
    assert curve.points[1].low < 0.75 < curve.points[1].high < 1.0


def test_alarms_are_counted_per_market_and_day_and_on_the_market_with_most() -> None:
    places = [("binance", "A-USDT"), ("binance", "A-USDT"), ("coinbase", "A-USDT"), ("all", "ALL-MARKETS")]
    alarms = [Alarm("whale", *place, number * SECOND) for number, place in enumerate(places)]
    row = rate_row("whale", alarms, days=2.0, market_days=4.0)
    assert (row.values["alarms"], row.values["a day"], row.values["most on one"]) == (4, 1.0, 1.0)
    assert row.values["from"] < 1.0 < row.values["to"]


def test_where_a_curve_reaches_a_share_is_interpolated_by_ratio() -> None:
    points = [point(1.0, 0.0), point(4.0, 1.0), point(8.0, 1.0)]
    assert reached_at(points, 0.5) == pytest.approx(2.0)


def test_a_share_is_reached_only_where_it_is_kept() -> None:
    points = [point(1.0, 0.6), point(2.0, 0.4), point(4.0, 0.8)]
    assert reached_at(points, 0.5) == pytest.approx(2.0 * 2.0**0.25)


def test_a_share_may_be_reached_at_once_or_never() -> None:
    assert reached_at([point(1.0, 0.9)], 0.5) == 1.0
    assert math.isnan(reached_at([point(1.0, 0.4)], 0.5))


def test_every_course_plays_a_scenario_from_weak_to_strong() -> None:
    for course in COURSES:
        assert course.scenario in SCENARIOS
        assert list(course.strengths) == sorted(set(course.strengths))
        assert course.unit == SCENARIOS[course.scenario].unit


def test_all_six_patterns_have_a_curve() -> None:
    patterns = ["pump and dump", "flash crash", "whale", "wash trading", "manipulation", "arbitrage"]
    assert list(dict.fromkeys(course.pattern for course in COURSES)) == patterns
    # Spoofing and layering show in quotes alone.
    assert {course.scenario for course in COURSES} == set(SCENARIOS) - {"spoofing", "layering"}


def test_a_picture_names_patterns_and_units(tmp_path: Path) -> None:
    path = tmp_path / "curves.html"
    points = [Point(1.0, 0.0, 0.0, 0.3), Point(10.0, 1.0, 0.7, 1.0)]
    draw(path, [Panel("whale", "times", {"whale": points, "iceberg": points})])
    page = path.read_text(encoding="utf-8")
    assert "iceberg" in page
    assert '"text":"times"' in page
