"""A stand-in for Telegram's Bot API: `sendMessage` with its checks, limits and errors.

    with TelegramServer(chats=["1001"]) as telegram:
        ...  # TELEGRAM_API_URL=telegram.url, TELEGRAM_BOT_TOKEN=telegram.token
    assert telegram.anomaly_ids("1001") == [...]

Source: https://core.telegram.org/bots/api (making requests, sendMessage, ResponseParameters, HTML style).
"""

import html
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from tests.servers.stand_in import Bucket, Reply, Request, StandIn, as_json

TOKEN = "123456789:AAStandInStandInStandInStandInStand"
_LONGEST = 4_096
_TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "blockquote"})
_TAG = re.compile(r"<(/?)([a-z]+)>")
_CODE = re.compile(r"<code>(.*?)</code>")


@dataclass(frozen=True, kw_only=True)
class TelegramLimits:
    """Messages per second; 0 for no limit."""

    per_chat: float = 1.0
    overall: float = 30.0


@dataclass(frozen=True, kw_only=True)
class TelegramMessage:
    """A message that was accepted.

    Attributes:
        chat_id: as the bot gave it.
        message_id: rising.
        html: as it was sent.
        text: as it is shown.
        time_us: when.
    """

    chat_id: str
    message_id: int
    html: str
    text: str
    time_us: int


class EntityError(ValueError):
    """A text is no well-formed HTML of Telegram's kind."""


class TelegramServer(StandIn):
    """Behaves like the Bot API.

    Args:
        token: the one that is accepted.
        chats: those that exist; None for any.
        limits: messages per second.
        clock: by which limits are kept.

    Attributes:
        messages: what was accepted, in order.
        refused: requests answered with 429 because of a limit.
        is_token_revoked: set it, and every request is answered with 401.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        chats: Iterable[str] | None = None,
        limits: TelegramLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self.token = token
        self.messages: list[TelegramMessage] = []
        self.refused = 0
        self.is_token_revoked = False
        self._chats = None if chats is None else set(chats)
        self._limits = limits or TelegramLimits()
        self._overall = _bucket(self._limits.overall, burst=self._limits.overall)
        self._per_chat: dict[str, Bucket | None] = {}

    @property
    def url(self) -> str:
        """What TELEGRAM_API_URL is set to."""
        return self.origin

    def remove_chat(self, chat_id: str) -> None:
        """Let a chat be unknown from now on."""
        with self.lock:
            assert self._chats is not None, "any chat exists"
            self._chats.discard(chat_id)

    def anomaly_ids(self, chat_id: str | None = None) -> list[str]:
        """Return what stands between <code> marks in the messages of one chat, or all, in order."""
        with self.lock:
            shown = [m for m in self.messages if chat_id in {None, m.chat_id}]
        return [html.unescape(found) for message in shown for found in _CODE.findall(message.html)]

    def answer(self, request: Request) -> Reply:
        """Answer as the Bot API does."""
        token, _, method = request.path.removeprefix("/bot").partition("/")
        if token != self.token or self.is_token_revoked:
            return _error(401, "Unauthorized")
        if method != "sendMessage":
            return _error(404, "Not Found")
        return self._send_message(_parameters(request))

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        description = f"Too Many Requests: retry after {retry_after_s}"
        return _error(429, description, parameters={"retry_after": retry_after_s})

    def _send_message(self, parameters: dict[str, str]) -> Reply:
        chat_id = parameters.get("chat_id", "")
        if not chat_id or (self._chats is not None and chat_id not in self._chats):
            return _error(400, "Bad Request: chat not found")
        source = parameters.get("text", "")
        try:
            text = shown(source) if parameters.get("parse_mode", "").upper() == "HTML" else source
        except EntityError as error:
            return _error(400, f"Bad Request: can't parse entities: {error}")
        if not text.strip():
            return _error(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > _LONGEST:
            return _error(400, "Bad Request: message is too long")
        if wait_s := self._wait_s(chat_id):
            self.refused += 1
            return self.rate_limited(max(1, math.ceil(wait_s)))
        return self._accept(chat_id, source, text)

    def _wait_s(self, chat_id: str) -> float:
        """Return how long this chat must wait; take from the limits when it need not."""
        if chat_id not in self._per_chat:
            self._per_chat[chat_id] = _bucket(self._limits.per_chat, burst=1)
        buckets = [bucket for bucket in (self._per_chat[chat_id], self._overall) if bucket is not None]
        wait_s = max((bucket.wait_s(self.clock.monotonic_s()) for bucket in buckets), default=0.0)
        if not wait_s:
            for bucket in buckets:
                bucket.take()
        return wait_s

    def _accept(self, chat_id: str, source: str, text: str) -> Reply:
        message = TelegramMessage(
            chat_id=chat_id,
            message_id=len(self.messages) + 1,
            html=source,
            text=text,
            time_us=self.clock.now_us(),
        )
        self.messages.append(message)
        chat: dict[str, object] = {"id": -1, "type": "channel", "title": chat_id}
        if chat_id.lstrip("-").isdecimal():
            is_group = chat_id.startswith("-")
            chat = {"id": int(chat_id), "type": "supergroup" if is_group else "private"}
        result = {
            "message_id": message.message_id,
            "date": message.time_us // MICROSECONDS_PER_SECOND,
            "chat": chat,
            "text": text,
        }
        return as_json(200, {"ok": True, "result": result})


def shown(source: str) -> str:
    """Return a text as Telegram shows it.

    Raises:
        EntityError: a tag is unknown, unmatched or malformed.
    """
    pieces, opened, position = [], [], 0
    while (start := source.find("<", position)) >= 0:
        pieces.append(source[position:start])
        tag = _TAG.match(source, start)
        if tag is None or tag[2] not in _TAGS:
            raise EntityError(f"unsupported start tag at byte offset {start}")
        if not tag[1]:
            opened.append(tag[2])
        elif not opened or opened.pop() != tag[2]:
            raise EntityError(f"unmatched end tag at byte offset {start}")
        position = tag.end()
    if opened:
        raise EntityError(f"can't find end tag corresponding to start tag {opened[-1]}")
    return html.unescape("".join([*pieces, source[position:]]))


def _bucket(per_s: float, *, burst: float) -> Bucket | None:
    return Bucket(per_s=per_s, burst=burst) if per_s else None


def _parameters(request: Request) -> dict[str, str]:
    if request.headers.get("Content-Type", "").startswith("application/json"):
        return {name: str(value) for name, value in json.loads(request.body).items()}
    return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}


def _error(status: int, description: str, *, parameters: dict[str, int] | None = None) -> Reply:
    body: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    return as_json(status, body if parameters is None else {**body, "parameters": parameters})
