"""Telegram, through python-telegram-bot.

Its `AIORateLimiter` keeps the limits of the whole bot (30 a second) and of groups (20 a minute). What it
leaves out is done around it: one message a second per chat is `min_interval_s`, which the sender keeps; and
an answer of 429 is raised as it comes and becomes the outbox's waiting time for this one chat. Left alone,
the limiter would hold back every chat, forget the wait in a restart, and log each answer as an error.
"""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from telegram import LinkPreviewOptions
from telegram.constants import FloodLimit, ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.notification import Notification
from alerter.render import clean, telegram_html
from shared.errors import DeliveryRefusedError, DeliveryRetriableError

# The library warns on every 429 unless told that we know: waiting times become `timedelta`.
os.environ.setdefault("PTB_TIMEDELTA", "true")

_REFUSALS: Final = (BadRequest, ChatMigrated, Forbidden, InvalidToken)
_CONNECTIONS: Final = 16
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
    """

    token: str = field(repr=False)
    api_url: str = "https://api.telegram.org"
    timeout_s: float = 5.0
    min_interval_s: float = 1.0
    per_second: int = FloodLimit.MESSAGES_PER_SECOND
    per_minute_and_group: int = FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP


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
        self._requests = [_request(params.timeout_s), _request(params.timeout_s)]
        sending, polling = self._requests
        self.api: ExtBot[Any] = ExtBot(
            token=params.token,
            base_url=f"{params.api_url.rstrip('/')}/bot",
            request=sending,
            # Never used, as only one process of an installation may poll; left out, it would be made anyway.
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
    """One chat of a bot.

    Args:
        bot: which sends.
        chat_id: number, or `@name` of a channel. Name one chat in one way only: the limits of both are
            counted apart.
    """

    edits = False

    def __init__(self, bot: TelegramBot, *, chat_id: str) -> None:
        self.name = f"telegram:{chat_id}"
        self.min_interval_s = bot.params.min_interval_s
        self._bot = bot
        self._chat_id = chat_id

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - no threads yet
        """Send a message; returns its id."""
        try:
            message = await self._bot.api.send_message(
                chat_id=self._chat_id,
                text=telegram_html(notification),
                parse_mode=ParseMode.HTML,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        except _AskedToWaitError as error:
            raise DeliveryRetriableError(
                self.name, detail="asked to wait (429)", retry_after_s=error.retry_after_s
            ) from None
        except _REFUSALS as error:
            raise DeliveryRefusedError(self.name, detail=self._describe(error)) from None
        except TelegramError as error:
            raise DeliveryRetriableError(self.name, detail=self._describe(error)) from None
        return str(message.message_id)

    async def close(self) -> None:
        """Close the bot's connections."""
        await self._bot.close()

    def _describe(self, error: TelegramError) -> str:
        # A failing gateway's whole page may be in it.
        return clean(self._bot.redact(f"{type(error).__name__}: {error.message}"), _DETAIL)


def seconds(waiting: float | timedelta) -> float:
    """Return a waiting time in seconds; the library is on its way from numbers to `timedelta`."""
    return waiting.total_seconds() if isinstance(waiting, timedelta) else float(waiting)


def _request(timeout_s: float) -> HTTPXRequest:
    return HTTPXRequest(
        connection_pool_size=_CONNECTIONS,
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        write_timeout=timeout_s,
        pool_timeout=timeout_s,
    )
