"""The whole way: an alert with buttons, a press, a command on the topic, and the message that says so."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from PIL import Image
from sqlalchemy import update

from alerter.app import AlerterParams
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.telegram import TelegramParams
from alerter.inbound.desk import Desk
from alerter.inbound.lease import Lease
from alerter.inbound.service import InboundParams, TelegramThread
from alerter.inbound.telegram import LEASE, TelegramInboundParams
from alerter.pictures import Pictures
from alerter.sender import SenderParams
from alerter.tape import Tape
from shared import topics
from shared.clock import ManualClock, SystemClock
from shared.codec import decode, encode
from shared.errors import BrokerRetriableError
from shared.events import AlertAction, AlertCommand, Anomaly, Trade
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from shared.stream.broker import TopicPartition
from shared.stream.memory import MemoryBroker
from tests.servers.telegram import TelegramLimits, TelegramServer
from tests.unit.alerter.examples import anomaly, plain_rules
from tests.unit.alerter.test_app import publish, running, wait_for

CHAT = "-1001"


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(partitions=2)
    made.ensure_topics()
    return made


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(limits=TelegramLimits(per_chat=0, overall=0)) as server:
        yield server


@contextmanager
def listening(
    broker: MemoryBroker,
    database: Database,
    telegram: TelegramServer,
    *,
    users: tuple[str, ...] = (),
    instance: str = "1",
) -> Iterator[None]:
    """Run an alerter that tells a chat and listens to it."""
    params = TelegramParams(
        token=telegram.token, api_url=telegram.url, min_interval_s=0, per_minute_and_group=0, has_buttons=True
    )
    channels = build_channels(ChannelsParams(telegram=params, telegram_chat_ids=(CHAT,)))
    inbound = TelegramInboundParams(telegram=params, chats=(CHAT,), users=users, poll_s=2, standby_s=0.05)
    alerter = AlerterParams(
        instance=instance,
        rules=plain_rules(cooldown_s=0).file,
        sender=SenderParams(send_timeout_s=2, lease_s=3, idle_poll_s=0.05),
        inbound=InboundParams(telegram=inbound),
    )
    with running(broker, database, channels, alerter):
        yield


def commands(broker: MemoryBroker) -> list[AlertCommand]:
    log = broker.read_all([TopicPartition(topics.ALERT_COMMANDS, 0)])
    return [decode(message.value(), AlertCommand) for message in log]


def recent(anomaly_id: str = "a1", *, symbol: str = "BTC-USDT") -> Anomaly:
    """Return an anomaly of now, as the pictures and silences go by the clock."""
    event = anomaly(anomaly_id, symbol=symbol)
    now_us = SystemClock().now_us()
    return msgspec.structs.replace(
        event,
        event_time_us=now_us,
        episode=msgspec.structs.replace(event.episode, opened_us=now_us, last_us=now_us),
    )


def tell(broker: MemoryBroker, telegram: TelegramServer) -> None:
    publish(broker, [recent()])
    wait_for(lambda: len(telegram.messages) == 1)


def test_an_acknowledgement_is_a_command_and_the_message_says_who(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram):
        tell(broker, telegram)
        query_id = telegram.press(CHAT, 1, "Acknowledge", user="alice")
        wait_for(lambda: bool(telegram.toasts) and bool(telegram.edits))
    (command,) = commands(broker)
    assert (command.action, command.author, command.channel) == (
        AlertAction.ACKNOWLEDGE,
        "@alice",
        f"telegram:{CHAT}",
    )
    assert [(toast.query_id, toast.text) for toast in telegram.toasts] == [(query_id, "Acknowledged")]
    shown = telegram.shown_now(1)
    assert "@alice" in shown.text
    assert shown.buttons[0][0] == "Take back"
    assert len(telegram.messages) == 1


@pytest.mark.parametrize(
    ("label", "minutes"), [("Snooze 15 min", 15), ("1 h", 60), ("4 h", 240), ("24 h", 1_440)]
)
def test_a_snooze_ends_when_its_button_says(
    broker: MemoryBroker, database: Database, telegram: TelegramServer, label: str, minutes: int
) -> None:
    with listening(broker, database, telegram):
        tell(broker, telegram)
        telegram.press(CHAT, 1, label)
        wait_for(lambda: bool(telegram.edits))
    (command,) = commands(broker)
    assert command.action is AlertAction.SNOOZE
    assert command.until_us - command.time_us == minutes * 60_000_000


def test_why_is_answered_with_the_explanation_and_a_picture(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    now_us = SystemClock().now_us()
    producer = broker.producer()
    for number in range(200):
        for symbol in ("BTC-USDT", "ETH-USDT"):
            time_us = now_us - (200 - number) * 1_000_000
            trade = Trade("binance", symbol, number, 64_000.0 + number % 7, 0.5, number % 2 == 0, time_us, 0)
            producer.produce(topics.TRADES, encode(trade), key=symbol.encode())
    with listening(broker, database, telegram):
        tell(broker, telegram)
        telegram.press(CHAT, 1, "Why?")
        wait_for(lambda: len(telegram.messages) == 2)
    answer = telegram.messages[1]
    assert answer.reply_to == 1
    assert answer.text.startswith("Why: whale on BTC-USDT (binance)\nA single trade of 1,250,000 USDT")
    assert "70% notional = 1.25e+06" in answer.text
    assert Image.open(io.BytesIO(answer.photo)).size == (800, 500)
    assert commands(broker) == []


def test_why_without_trades_is_answered_in_words(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram):
        tell(broker, telegram)
        telegram.press(CHAT, 1, "Why?")
        telegram.press_data(CHAT, 1, "why:0:unknown")
        wait_for(lambda: len(telegram.messages) == 3)
    assert "No picture" in telegram.messages[1].text
    assert telegram.messages[2].text == "Nothing is known of this alert any more."


def test_why_of_what_another_version_wrote_is_unknown(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram):
        tell(broker, telegram)
        with database.session() as session:
            session.execute(update(DeliveryRow).values(payload=b"{}"))
        telegram.press(CHAT, 1, "Why?")
        wait_for(lambda: len(telegram.messages) == 2)
    assert telegram.messages[1].text == "Nothing is known of this alert any more."


def test_strangers_are_not_listened_to(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram, users=("@alice", "42")):
        tell(broker, telegram)
        telegram.press(CHAT, 1, "Acknowledge", user="eve", user_id=6)
        telegram.press_data("666", 1, "ack:0:abc", user="alice")
        telegram.say(CHAT, "/mute 1h", user="eve", user_id=6)
        telegram.say("666", "/status", user="alice")
        telegram.press(CHAT, 1, "Acknowledge", user="bob", user_id=42)
        wait_for(lambda: len(telegram.toasts) == 3)
    assert [toast.is_alert for toast in telegram.toasts] == [True, True, False]
    assert [command.author for command in commands(broker)] == ["@bob"]
    assert len(telegram.messages) == 1


def test_commands_are_answered(broker: MemoryBroker, database: Database, telegram: TelegramServer) -> None:
    with listening(broker, database, telegram):
        telegram.say(CHAT, "/alerts")
        wait_for(lambda: len(telegram.messages) == 1)
        publish(broker, [recent()])
        wait_for(lambda: len(telegram.messages) == 2)
        for text in ("/alerts@tape_bot", "/status", "/alerts@another_bot", "hello", "/dance"):
            telegram.say(CHAT, text)
        wait_for(lambda: len(telegram.messages) == 5)
    texts = [message.text for message in telegram.messages]
    assert texts[0] == "Nothing fires."
    assert texts[2].startswith("1 open:\nHIGH BTC-USDT: whale, since ")
    assert texts[3].startswith("The alerter works.\nSent since its start: ")
    assert texts[3].endswith("\nNo silences.")
    assert texts[4].startswith("dance is nothing that I know.")


def test_a_silence_is_silent_until_it_is_ended(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram):
        telegram.say(CHAT, "/silence market=BTC-* 1h <maintenance>")
        wait_for(lambda: len(telegram.messages) == 1)
        silence_id = telegram.messages[0].text.rpartition(" ")[2]

        def is_known() -> bool:
            telegram.say(CHAT, "/silence")
            wait_for(lambda: telegram.messages[-1].text.startswith(("Silent: ", "No silences.")))
            return "BTC-*" in telegram.messages[-1].text

        wait_for(is_known)
        assert "<maintenance>" in telegram.messages[-1].text
        publish(broker, [recent("quiet"), recent("heard", symbol="ETH-USDT")])
        wait_for(lambda: "heard" in telegram.anomaly_ids())
        telegram.say(CHAT, f"/silence off {silence_id}")
        wait_for(lambda: any("Ended." in m.text for m in telegram.messages))
        wait_for(lambda: len(commands(broker)) == 2)
        wait_for(lambda: "quiet" in telegram.anomaly_ids())
    first, second = commands(broker)
    assert (first.action, first.matchers, first.comment) == (
        AlertAction.SILENCE,
        {"market": ["BTC-*"]},
        "<maintenance>",
    )
    assert (second.action, second.target) == (AlertAction.UNSILENCE, first.command_id)


def test_what_was_said_long_ago_is_not_done_any_more(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram):
        telegram.say(CHAT, "/mute 1h", age_s=600)
        wait_for(lambda: len(telegram.messages) == 1)
    assert telegram.messages[0].text == "That was said 10 min ago, while nobody listened. Say it again."
    assert commands(broker) == []


def test_one_process_reads_at_a_time_and_the_next_takes_over(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    with listening(broker, database, telegram, instance="second"):
        with listening(broker, database, telegram, instance="first"):
            wait_for(lambda: telegram.polls > 0)
            telegram.say(CHAT, "/status")
            wait_for(lambda: len(telegram.messages) == 1)
        telegram.say(CHAT, "/status")
        wait_for(lambda: len(telegram.messages) == 2)
    assert telegram.conflicts == 0


def test_a_lease_is_one_holders_until_it_runs_out(database: Database) -> None:
    clock = ManualClock()
    first, second = (
        Lease(database, name=LEASE, holder=name, length_s=60, clock=clock) for name in ("first", "second")
    )
    assert [first.hold(), second.hold(), first.hold()] == [True, False, True]
    clock.advance(seconds=59)
    assert not second.hold()
    clock.advance(seconds=2)
    assert [second.hold(), first.hold()] == [True, False]
    second.release()
    first.release()
    assert first.hold()


def test_what_could_not_be_published_is_excused_and_counts_when_it_is_said_again(
    database: Database, telegram: TelegramServer
) -> None:
    clock = SystemClock()
    published: list[AlertCommand] = []
    failures = [BrokerRetriableError("flush", detail="the broker is away")] * 2

    def publish_or_fail(command: AlertCommand) -> None:
        if failures:
            raise failures.pop()
        published.append(command)

    desk = Desk(
        database=database,
        publish=publish_or_fail,
        pictures=Pictures(Tape(database, None, clock=clock), clock),
        status=list,
        clock=clock,
    )
    params = TelegramParams(token=telegram.token, api_url=telegram.url)
    lease = Lease(database, name=LEASE, holder="1", length_s=60, clock=clock)
    inbound = TelegramInboundParams(telegram=params, chats=(CHAT,), poll_s=1)
    thread = TelegramThread(inbound, desk=desk, lease=lease, clock=clock)
    thread.start()
    try:
        telegram.press_data(CHAT, 1, "ack:0:abc")
        telegram.say(CHAT, "/mute 1h")
        wait_for(lambda: bool(telegram.toasts and telegram.messages))
        telegram.press_data(CHAT, 1, "ack:0:abc")
        wait_for(lambda: len(telegram.toasts) == 2)
    finally:
        thread.stop()
    thread.check()
    assert telegram.toasts[0].is_alert
    assert "did not work" in telegram.toasts[0].text
    assert "did not work" in telegram.messages[0].text
    assert [command.target for command in published] == ["abc"]


def test_a_token_that_is_revoked_is_told_as_a_fault_and_does_not_end_the_reading(
    database: Database, telegram: TelegramServer
) -> None:
    clock = SystemClock()
    telegram.is_token_revoked = True
    desk = Desk(
        database=database,
        publish=lambda _command: None,
        pictures=Pictures(Tape(database, None, clock=clock), clock),
        status=list,
        clock=clock,
    )
    params = TelegramParams(token=telegram.token, api_url=telegram.url)
    lease = Lease(database, name=LEASE, holder="1", length_s=60, clock=clock)
    thread = TelegramThread(
        TelegramInboundParams(telegram=params, chats=(CHAT,)), desk=desk, lease=lease, clock=clock
    )
    thread.start()
    try:
        wait_for(lambda: bool(thread.fault))
    finally:
        thread.stop()
    thread.check()
    assert thread.fault.startswith("reading from Telegram: InvalidToken")
    assert telegram.token not in thread.fault
