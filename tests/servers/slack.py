"""A stand-in for Slack: `chat.postMessage` and incoming webhooks, with their checks, limits and errors.

    with SlackServer(channels=["#alerts"]) as slack:
        ...  # SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token, SLACK_WEBHOOK_URL=slack.webhook_url
    assert slack.anomaly_ids("#alerts") == [...]

Source: https://docs.slack.dev (chat.postMessage, incoming webhooks, rate limits, Block Kit reference).
"""

import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from tests.servers.stand_in import Bucket, Reply, Request, StandIn, as_json

TOKEN = "xoxb-stand-in-token"
WEBHOOK_PATH = "/services/T00000000/B00000000/StandInStandInStandInStan"
WEBHOOK_CHANNEL = "webhook"

_MOST_BLOCKS = 50
_LONGEST_MESSAGE = 13_200
_CODE = re.compile(r"`([^`]+)`")
_ESCAPE = re.compile(r"&(?!(amp|lt|gt);)")


@dataclass(frozen=True, kw_only=True)
class SlackLimits:
    """Messages per second and channel, and how many may come at once; 0 for no limit."""

    per_channel: float = 1.0
    burst: int = 25


@dataclass(frozen=True, kw_only=True)
class SlackMessage:
    """A message that was accepted.

    Attributes:
        channel: as the bot gave it; `webhook` for the webhook's.
        ts: its id within the channel.
        text: fallback.
        blocks: as they were sent.
        time_us: when.
    """

    channel: str
    ts: str
    text: str
    blocks: Sequence[dict[str, Any]]
    time_us: int


class SlackServer(StandIn):
    """Behaves like Slack's Web API and incoming webhooks.

    Args:
        token: the one that is accepted.
        channels: those that exist; None for any.
        limits: of messages.
        clock: by which limits are kept.

    Attributes:
        messages: what was accepted, in order.
        refused: requests answered with 429 because of a limit.
        is_token_revoked: set it, and every request is refused for its token.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        channels: Iterable[str] | None = None,
        limits: SlackLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self.token = token
        self.messages: list[SlackMessage] = []
        self.refused = 0
        self.is_token_revoked = False
        self._channels = None if channels is None else set(channels)
        self._limits = limits or SlackLimits()
        self._buckets: dict[str, Bucket] = {}

    @property
    def url(self) -> str:
        """What SLACK_API_URL is set to."""
        return f"{self.origin}/api/"

    @property
    def webhook_url(self) -> str:
        """What SLACK_WEBHOOK_URL is set to."""
        return f"{self.origin}{WEBHOOK_PATH}"

    def anomaly_ids(self, channel: str | None = None) -> list[str]:
        """Return what stands between backticks in the messages of one channel, or all, in order."""
        with self.lock:
            shown = [m for m in self.messages if channel in {None, m.channel}]
        return [html.unescape(found) for message in shown for found in _code(message.blocks)]

    def answer(self, request: Request) -> Reply:
        """Answer as Slack does."""
        if request.path.startswith("/services/"):
            return self._webhook(request)
        message = _parameters(request)
        channel = str(message.get("channel", ""))
        if fault := self._access_fault(request, channel) or _message_fault(message):
            return as_json(200, {"ok": False, "error": fault})
        if wait_s := self._wait_s(channel):
            return self.rate_limited(wait_s)
        accepted = self._accept(channel, message)
        return as_json(200, {"ok": True, "channel": channel, "ts": accepted.ts, "message": message})

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        body = {"ok": False, "error": "ratelimited"}
        return as_json(429, body, {"Retry-After": str(retry_after_s)})

    def _access_fault(self, request: Request, channel: str) -> str:
        """Return Slack's word for why a caller may not post there, or nothing."""
        if request.path != "/api/chat.postMessage":
            return "unknown_method"
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            return "not_authed"
        if given != self.token or self.is_token_revoked:
            return "invalid_auth"
        is_known = bool(channel) and (self._channels is None or channel in self._channels)
        return "" if is_known else "channel_not_found"

    def _webhook(self, request: Request) -> Reply:
        if request.path != WEBHOOK_PATH:
            return _text(404, "no_service")
        if self.is_token_revoked:
            return _text(403, "invalid_token")
        try:
            message = json.loads(request.body)
        except json.JSONDecodeError:
            return _text(400, "invalid_payload")
        if fault := _message_fault(message):
            return _text(400, fault)
        if wait_s := self._wait_s(WEBHOOK_CHANNEL):
            return self.rate_limited(wait_s)
        self._accept(WEBHOOK_CHANNEL, message)
        return _text(200, "ok")

    def _wait_s(self, channel: str) -> int:
        """Return how long this channel must wait, in whole seconds; take from its limit when it need not."""
        if not self._limits.per_channel:
            return 0
        per_s, burst = self._limits.per_channel, self._limits.burst
        bucket = self._buckets.setdefault(channel, Bucket(per_s=per_s, burst=burst))
        wait_s = bucket.wait_s(self.clock.monotonic_s())
        if not wait_s:
            bucket.take()
            return 0
        self.refused += 1
        return max(1, math.ceil(wait_s))

    def _accept(self, channel: str, message: dict[str, Any]) -> SlackMessage:
        now_us = self.clock.now_us()
        # Slack's ids look like times and are distinct.
        ts = f"{now_us // MICROSECONDS_PER_SECOND}.{len(self.messages):06d}"
        accepted = SlackMessage(
            channel=channel,
            ts=ts,
            text=message.get("text", ""),
            blocks=message.get("blocks", ()),
            time_us=now_us,
        )
        self.messages.append(accepted)
        return accepted


def _message_fault(message: dict[str, Any]) -> str:
    """Return Slack's word for what is wrong with a message, or nothing."""
    blocks = message.get("blocks") or []
    if not message.get("text") and not blocks:
        return "no_text"
    if len(blocks) > _MOST_BLOCKS or any(map(_is_malformed, blocks)):
        return "invalid_blocks"
    if sum(len(text) for block in blocks for text in _texts(block)) > _LONGEST_MESSAGE:
        return "msg_blocks_too_long"
    return ""


def _is_malformed(block: dict[str, Any]) -> bool:
    match block:
        case {"type": "header", "text": {"type": "plain_text", "text": text}}:
            return not 1 <= len(text) <= 150
        case {"type": "section", "text": {"type": "plain_text" | "mrkdwn", "text": text}}:
            return not 1 <= len(text) <= 3_000
        case {"type": "section", "fields": [*fields]}:
            texts = [text for field in fields for text in _texts(field)]
            return not 1 <= len(fields) <= 10 or any(not 1 <= len(text) <= 2_000 for text in texts)
        case {"type": "context", "elements": [*elements]}:
            return not 1 <= len(elements) <= 10
    return True


def _texts(value: object) -> list[str]:
    """Return every text within a block."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for inner in value.values() for text in _texts(inner)]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


def is_escaped(text: str) -> bool:
    """Return whether Slack would find no link, mention or entity of its own in a text."""
    return "<" not in text and ">" not in text and _ESCAPE.search(text) is None


def _code(blocks: Sequence[dict[str, Any]]) -> list[str]:
    return [found for block in blocks for text in _texts(block) for found in _CODE.findall(text)]


def _parameters(request: Request) -> dict[str, Any]:
    if request.headers.get("Content-Type", "").startswith("application/json"):
        parameters = json.loads(request.body)
        assert isinstance(parameters, dict)
        return parameters
    form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
    return {name: json.loads(value) if name == "blocks" else value for name, value in form.items()}


def _text(status: int, body: str) -> Reply:
    return Reply(status, body.encode(), "text/html")
