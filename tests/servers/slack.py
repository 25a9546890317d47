"""A stand-in for Slack: messages, updates, threads, files, Socket Mode, webhooks, with limits and errors.

    with SlackServer(channels=["#alerts"]) as slack:
        ...  # SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token, SLACK_WEBHOOK_URL=slack.webhook_url
    assert slack.anomaly_ids("#alerts") == [...]

Source: https://docs.slack.dev (chat.postMessage, chat.update, files.getUploadURLExternal, Socket Mode,
verifying requests, incoming webhooks, rate limits, Block Kit reference).
"""

import hashlib
import hmac
import html
import json
import math
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from tests.servers.stand_in import Bucket, Reply, Request, StandIn, as_json

TOKEN = "xoxb-stand-in-token"
APP_TOKEN = "xapp-stand-in-token"
WEBHOOK_PATH = "/services/T00000000/B00000000/StandInStandInStandInStan"
WEBHOOK_CHANNEL = "webhook"

_METHODS = frozenset(
    {
        "chat.postMessage",
        "chat.postEphemeral",
        "chat.update",
        "files.getUploadURLExternal",
        "files.completeUploadExternal",
    }
)
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
        thread_ts: id of the message whose thread it is in; empty when it is in none.
        is_broadcast: whether the channel sees an answer in a thread too.
    """

    channel: str
    ts: str
    text: str
    blocks: Sequence[dict[str, Any]]
    time_us: int
    thread_ts: str = ""
    is_broadcast: bool = False


@dataclass(frozen=True, kw_only=True)
class SlackFile:
    """A file in a thread."""

    name: str
    content: bytes
    channel: str
    thread_ts: str


class SlackServer(StandIn):
    """Behaves like Slack's Web API and incoming webhooks.

    Args:
        token: the one that is accepted.
        channels: those that exist; None for any.
        limits: of messages.
        clock: by which limits are kept.

    Attributes:
        messages: what was accepted, in order, as it was at first.
        updates: versions of messages that came later, in order.
        whispers: user and text of messages that one user sees.
        files: what was uploaded.
        acknowledged: ids of envelopes that a client of Socket Mode has acknowledged.
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
        self.updates: list[SlackMessage] = []
        self.whispers: list[tuple[str, str]] = []
        self.files: list[SlackFile] = []
        self.acknowledged: list[str] = []
        self._deleted: set[str] = set()
        self._uploads: dict[str, tuple[str, bytes]] = {}
        self._ids: dict[str, str] = {}
        self._socket: SocketServer | None = None
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

    def id_of(self, channel: str) -> str:
        """Return the id of a channel, whatever it is named by."""
        if channel.startswith("C0"):
            return channel
        return self._ids.setdefault(channel, f"C0{len(self._ids):09d}")

    def delete(self, ts: str) -> None:
        """Let somebody delete a message."""
        with self.lock:
            self._deleted.add(ts)

    def shown_now(self, ts: str) -> SlackMessage:
        """Return the latest version of a message."""
        with self.lock:
            return [m for m in (*self.messages, *self.updates) if m.ts == ts][-1]

    def pressed(self, message: SlackMessage, label: str, *, user: str = "alice") -> dict[str, object]:
        """Return the payload that Slack sends when a button of a message is pressed."""
        now = self.shown_now(message.ts)
        elements = [e for block in now.blocks if block["type"] == "actions" for e in block["elements"]]
        (button,) = [element for element in elements if element["text"]["text"] == label]
        channel_id = self.id_of(message.channel)
        return {
            "type": "block_actions",
            "user": {"id": f"U0{user}", "username": user},
            "channel": {"id": channel_id, "name": message.channel.removeprefix("#")},
            "container": {"type": "message", "message_ts": message.ts, "channel_id": channel_id},
            "actions": [
                {
                    "type": "button",
                    "action_id": button["action_id"],
                    "value": button["value"],
                    "action_ts": f"{self.clock.now_us() / MICROSECONDS_PER_SECOND:.6f}",
                }
            ],
        }

    def typed(self, channel: str, text: str, *, user: str = "alice") -> dict[str, object]:
        """Return the payload of a slash command."""
        return {
            "command": "/tapewatch",
            "text": text,
            "user_id": f"U0{user}",
            "user_name": user,
            "channel_id": self.id_of(channel),
            "channel_name": channel.removeprefix("#"),
            "trigger_id": f"{self.clock.now_us()}.{len(self.whispers)}",
        }

    def open_socket(self) -> "SocketServer":
        """Offer Socket Mode; returns what sends payloads. Close it."""
        self._socket = SocketServer(self.acknowledged)
        return self._socket

    def aside(self, request: Request) -> Reply | None:
        """Answer what is no message: where Socket Mode is."""
        if request.path != "/api/apps.connections.open":
            return None
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != APP_TOKEN or self._socket is None:
            return as_json(200, {"ok": False, "error": "invalid_auth"})
        return as_json(200, {"ok": True, "url": self._socket.url})

    def answer(self, request: Request) -> Reply:
        """Answer as Slack does."""
        if request.path.startswith("/services/"):
            return self._webhook(request)
        if request.path.startswith("/upload/"):
            self._uploads[request.path] = (self._uploads[request.path][0], request.body)
            return _text(200, "OK")
        return self._method(request)

    def _method(self, request: Request) -> Reply:
        message = _parameters(request)
        method = request.path.removeprefix("/api/")
        channel = str(message.get("channel", message.get("channel_id", "")))
        if fault := self._access_fault(request, channel):
            return as_json(200, {"ok": False, "error": fault})
        match method:
            case "chat.postEphemeral":
                self.whispers.append((message["user"], message["text"]))
                return as_json(200, {"ok": True})
            case "chat.update":
                return self._update(message)
            case "files.getUploadURLExternal" | "files.completeUploadExternal":
                return self._file(method, message)
        return self._post_message(channel, message)

    def _post_message(self, channel: str, message: dict[str, Any]) -> Reply:
        if fault := _message_fault(message):
            return as_json(200, {"ok": False, "error": fault})
        if wait_s := self._wait_s(self.id_of(channel)):
            return self.rate_limited(wait_s)
        accepted = self._accept(channel, message)
        return as_json(
            200, {"ok": True, "channel": self.id_of(channel), "ts": accepted.ts, "message": message}
        )

    def _update(self, message: dict[str, Any]) -> Reply:
        channel, ts = str(message["channel"]), str(message["ts"])
        if not channel.startswith("C0"):
            # Unlike postMessage, it takes ids only.
            return as_json(200, {"ok": False, "error": "channel_not_found"})
        if fault := _message_fault(message):
            return as_json(200, {"ok": False, "error": fault})
        known = [m for m in self.messages if m.ts == ts]
        if not known or ts in self._deleted:
            return as_json(200, {"ok": False, "error": "message_not_found"})
        if wait_s := self._wait_s(f"update:{channel}"):
            return self.rate_limited(wait_s)
        self.updates.append(replace(known[0], text=message.get("text", ""), blocks=message.get("blocks", ())))
        return as_json(200, {"ok": True, "channel": channel, "ts": ts})

    def _file(self, method: str, message: dict[str, Any]) -> Reply:
        if method == "files.getUploadURLExternal":
            path = f"/upload/{len(self._uploads)}"
            self._uploads[path] = (str(message["filename"]), b"")
            return as_json(200, {"ok": True, "upload_url": f"{self.origin}{path}", "file_id": path})
        files = message["files"]
        for file in json.loads(files) if isinstance(files, str) else files:
            name, content = self._uploads[file["id"]]
            self.files.append(
                SlackFile(
                    name=name,
                    content=content,
                    channel=str(message["channel_id"]),
                    thread_ts=str(message.get("thread_ts", "")),
                )
            )
        return as_json(200, {"ok": True, "files": []})

    def place(self, request: Request) -> str:
        """Return the method and the channel: each method has its own limit there."""
        if not request.path.startswith("/api/chat."):
            return request.path
        return f"{request.path} {self.id_of(str(_parameters(request).get('channel', '')))}"

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        body = {"ok": False, "error": "ratelimited"}
        return as_json(429, body, {"Retry-After": str(retry_after_s)})

    def _access_fault(self, request: Request, channel: str) -> str:
        """Return Slack's word for why a caller may not post there, or nothing."""
        method = request.path.removeprefix("/api/")
        if method not in _METHODS:
            return "unknown_method"
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            return "not_authed"
        if given != self.token or self.is_token_revoked:
            return "invalid_auth"
        if method == "files.getUploadURLExternal":
            return ""
        names = {channel, *(name for name, known in self._ids.items() if known == channel)}
        is_known = bool(channel) and (self._channels is None or not names.isdisjoint(self._channels))
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
        names = [name for name, known in self._ids.items() if known == channel]
        accepted = SlackMessage(
            channel=next(iter(names), channel),
            ts=ts,
            text=message.get("text", ""),
            blocks=message.get("blocks", ()),
            time_us=now_us,
            thread_ts=str(message.get("thread_ts", "")),
            is_broadcast=str(message.get("reply_broadcast", "")).lower() in {"1", "true"},
        )
        self.messages.append(accepted)
        return accepted


class SocketServer:
    """Slack's end of Socket Mode: sends payloads in envelopes, and hears that they were taken.

    Args:
        acknowledged: where ids of envelopes go that a client has acknowledged.
    """

    def __init__(self, acknowledged: list[str]) -> None:
        self._acknowledged = acknowledged
        self._connections: list[ServerConnection] = []
        self._sent = 0
        # slack-sdk's client answers no close frame, so waiting for one is in vain.
        self._server = serve(self._serve, "127.0.0.1", 0, close_timeout=0.1)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a client connects."""
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/link/?ticket=stand-in"

    @property
    def is_connected(self) -> bool:
        """Whether a client is there."""
        return bool(self._connections)

    def send(self, kind: str, payload: dict[str, object]) -> str:
        """Send a payload to the latest client; return the envelope's id."""
        self._sent += 1
        envelope = {"envelope_id": f"e{self._sent}", "type": kind, "payload": payload}
        self._connections[-1].send(json.dumps(envelope))
        return f"e{self._sent}"

    def drop(self) -> None:
        """Cut the connections, as Slack does every few hours."""
        dropped, self._connections[:] = list(self._connections), []
        for connection in dropped:
            with suppress(ConnectionClosed):
                connection.close()

    def close(self) -> None:
        """End it."""
        self.drop()
        self._server.shutdown()
        self._thread.join()

    def _serve(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello", "num_connections": 1}))
        self._connections.append(connection)
        with suppress(ConnectionClosed):
            for received in connection:
                self._acknowledged.append(json.loads(received)["envelope_id"])
        if connection in self._connections:
            self._connections.remove(connection)


def signed(payload: dict[str, object], *, secret: str, timestamp_s: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request to an endpoint, as Slack makes it."""
    if payload.get("type") == "block_actions":
        form = urlencode({"payload": json.dumps(payload)})
    else:
        form = urlencode({name: str(value) for name, value in payload.items()})
    base = f"v0:{timestamp_s}:{form}".encode()
    headers = {
        "X-Slack-Request-Timestamp": str(timestamp_s),
        "X-Slack-Signature": "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return form.encode(), headers


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
        case {"type": "actions", "elements": [*elements]}:
            values = [(len(e["text"]["text"]), len(e["value"]), e["action_id"]) for e in elements]
            names = {name for _, _, name in values}
            is_sound = all(
                1 <= label <= 75 and value <= 2_000 and len(name) <= 255 for label, value, name in values
            )
            return not (1 <= len(elements) <= 25 and len(names) == len(elements) and is_sound)
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
