import asyncio
import io
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerter.channels.telegram import TelegramBot, TelegramChat, TelegramParams, seconds
from alerter.notification import Notification, NotificationEvent
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRetriableError
from shared.events import AlertState
from tests.servers.stand_in import Fault, FaultKind
from tests.servers.telegram import TOKEN, TelegramLimits, TelegramServer
from tests.unit.alerter.notices import notification


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(chats=["1001", "-100200", "@tape"], limits=TelegramLimits(per_chat=0)) as server:
        yield server


async def send(
    server: TelegramServer, *, chat_id: str = "1001", token: str = TOKEN, timeout_s: float = 5.0
) -> str:
    bot = TelegramBot(TelegramParams(token=token, api_url=server.url, timeout_s=timeout_s))
    chat = TelegramChat(bot, chat_id=chat_id)
    try:
        return await chat.send(notification(), thread_ref="")
    finally:
        await chat.close()


@pytest.mark.parametrize("chat_id", ["1001", "-100200", "@tape"])
def test_a_message_arrives_and_its_id_comes_back(telegram: TelegramServer, chat_id: str) -> None:
    assert asyncio.run(send(telegram, chat_id=chat_id)) == "1"
    (message,) = telegram.messages
    assert message.chat_id == chat_id
    assert message.text.startswith("HIGH: whale on BTC-USDT (binance)\n")
    assert telegram.anomaly_ids() == ["0123456789abcdef0123"]


def test_a_flood_limit_says_how_long_to_wait_and_is_not_retried_within(telegram: TelegramServer) -> None:
    telegram.fail_next(Fault(FaultKind.RATE_LIMITED, retry_after_s=17))
    with pytest.raises(DeliveryRetriableError) as caught:
        asyncio.run(send(telegram))
    assert caught.value.retry_after_s == 17
    assert telegram.attempts == 1


def test_the_limit_of_the_server_is_met_with_its_own_waiting_time() -> None:
    async def twice(server: TelegramServer) -> None:
        await send(server)
        await send(server)

    with TelegramServer(limits=TelegramLimits(per_chat=0.1)) as server:
        with pytest.raises(DeliveryRetriableError) as caught:
            asyncio.run(twice(server))
        assert server.refused == 1
    assert caught.value.retry_after_s == 10


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR, status=500),
        Fault(FaultKind.SERVER_ERROR, status=502),
        Fault(FaultKind.SERVER_ERROR, status=503),
        Fault(FaultKind.NO_ANSWER),
        Fault(FaultKind.LOST_ANSWER),
        Fault(FaultKind.GARBAGE),
    ],
    ids=str,
)
def test_what_may_pass_is_worth_another_attempt(telegram: TelegramServer, fault: Fault) -> None:
    telegram.fail_next(fault)
    with pytest.raises(DeliveryRetriableError) as caught:
        asyncio.run(send(telegram, timeout_s=0.2))
    assert caught.value.retry_after_s is None
    assert caught.value.channel == "telegram:1001"
    assert telegram.attempts == 1


def test_an_unreachable_server_is_worth_another_attempt() -> None:
    with TelegramServer() as server:
        pass
    with pytest.raises(DeliveryRetriableError, match="ConnectError"):
        asyncio.run(send(server))


def test_an_unknown_chat_is_refused(telegram: TelegramServer) -> None:
    with pytest.raises(ChannelDeadError, match="telegram:999: BadRequest: Chat not found"):
        asyncio.run(send(telegram, chat_id="999"))


@pytest.mark.parametrize("token", ["123456789:AAwrong", "no-token"])
def test_a_wrong_token_is_refused(telegram: TelegramServer, token: str) -> None:
    with pytest.raises(ChannelDeadError, match="InvalidToken: Unauthorized"):
        asyncio.run(send(telegram, token=token))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR),
        Fault(FaultKind.NO_ANSWER),
        Fault(FaultKind.LOST_ANSWER),
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.RATE_LIMITED),
        None,
    ],
    ids=str,
)
def test_the_token_is_in_no_error_and_no_log(telegram: TelegramServer, fault: Fault | None) -> None:
    telegram.is_token_revoked = fault is None
    if fault is not None:
        telegram.fail_next(fault)
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with pytest.raises(DeliveryError) as caught:
            asyncio.run(send(telegram, timeout_s=0.2))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + heard.getvalue()
    assert TOKEN not in told
    assert TOKEN.partition(":")[2] not in told


def test_a_token_that_makes_no_url_is_not_shown_either(telegram: TelegramServer) -> None:
    token = "123:abc\x01def"
    with pytest.raises(DeliveryError) as caught:
        asyncio.run(send(telegram, token=token))
    assert "abc" not in str(caught.value)


def test_the_token_is_not_in_the_parameters_representation() -> None:
    assert TOKEN not in repr(TelegramParams(token=TOKEN))


def test_waiting_times_are_read_in_both_forms() -> None:
    assert seconds(3) == 3.0
    assert seconds(timedelta(seconds=2, milliseconds=500)) == 2.5


def test_chats_of_one_bot_close_it_once_for_all(telegram: TelegramServer) -> None:
    async def close_twice() -> None:
        bot = TelegramBot(TelegramParams(token=TOKEN, api_url=telegram.url))
        chats = [TelegramChat(bot, chat_id=chat_id) for chat_id in ("1001", "@tape")]
        for chat in chats:
            await chat.send(notification(), thread_ref="")
        for chat in chats:
            await chat.close()

    asyncio.run(close_twice())
    assert [message.chat_id for message in telegram.messages] == ["1001", "@tape"]


async def tell_all(server: TelegramServer, *steps: Notification, has_buttons: bool = True) -> str:
    """Send notifications of one incident, one after the other; return the last reference."""
    params = TelegramParams(token=TOKEN, api_url=server.url, min_interval_s=0.0, has_buttons=has_buttons)
    chat = TelegramChat(TelegramBot(params), chat_id="1001")
    reference = ""
    try:
        for step in steps:
            reference = await chat.send(step, thread_ref=reference)
    finally:
        await chat.close()
    return reference


GROWN = notification("a2", event=NotificationEvent.UPDATED, rings=False, sequence=2)
ESCALATED = notification(
    event=NotificationEvent.ESCALATED, sequence=3, note="not acknowledged for 5 min", author="@alice <&>"
)
OVER = notification(event=NotificationEvent.RESOLVED, state=AlertState.RESOLVED, rings=False, sequence=4)


def test_an_incident_is_one_message_that_is_edited(telegram: TelegramServer) -> None:
    assert asyncio.run(tell_all(telegram, notification(), GROWN, OVER)) == "1"
    assert len(telegram.messages) == 1
    assert [m.text.splitlines()[-1] for m in telegram.edits] == ["a2", "0123456789abcdef0123"]
    assert "RESOLVED" in telegram.shown_now(1).text


def test_what_rings_later_is_an_edit_and_a_short_answer(telegram: TelegramServer) -> None:
    assert asyncio.run(tell_all(telegram, notification(), ESCALATED)) == "1"
    first, answer = telegram.messages
    assert len(telegram.edits) == 1
    assert answer.reply_to == first.message_id
    assert "not acknowledged for 5 min" in answer.text
    assert "@alice <&>" in answer.text
    assert answer.buttons == ()


def test_an_edit_that_changes_nothing_is_no_error(telegram: TelegramServer) -> None:
    assert asyncio.run(tell_all(telegram, notification(), notification(rings=False, sequence=2))) == "1"
    assert telegram.edits == []


def test_a_message_that_somebody_deleted_is_not_brought_back_by_an_edit(telegram: TelegramServer) -> None:
    telegram.delete(1)
    assert asyncio.run(tell_all(telegram, notification(), GROWN)) == "1"
    assert len(telegram.messages) == 1


def test_a_message_that_somebody_deleted_begins_anew_when_it_rings(telegram: TelegramServer) -> None:
    telegram.delete(1)
    assert asyncio.run(tell_all(telegram, notification(), ESCALATED, OVER)) == "2"
    assert len(telegram.messages) == 2
    assert [edit.message_id for edit in telegram.edits] == [2]


def test_buttons_are_those_of_the_state(telegram: TelegramServer) -> None:
    held = notification(
        event=NotificationEvent.ACKNOWLEDGED, state=AlertState.ACKNOWLEDGED, rings=False, sequence=2
    )
    asyncio.run(tell_all(telegram, notification(), held, OVER))
    labels = [[label for label, _ in m.buttons] for m in (*telegram.messages, *telegram.edits)]
    assert labels == [
        ["Acknowledge", "Why?", "Snooze 15 min", "1 h", "4 h", "24 h"],
        ["Take back", "Why?", "Snooze 15 min", "1 h", "4 h", "24 h"],
        ["Why?"],
    ]


def test_without_a_reader_there_are_no_buttons(telegram: TelegramServer) -> None:
    asyncio.run(tell_all(telegram, notification(), GROWN, has_buttons=False))
    assert telegram.shown_now(1).buttons == ()


def test_an_edit_meets_the_same_limits_as_a_message() -> None:
    with (
        TelegramServer(limits=TelegramLimits(per_chat=0.1)) as server,
        pytest.raises(DeliveryRetriableError) as caught,
    ):
        asyncio.run(tell_all(server, notification(), GROWN))
    assert caught.value.retry_after_s == 10


def test_a_lost_answer_to_an_edit_repeats_nothing(telegram: TelegramServer) -> None:
    asyncio.run(tell_all(telegram, notification()))
    telegram.fail_next(Fault(FaultKind.LOST_ANSWER))
    chat = TelegramChat(TelegramBot(TelegramParams(token=TOKEN, api_url=telegram.url)), chat_id="1001")

    async def edit_twice() -> str:
        with pytest.raises(DeliveryRetriableError):
            await chat.send(GROWN, thread_ref="1")
        reference = await chat.send(GROWN, thread_ref="1")
        await chat.close()
        return reference

    assert asyncio.run(edit_twice()) == "1"
    assert len(telegram.messages) == len(telegram.edits) == 1


def test_a_word_about_the_system_is_plain_text(telegram: TelegramServer) -> None:
    async def tell() -> None:
        chat = TelegramChat(TelegramBot(TelegramParams(token=TOKEN, api_url=telegram.url)), chat_id="1001")
        await chat.tell("slack:#alerts takes nothing: <token_revoked>")
        await chat.close()

    asyncio.run(tell())
    assert telegram.messages[0].text == "slack:#alerts takes nothing: <token_revoked>"


def test_what_came_from_outside_is_escaped(telegram: TelegramServer) -> None:
    evil = notification(symbol="<b>X</b>&-USDT", reason="</b><a href='http://x'>click</a> & more")
    asyncio.run(tell_all(telegram, evil, notification(event=NotificationEvent.ESCALATED, reason="<i>")))
    assert "<b>X</b>&-USDT" in telegram.messages[0].text
    assert "</b><a href='http://x'>click</a> & more" in telegram.messages[0].text


@pytest.mark.parametrize(("chat_id", "waits"), [("-100200", True), ("@tape", True), ("1001", False)])
def test_a_groups_limit_is_kept_between_messages(
    telegram: TelegramServer, chat_id: str, *, waits: bool
) -> None:
    async def intervals() -> list[float]:
        params = TelegramParams(
            token=TOKEN, api_url=telegram.url, min_interval_s=0.0, per_minute_and_group=3, per_second=0
        )
        chat = TelegramChat(TelegramBot(params), chat_id=chat_id)
        found = []
        for _ in range(3):
            await chat.send(notification(), thread_ref="")
            found.append(chat.min_interval_s)
        await chat.close()
        return found

    first, second, third = asyncio.run(intervals())
    assert first == second == 0.0
    assert (50.0 < third <= 60.0) is waits


def test_a_deleted_message_is_made_anew_within_the_limits_of_a_chat() -> None:
    async def scenario(server: TelegramServer) -> str:
        params = TelegramParams(token=TOKEN, api_url=server.url, min_interval_s=0.05)
        chat = TelegramChat(TelegramBot(params), chat_id="1001")
        try:
            return await chat.send(ESCALATED, thread_ref="77")
        finally:
            await chat.close()

    with TelegramServer(limits=TelegramLimits(per_chat=30, overall=0)) as server:
        assert asyncio.run(scenario(server)) == "1"
        assert server.refused == 0
