"""Reads what people press and type on Slack, and answers: through Socket Mode, or at a signed endpoint.

Slack sends the same payloads both ways. Socket Mode needs no public address: slack-sdk's built-in client
holds the connection, and Slack gives each payload to one of the alerters that hold one. Slack wants a word
within three seconds, so it gets one at once, and the real answer follows through the Web API.

The signed endpoint is `alerter/inbound/endpoint.py`. Answers are not in the outbox, and somebody waits for
them: here the SDK's own retry handlers do what they can.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from alerter.buttons import Verb, pressed
from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.channels.slack import ACTION, SlackParams
from alerter.inbound.desk import Desk, Person
from alerter.render import clean, slack_escaped
from shared.errors import BrokerError, StoreUnavailableError
from shared.metrics import counter
from shared.stream.retry import Backoff

_DETAIL: Final = 200
_WORKERS: Final = 2
_LOOK_S: Final = 1.0
_NETWORK_ERRORS: Final = (OSError, SlackClientError, json.JSONDecodeError)
_NOBODY: Final = "You are not among those who may do that."
_log = structlog.get_logger()

Payload = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SlackInboundParams:
    """Who is listened to, and how answers are given.

    Attributes:
        slack: the bot and its channel; nobody elsewhere is listened to.
        users: ids of those in the channel who are; empty: everybody in it.
        app_token: for Socket Mode (`xapp-...`, scope `connections:write`); empty: no Socket Mode.
    """

    slack: SlackParams
    users: Sequence[str] = ()
    app_token: str = field(default="", repr=False)


class SlackAnswers:
    """Carries out what came from Slack, however it came, one after the other and off the caller's thread.

    Args:
        params: who is listened to.
        desk: carries out what is asked.
    """

    def __init__(self, params: SlackInboundParams, *, desk: Desk) -> None:
        quiet_libraries()
        self._channel = params.slack.channel.removeprefix("#")
        self._name = f"slack:{params.slack.channel}"
        self._users = frozenset(params.users)
        self._desk = desk
        self._redact = Redactor(params.slack.token)
        self._client = WebClient(
            token=params.slack.token,
            base_url=params.slack.api_url,
            timeout=params.slack.timeout_s,
            retry_handlers=[
                ConnectionErrorRetryHandler(max_retry_count=2),
                RateLimitErrorRetryHandler(max_retry_count=2),
                ServerErrorRetryHandler(max_retry_count=2),
            ],
        )
        self._error: BaseException | None = None
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="slack-answer")

    def take(self, payload: Payload) -> None:
        """Carry out a payload soon; returns at once, for Slack waits three seconds and no more."""
        self._workers.submit(self._answer, payload).add_done_callback(self._done)

    def check(self) -> None:
        """Raise what has gone wrong unexpectedly, if anything has."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Finish what was taken."""
        self._workers.shutdown(wait=True)

    def _done(self, answered: Future[None]) -> None:
        self._error = answered.exception() or self._error

    def _answer(self, payload: Payload) -> None:
        try:
            if payload.get("type") == "block_actions":
                self._on_press(payload)
            elif "command" in payload:
                self._on_words(payload)
        except (BrokerError, StoreUnavailableError) as error:
            _count("failed")
            _log.warning("command_failed", channel="slack", detail=str(error))
            self._whisper(
                payload, "That did not work, as the alerter cannot reach its broker or its store. Try again."
            )
        except _NETWORK_ERRORS as error:
            # What was asked for is done or not; only the answer is lost, and people see that they got none.
            _count("unanswered")
            _log.warning("answer_failed", channel="slack", detail=self._describe(error))

    def _on_press(self, payload: Payload) -> None:
        for action in payload.get("actions", ()):
            if not str(action.get("action_id", "")).startswith(ACTION):
                continue
            if not self._is_known(payload):
                self._whisper(payload, _NOBODY)
                continue
            press = pressed(str(action.get("value", "")))
            if press is None:
                self._whisper(payload, "This button is of another version.")
            elif press.verb is Verb.WHY:
                self._explain(payload, press.incident_id)
            else:
                container = payload.get("container", {})
                identity = f"{container.get('message_ts')}:{action.get('action_ts')}:{press.data}"
                self._desk.press(press, self._person(payload), press_id=identity)
                # The message itself will say it; nothing more is needed.
                _count("done")

    def _explain(self, payload: Payload, incident_id: str) -> None:
        container = payload["container"]
        channel, thread_ts = str(container["channel_id"]), str(container["message_ts"])
        explained = self._desk.why(incident_id)
        _count("done")
        if explained is None:
            self._whisper(payload, "Nothing is known of this alert any more.")
            return
        headline, *rest = explained.lines
        text = "\n".join([f"*{slack_escaped(headline.replace('*', ''))}*", *map(slack_escaped, rest)])
        self._client.chat_postMessage(
            channel=channel, thread_ts=thread_ts, text=text, unfurl_links=False, unfurl_media=False
        )
        if explained.picture is not None:
            self._client.files_upload_v2(
                channel=channel,
                thread_ts=thread_ts,
                content=explained.picture,
                filename="alert.png",
                title="The minutes around it",
                alt_txt=headline,
            )

    def _on_words(self, payload: Payload) -> None:
        if not self._is_known(payload):
            self._whisper(payload, _NOBODY)
            return
        # A trigger id is of one press of the return key.
        identity = str(payload.get("trigger_id", ""))
        answer = self._desk.say(str(payload.get("text", "")), self._person(payload), message_id=identity)
        _count("done")
        self._whisper(payload, answer)

    def _whisper(self, payload: Payload, text: str) -> None:
        """Say something that only the person sees who asked."""
        channel_id, user_id, _ = _where(payload)
        try:
            self._client.chat_postEphemeral(channel=channel_id, user=user_id, text=slack_escaped(text))
        except _NETWORK_ERRORS as error:
            _count("unanswered")
            _log.warning("answer_failed", channel="slack", detail=self._describe(error))

    def _is_known(self, payload: Payload) -> bool:
        channel_id, user_id, channel_name = _where(payload)
        is_known = self._channel in {channel_id, channel_name} and (not self._users or user_id in self._users)
        if not is_known:
            _count("refused")
            _log.warning("stranger_refused", channel="slack", channel_id=channel_id, user_id=user_id)
        return is_known

    def _person(self, payload: Payload) -> Person:
        user = payload.get("user")
        name = (
            user.get("username") or user.get("name")
            if isinstance(user, Mapping)
            else payload.get("user_name")
        )
        return Person(name=str(name or _where(payload)[1]), channel=self._name)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, SlackApiError):
            return clean(self._redact(str(error.response.get("error"))), _DETAIL)
        return clean(self._redact(f"{type(error).__name__}: {error}"), _DETAIL)


class SlackSocket:
    """Socket Mode: a connection to Slack through which payloads come.

    Args:
        params: with the app's token.
        answers: carries payloads out.
    """

    def __init__(self, params: SlackInboundParams, *, answers: SlackAnswers) -> None:
        quiet_libraries()
        self._answers = answers
        self._redact = Redactor(params.app_token)
        self._stopping = threading.Event()
        self._backoff = Backoff(longest_s=60.0)
        self._client = SocketModeClient(
            app_token=params.app_token,
            web_client=WebClient(base_url=params.slack.api_url, timeout=params.slack.timeout_s),
            # Reconnecting is done below, where a stop reaches it and a fault is told.
            auto_reconnect_enabled=False,
        )
        self._client.socket_mode_request_listeners.append(self._on_request)
        self._thread = threading.Thread(target=self._run, name="slack-socket")
        self.fault = ""

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._client.is_connected():
                self._backoff.reset()
                self._stopping.wait(_LOOK_S)
                continue
            try:
                # An address is good for one connection.
                self._client.wss_uri = None
                self._client.connect()
            except _NETWORK_ERRORS as error:
                detail = clean(self._redact(_words(error)), _DETAIL)
                wait_s = self._backoff.next_s()
                self.fault = f"listening to Slack: {detail}"
                _log.warning("socket_mode_failed", detail=detail, retry_in_s=round(wait_s, 2))
                self._stopping.wait(wait_s)
            else:
                self.fault = ""

    def _on_request(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type in {"interactive", "slash_commands"}:
            self._answers.take(request.payload)


def payload_of(form: str) -> Payload:
    """Return the payload of a request to the endpoint: buttons come as JSON in a form, commands as the form.

    Raises:
        ValueError: it is neither.
    """
    fields = {name: values[-1] for name, values in parse_qs(form, strict_parsing=True).items()}
    if "payload" not in fields:
        return fields
    payload = json.loads(fields["payload"])
    if not isinstance(payload, dict):
        raise ValueError("the payload is no object")  # noqa: TRY004 - what came from outside is a bad value
    return payload


def _where(payload: Payload) -> tuple[str, str, str]:
    """Return the channel's id, the user's id and the channel's name."""
    channel, user = payload.get("channel"), payload.get("user")
    if isinstance(channel, Mapping) and isinstance(user, Mapping):
        return str(channel.get("id", "")), str(user.get("id", "")), str(channel.get("name", ""))
    fields = (payload.get(name, "") for name in ("channel_id", "user_id", "channel_name"))
    channel_id, user_id, channel_name = map(str, fields)
    return channel_id, user_id, channel_name


def _words(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        return str(error.response.get("error"))
    return f"{type(error).__name__}: {error}"


def _count(outcome: str) -> None:
    counter("tapewatch_commands_total").labels(channel="slack", outcome=outcome).inc()
