"""Telegram, through python-telegram-bot.

Its `AIORateLimiter` keeps the limits of the whole bot (30 a second) and of groups (20 a minute). What it
leaves out is done around it: one message a second per chat is `min_interval_s`, which the sender keeps. So it
does for groups, for which the limiter would wait within a call, longer than an attempt may take. An answer of
429 is raised as it comes and becomes the outbox's waiting time for this one chat: left alone, the limiter
would hold back every chat, forget the wait in a restart, and log each answer as an error.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import httpx
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import FloodLimit, ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

from alerter.buttons import rows
from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.notification import Notification
from alerter.render import clean, telegram_html, telegram_reply_html
from shared.errors import ChannelDeadError, DeliveryRefusedError, DeliveryRetriableError

# The library warns on every 429 unless told that we know: waiting times become `timedelta`.
os.environ.setdefault("PTB_TIMEDELTA", "true")

# The service's words, lower case; its errors have no codes that say more than 400.
_NOT_MODIFIED: Final = "message is not modified"
_GONE: Final = ("message to edit not found", "message can't be edited", "message_id_invalid")
_NO_CHAT: Final = ("chat not found", "not enough rights", "have no rights", "need administrator rights")
# Errors below the library before a request has left.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)
_CONNECTIONS: Final = 16
_MINUTE_S: Final = 60.0
_DETAIL: Final = 200


@dataclass(frozen=True, kw_only=True)
class TelegramParams:
    """How Telegram is reached.

    Attributes:
        token: from @BotFather.
        api_url: Bot API server, without `/bot`.
        timeout_s: for connecting, for sending and for the answer, each.
        min_interval_s: between two messages to one chat.
        per_second: messages of the whole bot; 0 for no limit.
        per_minute_and_group: messages to one group or channel; 0 for no limit.
        has_buttons: whether somebody reads what is pressed.
    """

    token: str = field(repr=False)
    api_url: str = "https://api.telegram.org"
    timeout_s: float = 5.0
    min_interval_s: float = 1.0
    per_second: int = FloodLimit.MESSAGES_PER_SECOND
    per_minute_and_group: int = FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP
    has_buttons: bool = False


class _AskedToWaitError(Exception):
    """A 429 on its way past the rate limiter, which would act on `RetryAfter`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class _RateLimiter(AIORateLimiter):
    """The library's limiter, except that a 429 is left to the sender."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the library's signature, here and below
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:  # noqa: ANN401
        """Make one request within the limits."""

        async def attempt(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                raise _AskedToWaitError(seconds(error.retry_after)) from None

        return await super().process_request(attempt, args, kwargs, endpoint, data, rate_limit_args)


class TelegramBot:
    """One bot, shared by its chats."""

    def __init__(self, params: TelegramParams) -> None:
        quiet_libraries()
        self.params = params
        self.redact = Redactor(params.token)
        self._requests = [http_request(params.timeout_s), http_request(params.timeout_s)]
        sending, polling = self._requests
        self.api: ExtBot[Any] = ExtBot(
            token=params.token,
            base_url=f"{params.api_url.rstrip('/')}/bot",
            request=sending,
            # Never used here (`alerter/inbound/telegram.py` reads); left out, it would be made anyway.
            get_updates_request=polling,
            rate_limiter=_RateLimiter(
                overall_max_rate=params.per_second, group_max_rate=params.per_minute_and_group
            ),
        )

    async def close(self) -> None:
        """Close its connections."""
        for request in self._requests:
            await request.shutdown()


class TelegramChat:
    """One chat of a bot: one message per incident, edited as it grows, with answers to it that ring.

    Args:
        bot: which sends.
        chat_id: number, or `@name` of a channel. Name one chat in one way only: the limits of both are
            counted apart.
    """

    edits = True

    def __init__(self, bot: TelegramBot, *, chat_id: str) -> None:
        self.name = f"telegram:{chat_id}"
        self._bot = bot
        self._chat_id = chat_id
        # A private chat has a positive number; groups and channels have a limit of their own.
        a_minute = 0 if chat_id.isdecimal() else bot.params.per_minute_and_group
        self._latest_s: deque[float] = deque(maxlen=a_minute)

    @property
    def min_interval_s(self) -> float:
        """Least time until the next message: longer once a group has had as many as it takes in a minute."""
        base_s = self._bot.params.min_interval_s
        if not self._latest_s or len(self._latest_s) < (self._latest_s.maxlen or 0):
            return base_s
        return max(base_s, self._latest_s[0] + _MINUTE_S - self._latest_s[-1])

    async def send(self, notification: Notification, *, thread_ref: str) -> str:
        """Send or edit the incident's message; returns its id.

        What rings while the message is already there becomes an edit and a short answer to it. An answer may
        come twice when the service's word about it is lost; an edit may not.
        """
        with self._translated():
            if not thread_ref:
                return await self._post(notification)
            is_there = await self._edit(notification, int(thread_ref))
            if not notification.rings:
                return thread_ref
            # An edit counts like a message, and a chat takes one a second.
            await asyncio.sleep(self._bot.params.min_interval_s)
            if not is_there:
                # Somebody has deleted it, so what rings begins anew.
                return await self._post(notification)
            self._count()
            await self._bot.api.send_message(
                chat_id=self._chat_id,
                text=telegram_reply_html(notification),
                parse_mode=ParseMode.HTML,
                link_preview_options=_NO_PREVIEW,
                reply_parameters=ReplyParameters(int(thread_ref), allow_sending_without_reply=True),
            )
            return thread_ref

    async def tell(self, text: str) -> None:
        """Send a text."""
        with self._translated():
            self._count()
            await self._bot.api.send_message(
                chat_id=self._chat_id, text=clean(text, _DETAIL * 4), link_preview_options=_NO_PREVIEW
            )

    async def close(self) -> None:
        """Close the bot's connections."""
        await self._bot.close()

    def _count(self) -> None:
        self._latest_s.append(asyncio.get_running_loop().time())

    async def _post(self, notification: Notification) -> str:
        self._count()
        message = await self._bot.api.send_message(
            chat_id=self._chat_id,
            text=telegram_html(notification),
            parse_mode=ParseMode.HTML,
            link_preview_options=_NO_PREVIEW,
            reply_markup=self._keyboard(notification),
        )
        return str(message.message_id)

    async def _edit(self, notification: Notification, message_id: int) -> bool:
        """Bring a message up to date; return whether it is still there."""
        self._count()
        try:
            await self._bot.api.edit_message_text(
                chat_id=self._chat_id,
                message_id=message_id,
                text=telegram_html(notification),
                parse_mode=ParseMode.HTML,
                link_preview_options=_NO_PREVIEW,
                reply_markup=self._keyboard(notification),
            )
        except BadRequest as error:
            words = error.message.lower()
            if _NOT_MODIFIED in words:
                return True
            if any(gone in words for gone in _GONE):
                return False
            raise
        return True

    def _keyboard(self, notification: Notification) -> InlineKeyboardMarkup | None:
        if not self._bot.params.has_buttons:
            return None
        return InlineKeyboardMarkup(
            [
                [InlineKeyboardButton(button.label, callback_data=button.press.data) for button in row]
                for row in rows(notification)
            ]
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except _AskedToWaitError as error:
            raise DeliveryRetriableError(
                self.name, detail="asked to wait (429)", retry_after_s=error.retry_after_s
            ) from None
        except ChatMigrated as error:
            detail = f"the group is {error.new_chat_id} now: write that into TELEGRAM_CHAT_IDS"
            raise ChannelDeadError(self.name, detail=detail) from None
        except BadRequest as error:
            is_dead = any(words in error.message.lower() for words in _NO_CHAT)
            refused = ChannelDeadError if is_dead else DeliveryRefusedError
            raise refused(self.name, detail=self._describe(error)) from None
        except (Forbidden, InvalidToken) as error:
            raise ChannelDeadError(self.name, detail=self._describe(error)) from None
        except TelegramError as error:
            cause = error.__cause__
            raise DeliveryRetriableError(
                self.name,
                detail=self._describe(error),
                may_have_arrived=isinstance(cause, httpx.TransportError)
                and not isinstance(cause, _NEVER_SENT),
            ) from None

    def _describe(self, error: TelegramError) -> str:
        # A failing gateway's whole page may be in it.
        return clean(self._bot.redact(f"{type(error).__name__}: {error.message}"), _DETAIL)


def seconds(waiting: float | timedelta) -> float:
    """Return a waiting time in seconds; the library is on its way from numbers to `timedelta`."""
    return waiting.total_seconds() if isinstance(waiting, timedelta) else float(waiting)


def http_request(timeout_s: float) -> HTTPXRequest:
    """Return the library's way to make requests, with these time-outs."""
    return HTTPXRequest(
        connection_pool_size=_CONNECTIONS,
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        write_timeout=timeout_s,
        pool_timeout=timeout_s,
    )
