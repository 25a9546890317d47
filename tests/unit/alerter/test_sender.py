import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import select

from alerter.channels.channel import Channel
from alerter.channels.slack import SlackChannel, SlackParams
from alerter.channels.telegram import TelegramBot, TelegramChat, TelegramParams
from alerter.outbox import Delivery, NotYet, Outbox
from alerter.rules.tree import Rules
from alerter.sender import SENT_AGAIN, Sender, SenderParams, pause
from shared.clock import ManualClock
from shared.errors import (
    ChannelDeadError,
    DeliveryRefusedError,
    DeliveryRetriableError,
    StoreError,
    StoreUnavailableError,
)
from shared.events import Anomaly
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from tests.servers.slack import SlackServer
from tests.servers.stand_in import Fault, FaultKind
from tests.servers.telegram import TelegramServer
from tests.unit.alerter.examples import RecordingChannel, advancing, anomaly, plain_rules, run_until, until

PARAMS = SenderParams()


@pytest.fixture
def telegram(clock: ManualClock) -> Iterator[TelegramServer]:
    """The Bot API with its real limits, by the clock of the test."""
    with TelegramServer(chats=["1", "2"], clock=clock) as server:
        yield server


def outbox(database: Database, *names: str) -> Outbox:
    return Outbox(database, rules=plain_rules(*names))


def anomalies(count: int) -> list[Anomaly]:
    return [anomaly(f"a{number:03d}", symbol=f"M{number}-USDT") for number in range(count)]


def ids(count: int) -> list[str]:
    return [event.anomaly_id for event in anomalies(count)]


def sender(box: Outbox, channels: Sequence[Channel], clock: ManualClock) -> Sender:
    return Sender(outbox=box, channels=channels, params=PARAMS, clock=clock, waiting=advancing(clock))


def states(database: Database, channel: str) -> dict[str, tuple[str, int, str]]:
    query = select(DeliveryRow).where(DeliveryRow.channel == channel)
    with database.session(read_only=True) as session:
        return {row.anomaly_id: (row.state, row.attempts, row.reason) for row in session.scalars(query)}


def is_empty(box: Outbox) -> bool:
    return not box.pending()


def test_everything_is_sent_once_in_order_and_at_the_channels_pace(
    database: Database, clock: ManualClock
) -> None:
    channel = RecordingChannel("chat", clock, min_interval_s=1.0)
    box = outbox(database, "chat")
    box.take(anomalies(8), now_us=clock.now_us())
    clock.advance(seconds=1)
    started_s = clock.monotonic_s()
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert channel.ids() == ids(8)
    gaps = [later - earlier for (_, earlier), (_, later) in zip(channel.sent, channel.sent[1:], strict=False)]
    assert all(gap == pytest.approx(1.0) for gap in gaps)
    assert channel.sent[0][1] == pytest.approx(started_s)
    assert channel.is_closed
    assert states(database, "chat")["a000"] == ("sent", 1, "")


def test_a_failure_is_retried_with_growing_waits_and_nothing_overtakes(
    database: Database, clock: ManualClock
) -> None:
    channel = RecordingChannel("chat", clock)
    channel.failures = [DeliveryRetriableError("chat", detail="HTTP 502") for _ in range(9)]
    box = outbox(database, "chat")
    box.take(anomalies(2), now_us=clock.now_us())
    clock.advance(seconds=1)
    started_s = clock.monotonic_s()
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert channel.attempted == ["a000"] * 10 + ["a001"]
    # 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60
    assert channel.sent[0][1] - started_s == pytest.approx(243, abs=0.1)
    assert states(database, "chat") == {"a000": ("sent", 10, ""), "a001": ("sent", 1, "")}


def test_the_channels_own_waiting_time_is_obeyed(database: Database, clock: ManualClock) -> None:
    channel = RecordingChannel("chat", clock)
    channel.failures = [DeliveryRetriableError("chat", detail="429", retry_after_s=35.0)]
    box = outbox(database, "chat")
    box.take(anomalies(1), now_us=clock.now_us())
    clock.advance(seconds=1)
    started_s = clock.monotonic_s()
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert channel.sent[0][1] - started_s == pytest.approx(35, abs=0.1)


def test_a_waiting_time_outlives_a_restart(database: Database, clock: ManualClock) -> None:
    channel = RecordingChannel("chat", clock)
    channel.failures = [DeliveryRetriableError("chat", detail="429", retry_after_s=600.0)]
    box = outbox(database, "chat")
    box.take(anomalies(1), now_us=clock.now_us())
    clock.advance(seconds=1)
    started_s = clock.monotonic_s()

    async def stand_still(signal: asyncio.Event, seconds: float) -> None:
        assert seconds > 0
        await signal.wait()

    first = Sender(outbox=box, channels=[channel], params=PARAMS, clock=clock, waiting=stand_still)
    asyncio.run(run_until(first, lambda: states(database, "chat")["a000"] == ("pending", 1, "429")))
    asyncio.run(run_until(sender(outbox(database, "chat"), [channel], clock), lambda: is_empty(box)))
    assert channel.sent[0][1] - started_s == pytest.approx(600, abs=0.1)


def test_a_refused_notification_is_marked_said_and_does_not_hold_up_the_next(
    database: Database, clock: ManualClock
) -> None:
    channel = RecordingChannel("chat", clock)
    channel.failures = [DeliveryRefusedError("chat", detail="chat not found")]
    box = outbox(database, "chat")
    box.take(anomalies(1), now_us=clock.now_us())
    clock.advance(seconds=1)
    made = sender(box, [channel], clock)
    asyncio.run(run_until(made, lambda: is_empty(box)))
    assert states(database, "chat") == {"a000": ("refused", 1, "chat not found")}
    assert made.tally.figures()["refused_total"] == 1
    assert made.tally.faults() == {"chat": "refused: chat not found"}
    box.take([anomaly("b", symbol="B-USDT")], now_us=clock.now_us())
    again = sender(box, [channel], clock)
    asyncio.run(run_until(again, lambda: is_empty(box)))
    assert channel.ids() == ["b"]
    assert again.tally.faults() == {}


def test_a_channel_that_hangs_holds_up_nobody_else(database: Database, clock: ManualClock) -> None:
    slow, quick = RecordingChannel("slow", clock), RecordingChannel("quick", clock)
    box = outbox(database, "slow", "quick")
    box.take(anomalies(10), now_us=clock.now_us())
    clock.advance(seconds=1)

    async def scenario() -> None:
        slow.hold = asyncio.Event()
        made = sender(box, [slow, quick], clock)
        running = asyncio.create_task(made.run())
        await until(lambda: len(quick.sent) == 10 and bool(slow.attempted))
        assert slow.attempted == ["a000"]
        assert slow.sent == []
        made.stop()
        # `quick` has ended and `slow` has not: what is in flight is finished before the sender returns.
        await until(lambda: not any(task.get_name() == "quick" for task in asyncio.all_tasks()))
        assert not running.done()
        slow.hold.set()
        await running

    asyncio.run(scenario())
    assert slow.ids() == ["a000"]
    assert states(database, "slow")["a000"][0] == "sent"
    assert box.pending() == {"slow": 9}


def test_an_attempt_without_end_counts_as_failed(database: Database, clock: ManualClock) -> None:
    channel = RecordingChannel("chat", clock)
    box = outbox(database, "chat")
    box.take(anomalies(1), now_us=clock.now_us())
    clock.advance(seconds=1)
    impatient = SenderParams(send_timeout_s=0.05)

    async def scenario() -> None:
        channel.hold = asyncio.Event()
        made = Sender(outbox=box, channels=[channel], params=impatient, clock=clock, waiting=advancing(clock))
        await run_until(made, lambda: len(channel.attempted) >= 2)

    asyncio.run(scenario())
    assert states(database, "chat")["a000"][2] == "no answer within 0.05 s"


def test_a_new_notification_wakes_the_sender(database: Database, clock: ManualClock) -> None:
    channel = RecordingChannel("chat", clock)
    box = outbox(database, "chat")

    async def scenario() -> None:
        is_waiting = asyncio.Event()

        async def for_the_signal_only(signal: asyncio.Event, seconds: float) -> None:
            assert seconds > 0
            is_waiting.set()
            await signal.wait()

        made = Sender(outbox=box, channels=[channel], params=PARAMS, clock=clock, waiting=for_the_signal_only)
        running = asyncio.create_task(made.run())
        await is_waiting.wait()
        box.take(anomalies(1), now_us=clock.now_us() - 1)
        threading.Thread(target=made.wake).start()
        await until(lambda: bool(channel.sent))
        made.stop()
        await running

    asyncio.run(scenario())
    assert channel.ids() == ids(1)


def test_what_waits_for_a_channel_that_is_gone_is_refused(database: Database, clock: ManualClock) -> None:
    outbox(database, "gone", "chat").take(anomalies(1), now_us=clock.now_us())
    box, channel = outbox(database, "chat"), RecordingChannel("chat", clock)
    clock.advance(seconds=1)
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert states(database, "gone") == {"a000": ("refused", 0, "the channel is no longer configured")}
    assert channel.ids() == ids(1)


def test_a_stop_before_the_start_sends_nothing(database: Database, clock: ManualClock) -> None:
    channel, box = RecordingChannel("chat", clock), outbox(database, "chat")
    box.take(anomalies(1), now_us=clock.now_us())
    clock.advance(seconds=1)
    made = sender(box, [channel], clock)
    made.stop()
    asyncio.run(made.run())
    assert channel.attempted == []
    assert channel.is_closed


class CrashingOutbox(Outbox):
    """Dies instead of marking, as a process that is killed between sending and marking."""

    def mark_sent(self, delivery: Delivery, *, message_ref: str, now_us: int) -> None:
        del delivery, message_ref, now_us
        raise StoreError("mark", detail="killed here")


def test_a_crash_between_sending_and_marking_repeats_that_notification_and_no_other(
    database: Database, clock: ManualClock
) -> None:
    channel = RecordingChannel("chat", clock)
    rules = plain_rules("chat")
    box = Outbox(database, rules=rules)
    box.take(anomalies(3), now_us=clock.now_us())
    clock.advance(seconds=1)
    with pytest.raises(StoreError, match="killed here"):
        asyncio.run(sender(CrashingOutbox(database, rules=rules), [channel], clock).run())
    assert channel.ids() == ["a000"]
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert channel.ids() == ["a000", "a000", "a001", "a002"]
    assert states(database, "chat")["a000"] == ("sent", 2, "")


class UnreliableOutbox(Outbox):
    """Cannot be reached each first time."""

    def __init__(self, database: Database, *, rules: Rules) -> None:
        super().__init__(database, rules=rules)
        self.failures = {"claim": 2, "mark": 3}

    def claim(
        self, channel: str, *, now_us: int, lease_s: float, min_interval_s: float = 0.0
    ) -> Delivery | NotYet | None:
        self._fail("claim")
        return super().claim(channel, now_us=now_us, lease_s=lease_s, min_interval_s=min_interval_s)

    def mark_sent(self, delivery: Delivery, *, message_ref: str, now_us: int) -> None:
        self._fail("mark")
        super().mark_sent(delivery, message_ref=message_ref, now_us=now_us)

    def _fail(self, operation: str) -> None:
        if self.failures[operation]:
            self.failures[operation] -= 1
            raise StoreUnavailableError(operation, detail="locked")


def test_a_store_that_is_away_for_a_while_repeats_nothing(database: Database, clock: ManualClock) -> None:
    channel = RecordingChannel("chat", clock)
    box = UnreliableOutbox(database, rules=plain_rules("chat"))
    box.take(anomalies(2), now_us=clock.now_us())
    clock.advance(seconds=1)
    asyncio.run(run_until(sender(box, [channel], clock), lambda: is_empty(box)))
    assert channel.ids() == ids(2)
    assert box.failures == {"claim": 0, "mark": 0}


def test_a_burst_keeps_telegrams_limits_and_arrives_whole_and_in_order(
    database: Database, clock: ManualClock, telegram: TelegramServer
) -> None:
    # A group of 20 a minute would make a test of real minutes: the library keeps that one by its own clock.
    bot = TelegramBot(TelegramParams(token=telegram.token, api_url=telegram.url, per_second=0))
    chats = [TelegramChat(bot, chat_id=chat_id) for chat_id in ("1", "2")]
    box = outbox(database, *(chat.name for chat in chats))
    box.take(anomalies(12), now_us=clock.now_us())
    clock.advance(seconds=1)
    telegram.fail_next(
        Fault(FaultKind.RATE_LIMITED, retry_after_s=7),
        Fault(FaultKind.SERVER_ERROR),
        Fault(FaultKind.SERVER_ERROR),
    )
    asyncio.run(run_until(sender(box, chats, clock), lambda: is_empty(box)))
    assert telegram.anomaly_ids("1") == ids(12)
    assert telegram.anomaly_ids("2") == ids(12)
    assert telegram.refused == 0


def test_a_client_without_pace_is_held_to_the_limit_by_the_server_and_still_loses_nothing(
    database: Database, clock: ManualClock, telegram: TelegramServer
) -> None:
    params = TelegramParams(token=telegram.token, api_url=telegram.url, min_interval_s=0.0, per_second=0)
    chat = TelegramChat(TelegramBot(params), chat_id="1")
    box = outbox(database, chat.name)
    box.take(anomalies(5), now_us=clock.now_us())
    clock.advance(seconds=1)
    asyncio.run(run_until(sender(box, [chat], clock), lambda: is_empty(box)))
    assert telegram.anomaly_ids() == ids(5)
    assert telegram.refused >= 4


def test_a_lost_answer_repeats_the_message_with_the_same_id(
    database: Database, clock: ManualClock, telegram: TelegramServer
) -> None:
    chat = TelegramChat(TelegramBot(TelegramParams(token=telegram.token, api_url=telegram.url)), chat_id="1")
    box = outbox(database, chat.name)
    box.take(anomalies(2), now_us=clock.now_us())
    clock.advance(seconds=1)
    telegram.fail_next(Fault(FaultKind.LOST_ANSWER))
    asyncio.run(run_until(sender(box, [chat], clock), lambda: is_empty(box)))
    assert telegram.anomaly_ids() == ["a000", "a000", "a001"]


def test_a_repetition_says_what_it_is(
    database: Database, telegram: TelegramServer, clock: ManualClock
) -> None:
    telegram.fail_next(Fault(FaultKind.LOST_ANSWER))
    bot = TelegramBot(TelegramParams(token=telegram.token, api_url=telegram.url))
    box = outbox(database, "telegram:1")
    box.take(anomalies(2), now_us=clock.now_us())
    clock.advance(seconds=1)
    asyncio.run(run_until(sender(box, [TelegramChat(bot, chat_id="1")], clock), lambda: is_empty(box)))
    assert [SENT_AGAIN in message.text for message in telegram.messages] == [False, True, False]


def test_two_alerters_keep_a_channels_pace_together(database: Database, clock: ManualClock) -> None:
    channels = [RecordingChannel("chat", clock, min_interval_s=1.0) for _ in range(2)]
    box = outbox(database, "chat")
    box.take(anomalies(6), now_us=clock.now_us())
    clock.advance(seconds=1)

    async def scenario() -> None:
        both = [sender(outbox(database, "chat"), [channel], clock) for channel in channels]
        await asyncio.gather(*(run_until(each, lambda: is_empty(box)) for each in both))

    asyncio.run(scenario())
    sent_s = sorted(at_s for channel in channels for _, at_s in channel.sent)
    assert len(sent_s) == 6
    assert all(later - sooner >= 1.0 for sooner, later in itertools.pairwise(sent_s))


def test_one_unknown_chat_repeats_nothing_in_the_other(
    database: Database, clock: ManualClock, telegram: TelegramServer
) -> None:
    bot = TelegramBot(TelegramParams(token=telegram.token, api_url=telegram.url))
    chats = [TelegramChat(bot, chat_id=chat_id) for chat_id in ("1", "unknown")]
    box = outbox(database, *(chat.name for chat in chats))
    box.take(anomalies(3), now_us=clock.now_us())
    clock.advance(seconds=1)
    made = sender(box, chats, clock)
    asyncio.run(run_until(made, lambda: is_empty(box)))
    assert telegram.anomaly_ids() == ids(3)
    assert {state for state, _, _ in states(database, "telegram:unknown").values()} == {"refused"}
    assert made.tally.faults() == {"telegram:unknown": "refused: BadRequest: Chat not found"}


def test_a_revoked_token_does_not_hold_up_another_service(
    database: Database, clock: ManualClock, telegram: TelegramServer
) -> None:
    telegram.is_token_revoked = True
    with SlackServer(channels=["#alerts"], clock=clock) as slack:
        chat = TelegramChat(
            TelegramBot(TelegramParams(token=telegram.token, api_url=telegram.url)), chat_id="1"
        )
        posts = SlackChannel(SlackParams(token=slack.token, channel="#alerts", api_url=slack.url))
        box = outbox(database, chat.name, posts.name)
        box.take(anomalies(3), now_us=clock.now_us())
        clock.advance(seconds=1)
        asyncio.run(run_until(sender(box, [chat, posts], clock), lambda: is_empty(box)))
        assert slack.anomaly_ids() == ids(3)
    assert states(database, "telegram:1")["a000"] == ("refused", 1, "InvalidToken: Unauthorized")


def test_the_lease_must_outlast_an_attempt() -> None:
    with pytest.raises(ValueError, match="lease_s"):
        SenderParams(send_timeout_s=30, lease_s=30)


def test_waiting_ends_with_the_signal_or_with_the_time() -> None:
    async def scenario() -> None:
        signal = asyncio.Event()
        await pause(signal, 0.001)
        signal.set()
        async with asyncio.timeout(10):
            await pause(signal, 3_600)

    asyncio.run(scenario())


def test_a_dead_channel_is_told_of_once_on_the_others_and_holds_up_nobody(
    database: Database, clock: ManualClock
) -> None:
    outbox = Outbox(database, rules=plain_rules("dead", "alive", "well"))
    dead = RecordingChannel("dead", clock)
    dead.failures = [ChannelDeadError("dead", detail="chat not found") for _ in range(3)]
    alive, well = RecordingChannel("alive", clock), RecordingChannel("well", clock)
    outbox.take([anomaly(f"a{n}", symbol=f"M{n}-USDT") for n in range(4)], now_us=clock.now_us())
    sender = Sender(
        outbox=outbox, channels=[dead, alive, well], params=PARAMS, clock=clock, waiting=advancing(clock)
    )
    asyncio.run(
        run_until(
            sender,
            lambda: (
                len(dead.attempted) == len(alive.sent) == len(well.sent) == 4
                and len(alive.told) == len(well.told) == 2
            ),
        )
    )
    assert alive.ids() == well.ids() == [f"a{n}" for n in range(4)]
    assert alive.told == well.told
    assert alive.told[0] == "Tapewatch: alerts do not reach dead any more: chat not found"
    assert alive.told[1] == "Tapewatch: alerts reach dead again."
    assert dead.told == []


def test_a_word_about_a_dead_channel_is_given_up_where_it_cannot_be_said(
    database: Database, clock: ManualClock
) -> None:
    outbox = Outbox(database, rules=plain_rules("dead"))
    dead, other = RecordingChannel("dead", clock), RecordingChannel("other", clock)
    dead.failures = [ChannelDeadError("dead", detail="revoked"), ChannelDeadError("dead", detail="revoked")]
    other.failures = [DeliveryRetriableError("other", detail="busy") for _ in range(3)]
    outbox.take([anomaly("a1"), anomaly("a2", symbol="ETH-USDT")], now_us=clock.now_us())
    sender = Sender(
        outbox=outbox, channels=[dead, other], params=PARAMS, clock=clock, waiting=advancing(clock)
    )
    asyncio.run(run_until(sender, lambda: len(dead.attempted) == 2 and not other.failures))
    assert other.told == []
