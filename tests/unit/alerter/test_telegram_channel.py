import asyncio
import io
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerter.channels.telegram import TelegramBot, TelegramChat, TelegramParams, seconds
from shared.errors import DeliveryError, DeliveryRefusedError, DeliveryRetriableError
from tests.servers.stand_in import Fault, FaultKind
from tests.servers.telegram import TOKEN, TelegramLimits, TelegramServer
from tests.unit.alerter.examples import notification


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
        return await chat.send(notification("0123456789abcdef0123"), thread_ref="")
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
    with pytest.raises(DeliveryRefusedError, match="telegram:999: BadRequest: Chat not found"):
        asyncio.run(send(telegram, chat_id="999"))


@pytest.mark.parametrize("token", ["123456789:AAwrong", "no-token"])
def test_a_wrong_token_is_refused(telegram: TelegramServer, token: str) -> None:
    with pytest.raises(DeliveryRefusedError, match="InvalidToken: Unauthorized"):
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
