"""Any sequence of anomalies, commands and waiting: what the life cycle promises holds, restarts included."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alerter.lifecycle import Lifecycle, Outcome
from alerter.notification import Notification, NotificationEvent
from alerter.rules.file import parse
from alerter.rules.matching import labels_of, match_of
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Alert, AlertAction, AlertCommand, AlertState, Anomaly, EpisodePhase, Severity
from tests.unit.alerter.examples import anomaly

START_US: Final = 1_700_000_000_000_000
CHANNELS: Final = ("chat", "pager")
MARKETS: Final = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
KINDS: Final = ("whale", "flash_crash", "combined")
COOLDOWN_S: Final = 90
REPEAT_S: Final = 400

BASE: Final = f"route: {{cooldown: {COOLDOWN_S}s, repeat_interval: {REPEAT_S}s, group_interval: 20s"
RULES: Final = (
    BASE + "}",
    BASE + ", group_by: [kind], group_wait: 15s}",
    BASE + ", escalation: up}\nescalations: {up: {severity: medium, levels: [{after: 30s}, {after: 80s}]}}",
    BASE + "}\ninhibit: [{source: {kind: flash_crash}, target: {kind: [combined, whale]}}]",
    BASE + "}\nflood: {markets: 2, within: 30s, quiet: 60s, escalation: f}\n"
    "escalations: {f: {severity: low, levels: [{after: 10s}]}}\nresolve_after: 5m",
    BASE + ", routes: [{match: {severity: '>=high'}, channels: [pager], continue: true},"
    " {match: {market: 'BTC-*'}, channels: [chat]}]}\nresolved: ring",
)


@dataclass(frozen=True)
class Happening:
    """An event of an episode; which ones there are depends on what was before."""

    market: int
    kind: int
    phase: EpisodePhase
    severity: Severity


@dataclass(frozen=True)
class Asking:
    """A command; about one of the episodes so far."""

    action: AlertAction
    which: int
    market: int
    for_s: int


@dataclass(frozen=True)
class Waiting:
    """Time passes."""

    seconds: int


Step = Happening | Asking | Waiting
happenings = st.builds(
    Happening,
    st.integers(0, len(MARKETS) - 1),
    st.integers(0, len(KINDS) - 1),
    st.sampled_from(EpisodePhase),
    st.sampled_from([Severity.MEDIUM, *Severity]),
)
askings = st.builds(
    Asking,
    st.sampled_from([AlertAction.SILENCE, AlertAction.SNOOZE, *AlertAction]),
    st.integers(0, 20),
    st.integers(0, len(MARKETS) - 1),
    st.integers(60, 600),
)
waitings = st.builds(Waiting, st.sampled_from([5, 10, 25, 60, 100, 250, 450, 900]))
# Mostly happenings, and long enough for something to come of them.
steps = st.lists(st.one_of(happenings, happenings, happenings, waitings, askings), min_size=12, max_size=40)


@dataclass
class Told:
    """Everything that a life cycle was told and has said."""

    notifications: list[Notification] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    anomalies: dict[str, list[tuple[int, Anomaly]]] = field(default_factory=dict)
    commands: list[AlertCommand] = field(default_factory=list)
    open_alerts: frozenset[str] = frozenset()

    def add(self, outcome: Outcome) -> None:
        self.notifications += outcome.notifications
        self.alerts += outcome.alerts


class Store:
    """Rows as a database would keep them, and a life cycle that can be started anew from them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._rows: dict[str, bytes] = {}
        self.lifecycle = Lifecycle(rules)

    def keep(self) -> None:
        for name, payload in self.lifecycle.changes().items():
            if payload is None:
                self._rows.pop(name, None)
            else:
                self._rows[name] = payload

    def restart(self) -> None:
        self.lifecycle = Lifecycle(self._rules)
        self.lifecycle.restore(self._rows.items())


def live(rules_text: str, happened: Sequence[Step], *, restarts: frozenset[int] = frozenset()) -> Told:
    """Return what a life cycle says; restarted before the steps with these numbers."""
    store, told, now_us = Store(Rules(parse(rules_text, name="rules"), channels=CHANNELS)), Told(), START_US
    episodes: dict[tuple[int, int], str] = {}
    known: list[str] = []
    for number, step in enumerate(happened):
        if number in restarts:
            store.restart()
        now_us += MICROSECONDS_PER_SECOND
        match step:
            case Waiting(seconds=seconds):
                until_us = now_us + seconds * MICROSECONDS_PER_SECOND
                while (due_us := store.lifecycle.due_us) is not None and due_us <= until_us:
                    # Never before now: what was due earlier is done when somebody looks.
                    now_us = max(now_us, due_us)
                    told.add(store.lifecycle.on_time(now_us))
                    store.keep()
                now_us = until_us
            case Happening():
                event = _event(step, number, episodes)
                known.append(event.episode.episode_id)
                told.anomalies.setdefault(event.episode.episode_id, []).append((now_us, event))
                told.add(store.lifecycle.on_anomaly(event, now_us))
            case Asking():
                command = _command(step, number, known, told, now_us)
                told.commands.append(command)
                told.add(store.lifecycle.on_command(command, now_us))
        store.keep()
    told.open_alerts = frozenset(alert.alert_id for alert in store.lifecycle.open_alerts)
    return told


def _event(step: Happening, number: int, episodes: dict[tuple[int, int], str]) -> Anomaly:
    place = step.market, step.kind
    if step.phase is EpisodePhase.OPENED or place not in episodes:
        episodes[place] = f"e{number}"
    episode_id = episodes[place]
    if step.phase is EpisodePhase.CLOSED:
        del episodes[place]
    return anomaly(
        f"a{number}",
        symbol=MARKETS[step.market],
        kind=KINDS[step.kind],
        phase=step.phase,
        severity=step.severity,
        episode_id=episode_id,
    )


def _command(step: Asking, number: int, known: list[str], told: Told, now_us: int) -> AlertCommand:
    target = known[step.which % len(known)] if known else "nothing"
    if step.action is AlertAction.UNSILENCE:
        silences = [c.command_id for c in told.commands if c.action is AlertAction.SILENCE]
        target = silences[step.which % len(silences)] if silences else "nothing"
    return AlertCommand(
        command_id=f"c{number}",
        action=step.action,
        target="" if step.action is AlertAction.SILENCE else target,
        matchers={"market": [MARKETS[step.market]]} if step.action is AlertAction.SILENCE else {},
        until_us=now_us + step.for_s * MICROSECONDS_PER_SECOND,
        author="ann",
        time_us=now_us,
    )


def silenced(told: Told, event: Anomaly, now_us: int) -> bool:
    """Return whether somebody has silenced this, by what was asked alone."""
    ended: dict[str, int] = {}
    for command in told.commands:
        if command.action is AlertAction.UNSILENCE:
            # Whoever ends it once more ends nothing.
            ended.setdefault(command.target, command.time_us)
    return any(
        command.time_us <= now_us < min(command.until_us, ended.get(command.command_id, command.until_us))
        and match_of(command.matchers).matches(labels_of(event, event.severity))
        for command in told.commands
        if command.action is AlertAction.SILENCE
    )


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES), steps)
def test_silenced_means_silent(rules: str, happened: list[Step]) -> None:
    told = live(rules, happened)
    for notification in told.notifications:
        if notification.rings and notification.event is not NotificationEvent.RESOLVED:
            assert not silenced(told, notification.anomaly, notification.time_us), notification


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES), steps)
def test_nothing_is_told_twice_within_its_time(rules: str, happened: list[Step]) -> None:
    told = live(rules, happened)
    assert len({n.notification_id for n in told.notifications}) == len(told.notifications)
    rung: dict[str, list[Notification]] = {}
    for notification in told.notifications:
        if notification.rings and notification.event is not NotificationEvent.RESOLVED:
            rung.setdefault(notification.incident_id, []).append(notification)
    for ringing in rung.values():
        for earlier, later in pairwise(ringing):
            assert later.sequence > earlier.sequence
            gap_s = (later.time_us - earlier.time_us) / MICROSECONDS_PER_SECOND
            match later.event:
                case NotificationEvent.REMINDED:
                    assert gap_s >= REPEAT_S or later.note == "the snooze is over", later
                case NotificationEvent.UPDATED if later.digest is None:
                    assert gap_s >= 20 or later.severity.rank >= earlier.severity.rank, later
    # The same thing, not more severe, is not told again within the cooldown.
    latest: dict[tuple[str, str], tuple[int, Severity]] = {}
    routes = {n.incident_id: n.route for n in told.notifications}
    for alert in told.alerts:
        if alert.detail != "to be told":
            continue
        key = routes[alert.incident_id], alert.fingerprint
        is_the_same_message = key in latest and latest[key][0] == alert.time_us
        if key in latest and alert.severity.rank <= latest[key][1].rank and not is_the_same_message:
            assert alert.time_us - latest[key][0] >= COOLDOWN_S * MICROSECONDS_PER_SECOND, alert
        latest[key] = alert.time_us, alert.severity


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES), steps)
def test_every_alert_is_over_or_still_open_and_every_anomaly_is_spoken_of(
    rules: str, happened: list[Step]
) -> None:
    told = live(rules, happened)
    last: dict[str, Alert] = {alert.alert_id: alert for alert in told.alerts}
    assert set(last) == set(told.anomalies)
    for alert_id, alert in last.items():
        assert (alert.state is AlertState.RESOLVED) is (alert_id not in told.open_alerts), alert
    spoken_of = {alert.anomaly_id for alert in told.alerts}
    assert {event.anomaly_id for events in told.anomalies.values() for _, event in events} == spoken_of


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES), steps, st.sets(st.integers(0, 39)))
def test_a_restart_at_any_point_changes_nothing(rules: str, happened: list[Step], restarts: set[int]) -> None:
    assert live(rules, happened, restarts=frozenset(restarts)) == live(rules, happened)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(RULES), steps)
def test_a_repetition_of_everything_changes_nothing(rules: str, happened: list[Step]) -> None:
    store = Store(Rules(parse(rules, name="rules"), channels=CHANNELS))
    told = live(rules, happened)
    events = [event for events in told.anomalies.values() for event in events]
    for now_us, event in sorted(events, key=lambda pair: pair[0]):
        store.lifecycle.on_anomaly(event, now_us)
        again = store.lifecycle.on_anomaly(msgspec.structs.replace(event), now_us)
        assert (again.notifications, again.alerts) == ([], [])
