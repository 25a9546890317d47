"""Slack, through slack-sdk: a bot's token and a channel, or an incoming webhook.

The synchronous clients run in a thread, as the asynchronous ones need aiohttp. The SDK's retry handlers are
left out on purpose: they sleep inside the call, where no stop reaches them, count no attempt, and forget in a
restart. Every answer comes back as one error with its `Retry-After`, and the outbox does the waiting.
"""

import asyncio
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.notification import Notification
from alerter.render import clean, slack_blocks, slack_text
from shared.errors import DeliveryError, DeliveryRefusedError, DeliveryRetriableError

WEBHOOK: Final = "slack-webhook"

_TOO_MANY_REQUESTS: Final = 429
_SERVER_FAULT: Final = 500
_DETAIL: Final = 200
# Errors in an answer of 200 that are Slack's fault, and pass.
_PASSING: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "ratelimited",
        "rate_limited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
# What urllib raises below the SDK: URLError, time-outs and resets are OSErrors.
_NETWORK_ERRORS: Final = (OSError, http.client.HTTPException)


@dataclass(frozen=True, kw_only=True)
class SlackParams:
    """How Slack's Web API is reached.

    Attributes:
        token: of a bot that is a member of the channel (`xoxb-...`, scope `chat:write`).
        channel: its id, or `#name`.
        api_url: Web API.
        timeout_s: for connecting and for each part of the answer.
        min_interval_s: between two messages.
    """

    token: str = field(repr=False)
    channel: str
    api_url: str = "https://slack.com/api/"
    timeout_s: int = 10
    min_interval_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SlackWebhookParams:
    """How an incoming webhook is reached; attributes as in `SlackParams`."""

    url: str = field(repr=False)
    timeout_s: int = 10
    min_interval_s: float = 1.0


class SlackChannel:
    """A channel that a bot posts to."""

    edits = False

    def __init__(self, params: SlackParams) -> None:
        quiet_libraries()
        self.name = f"slack:{params.channel}"
        self.min_interval_s = params.min_interval_s
        self._channel = params.channel
        self._redact = Redactor(params.token)
        self._client = WebClient(
            token=params.token, base_url=params.api_url, timeout=params.timeout_s, retry_handlers=[]
        )

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - no threads yet
        """Post a message; returns its timestamp, which is its id within the channel."""
        return await asyncio.to_thread(self._post, notification)

    async def close(self) -> None:
        """Release nothing: each request has its own connection."""

    def _post(self, notification: Notification) -> str:
        try:
            response = self._client.chat_postMessage(
                channel=self._channel,
                text=slack_text(notification),
                blocks=slack_blocks(notification),
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as error:
            answer = error.response
            code = answer.get("error") or f"HTTP {answer.status_code}"
            detail = clean(self._redact(str(code)), _DETAIL)
            raise _failure(self.name, answer.status_code, detail, answer.headers) from None
        except json.JSONDecodeError:
            raise DeliveryRetriableError(self.name, detail="the answer is no JSON") from None
        except _NETWORK_ERRORS as error:
            raise DeliveryRetriableError(self.name, detail=self._redact(_named(error))) from None
        return str(response.get("ts", ""))


class SlackWebhook:
    """An incoming webhook: knows its channel itself, and gives no reference to the message."""

    name = WEBHOOK
    edits = False

    def __init__(self, params: SlackWebhookParams) -> None:
        quiet_libraries()
        self.min_interval_s = params.min_interval_s
        self._redact = Redactor(params.url)
        self._client = WebhookClient(params.url, timeout=params.timeout_s, retry_handlers=[])

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - no threads yet
        """Post a message; returns an empty reference."""
        return await asyncio.to_thread(self._post, notification)

    async def close(self) -> None:
        """Release nothing: each request has its own connection."""

    def _post(self, notification: Notification) -> str:
        try:
            response = self._client.send(
                text=slack_text(notification),
                blocks=slack_blocks(notification),
                unfurl_links=False,
                unfurl_media=False,
            )
        except _NETWORK_ERRORS as error:
            raise DeliveryRetriableError(self.name, detail=self._redact(_named(error))) from None
        if response.status_code != http.client.OK:
            detail = clean(self._redact(response.body), _DETAIL) or f"HTTP {response.status_code}"
            raise _failure(self.name, response.status_code, detail, response.headers)
        if response.body.strip() != "ok":
            raise DeliveryRetriableError(self.name, detail="somebody else than Slack answered")
        return ""


def _failure(channel: str, status: int, detail: str, headers: Mapping[str, str]) -> DeliveryError:
    if status == _TOO_MANY_REQUESTS or detail in {"ratelimited", "rate_limited"}:
        return DeliveryRetriableError(
            channel, detail=f"asked to wait ({status})", retry_after_s=_retry_after_s(headers)
        )
    # An answer that is no JSON reaches us as an "error" of many words: something between us and Slack spoke.
    is_slacks_word = detail.replace("_", "").isalnum()
    if status >= _SERVER_FAULT or detail in _PASSING or (status == http.client.OK and not is_slacks_word):
        return DeliveryRetriableError(channel, detail=f"{detail} ({status})")
    return DeliveryRefusedError(channel, detail=f"{detail} ({status})")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after" and str(value).isdecimal():
            return float(value)
    return None


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
