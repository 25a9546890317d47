"""What the life cycle hands to the channels: one notification, complete and immutable.

The life cycle decides that people are to be told, and what; a channel decides how that looks. A notification
is one step in the life of an incident (a group of alerts), and an incident is one message, or one thread:

- `rings` is true when people are to be told now: a new message, a reply in a thread, a sound. It is false
  when only the message that is already there should be brought up to date; a channel that cannot edit a
  message is not asked to do anything then.
- `notification_id` is the idempotency key. A notification that comes again after a crash has the same one.
- `incident_id` is the thread: whatever has the same one belongs to the same message.
- `sequence` counts the notifications of an incident from 1. A message never goes back to a lower one.

What people answer comes back as `shared.events.AlertCommand` on the topic `alert-commands`; `command_id` is
content-derived there too (`shared.codec.content_id` of what the service calls the button press), so that a
command that is read twice is carried out once.
"""

from enum import StrEnum
from typing import Self

import msgspec

from shared.events import AlertState, Anomaly, Episode, EpisodePhase, Severity


class NotificationEvent(StrEnum):
    """What has happened to the incident."""

    OPENED = "opened"
    UPDATED = "updated"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    SILENCED = "silenced"
    RESOLVED = "resolved"


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of an incident, as it is shown.

    Attributes:
        alert_id: target of commands about this one alert.
        symbol: market.
        exchange: venue.
        kind: of anomaly.
        severity: highest so far.
        state: firing, acknowledged, ..., resolved.
        opened_us: event time of its first anomaly.
        last_us: event time of its latest one.
        anomalies: how many there were.
        price: latest, in quote units; 0 where there is none.
        move_pct: largest move that was seen, in percent; None where nothing is known.
        reason: of its latest anomaly.
    """

    alert_id: str
    symbol: str
    exchange: str
    kind: str
    severity: Severity
    state: AlertState
    opened_us: int
    last_us: int
    anomalies: int
    price: float
    move_pct: float | None
    reason: str


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """Many markets told in one message.

    Attributes:
        title: one sentence: "37 markets fell more than 4 % within 2 minutes".
        markets: how many there are.
        top: the ten that matter most, one alert each, the most severe and largest move first.
    """

    title: str
    markets: int
    top: tuple[AlertView, ...]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of an incident, for one or more channels.

    Attributes:
        notification_id: idempotency key.
        incident_id: of the group of alerts; the thread, and the target of commands about all of it.
        sequence: number of this notification within the incident, from 1.
        event: what has happened.
        rings: whether people are to be told now, and not only a message brought up to date.
        channels: where to, by the channels' names.
        route: name of the route that led there.
        group: what the incident's alerts have in common (`BTC-USDT`), in words.
        severity: highest of the alerts that fire; of all when none does.
        state: of the incident.
        level: of escalation, from 0.
        alerts: firing ones first, the latest first; at most twenty.
        alerts_total: how many there are.
        anomaly: the one to explain: the latest of the most severe alert.
        digest: what a message about many markets says; None for others.
        author: who acknowledged, snoozed, silenced or resolved; empty otherwise.
        mentions: whom the channel should call by name.
        note: why now, in words ("not acknowledged for 5 min"); may be empty.
        opened_us: when the incident was opened, by the alerter's clock.
        time_us: when this was decided.
        until_us: end of a snooze; 0 when there is none.
    """

    notification_id: str
    incident_id: str
    sequence: int
    event: NotificationEvent
    rings: bool
    channels: tuple[str, ...]
    route: str
    group: str
    severity: Severity
    state: AlertState
    level: int
    alerts: tuple[AlertView, ...]
    alerts_total: int
    anomaly: Anomaly
    digest: Digest | None = None
    author: str = ""
    mentions: tuple[str, ...] = ()
    note: str = ""
    opened_us: int
    time_us: int
    until_us: int = 0

    @classmethod
    def of(cls, anomaly: Anomaly, *, channels: tuple[str, ...], now_us: int) -> Self:
        """Return the notification of a single anomaly that belongs to no incident."""
        has_closed = anomaly.episode.phase is EpisodePhase.CLOSED
        state = AlertState.RESOLVED if has_closed else AlertState.FIRING
        return cls(
            notification_id=anomaly.anomaly_id,
            incident_id=anomaly.episode.episode_id,
            sequence=1,
            event=NotificationEvent.OPENED,
            rings=True,
            channels=channels,
            route="",
            group=anomaly.symbol,
            severity=anomaly.severity,
            state=state,
            level=0,
            alerts=(view_of(anomaly, anomaly.episode, state=state),),
            alerts_total=1,
            anomaly=anomaly,
            opened_us=now_us,
            time_us=now_us,
        )


def view_of(anomaly: Anomaly, episode: Episode, *, state: AlertState) -> AlertView:
    """Return one anomaly as it is shown in a list."""
    return AlertView(
        alert_id=episode.episode_id,
        symbol=anomaly.symbol,
        exchange=anomaly.exchange,
        kind=anomaly.kind,
        severity=anomaly.severity,
        state=state,
        opened_us=episode.opened_us,
        last_us=anomaly.event_time_us,
        anomalies=1,
        price=anomaly.price,
        move_pct=None,
        reason=anomaly.reason,
    )
