"""What a replay comes to: how often people were called, about what, how soon, and what was not told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import quantiles
from typing import Final

from alerter.backtest.replay import Replay
from alerter.lifecycle.floods import IN_DIGEST
from alerter.lifecycle.incidents import TO_BE_TOLD
from alerter.notification import Notification, NotificationEvent
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Alert

Figures = dict[str, object]

MANY: Final = "many markets"
_BURST_S: Final = 60
_TOLD: Final = (TO_BE_TOLD, IN_DIGEST)
# How the reasons begin that the life cycle gives for telling nobody.
_REASONS: Final = {
    "severity": "below the least severity",
    "no route": "no route tells anybody",
    "silenced": "silenced",
    "inhibited": "inhibited",
    "muted": "mute time",
    "snoozed": "snoozed",
    "cooldown": "cooldown",
    "the group": "grouped",
    "waiting": "grouped",
    "this alert": "told already",
    "the episode": "told already",
}


def figures(heard: Replay) -> Figures:
    """Return a replay's figures, as they are written to JSON."""
    rung = heard.rung
    return {
        "rules": heard.name,
        "anomalies": len(heard.anomalies),
        "alerts": len({anomaly.episode.episode_id for anomaly in heard.anomalies}),
        "notifications": len(rung),
        "changes_of_messages": len(heard.notifications) - len(rung),
        "digests": [_digest(n, heard) for n in rung if n.digest and n.event is NotificationEvent.OPENED],
        "by_event": _counted(n.event.value for n in rung),
        "by_channel": _counted(channel for n in rung for channel in n.channels),
        "by_kind": _counted(MANY if n.digest else n.anomaly.kind for n in rung),
        "by_severity": _counted(n.severity.value for n in rung),
        "by_day_and_market": by_day_and_market(rung),
        "longest_burst": longest_burst(rung),
        "first_notification_s": _spread(list(first_told_s(heard).values())),
        "not_told": _counted(reason for alert in heard.alerts if (reason := reason_of(alert))),
        "in_a_digest": sum(alert.detail == IN_DIGEST for alert in heard.alerts),
    }


def difference(one: Replay, other: Replay) -> Figures:
    """Return which alerts only one of two sets of rules would have told, and what each costs."""
    told, told_too = first_told_s(one), first_told_s(other)
    return {
        "rules": [one.name, other.name],
        "notifications": [len(one.rung), len(other.rung)],
        "told_by_both": len(told.keys() & told_too.keys()),
        "told_only_by_the_first": _named(one, told.keys() - told_too.keys()),
        "told_only_by_the_second": _named(other, told_too.keys() - told.keys()),
    }


def by_day_and_market(rung: Iterable[Notification]) -> dict[str, dict[str, int]]:
    """Return how many notifications there were, by day in UTC and market."""
    days: dict[str, Counter[str]] = {}
    for notification in rung:
        day = f"{_moment(notification.time_us):%Y-%m-%d}"
        market = MANY if notification.digest else notification.anomaly.symbol
        days.setdefault(day, Counter())[market] += 1
    return {day: dict(sorted(markets.items())) for day, markets in sorted(days.items())}


def longest_burst(rung: Sequence[Notification]) -> Figures:
    """Return how many notifications came within one minute, at the worst time."""
    times_us = sorted(notification.time_us for notification in rung)
    most, at_us, first = 0, 0, 0
    for last, time_us in enumerate(times_us):
        while time_us - times_us[first] >= _BURST_S * MICROSECONDS_PER_SECOND:
            first += 1
        if last - first + 1 > most:
            most, at_us = last - first + 1, times_us[first]
    return {"notifications": most, "within_s": _BURST_S, "from": utc(at_us) if most else ""}


def first_told_s(heard: Replay) -> dict[str, float]:
    """Return for each alert that was told how long after its first trade it was, in seconds."""
    opened_us: dict[str, int] = {}
    for anomaly in heard.anomalies:
        opened_us.setdefault(anomaly.episode.episode_id, anomaly.episode.opened_us)
    told: dict[str, float] = {}
    for alert in heard.alerts:
        if alert.detail in _TOLD and alert.alert_id not in told:
            told[alert.alert_id] = (alert.time_us - opened_us[alert.alert_id]) / MICROSECONDS_PER_SECOND
    return told


def reason_of(alert: Alert) -> str:
    """Return why a change of an alert was told to nobody, as a class; empty if it was, or is no news."""
    if alert.channels:
        return ""
    return next((words for start, words in _REASONS.items() if alert.detail.startswith(start)), "")


def utc(time_us: int) -> str:
    """Return a time as people read it, to the second."""
    return f"{_moment(time_us):%Y-%m-%d %H:%M:%S} UTC"


def _digest(notification: Notification, heard: Replay) -> Figures:
    same = [n for n in heard.notifications if n.incident_id == notification.incident_id]
    escalated_us = [n.time_us for n in same if n.event is NotificationEvent.ESCALATED]
    last = next(n.digest for n in reversed(same) if n.digest)
    begun_us = min(view.opened_us for view in notification.alerts)
    return {
        "at": utc(notification.time_us),
        "after_the_first_alert_s": _seconds(notification.time_us - begun_us),
        "escalated_after_the_first_alert_s": [_seconds(time_us - begun_us) for time_us in escalated_us],
        "title_at_first": notification.digest.title if notification.digest else "",
        "title_at_last": last.title if last else "",
        "markets": last.markets if last else 0,
    }


def _named(heard: Replay, alert_ids: Iterable[str]) -> list[str]:
    wanted = set(alert_ids)
    first = {a.episode.episode_id: a for a in reversed(heard.anomalies) if a.episode.episode_id in wanted}
    found = sorted(first.values(), key=lambda anomaly: (anomaly.event_time_us, anomaly.anomaly_id))
    return [f"{utc(a.event_time_us)} {a.symbol} {a.kind} {a.severity.value}" for a in found]


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return {"median": round(cuts[9], 3), "p95": round(cuts[18], 3), "longest": round(max(values), 3)}


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _seconds(duration_us: int) -> float:
    return round(duration_us / MICROSECONDS_PER_SECOND, 1)


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC)
