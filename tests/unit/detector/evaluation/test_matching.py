"""Which alarms are right: each rule of the matching by an example that fails without it."""

import math

import pytest

from detector.evaluation.events import Alarm, Label, Span, Truth, Watch
from detector.evaluation.matching import Outcome, Tally, match
from detector.evaluation.rules import Rule

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 12 * DAY
RULE = Rule(early_s=60, late_s=300, after_s=3_600, warm_up_s=86_400)
WATCH = Watch("binance", "FUEL-BTC", (Span(0, 13 * DAY),))


def truth(
    start_us: int = START,
    end_us: int | None = None,
    *,
    symbol: str = "FUEL-BTC",
    exchange: str = "",
    label: Label = Label.EVENT,
) -> Truth:
    return Truth("pump", symbol, start_us, end_us, exchange, label)


def alarm(time_us: int, *, symbol: str = "FUEL-BTC", exchange: str = "binance", until_us: int = 0) -> Alarm:
    return Alarm("pump", exchange, symbol, time_us, until_us)


def matched(truths: list[Truth], times_us: list[int], *, rule: Rule = RULE) -> Outcome:
    return match(truths, [alarm(at_us) for at_us in times_us], [WATCH], rule)


@pytest.mark.parametrize(
    ("alarm_us", "found", "false_alarms", "not_counted"),
    [
        (START - 60 * SECOND, 1, 0, 0),
        (START - 60 * SECOND - 1, 0, 1, 0),
        (START + 300 * SECOND, 1, 0, 0),
        (START + 300 * SECOND + 1, 0, 0, 1),
        (START + 3_600 * SECOND - 1, 0, 0, 1),
        (START + 3_600 * SECOND, 0, 1, 0),
        (DAY, 0, 1, 0),
        (DAY - 1, 0, 0, 1),
    ],
)
def test_where_an_alarm_counts(alarm_us: int, found: int, false_alarms: int, not_counted: int) -> None:
    outcome = matched([truth()], [alarm_us])
    counts = (len(outcome.hits), len(outcome.false_alarms), len(outcome.not_counted))
    assert counts == (found, false_alarms, not_counted)
    assert len(outcome.missed) == 1 - found


def test_an_event_is_found_once_and_an_alarm_finds_one_event() -> None:
    outcome = matched([truth()], [START + 5 * SECOND, START + 9 * SECOND])
    assert [found.time_us for _, found in outcome.hits] == [START + 5 * SECOND]
    assert [repeated.time_us for repeated in outcome.repeats] == [START + 9 * SECOND]
    assert outcome.false_alarms == []
    twins = matched([truth(), truth(START + SECOND)], [START + 5 * SECOND])
    assert (len(twins.hits), len(twins.missed)) == (1, 1)


def test_as_many_events_are_found_as_can_be() -> None:
    # Each in its own order of time: the first alarm fits both, the second only the later event.
    events = [truth(), truth(START + 200 * SECOND)]
    outcome = matched(events, [START + 250 * SECOND, START + 450 * SECOND])
    assert [(event.start_us, found.time_us) for event, found in outcome.hits] == [
        (START, START + 250 * SECOND),
        (START + 200 * SECOND, START + 450 * SECOND),
    ]


def test_market_venue_and_kind_of_rule() -> None:
    elsewhere = alarm(START, symbol="NAV-BTC")
    outcome = match([truth()], [elsewhere], [WATCH, Watch("binance", "NAV-BTC", WATCH.spans)], RULE)
    assert (len(outcome.missed), outcome.false_alarms) == (1, [elsewhere])
    other_venue = alarm(START, exchange="kraken")
    both = [WATCH, Watch("kraken", "FUEL-BTC", WATCH.spans)]
    assert len(match([truth()], [other_venue], both, RULE).hits) == 1
    named = match([truth(exchange="binance")], [other_venue], both, RULE)
    assert (len(named.missed), named.false_alarms) == (1, [other_venue])


def test_to_the_labelled_end() -> None:
    long = truth(end_us=START + 1_000 * SECOND)
    late = [START + 900 * SECOND]
    assert matched([long], late).hits == []
    assert len(matched([long], late, rule=Rule(to_end=True, warm_up_s=0)).hits) == 1


def test_what_is_not_recorded_or_warming_up_is_left_out() -> None:
    outcome = matched([truth(), truth(14 * DAY), truth(DAY - 1), truth(symbol="NAV-BTC")], [START])
    assert sorted(reason for _, reason in outcome.left_out) == ["not recorded", "not recorded", "warming up"]
    assert (len(outcome.hits), len(outcome.missed)) == (1, 0)


def test_the_usual_warm_up_and_each_new_beginning() -> None:
    rule = Rule()
    assert rule.warm_up_us(Span(0, 13 * DAY)) == DAY
    assert rule.warm_up_us(Span(0, 100 * SECOND)) == 15 * SECOND
    again = Watch("binance", "FUEL-BTC", (Span(0, 10 * DAY), Span(20 * DAY, 30 * DAY)))
    outcome = match(
        [], [alarm(5 * DAY), alarm(15 * DAY), alarm(20 * DAY + 1), alarm(29 * DAY)], [again], rule
    )
    assert [found.time_us // DAY for found in outcome.false_alarms] == [5, 29]
    assert outcome.watched_us == 18 * DAY


def test_watched_time_is_when_an_alarm_would_be_false() -> None:
    unlabelled = truth(3 * DAY, end_us=4 * DAY, label=Label.UNLABELLED)
    outcome = matched([truth(), unlabelled], [round(3.5 * DAY)])
    assert outcome.watched_us == 12 * DAY - DAY - 3_660 * SECOND
    assert (outcome.false_alarms, len(outcome.not_counted)) == ([], 1)


def test_negatives_are_called_by_false_alarms() -> None:
    calm = truth(5 * DAY, end_us=6 * DAY, label=Label.NEGATIVE)
    called = truth(7 * DAY, label=Label.NEGATIVE)
    outcome = matched([calm, called], [7 * DAY + SECOND, 8 * DAY])
    assert outcome.negatives == [(calm, False), (called, True)]
    assert len(outcome.false_alarms) == 2
    assert matched([calm], [round(5.9 * DAY)]).negatives == [(calm, True)]


def test_an_event_in_a_running_episode_is_missed_and_said_so() -> None:
    early = alarm(START - 100 * SECOND, until_us=START + 5 * SECOND)
    outcome = match([truth()], [early], [WATCH], RULE)
    assert outcome.missed == outcome.told_before == [truth()]
    assert matched([truth()], [START - 100 * SECOND]).told_before == []


def test_figures_by_hand() -> None:
    first = Tally(events=2, delays_s=(10.0,), false_alarms=1, watched_days=11.0)
    whole = Tally.of_all([first, Tally(events=1, delays_s=(30.0,), watched_days=22.0)])
    assert (whole.events, whole.found, whole.delays_s) == (3, 2, (10.0, 30.0))
    assert whole.recall == pytest.approx(2 / 3)
    assert whole.precision == pytest.approx(2 / 3)
    assert whole.f1 == pytest.approx(2 / 3)
    assert Tally(events=4, delays_s=(1.0,), false_alarms=3).f1 == pytest.approx(2 * 0.25 * 0.25 / 0.5)
    assert whole.false_per_30_days == pytest.approx(30 / 33)
    assert [whole.delay_s(q) for q in (0.0, 0.5, 1.0)] == [10.0, 20.0, 30.0]


def test_nothing_is_no_number() -> None:
    tally = match([], [], [], RULE).tally
    assert all(math.isnan(x) for x in (tally.recall, tally.precision, tally.f1, tally.false_per_30_days))
    assert math.isnan(tally.delay_s(0.5))
