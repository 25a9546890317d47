"""Reads what people press and type on Telegram, and answers.

Telegram lets one process of a bot ask for updates at a time (a second one gets `Conflict`), so whoever reads
holds a lease in the store; all the others only send. An update is confirmed after it was carried out, so a
crash lets it come again; commands count once by their ids.

Only known chats, and within them only known users where any are named, are listened to. Everybody else gets
no answer, which tells them nothing; a log line and a metric say that somebody tried.

Answers go through the library's `AIORateLimiter`, here with its own retries of a 429: they are not in the
outbox, and somebody waits for them.
"""

import asyncio
import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from telegram import BotCommand, CallbackQuery, Chat, Message, ReplyParameters, Update, User
from telegram.constants import ParseMode
from telegram.error import BadRequest, Conflict, InvalidToken, RetryAfter, TelegramError
from telegram.ext import AIORateLimiter, ExtBot

from alerter.buttons import Press, Verb, pressed
from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.channels.telegram import TelegramParams, http_request, seconds
from alerter.inbound.desk import Desk, Explained, Person
from alerter.inbound.lease import Lease
from alerter.render import clean
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.errors import BrokerError, StoreUnavailableError
from shared.metrics import counter
from shared.stream.retry import Backoff

LEASE: Final = "telegram-updates"
LEASE_S: Final = 60.0

_UPDATES: Final = ("message", "channel_post", "callback_query")
_COMMANDS: Final = (
    BotCommand("status", "how the alerter and its channels are"),
    BotCommand("alerts", "what fires now"),
    BotCommand("silence", "market=BTC-USDT 2h: nothing of that for two hours"),
    BotCommand("mute", "30m: nothing at all for half an hour; off: end that"),
    BotCommand("help", "what can be said"),
)
_TEXT: Final = 4_000
_CAPTION: Final = 1_000
_TOAST: Final = 190
_DETAIL: Final = 200
# A command that waited while nobody read would act at a time at which nobody wants it any more.
_STALE_S: Final = 300
_RETRIES: Final = 2
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class TelegramInboundParams:
    """Who is listened to, and how.

    Attributes:
        telegram: the bot.
        chats: ids, or `@names`; nobody else is listened to.
        users: ids, or `@names`, of those in these chats who are; empty: everybody in them.
        poll_s: how long Telegram may hold a request for updates; less than half of the lease.
        standby_s: how often another process looks whether it is its turn.
    """

    telegram: TelegramParams
    chats: Sequence[str]
    users: Sequence[str] = ()
    poll_s: int = 20
    standby_s: float = 5.0


class TelegramInbound:
    """Reads updates while it holds the lease.

    Args:
        params: who and how.
        desk: carries out what is asked.
        lease: of which one process has it at a time.
        clock: the time.
    """

    def __init__(self, params: TelegramInboundParams, *, desk: Desk, lease: Lease, clock: Clock) -> None:
        quiet_libraries()
        self._params = params
        self._chats = frozenset(map(_key, params.chats))
        self._users = frozenset(map(_key, params.users))
        self._desk = desk
        self._lease = lease
        self._clock = clock
        self._redact = Redactor(params.telegram.token)
        self._backoff = Backoff()
        self._offset = 0
        self._stopping = asyncio.Event()
        self._requests = [http_request(params.telegram.timeout_s), http_request(params.telegram.timeout_s)]
        answering, polling = self._requests
        self._api: ExtBot[Any] = ExtBot(
            token=params.telegram.token,
            base_url=f"{params.telegram.api_url.rstrip('/')}/bot",
            request=answering,
            get_updates_request=polling,
            rate_limiter=AIORateLimiter(max_retries=_RETRIES),
        )
        self._name = ""
        self.fault = ""

    async def run(self) -> None:
        """Read and answer until `stop`."""
        try:
            while not self._stopping.is_set():
                try:
                    wait_s = await self._turn()
                except StoreUnavailableError as error:
                    wait_s = self._failed("store", error.detail)
                except TelegramError as error:
                    wait_s = self._refused(error)
                if wait_s:
                    await self._pause(wait_s)
        finally:
            await self._leave()

    def stop(self) -> None:
        """Ask `run` to return soon. From its own event loop."""
        self._stopping.set()

    async def _turn(self) -> float:
        """Read once; return how long to wait before the next time."""
        if not await asyncio.to_thread(self._lease.hold):
            return self._params.standby_s
        if not self._name:
            me = await self._api.get_me()
            self._name = (me.username or "").lower()
            await self._api.set_my_commands(_COMMANDS)
        updates = await self._fetched()
        for update in updates:
            await self._handle(update)
            self._offset = update.update_id + 1
        self._backoff.reset()
        self.fault = ""
        return 0.0

    async def _fetched(self) -> Sequence[Update]:
        """Return what has come; a stop does not wait for what may come."""
        asking = asyncio.ensure_future(
            self._api.get_updates(
                offset=self._offset, timeout=timedelta(seconds=self._params.poll_s), allowed_updates=_UPDATES
            )
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if asking.done():
            return asking.result()
        asking.cancel()
        await asyncio.wait({asking})
        return ()

    async def _handle(self, update: Update) -> None:
        try:
            if update.callback_query is not None:
                await self._on_press(update.callback_query)
            elif (message := update.message or update.channel_post) is not None:
                await self._on_words(message)
        except (BrokerError, StoreUnavailableError) as error:
            _count("failed")
            _log.warning("command_failed", channel="telegram", detail=str(error))
            await self._excuse(update)
        except TelegramError as error:
            # What was asked for is done or not; only the answer is lost, and people see that they got none.
            _count("unanswered")
            _log.warning("answer_failed", channel="telegram", detail=self._describe(error))

    async def _on_press(self, query: CallbackQuery) -> None:
        message = query.message
        chat = message.chat if message is not None else None
        if chat is None or not self._is_known(chat, query.from_user):
            await query.answer("You are not among those who may do that.", show_alert=True)
            return
        press = pressed(query.data or "")
        if press is None or message is None:
            await query.answer("This button is of another version.", show_alert=True)
            return
        if press.verb is Verb.WHY:
            await self._explain(query, press, message.message_id, chat)
            return
        person = _person(query.from_user, chat)
        words = await asyncio.to_thread(self._desk.press, press, person, press_id=query.id)
        _count("done")
        await query.answer(words[:_TOAST])

    async def _explain(self, query: CallbackQuery, press: Press, message_id: int, chat: Chat) -> None:
        # At once, as the button shows a clock until then.
        await query.answer()
        explained = await asyncio.to_thread(self._desk.why, press.incident_id)
        _count("done")
        reply = ReplyParameters(message_id, allow_sending_without_reply=True)
        if explained is None or explained.picture is None:
            lines = explained.lines if explained else ["Nothing is known of this alert any more."]
            await self._api.send_message(
                chat.id, _html(lines, _TEXT), parse_mode=ParseMode.HTML, reply_parameters=reply
            )
            return
        await self._send_picture(chat, explained, explained.picture, reply)

    async def _send_picture(
        self, chat: Chat, explained: Explained, picture: bytes, reply: ReplyParameters
    ) -> None:
        await self._api.send_photo(
            chat.id,
            picture,
            caption=_html(explained.lines, _CAPTION),
            parse_mode=ParseMode.HTML,
            reply_parameters=reply,
        )

    async def _on_words(self, message: Message) -> None:
        text = message.text or ""
        if not text.startswith("/") or not self._is_ours(text):
            return
        if not self._is_known(message.chat, message.from_user):
            return
        age_s = self._clock.now_us() / MICROSECONDS_PER_SECOND - message.date.timestamp()
        if age_s > _STALE_S:
            answer = f"That was said {age_s / 60:.0f} min ago, while nobody listened. Say it again."
        else:
            person = _person(message.from_user, message.chat)
            identity = f"{message.chat.id}:{message.message_id}"
            answer = await asyncio.to_thread(self._desk.say, text, person, message_id=identity)
        _count("done")
        await self._api.send_message(
            message.chat.id,
            _html(answer.split("\n"), _TEXT),
            parse_mode=ParseMode.HTML,
            reply_parameters=ReplyParameters(message.message_id, allow_sending_without_reply=True),
        )

    async def _excuse(self, update: Update) -> None:
        words = "That did not work, as the alerter cannot reach its broker or its store. Try again."
        try:
            if update.callback_query is not None:
                await update.callback_query.answer(words, show_alert=True)
            elif update.effective_chat is not None:
                await self._api.send_message(update.effective_chat.id, words)
        except TelegramError as error:
            _log.warning("answer_failed", channel="telegram", detail=self._describe(error))

    def _is_ours(self, text: str) -> bool:
        """Return whether a command is not addressed to another bot."""
        _, at, name = text.split(maxsplit=1)[0].partition("@")
        return not at or name.lower() == self._name

    def _is_known(self, chat: Chat, user: User | None) -> bool:
        is_known_chat = bool(self._chats & _keys(chat.id, chat.username))
        # In a channel nobody is named, and only its administrators may write.
        is_known_user = not self._users or (
            user is not None and bool(self._users & _keys(user.id, user.username))
        )
        if is_known_chat and is_known_user:
            return True
        _count("refused")
        _log.warning("stranger_refused", channel="telegram", chat_id=chat.id, user_id=user.id if user else 0)
        return False

    def _refused(self, error: TelegramError) -> float:
        if isinstance(error, RetryAfter):
            return self._failed("telegram", "asked to wait (429)", least_s=seconds(error.retry_after))
        # Another program reads updates with our token, or the token is wrong: it takes a person to end that.
        takes_long = isinstance(error, Conflict | InvalidToken | BadRequest)
        return self._failed("telegram", self._describe(error), least_s=30.0 if takes_long else 0.0)

    def _failed(self, what: str, detail: str, *, least_s: float = 0.0) -> float:
        wait_s = max(self._backoff.next_s(), least_s)
        self.fault = f"reading from Telegram: {detail}"
        _log.warning("updates_unreadable", cause=what, detail=detail, retry_in_s=round(wait_s, 2))
        return wait_s

    def _describe(self, error: TelegramError) -> str:
        return clean(self._redact(f"{type(error).__name__}: {error.message}"), _DETAIL)

    async def _pause(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _leave(self) -> None:
        try:
            await asyncio.to_thread(self._lease.release)
        except StoreUnavailableError as error:
            _log.warning("lease_not_released", detail=error.detail)
        for request in self._requests:
            await request.shutdown()


def _key(name: str) -> str:
    return name.strip().lower()


def _keys(identity: int, name: str | None) -> frozenset[str]:
    return frozenset({str(identity), f"@{name.lower()}"} if name else {str(identity)})


def _person(user: User | None, chat: Chat) -> Person:
    if user is None:
        name = chat.title or str(chat.id)
    else:
        name = f"@{user.username}" if user.username else user.full_name
    return Person(name=name, channel=f"telegram:{chat.id}")


def _html(lines: Sequence[str], units: int) -> str:
    """Return lines for HTML mode, the first one bold, as many as fit."""
    kept: list[str] = []
    for line in lines:
        units -= len(line.encode("utf-16-le")) // 2 + 1
        if units < 0:
            break
        kept.append(html.escape(line))
    if kept:
        kept[0] = f"<b>{kept[0]}</b>"
    return "\n".join(kept) or "?"


def _count(outcome: str) -> None:
    counter("tapewatch_commands_total").labels(channel="telegram", outcome=outcome).inc()
