"""PagerDuty, through its Events API v2: one alert there per incident here.

`dedup_key` is the incident's id, so PagerDuty itself keeps repeats together: a notification that is sent
twice after a crash changes nothing. What PagerDuty's users press there is not read back.

Source: https://developer.pagerduty.com/docs/send-alert-event (fields, limits, answers).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from alerter.channels.posting import Poster
from alerter.notification import Notification, NotificationEvent
from alerter.render import clean, plain
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.errors import ChannelDeadError, DeliveryRefusedError
from shared.events import AlertState, Severity

PAGERDUTY: Final = "pagerduty"

_SUMMARY: Final = 1_024
_SEVERITIES: Final = {
    Severity.LOW: "info",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "critical",
}
_HELD: Final = frozenset({AlertState.ACKNOWLEDGED, AlertState.SILENCED})


@dataclass(frozen=True, kw_only=True)
class PagerDutyParams:
    """How PagerDuty is reached.

    Attributes:
        routing_key: of an integration of a service (32 characters).
        api_url: Events API.
        timeout_s: for connecting and for each part of the answer.
        min_interval_s: between two events; the API takes 120 a minute.
    """

    routing_key: str = field(repr=False)
    api_url: str = "https://events.pagerduty.com"
    timeout_s: float = 10.0
    min_interval_s: float = 0.5


class PagerDuty:
    """Triggers, acknowledges and resolves alerts of a service."""

    name = PAGERDUTY
    edits = True

    def __init__(self, params: PagerDutyParams) -> None:
        self.min_interval_s = params.min_interval_s
        self._key = params.routing_key
        url = f"{params.api_url.rstrip('/')}/v2/enqueue"
        # The address is no secret here, but the key in the body is, and answers may quote it.
        self._poster = Poster(
            url, channel=PAGERDUTY, timeout_s=params.timeout_s, secrets=(params.routing_key,)
        )

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - the key is enough
        """Send an event; returns the key of the alert there."""
        event = self._event(notification.incident_id, action_of(notification))
        if event["event_action"] == "trigger":
            event |= {"client": "Tapewatch", "payload": _payload(notification)}
        await self._post(event)
        return notification.incident_id

    async def tell(self, text: str) -> None:
        """Trigger an alert about the system itself."""
        event = self._event(content_id("notice", text), "trigger")
        event["payload"] = {
            "summary": clean(text, _SUMMARY),
            "source": "tapewatch",
            "severity": "warning",
            "class": "channel",
        }
        await self._post(event)

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

    async def _post(self, event: dict[str, object]) -> None:
        try:
            await self._poster.post(msgspec.json.encode(event), {})
        except DeliveryRefusedError as error:
            # A wrong key is answered with 400, like a malformed event.
            if "routing" in error.detail.lower():
                raise ChannelDeadError(PAGERDUTY, detail=error.detail) from None
            raise

    def _event(self, dedup_key: str, action: str) -> dict[str, object]:
        return {"routing_key": self._key, "event_action": action, "dedup_key": dedup_key}


def action_of(notification: Notification) -> str:
    """Return what is to happen to the alert there."""
    if notification.state is AlertState.RESOLVED:
        return "resolve"
    # What rings is to be heard there too, whoever has acknowledged before.
    if not notification.rings and notification.state in _HELD:
        return "acknowledge"
    return "trigger"


def _payload(notification: Notification) -> dict[str, object]:
    anomaly = notification.anomaly
    headline, _, rest = plain(notification).partition("\n")
    reason = notification.digest.title if notification.digest else anomaly.reason
    if notification.event is NotificationEvent.ESCALATED and notification.note:
        reason = f"{reason} ({notification.note})"
    return {
        "summary": clean(f"{headline}. {reason}", _SUMMARY),
        "source": clean(f"{anomaly.exchange}:{anomaly.symbol}", _SUMMARY),
        "severity": _SEVERITIES[notification.severity],
        "timestamp": _iso(anomaly.event_time_us),
        "component": clean(anomaly.symbol, _SUMMARY),
        "group": clean(notification.group, _SUMMARY),
        "class": clean(anomaly.kind, _SUMMARY),
        "custom_details": {
            "text": rest,
            "exchange": anomaly.exchange,
            "detector": anomaly.detector,
            "score": anomaly.score,
            "rarity": anomaly.rarity,
            "price": anomaly.price,
            "alerts": notification.alerts_total,
            "level": notification.level,
        },
    }


def _iso(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC)
    return moment.isoformat(timespec="milliseconds")
