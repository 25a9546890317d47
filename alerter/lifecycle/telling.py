"""Turns records into what leaves the life cycle: notifications for people, events for the topic `alerts`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from alerter.lifecycle.book import AlertRecord, Book, IncidentRecord
from alerter.lifecycle.digest import digest_of
from alerter.lifecycle.holds import Holds
from alerter.notification import AlertView, Notification, NotificationEvent
from shared.codec import content_id
from shared.events import Alert, AlertState, Anomaly, Severity

_SHOWN: Final = 20
# How features begin that say how far the price has come, and whether they count falls as positive.
_MOVES: Final = {
    "return_": 1.0,
    "drawdown_": 1.0,
    "run_up_": 1.0,
    "driven_move": 1.0,
    "spike_depth": 1.0,
    "crash_depth": -1.0,
}


@dataclass
class Outcome:
    """What is to leave the life cycle.

    Attributes:
        notifications: for people, in order.
        alerts: for the topic `alerts`, in order.
    """

    notifications: list[Notification] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


class Teller:
    """Builds what is told.

    Args:
        book: what is known.
        holds: why something is quiet.
    """

    def __init__(self, book: Book, holds: Holds) -> None:
        self._book = book
        self._holds = holds

    def notification(
        self,
        incident: IncidentRecord,
        event: NotificationEvent,
        *,
        rings: bool,
        channels: Sequence[str],
        now_us: int,
        about: Sequence[AlertRecord] = (),
        note: str = "",
        author: str = "",
        mentions: Sequence[str] = (),
    ) -> Notification:
        """Return the next notification of an incident, and count it.

        Args:
            incident: of which `sequence` grows; the caller saves it.
            event: what has happened.
            rings: whether people are to be told now.
            channels: where.
            now_us: the alerter's time.
            about: alerts that it is about, if it is about some in particular.
            note: why now.
            author: who asked for it.
            mentions: whom to call by name.
        """
        incident.sequence += 1
        alerts = self.members(incident)
        views = sorted((self._view(alert, incident, now_us) for alert in alerts), key=_importance)
        firing = [alert for alert in alerts if not alert.resolved_us] or alerts
        chosen = max(about or firing, key=lambda alert: (alert.severity.rank, alert.last_us))
        return Notification(
            notification_id=content_id("notification", incident.incident_id, incident.sequence),
            incident_id=incident.incident_id,
            sequence=incident.sequence,
            event=event,
            rings=rings,
            channels=tuple(channels),
            route=incident.route,
            group=" ".join(incident.group),
            severity=max((alert.severity for alert in firing), key=lambda s: s.rank),
            state=self._incident_state(incident, alerts),
            level=incident.level,
            alerts=tuple(views[:_SHOWN]),
            alerts_total=len(views),
            anomaly=chosen.anomaly,
            digest=digest_of(alerts, views, market_kinds=self._holds.market_kinds)
            if incident.is_digest
            else None,
            author=author or incident.author,
            mentions=tuple(mentions),
            note=note,
            opened_us=incident.opened_us,
            time_us=now_us,
            until_us=incident.snoozed_until_us,
        )

    def change(
        self,
        alert: AlertRecord,
        incident: IncidentRecord | None,
        *,
        now_us: int,
        channels: Sequence[str] = (),
        detail: str,
        state: AlertState | None = None,
        author: str = "",
        until_us: int = 0,
    ) -> Alert:
        """Return the event of a change in an alert's life."""
        return Alert(
            alert_id=alert.alert_id,
            anomaly_id=alert.anomaly.anomaly_id,
            symbol=alert.anomaly.symbol,
            kind=alert.anomaly.kind,
            severity=alert.severity,
            state=state or self.state(alert, incident, now_us),
            channels=list(channels),
            detail=detail,
            time_us=now_us,
            exchange=alert.anomaly.exchange,
            fingerprint=alert.fingerprint,
            incident_id=incident.incident_id if incident else "",
            level=incident.level if incident else 0,
            author=author,
            until_us=until_us,
        )

    def members(self, incident: IncidentRecord) -> list[AlertRecord]:
        """Return the alerts of an incident that are still known."""
        return [self._book.alerts[key] for key in incident.alerts if key in self._book.alerts]

    def state(self, alert: AlertRecord, incident: IncidentRecord | None, now_us: int) -> AlertState:
        """Return where an alert stands, seen from one of its incidents."""
        if alert.resolved_us:
            return AlertState.RESOLVED
        if incident is None:
            return AlertState.FIRING
        if self._holds.quiet(alert, incident, now_us) is not None:
            return AlertState.SILENCED
        if incident.acknowledged is not None:
            return AlertState.ACKNOWLEDGED
        return AlertState.ESCALATED if incident.level else AlertState.FIRING

    def _incident_state(self, incident: IncidentRecord, alerts: Sequence[AlertRecord]) -> AlertState:
        if all(alert.resolved_us for alert in alerts):
            return AlertState.RESOLVED
        if incident.snoozed_until_us:
            return AlertState.SILENCED
        if incident.acknowledged is not None:
            return AlertState.ACKNOWLEDGED
        return AlertState.ESCALATED if incident.level else AlertState.FIRING

    def _view(self, alert: AlertRecord, incident: IncidentRecord, now_us: int) -> AlertView:
        anomaly = alert.anomaly
        return AlertView(
            alert_id=alert.alert_id,
            symbol=anomaly.symbol,
            exchange=anomaly.exchange,
            kind=anomaly.kind,
            severity=alert.severity,
            state=self.state(alert, incident, now_us),
            opened_us=anomaly.episode.opened_us,
            last_us=anomaly.event_time_us,
            anomalies=alert.anomalies,
            price=anomaly.price,
            move_pct=alert.move_pct,
            reason=anomaly.reason,
        )


def largest_move_pct(anomaly: Anomaly, first_price: float, before: float | None) -> float | None:
    """Return the largest move of an alert so far, in percent.

    Args:
        anomaly: its latest; its features say how far the price has come within some seconds.
        first_price: of its first anomaly; 0 when there is none.
        before: the largest until now.
    """
    moves = [
        100.0 * sign * value
        for name, value in anomaly.features.items()
        for start, sign in _MOVES.items()
        if name.startswith(start)
    ]
    if first_price > 0 and anomaly.price > 0:
        moves.append(100.0 * (anomaly.price / first_price - 1.0))
    if before is not None:
        moves.append(before)
    return max((move for move in moves if math.isfinite(move)), key=abs, default=None)


def _importance(view: AlertView) -> tuple[bool, int, float, int, str]:
    is_over = view.state is AlertState.RESOLVED
    return is_over, -view.severity.rank, -abs(view.move_pct or 0.0), -view.last_us, view.alert_id


def highest(alerts: Sequence[AlertRecord]) -> Severity:
    """Return the highest severity of some alerts."""
    return max((alert.severity for alert in alerts), key=lambda severity: severity.rank)
