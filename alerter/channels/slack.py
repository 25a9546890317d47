"""Slack, through slack-sdk: a bot's token and a channel, or an incoming webhook.

The synchronous clients run in a thread, as the asynchronous ones need aiohttp. The SDK's retry handlers (by
default one for broken connections, and none for 429) are left out here on purpose: they sleep inside the
call, where no stop reaches them, count no attempt, and forget in a restart. Every answer comes back as one
error with its `Retry-After`, and the outbox does the waiting. Where nothing is in the outbox
(`alerter/inbound/slack.py`) they are used.
"""

import asyncio
import http.client
import json
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from alerter.buttons import rows
from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.notification import Notification, NotificationEvent
from alerter.render import SlackBlock, clean, slack_blocks, slack_escaped, slack_reply_blocks, slack_text
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRefusedError, DeliveryRetriableError

WEBHOOK: Final = "slack-webhook"
# The beginning of the names of our buttons.
ACTION: Final = "tapewatch_"

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
# Errors that only a person can end: the token, the channel, or what the bot may do there.
_DEAD: Final = frozenset(
    {
        "access_denied",
        "account_inactive",
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_auth",
        "invalid_token",
        "is_archived",
        "missing_scope",
        "no_active_hooks",
        "no_permission",
        "no_service",
        "no_service_id",
        "no_team",
        "not_allowed_token_type",
        "not_authed",
        "not_in_channel",
        "org_login_required",
        "posting_to_general_channel_denied",
        "restricted_action",
        "team_disabled",
        "token_expired",
        "token_revoked",
    }
)
# The message that should be updated cannot be any more.
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_SEPARATOR: Final = "/"
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
        has_buttons: whether somebody reads what is pressed.
    """

    token: str = field(repr=False)
    channel: str
    api_url: str = "https://slack.com/api/"
    timeout_s: int = 10
    min_interval_s: float = 1.0
    has_buttons: bool = False


@dataclass(frozen=True, kw_only=True)
class SlackWebhookParams:
    """How an incoming webhook is reached; attributes as in `SlackParams`."""

    url: str = field(repr=False)
    timeout_s: int = 10
    min_interval_s: float = 1.0


class SlackChannel:
    """A bot's channel: one message per incident, kept up to date, and a thread of what rang."""

    edits = True

    def __init__(self, params: SlackParams) -> None:
        quiet_libraries()
        self.name = f"slack:{params.channel}"
        self.min_interval_s = params.min_interval_s
        self._channel = params.channel
        self._has_buttons = params.has_buttons
        self._redact = Redactor(params.token)
        self._client = WebClient(
            token=params.token, base_url=params.api_url, timeout=params.timeout_s, retry_handlers=[]
        )

    async def send(self, notification: Notification, *, thread_ref: str) -> str:
        """Post or update the incident's message; returns its channel's id and its timestamp: `C012/1700.01`.

        What rings while the message is already there becomes an update and an answer in its thread.
        """
        return await asyncio.to_thread(self._send, notification, thread_ref)

    async def tell(self, text: str) -> None:
        """Post a text."""
        await asyncio.to_thread(self._tell, text)

    async def close(self) -> None:
        """Release nothing: each request has its own connection."""

    def _send(self, notification: Notification, thread_ref: str) -> str:
        with self._translated():
            if not thread_ref:
                return self._post(notification)
            channel_id, _, ts = thread_ref.rpartition(_SEPARATOR)
            is_there = self._update(notification, channel_id, ts)
            if not notification.rings:
                return thread_ref
            if not is_there:
                # Somebody has deleted it, so what rings begins anew.
                return self._post(notification)
            self._client.chat_postMessage(
                channel=channel_id,
                thread_ts=ts,
                text=slack_text(notification),
                blocks=slack_reply_blocks(notification),
                # Whoever has not followed the thread hears of an escalation too.
                reply_broadcast=notification.event is NotificationEvent.ESCALATED,
                unfurl_links=False,
                unfurl_media=False,
            )
            return thread_ref

    def _post(self, notification: Notification) -> str:
        response = self._client.chat_postMessage(
            channel=self._channel,
            text=slack_text(notification),
            blocks=self._blocks(notification),
            unfurl_links=False,
            unfurl_media=False,
        )
        # Updates want the channel's id, whatever name it was posted to by.
        return f"{response.get('channel') or self._channel}{_SEPARATOR}{response.get('ts', '')}"

    def _update(self, notification: Notification, channel_id: str, ts: str) -> bool:
        """Bring a message up to date; return whether it is still there."""
        try:
            self._client.chat_update(
                channel=channel_id, ts=ts, text=slack_text(notification), blocks=self._blocks(notification)
            )
        except SlackApiError as error:
            if error.response.get("error") in _GONE:
                return False
            raise
        return True

    def _tell(self, text: str) -> None:
        with self._translated():
            self._client.chat_postMessage(
                channel=self._channel, text=slack_escaped(text), unfurl_links=False, unfurl_media=False
            )

    def _blocks(self, notification: Notification) -> list[SlackBlock]:
        blocks = slack_blocks(notification)
        return [*blocks, slack_actions(notification)] if self._has_buttons else blocks

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except SlackApiError as error:
            answer = error.response
            code = answer.get("error") or f"HTTP {answer.status_code}"
            detail = clean(self._redact(str(code)), _DETAIL)
            raise _failure(self.name, answer.status_code, detail, answer.headers) from None
        except json.JSONDecodeError:
            raise DeliveryRetriableError(self.name, detail="the answer is no JSON") from None
        except _NETWORK_ERRORS as error:
            raise _unanswered(self.name, self._redact(_named(error)), error) from None


class SlackWebhook:
    """An incoming webhook: knows its channel itself, and gives no reference to the message."""

    name = WEBHOOK
    edits = False

    def __init__(self, params: SlackWebhookParams) -> None:
        quiet_libraries()
        self.min_interval_s = params.min_interval_s
        self._redact = Redactor(params.url)
        self._client = WebhookClient(params.url, timeout=params.timeout_s, retry_handlers=[])

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - no threads
        """Post a message; returns an empty reference."""
        await asyncio.to_thread(self._post, slack_text(notification), slack_blocks(notification))
        return ""

    async def tell(self, text: str) -> None:
        """Post a text."""
        await asyncio.to_thread(self._post, slack_escaped(text), None)

    async def close(self) -> None:
        """Release nothing: each request has its own connection."""

    def _post(self, text: str, blocks: list[SlackBlock] | None) -> None:
        try:
            response = self._client.send(text=text, blocks=blocks, unfurl_links=False, unfurl_media=False)
        except _NETWORK_ERRORS as error:
            raise _unanswered(self.name, self._redact(_named(error)), error) from None
        if response.status_code != http.client.OK:
            detail = clean(self._redact(response.body), _DETAIL) or f"HTTP {response.status_code}"
            raise _failure(self.name, response.status_code, detail, response.headers)
        if response.body.strip() != "ok":
            raise DeliveryRetriableError(self.name, detail="somebody else than Slack answered")


def slack_actions(notification: Notification) -> SlackBlock:
    """Return the buttons under a message."""
    buttons = [button for row in rows(notification) for button in row]
    return {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                # Within one block these must differ.
                "action_id": f"{ACTION}{number}",
                "text": {"type": "plain_text", "text": button.label},
                "value": button.press.data,
            }
            for number, button in enumerate(buttons)
        ],
    }


def _failure(channel: str, status: int, detail: str, headers: Mapping[str, str]) -> DeliveryError:
    if status == _TOO_MANY_REQUESTS or detail in {"ratelimited", "rate_limited"}:
        return DeliveryRetriableError(
            channel, detail=f"asked to wait ({status})", retry_after_s=_retry_after_s(headers)
        )
    # An answer that is no JSON reaches us as an "error" of many words: something between us and Slack spoke.
    is_slacks_word = detail.replace("_", "").isalnum()
    if status >= _SERVER_FAULT or detail in _PASSING or (status == http.client.OK and not is_slacks_word):
        return DeliveryRetriableError(channel, detail=f"{detail} ({status})")
    is_dead = detail in _DEAD or status in {401, 403, 404, 410}
    refused = ChannelDeadError if is_dead else DeliveryRefusedError
    return refused(channel, detail=f"{detail} ({status})")


def _unanswered(channel: str, detail: str, error: Exception) -> DeliveryRetriableError:
    # urllib wraps what fails before the request has left, and nothing after that.
    is_unsent = isinstance(error, urllib.error.URLError)
    return DeliveryRetriableError(channel, detail=detail, may_have_arrived=not is_unsent)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after" and str(value).isdecimal():
            return float(value)
    return None


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
