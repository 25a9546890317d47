"""Notifications for the tests of channels."""

import msgspec

from alerter.notification import Notification, NotificationEvent
from shared.events import AlertState, Severity
from tests.unit.alerter.examples import EVENT_US, anomaly

INCIDENT = "1c1de47000000000000a"


def notification(
    anomaly_id: str = "0123456789abcdef0123",
    *,
    event: NotificationEvent = NotificationEvent.OPENED,
    state: AlertState = AlertState.FIRING,
    rings: bool = True,
    sequence: int = 1,
    severity: Severity = Severity.HIGH,
    note: str = "",
    author: str = "",
    reason: str = "A single trade of 1,250,000 USDT, 40 times the median.",
    symbol: str = "BTC-USDT",
) -> Notification:
    """Return a step in the life of the incident."""
    first = Notification.of(
        anomaly(anomaly_id, severity=severity, reason=reason, symbol=symbol), channels=("x",), now_us=EVENT_US
    )
    return msgspec.structs.replace(
        first,
        notification_id=f"n{sequence}",
        incident_id=INCIDENT,
        sequence=sequence,
        event=event,
        state=state,
        rings=rings,
        note=note,
        author=author,
    )
