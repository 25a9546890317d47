"""The life cycle as people know it: each rule by itself, in event sequences small enough to read."""

import msgspec
import pytest

from alerter.lifecycle import Lifecycle, Outcome
from alerter.notification import Notification
from alerter.notification import NotificationEvent as Event
from alerter.rules.file import parse
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import (
    AlertAction,
    AlertCommand,
    AlertState,
    Anomaly,
    EpisodePhase,
    MarketContext,
    Severity,
)
from tests.unit.alerter.examples import anomaly

START_US = 1_700_000_000_000_000
CHANNELS = ("chat", "pager", "slack")
LOW, MEDIUM, HIGH, CRITICAL = Severity
OPENED, UPDATED, CLOSED = EpisodePhase


def at(seconds: float) -> int:
    return START_US + round(seconds * MICROSECONDS_PER_SECOND)


class Life:
    """A life cycle that is driven second by second, and everything that it said."""

    def __init__(self, rules: str = "") -> None:
        self.lifecycle = Lifecycle(Rules(parse(rules, name="test"), channels=CHANNELS))
        self.said: list[Notification] = []
        self.commands = 0

    def anomaly(self, event: Anomaly, seconds: float) -> Outcome:
        self.pass_time(seconds)
        return self._keep(self.lifecycle.on_anomaly(event, at(seconds)))

    def pass_time(self, seconds: float) -> None:
        while (due_us := self.lifecycle.due_us) is not None and due_us <= at(seconds):
            self._keep(self.lifecycle.on_time(due_us))

    def command(
        self, action: AlertAction, seconds: float, target: str = "", *, until_s: float = 0, **matchers: str
    ) -> Outcome:
        self.pass_time(seconds)
        self.commands += 1
        command = AlertCommand(
            command_id=f"c{self.commands}",
            action=action,
            target=target,
            matchers={label: [pattern] for label, pattern in matchers.items()},
            until_us=at(until_s) if until_s else 0,
            author="ann",
            time_us=at(seconds),
        )
        return self._keep(self.lifecycle.on_command(command, at(seconds)))

    def rung(self) -> list[tuple[float, Event, str]]:
        """Return when people were told, of what, and of which anomaly."""
        return [
            ((n.time_us - START_US) / MICROSECONDS_PER_SECOND, n.event, n.anomaly.anomaly_id)
            for n in self.said
            if n.rings
        ]

    def _keep(self, outcome: Outcome) -> Outcome:
        self.said += outcome.notifications
        return outcome


def on(symbol: str, name: str = "", *, kind: str = "whale", severity: Severity = HIGH) -> Anomaly:
    return anomaly(name or symbol, symbol=f"{symbol}-USDT", kind=kind, severity=severity)


def after(event: Anomaly, name: str, *, phase: EpisodePhase = UPDATED, severity: Severity = HIGH) -> Anomaly:
    return anomaly(
        name,
        symbol=event.symbol,
        kind=event.kind,
        severity=severity,
        phase=phase,
        episode_id=event.episode.episode_id,
    )


def test_an_opened_episode_is_told_on_every_channel_at_once() -> None:
    life = Life()
    (change,) = life.anomaly(on("BTC"), 0).alerts
    (told,) = life.said
    assert (told.event, told.rings, told.channels, told.sequence) == (Event.OPENED, True, CHANNELS, 1)
    assert (told.group, told.alerts_total, told.anomaly.anomaly_id) == ("BTC-USDT", 1, "BTC")
    assert (change.state, change.channels, change.alert_id) == (AlertState.FIRING, list(CHANNELS), "BTC")
    assert change.incident_id == told.incident_id


@pytest.mark.parametrize(("severity", "is_told"), [(LOW, False), (MEDIUM, True), (CRITICAL, True)])
def test_only_severities_from_the_least_on_are_told(severity: Severity, is_told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    life = Life()
    (change,) = life.anomaly(on("BTC", severity=severity), 0).alerts
    assert bool(life.said) is is_told
    assert change.detail == ("to be told" if is_told else "severity low is below medium")


def test_an_anomaly_that_comes_again_changes_nothing() -> None:
    life = Life()
    life.anomaly(on("BTC"), 0)
    outcome = life.anomaly(on("BTC"), 1)
    assert (outcome.notifications, outcome.alerts) == ([], [])


def test_what_has_the_same_labels_has_the_same_fingerprint() -> None:
    life = Life()
    changes = [
        life.anomaly(on("BTC", "a"), 0).alerts[0],
        life.anomaly(on("BTC", "b"), 1).alerts[0],
        life.anomaly(on("ETH", "c"), 2).alerts[0],
    ]
    assert changes[0].fingerprint == changes[1].fingerprint != changes[2].fingerprint
    assert changes[0].alert_id != changes[1].alert_id


def test_a_rise_in_severity_is_told_at_once_and_more_of_the_same_only_edits() -> None:
    life, first = Life(), on("BTC", severity=MEDIUM)
    life.anomaly(first, 0)
    life.anomaly(after(first, "same", severity=MEDIUM), 10)
    life.anomaly(after(first, "worse", severity=HIGH), 20)
    assert life.rung() == [(0, Event.OPENED, "BTC"), (20, Event.UPDATED, "worse")]
    assert [(n.event, n.rings, n.sequence) for n in life.said] == [
        (Event.OPENED, True, 1),
        (Event.UPDATED, False, 2),
        (Event.UPDATED, True, 3),
    ]
    assert len({n.incident_id for n in life.said}) == 1
    assert len({n.notification_id for n in life.said}) == 3


def test_a_message_is_changed_once_in_an_interval_at_most() -> None:
    life, first = Life("update_interval: 10s"), on("BTC")
    life.anomaly(first, 0)
    for second in range(1, 30):
        life.anomaly(after(first, f"u{second}"), second)
    life.pass_time(100)
    assert [(n.time_us - START_US) // 1_000_000 for n in life.said] == [0, 10, 20, 30]


def test_a_group_is_told_once_per_interval_and_then_of_all_that_came() -> None:
    life = Life("route: {group_interval: 1m}")
    life.anomaly(on("BTC", "a", kind="whale"), 0)
    (change,) = life.anomaly(on("BTC", "b", kind="pump_dump"), 10).alerts
    assert change.detail == "the group was told less than 1 min ago"
    life.anomaly(on("BTC", "c", kind="combined", severity=MEDIUM), 20)
    life.pass_time(61)
    assert [(s, e) for s, e, _ in life.rung()] == [(0, Event.OPENED), (60, Event.UPDATED)]
    assert {view.kind for view in life.said[-1].alerts} == {"whale", "pump_dump", "combined"}
    assert [c.anomaly.anomaly_id for c in life.said if c.rings] == ["a", "b"]


def test_alerts_of_one_kind_can_be_one_message() -> None:
    life = Life("route: {group_by: [kind], group_interval: 0s}")
    life.anomaly(on("BTC"), 0)
    life.anomaly(on("ETH"), 1)
    assert len({n.incident_id for n in life.said}) == 1
    assert life.said[-1].group == "whale"


def test_group_wait_gathers_and_what_ends_within_it_is_never_told() -> None:
    life = Life("route: {group_wait: 30s}")
    brief = on("BTC", "brief")
    life.anomaly(brief, 0)
    life.anomaly(after(brief, "over", phase=CLOSED), 10)
    life.anomaly(on("ETH", "a", kind="whale"), 20)
    life.anomaly(on("ETH", "b", kind="pump_dump"), 40)
    life.pass_time(100)
    assert [(s, e) for s, e, _ in life.rung()] == [(50, Event.OPENED)]
    assert life.said[0].alerts_total == 2


def test_the_same_thing_again_waits_for_the_cooldown_and_is_told_if_it_still_goes_on() -> None:
    life = Life("route: {cooldown: 5m, group_interval: 0s}")
    first = on("BTC", "a")
    life.anomaly(first, 0)
    life.anomaly(after(first, "a-over", phase=CLOSED), 30)
    (change,) = life.anomaly(on("BTC", "b"), 100).alerts
    assert change.detail == "cooldown 300 s: severity high was told 100 s ago"
    life.pass_time(299)
    assert len(life.rung()) == 1
    life.pass_time(301)
    assert life.rung()[1] == (300, Event.OPENED, "b")


def test_the_same_thing_worse_is_told_in_spite_of_the_cooldown() -> None:
    life = Life()
    life.anomaly(on("BTC", "a", severity=MEDIUM), 0)
    life.anomaly(on("BTC", "b", severity=CRITICAL), 10)
    assert [name for _, _, name in life.rung()] == ["a", "b"]


def test_what_goes_on_is_brought_to_mind_again() -> None:
    life = Life("route: {repeat_interval: 1h}")
    life.anomaly(on("BTC"), 0)
    life.pass_time(2.5 * 3_600)
    assert life.rung() == [
        (0, Event.OPENED, "BTC"),
        (3_600, Event.REMINDED, "BTC"),
        (7_200, Event.REMINDED, "BTC"),
    ]


def test_the_end_is_written_into_the_message_and_nobody_is_called() -> None:
    life, first = Life(), on("BTC")
    life.anomaly(first, 0)
    (change,) = life.anomaly(after(first, "over", phase=CLOSED), 60).alerts
    assert change.state is AlertState.RESOLVED
    assert [(n.event, n.rings, n.state) for n in life.said] == [
        (Event.OPENED, True, AlertState.FIRING),
        (Event.RESOLVED, False, AlertState.RESOLVED),
    ]


@pytest.mark.parametrize(("how", "rings"), [("ring", [True, True]), ("never", [True])])
def test_whether_the_end_is_told_is_a_matter_of_taste(how: str, rings: list[bool]) -> None:
    life, first = Life(f"resolved: {how}"), on("BTC")
    life.anomaly(first, 0)
    life.anomaly(after(first, "over", phase=CLOSED), 60)
    assert [n.rings for n in life.said] == rings


def test_an_end_that_is_worse_than_all_before_is_told() -> None:
    life, first = Life(), on("BTC", severity=LOW)
    life.anomaly(first, 0)
    life.anomaly(after(first, "over", phase=CLOSED, severity=CRITICAL), 60)
    assert life.rung() == [(60, Event.OPENED, "over")]


def test_what_is_heard_of_no_more_is_over_and_begins_again_when_it_is() -> None:
    life, first = Life("{resolve_after: 1h, route: {cooldown: 0s}}"), on("BTC")
    life.anomaly(first, 0)
    life.pass_time(3_601)
    assert life.said[-1].state is AlertState.RESOLVED
    life.anomaly(after(first, "again"), 3_700)
    assert life.rung()[-1] == (3_700, Event.OPENED, "again")


def test_what_comes_late_about_a_closed_episode_does_not_begin_it_anew() -> None:
    life, first = Life(), on("BTC")
    life.anomaly(first, 0)
    life.anomaly(after(first, "over", phase=CLOSED), 10)
    (change,) = life.anomaly(after(first, "context", phase=UPDATED), 11).alerts
    assert change.state is AlertState.RESOLVED
    assert len(life.rung()) == 1


ROUTES = """
route:
  channels: [chat]
  routes:
    - {match: {kind: whale}, channels: [slack], continue: true}
    - {match: {severity: ">=high", market: "BTC-*"}, channels: [pager]}
    - {match: {kind: wash_*}, channels: []}
"""


@pytest.mark.parametrize(
    ("symbol", "kind", "severity", "heard"),
    [
        ("BTC", "whale", HIGH, {"slack", "pager"}),
        ("BTC", "whale", MEDIUM, {"slack"}),
        ("ETH", "whale", HIGH, {"slack"}),
        ("BTC", "combined", CRITICAL, {"pager"}),
        ("ETH", "combined", HIGH, {"chat"}),
        ("ETH", "wash_trading", HIGH, set()),
    ],
)
def test_routes_lead_to_channels(symbol: str, kind: str, severity: Severity, heard: set[str]) -> None:
    life = Life(ROUTES)
    (*_, change) = life.anomaly(on(symbol, kind=kind, severity=severity), 0).alerts
    assert {channel for n in life.said for channel in n.channels} == heard
    if not heard:
        assert change.detail == "no route tells anybody of it"


def test_what_explains_something_else_makes_it_superfluous_while_it_goes_on() -> None:
    life = Life("inhibit: [{source: {kind: flash_crash}, target: {kind: combined}}]")
    crash = on("BTC", "crash", kind="flash_crash", severity=CRITICAL)
    life.anomaly(crash, 0)
    (change,) = life.anomaly(on("BTC", "strange", kind="combined", severity=CRITICAL), 5).alerts
    assert (change.state, change.detail) == (AlertState.SILENCED, "inhibited by flash_crash on BTC-USDT")
    life.anomaly(on("ETH", "other", kind="combined"), 6)
    assert [name for _, _, name in life.rung()] == ["crash", "other"]
    life.anomaly(after(crash, "over", phase=CLOSED, severity=CRITICAL), 100)
    assert life.rung()[-1] == (100, Event.UPDATED, "strange")


def test_silenced_means_silent_until_the_silence_is_over() -> None:
    life = Life()
    life.command(AlertAction.SILENCE, 0, until_s=600, market="BTC-*")
    (change,) = life.anomaly(on("BTC"), 10).alerts
    assert change.state is AlertState.SILENCED
    assert change.detail.startswith("silenced by ann until 2023-11-14 22:23:20 UTC")
    life.anomaly(on("ETH"), 11)
    life.pass_time(599)
    assert [name for _, _, name in life.rung()] == ["ETH"]
    life.pass_time(601)
    assert life.rung()[-1] == (600, Event.OPENED, "BTC")


def test_a_silence_can_be_taken_back() -> None:
    life = Life()
    life.command(AlertAction.SILENCE, 0, until_s=600, market="BTC-*")
    life.anomaly(on("BTC"), 10)
    life.command(AlertAction.UNSILENCE, 20, "c1")
    assert life.rung() == [(20, Event.OPENED, "BTC")]


def test_a_silence_about_nothing_or_with_an_unknown_label_is_none() -> None:
    life = Life()
    life.command(AlertAction.SILENCE, 0, until_s=600)
    life.command(AlertAction.SILENCE, 0, until_s=600, planet="mars")
    life.command(AlertAction.SILENCE, 0, until_s=600, severity="huge")
    life.anomaly(on("BTC"), 10)
    assert len(life.rung()) == 1
    assert life.lifecycle.silences == []


def test_at_mute_times_a_route_is_quiet_and_then_tells_what_still_goes_on() -> None:
    # The tests begin at 22:13:20 UTC.
    life = Life(
        "{mute_times: {night: [{from: '22:00', to: '22:30'}]},"
        " route: {routes: [{match: {kind: whale}, mute: [night]}]}}"
    )
    life.anomaly(on("BTC", "a"), 0)
    life.anomaly(on("BTC", "b", kind="flash_crash"), 1)
    life.pass_time(3_600)
    assert [(s, name) for s, _, name in life.rung() if s < 3_600] == [(1, "b"), (1_000, "a")]


ESCALATION = """
route: {escalation: urgent, channels: [chat]}
escalations:
  urgent:
    severity: critical
    levels: [{after: 5m, channels: [pager], mentions: ["@ann"]}, {after: 15m, channels: [pager, slack]}]
"""


def test_what_nobody_acknowledges_is_told_to_the_next() -> None:
    life = Life(ESCALATION)
    life.anomaly(on("BTC", severity=CRITICAL), 0)
    life.anomaly(on("ETH", severity=HIGH), 1)
    life.pass_time(2_000)
    levels = [(n.time_us, n.level, n.channels, n.mentions) for n in life.said if n.event is Event.ESCALATED]
    assert levels == [
        (at(300), 1, ("pager",), ("@ann",)),
        (at(900), 2, ("pager", "slack"), ()),
    ]
    assert life.said[-1].note == "not acknowledged for 15 min"


def test_whoever_acknowledges_ends_escalation_and_reminders_until_it_gets_worse() -> None:
    life, first = Life(ESCALATION.replace("critical", "high")), on("BTC", severity=HIGH)
    life.anomaly(first, 0)
    (change,) = life.command(AlertAction.ACKNOWLEDGE, 100, first.anomaly_id).alerts
    assert (change.state, change.author) == (AlertState.ACKNOWLEDGED, "ann")
    assert (life.said[-1].event, life.said[-1].rings, life.said[-1].author) == (
        Event.ACKNOWLEDGED,
        False,
        "ann",
    )
    life.pass_time(5 * 3_600)
    assert len(life.rung()) == 1
    life.anomaly(after(first, "worse", severity=CRITICAL), 5 * 3_600 + 1)
    assert life.rung()[-1] == (5 * 3_600 + 1, Event.UPDATED, "worse")


def test_snoozed_means_silent_for_that_time_and_then_people_hear_of_it_again() -> None:
    life, first = Life(ESCALATION), on("BTC", severity=CRITICAL)
    life.anomaly(first, 0)
    life.command(AlertAction.SNOOZE, 10, life.said[0].incident_id, until_s=910)
    life.anomaly(on("BTC", "more", kind="flash_crash", severity=CRITICAL), 20)
    life.pass_time(909)
    assert len(life.rung()) == 1
    assert life.said[-1].until_us in {0, at(910)}
    life.pass_time(910)
    assert life.rung()[1][0] == 910


def test_a_command_counts_once() -> None:
    life = Life()
    life.anomaly(on("BTC"), 0)
    command = AlertCommand(command_id="c", action=AlertAction.ACKNOWLEDGE, target="BTC", time_us=at(1))
    assert len(life.lifecycle.on_command(command, at(1)).notifications) == 1
    assert life.lifecycle.on_command(command, at(2)).notifications == []


def test_a_person_can_resolve_and_only_something_worse_begins_it_anew() -> None:
    life, first = Life(), on("BTC")
    life.anomaly(first, 0)
    (change,) = life.command(AlertAction.RESOLVE, 10, "BTC").alerts
    assert (change.state, change.detail) == (AlertState.RESOLVED, "resolved by ann")
    life.anomaly(after(first, "more"), 20)
    assert len(life.rung()) == 1
    life.anomaly(after(first, "worse", severity=CRITICAL), 30)
    assert life.rung()[-1] == (30, Event.OPENED, "worse")


FLOOD = """
flood: {markets: 3, within: 2m, quiet: 5m, escalation: flood}
escalations: {flood: {severity: high, levels: [{after: 30s, channels: [pager]}]}}
"""


def falling(number: int) -> Anomaly:
    event = on(f"M{number:02d}", kind="flash_crash", severity=HIGH)
    return msgspec.structs.replace(event, features={"return_60s": -0.041 - number / 1_000})


def test_many_markets_at_once_are_one_message() -> None:
    life = Life(FLOOD)
    for number in range(37):
        life.anomaly(falling(number), number)
    life.pass_time(50)
    rung = [n for n in life.said if n.rings]
    assert [n.event for n in rung] == [Event.OPENED, Event.OPENED, Event.OPENED, Event.ESCALATED]
    assert [n.digest is not None for n in rung] == [False, False, True, True]
    assert rung[-1].time_us == at(32)
    digest = life.said[-1].digest
    assert digest is not None
    assert digest.title == "37 markets fell more than 4 % within a minute"
    assert (digest.markets, len(digest.top)) == (37, 10)
    assert digest.top[0].symbol == "M36-USDT"


def test_after_a_flood_each_market_is_told_by_itself_again() -> None:
    life = Life(FLOOD)
    for number in range(4):
        life.anomaly(falling(number), number)
    for number in range(4):
        life.anomaly(after(falling(number), f"over{number}", phase=CLOSED), 100 + number)
    life.pass_time(600)
    assert [n.event for n in life.said if n.digest][-1] is Event.RESOLVED
    life.anomaly(on("BTC"), 700)
    assert life.rung()[-1] == (700, Event.OPENED, "BTC")


def test_a_move_of_the_whole_market_begins_a_digest_by_itself() -> None:
    life = Life("flood: {kinds: [market_move]}")
    life.anomaly(on("ALL", kind="market_move", severity=CRITICAL), 0)
    life.anomaly(on("BTC", severity=HIGH), 1)
    (told,) = [n for n in life.said if n.rings]
    assert told.digest is not None
    assert told.digest.title == "A single trade of 1,250,000 USDT, 40 times the median."


def with_market(event: Anomaly, name: str, *, return_pct: float, moved_with: int = 3) -> Anomaly:
    sentence = f"With the market: {moved_with} of 3 other markets fell."
    context = MarketContext(
        window_s=300,
        market_return_pct=return_pct,
        moved_with=moved_with,
        markets=3,
        is_market_wide=True,
        sentence=sentence,
    )
    return msgspec.structs.replace(after(event, name), context=context)


def test_an_alert_that_came_with_the_market_begins_a_digest() -> None:
    life, first = Life(FLOOD), on("BTC")
    life.anomaly(first, 0)
    life.anomaly(with_market(first, "context", return_pct=-0.9), 1)
    life.pass_time(40)
    assert life.rung() == [
        (0, Event.OPENED, "BTC"),
        (1, Event.OPENED, "context"),
        (31, Event.ESCALATED, "context"),
    ]
    digest = life.said[1].digest
    assert digest is not None
    assert digest.title == "BTC-USDT and the market: With the market: 3 of 3 other markets fell."


@pytest.mark.parametrize(("return_pct", "moved_with"), [(-0.2, 3), (-2.0, 1)])
def test_a_small_move_or_few_markets_begin_none(return_pct: float, moved_with: int) -> None:
    life, first = Life(FLOOD), on("BTC")
    life.anomaly(first, 0)
    life.anomaly(with_market(first, "context", return_pct=return_pct, moved_with=moved_with), 1)
    assert all(n.digest is None for n in life.said)


def test_a_second_flood_soon_after_goes_on_in_the_same_digest() -> None:
    life = Life(FLOOD)
    for number in range(3):
        life.anomaly(falling(number), number)
    life.pass_time(1_000)
    for number in range(3, 6):
        life.anomaly(falling(number), 1_000 + number)
    digests = [n for n in life.said if n.digest and n.rings]
    assert len({n.incident_id for n in digests}) == 1
    assert [n.event for n in digests] == [Event.OPENED, Event.ESCALATED, Event.UPDATED]
    assert digests[-1].alerts_total == 6


def test_what_outlives_its_digest_is_escalated_from_then_on() -> None:
    urgent = "route: {escalation: urgent}\nescalations: {urgent: {severity: high, levels: [{after: 5m}]}, "
    life = Life(FLOOD.replace("escalations: {", urgent).replace("quiet: 5m", "quiet: 1m"))
    events = [falling(number) for number in range(3)]
    for number, event in enumerate(events):
        life.anomaly(event, number)
    life.anomaly(on("M00", "more", kind="whale", severity=HIGH), 100)
    for number, event in enumerate(events):
        life.anomaly(after(event, f"over{number}", phase=CLOSED), 200 + number)
    life.pass_time(1_000)
    escalated = [n for n in life.said if n.event is Event.ESCALATED and n.digest is None]
    assert [(n.time_us, n.group) for n in escalated] == [(at(202 + 300), "M00-USDT")]


def test_severity_rules_raise_and_lower() -> None:
    life = Life(
        "severity: [{match: {kind: whale}, features: {notional: 1000000}, at_least: critical},"
        " {match: {market: 'ETH-*'}, at_most: low}]"
    )
    assert life.anomaly(on("BTC", severity=LOW), 0).alerts[0].severity is CRITICAL
    assert life.anomaly(on("ETH", severity=HIGH), 1).alerts[0].detail == "severity low is below medium"


def test_other_rules_change_what_comes_and_forget_nothing() -> None:
    life, first = Life(), on("BTC")
    life.anomaly(first, 0)
    life.lifecycle.configure(Rules(parse("route: {channels: [slack]}", name="new"), channels=CHANNELS), at(1))
    life.anomaly(after(first, "worse", severity=CRITICAL), 2)
    assert life.said[-1].channels == ("slack",)
    assert life.said[-1].incident_id == life.said[0].incident_id
