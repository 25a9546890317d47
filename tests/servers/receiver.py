"""Stand-ins for receivers of JSON: a webhook of one's own, and PagerDuty's Events API v2.

Source: https://developer.pagerduty.com/docs/send-alert-event (answers, deduplication).
"""

import json
from typing import Any

from shared.clock import Clock
from tests.servers.stand_in import Reply, Request, StandIn, as_json

ROUTING_KEY = "0123456789abcdef0123456789abcdef"


class Receiver(StandIn):
    """Takes everything.

    Attributes:
        requests: what came in, in order.
        status: of the answers.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.requests: list[Request] = []
        self.status = 200

    @property
    def url(self) -> str:
        """Where it listens; the path is a secret of its own."""
        return f"{self.origin}/hooks/secret-path"

    def answer(self, request: Request) -> Reply:
        """Take it."""
        self.requests.append(request)
        # Of use to a client that follows redirections, which ours must not.
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return as_json(self.status, {"you_sent": request.path}, headers)

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        return as_json(429, {}, {"Retry-After": str(retry_after_s)})


class PagerDutyServer(StandIn):
    """Behaves like the Events API.

    Attributes:
        events: what was accepted, in order.
        alerts: by key, the state: `triggered`, `acknowledged` or `resolved`.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.events: list[dict[str, Any]] = []
        self.alerts: dict[str, str] = {}

    def answer(self, request: Request) -> Reply:
        """Take an event, or say what is wrong with it."""
        event = json.loads(request.body)
        if errors := _errors(event):
            body = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
            return as_json(400, body)
        self.events.append(event)
        key, action = event["dedup_key"], event["event_action"]
        if action == "trigger" or key in self.alerts:
            self.alerts[key] = {"trigger": "triggered"}.get(action, f"{action}d")
        return as_json(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        return as_json(429, {"status": "throttle exceeded"}, {"Retry-After": str(retry_after_s)})


def _errors(event: dict[str, Any]) -> list[str]:
    errors = []
    if event.get("routing_key") != ROUTING_KEY:
        errors.append(f"'routing_key' is invalid: {event.get('routing_key')}")
    if event.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        errors.append("'event_action' is unknown")
    if not 1 <= len(event.get("dedup_key", "")) <= 255:
        errors.append("'dedup_key' is missing or too long")
    if event.get("event_action") == "trigger":
        payload = event.get("payload", {})
        if not 1 <= len(payload.get("summary", "")) <= 1_024:
            errors.append("'payload.summary' is missing or too long")
        if payload.get("severity") not in {"critical", "warning", "error", "info"}:
            errors.append("'payload.severity' is invalid")
        if not payload.get("source"):
            errors.append("'payload.source' is missing or blank")
    return errors
