"""A stand-in for Telegram's Bot API: messages, edits, pictures, buttons and updates, with limits and errors.

    with TelegramServer(chats=["1001"]) as telegram:
        ...  # TELEGRAM_API_URL=telegram.url, TELEGRAM_BOT_TOKEN=telegram.token
    assert telegram.anomaly_ids("1001") == [...]

    telegram.press("1001", 1, "Acknowledge", user="alice")

Source: https://core.telegram.org/bots/api (making requests, getting updates, sendMessage, editMessageText,
sendPhoto, answerCallbackQuery, ResponseParameters, HTML style).
"""

import html
import json
import math
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qs

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from tests.servers.stand_in import Bucket, Reply, Request, StandIn, as_json

TOKEN = "123456789:AAStandInStandInStandInStandInStand"
_LONGEST = 4_096
_LONGEST_CAPTION = 1_024
_LONGEST_DATA = 64
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
        buttons: label and data of each.
        reply_to: id of the message that it answers; 0 for none.
        photo: the picture; empty when there is none.
    """

    chat_id: str
    message_id: int
    html: str
    text: str
    time_us: int
    buttons: tuple[tuple[str, str], ...] = ()
    reply_to: int = 0
    photo: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Toast:
    """An answer to a pressed button."""

    query_id: str
    text: str
    is_alert: bool


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
        messages: what was accepted, in order, as it was at first.
        edits: versions of messages that came later, in order.
        toasts: answers to pressed buttons.
        polls: requests for updates.
        conflicts: of these, those that found another one waiting.
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
        self.edits: list[TelegramMessage] = []
        self.toasts: list[Toast] = []
        self.polls = 0
        self.conflicts = 0
        self._deleted: set[int] = set()
        self._updates: list[dict[str, object]] = []
        self._update_id = 1
        self._waiting = 0
        self._news = threading.Condition(self.lock)
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

    def shown_now(self, message_id: int) -> TelegramMessage:
        """Return the latest version of a message."""
        with self.lock:
            versions = [m for m in (*self.messages, *self.edits) if m.message_id == message_id]
        return versions[-1]

    def delete(self, message_id: int) -> None:
        """Let somebody delete a message."""
        with self.lock:
            self._deleted.add(message_id)

    def press(
        self, chat_id: str, message_id: int, label: str, *, user: str = "alice", user_id: int = 7
    ) -> str:
        """Press a button of a message by its label; return the id of the query."""
        buttons = dict(self.shown_now(message_id).buttons)
        return self.press_data(chat_id, message_id, buttons[label], user=user, user_id=user_id)

    def press_data(
        self, chat_id: str, message_id: int, data: str, *, user: str = "alice", user_id: int = 7
    ) -> str:
        """Press a button with any data; return the id of the query."""
        with self._news:
            query_id = f"q{self._update_id}"
            message = {"message_id": message_id, "date": self._date(), "chat": _chat(chat_id)}
            query = {
                "id": query_id,
                "from": _user(user, user_id),
                "chat_instance": "1",
                "data": data,
                "message": message,
            }
            self._add({"callback_query": query})
        return query_id

    def say(self, chat_id: str, text: str, *, user: str = "alice", user_id: int = 7, age_s: int = 0) -> None:
        """Let somebody write a message."""
        with self._news:
            command = {"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}
            message = {
                "message_id": 10_000 + self._update_id,
                "date": self._date() - age_s,
                "chat": _chat(chat_id),
                "from": _user(user, user_id),
                "text": text,
                "entities": [command],
            }
            self._add({"message": message})

    def aside(self, request: Request) -> Reply | None:
        """Answer what is no message: who the bot is, and what is new."""
        token, _, method = request.path.removeprefix("/bot").partition("/")
        if token != self.token or self.is_token_revoked:
            return None
        if method == "getMe":
            me = {"id": 1, "is_bot": True, "first_name": "Tape", "username": "tape_bot"}
            return as_json(200, {"ok": True, "result": me})
        if method == "setMyCommands":
            return as_json(200, {"ok": True, "result": True})
        return self._get_updates(_parameters(request)) if method == "getUpdates" else None

    def answer(self, request: Request) -> Reply:
        """Answer as the Bot API does."""
        token, _, method = request.path.removeprefix("/bot").partition("/")
        if token != self.token or self.is_token_revoked:
            return _error(401, "Unauthorized")
        parameters = _parameters(request)
        match method:
            case "sendMessage" | "sendPhoto":
                return self._send(parameters, _photo(request))
            case "editMessageText":
                return self._edit(parameters)
            case "answerCallbackQuery":
                toast = Toast(
                    query_id=parameters["callback_query_id"],
                    text=parameters.get("text", ""),
                    is_alert=parameters.get("show_alert", "false").lower() == "true",
                )
                self.toasts.append(toast)
                return as_json(200, {"ok": True, "result": True})
        return _error(404, "Not Found")

    def place(self, request: Request) -> str:
        """Return the chat."""
        return _parameters(request).get("chat_id", "")

    def rate_limited(self, retry_after_s: int) -> Reply:
        """Ask to wait."""
        description = f"Too Many Requests: retry after {retry_after_s}"
        return _error(429, description, parameters={"retry_after": retry_after_s})

    def _send(self, parameters: dict[str, str], photo: bytes) -> Reply:
        chat_id = parameters.get("chat_id", "")
        name, longest = ("caption", _LONGEST_CAPTION) if photo else ("text", _LONGEST)
        source = parameters.get(name, "")
        if (fault := self._fault(chat_id, parameters, source, longest)) is not None:
            return fault
        return self._accept(chat_id, parameters, source, photo)

    def _fault(self, chat_id: str, parameters: dict[str, str], source: str, longest: int) -> Reply | None:
        if words := self._refusal(chat_id, parameters, source, longest):
            return _error(400, f"Bad Request: {words}")
        if wait_s := self._wait_s(chat_id):
            self.refused += 1
            return self.rate_limited(max(1, math.ceil(wait_s)))
        return None

    def _refusal(self, chat_id: str, parameters: dict[str, str], source: str, longest: int) -> str:
        """Return Telegram's words for what is wrong with a message, or nothing."""
        if not chat_id or (self._chats is not None and chat_id not in self._chats):
            return "chat not found"
        try:
            text = _as_shown(parameters, source)
        except EntityError as error:
            return f"can't parse entities: {error}"
        if not text.strip():
            return "message text is empty"
        if len(text.encode("utf-16-le")) // 2 > longest:
            return "message is too long"
        is_bad = any(not 1 <= len(data.encode()) <= _LONGEST_DATA for _, data in _buttons(parameters))
        return "BUTTON_DATA_INVALID" if is_bad else ""

    def _edit(self, parameters: dict[str, str]) -> Reply:
        chat_id, source = parameters.get("chat_id", ""), parameters.get("text", "")
        if (fault := self._fault(chat_id, parameters, source, _LONGEST)) is not None:
            return fault
        message_id = int(parameters["message_id"])
        known = [m for m in self.messages if m.message_id == message_id and m.chat_id == chat_id]
        if not known or message_id in self._deleted:
            return _error(400, "Bad Request: message to edit not found")
        before = self.shown_now(message_id)
        buttons = _buttons(parameters)
        if (before.html, before.buttons) == (source, buttons):
            return _error(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message",
            )
        edited = replace(before, html=source, text=_as_shown(parameters, source), buttons=buttons)
        self.edits.append(edited)
        return self._result(edited)

    def _get_updates(self, parameters: dict[str, str]) -> Reply:
        offset, patience_s = int(parameters.get("offset", "0")), int(parameters.get("timeout", "0"))
        with self._news:
            self.polls += 1
            if self._waiting:
                self.conflicts += 1
                return _error(409, "Conflict: terminated by other getUpdates request")
            self._waiting += 1
            # What lies before the offset is confirmed, and gone.
            self._updates = [u for u in self._updates if int(str(u["update_id"])) >= offset]
            deadline_s = time.monotonic() + patience_s
            while not self._updates and not self.is_released and time.monotonic() < deadline_s:
                self._news.wait(0.05)
            self._waiting -= 1
            return as_json(200, {"ok": True, "result": list(self._updates)})

    def _add(self, update: dict[str, object]) -> None:
        self._updates.append({"update_id": self._update_id, **update})
        self._update_id += 1
        self._news.notify_all()

    def _date(self) -> int:
        return self.clock.now_us() // MICROSECONDS_PER_SECOND

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

    def _accept(self, chat_id: str, parameters: dict[str, str], source: str, photo: bytes) -> Reply:
        reply = json.loads(parameters.get("reply_parameters", "{}"))
        message = TelegramMessage(
            chat_id=chat_id,
            message_id=len(self.messages) + 1,
            html=source,
            text=_as_shown(parameters, source),
            time_us=self.clock.now_us(),
            buttons=_buttons(parameters),
            reply_to=int(reply.get("message_id", 0)),
            photo=photo,
        )
        self.messages.append(message)
        return self._result(message)

    def _result(self, message: TelegramMessage) -> Reply:
        result = {
            "message_id": message.message_id,
            "date": message.time_us // MICROSECONDS_PER_SECOND,
            "chat": _chat(message.chat_id),
            "text": message.text,
        }
        return as_json(200, {"ok": True, "result": result})


def _chat(chat_id: str) -> dict[str, object]:
    if not chat_id.lstrip("-").isdecimal():
        return {"id": -1, "type": "channel", "title": chat_id, "username": chat_id.removeprefix("@")}
    return {"id": int(chat_id), "type": "supergroup" if chat_id.startswith("-") else "private"}


def _user(name: str, user_id: int) -> dict[str, object]:
    return {"id": user_id, "is_bot": False, "first_name": name.title(), "username": name}


def _as_shown(parameters: dict[str, str], source: str) -> str:
    return shown(source) if parameters.get("parse_mode", "").upper() == "HTML" else source


def _buttons(parameters: dict[str, str]) -> tuple[tuple[str, str], ...]:
    rows = json.loads(parameters.get("reply_markup", "{}")).get("inline_keyboard", [])
    return tuple((button["text"], button["callback_data"]) for row in rows for button in row)


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
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("application/json"):
        return {name: str(value) for name, value in json.loads(request.body).items()}
    if kind.startswith("multipart/form-data"):
        return {name: value.decode() for name, value in _parts(request).items() if name != "photo"}
    return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}


def _parts(request: Request) -> dict[str, bytes]:
    """Return the parts of a multipart form by name; a file that is named by reference under that name."""
    headers = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(headers + request.body)
    parts = {}
    for part in form.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts[str(part.get_param("name", header="content-disposition"))] = content
    return parts


def _photo(request: Request) -> bytes:
    if not request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return b""
    parts = _parts(request)
    reference = parts.get("photo", b"").decode(errors="replace")
    return parts.get(reference.removeprefix("attach://"), parts.get("photo", b""))


def _error(status: int, description: str, *, parameters: dict[str, int] | None = None) -> Reply:
    body: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    return as_json(status, body if parameters is None else {**body, "parameters": parameters})
