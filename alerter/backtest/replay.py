"""Drives the life cycle through recorded anomalies: `now` is the time of the events, and nobody answers.

Each anomaly is taken at the event time of its trade, and between two of them everything is done at the moment
at which it is due, to the microsecond. After the last one, time goes on for a quarter of an hour: nobody
knows what came then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from alerter.lifecycle import Lifecycle, Outcome
from alerter.notification import Notification
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Alert, Anomaly

_AFTERWARDS_US: Final = 900 * MICROSECONDS_PER_SECOND


@dataclass
class Replay:
    """What people would have heard.

    Attributes:
        name: of the rules.
        anomalies: what was recorded, in order.
        notifications: in order.
        alerts: changes in the lives of alerts, in order.
    """

    name: str
    anomalies: list[Anomaly]
    notifications: list[Notification] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    @property
    def rung(self) -> list[Notification]:
        """Notifications that call people."""
        return [notification for notification in self.notifications if notification.rings]


def replay(anomalies: Sequence[Anomaly], rules: Rules, *, name: str) -> Replay:
    """Return what people would have heard of recorded anomalies.

    Args:
        anomalies: in the order of their event times; those of detectors on trial are left out.
        rules: that decide.
        name: of the rules, for people.
    """
    lifecycle = Lifecycle(rules)
    heard = Replay(name=name, anomalies=[anomaly for anomaly in anomalies if not anomaly.shadow])
    now_us = 0
    for anomaly in heard.anomalies:
        # What concerns several markets may be a little older than what came before it.
        now_us = max(now_us, anomaly.event_time_us)
        _pass_time(lifecycle, heard, until_us=now_us)
        _keep(heard, lifecycle.on_anomaly(anomaly, now_us))
    _pass_time(lifecycle, heard, until_us=now_us + _AFTERWARDS_US)
    return heard


def _pass_time(lifecycle: Lifecycle, heard: Replay, *, until_us: int) -> None:
    while (due_us := lifecycle.due_us) is not None and due_us <= until_us:
        _keep(heard, lifecycle.on_time(due_us))


def _keep(heard: Replay, outcome: Outcome) -> None:
    heard.notifications += outcome.notifications
    heard.alerts += outcome.alerts
