import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
from sqlalchemy import text

from alerter.app import TOPICS, AlerterParams, AlerterSink, RulesFeed, SenderThread, run
from alerter.channels.channel import Channel
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.slack import SlackParams, SlackWebhookParams
from alerter.channels.telegram import TelegramParams
from alerter.inbound.service import Inbound, InboundParams
from alerter.outbox import Outbox
from alerter.pictures import Pictures
from alerter.sender import Sender, SenderParams
from alerter.tape import Tape
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.errors import StoreError
from shared.events import (
    Alert,
    AlertAction,
    AlertCommand,
    AlertState,
    Anomaly,
    EpisodePhase,
    Severity,
    WorkerStatus,
)
from shared.metrics import Health
from shared.status import StatusReporter
from shared.store.database import Database
from shared.stream.broker import TopicPartition
from shared.stream.memory import MemoryBroker
from shared.stream.sink import Received
from tests.deadlines import eventually
from tests.servers.slack import WEBHOOK_CHANNEL, SlackLimits, SlackServer
from tests.servers.telegram import TelegramLimits, TelegramServer
from tests.unit.alerter.examples import RecordingChannel, anomaly, plain_rules

CLOCK = SystemClock()
DEADLINE_S = 20.0
NO_COOLDOWN = AlerterParams(
    rules=plain_rules(cooldown_s=0).file, sender=SenderParams(send_timeout_s=2, lease_s=3)
)


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(partitions=2)
    made.ensure_topics()
    return made


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(limits=TelegramLimits(per_chat=0, overall=0)) as server:
        yield server


def publish(broker: MemoryBroker, events: Sequence[Anomaly]) -> None:
    producer = broker.producer()
    for event in events:
        producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())


def alerts(broker: MemoryBroker) -> list[Alert]:
    log = broker.read_all([TopicPartition(topics.ALERTS, 0)])
    return [decode(message.value(), Alert) for message in log]


def statuses(broker: MemoryBroker) -> list[WorkerStatus]:
    log = broker.read_all([TopicPartition(topics.WORKER_STATUS, 0)])
    return [decode(message.value(), WorkerStatus) for message in log]


def wait_for(condition: Callable[[], bool]) -> None:
    eventually(condition, seconds=DEADLINE_S, about="the alerter")


@contextmanager
def running(
    broker: MemoryBroker,
    database: Database,
    channels: Sequence[Channel],
    params: AlerterParams = NO_COOLDOWN,
) -> Iterator[None]:
    """Run an alerter in a thread; raise what it raised."""
    stop, errors = threading.Event(), []

    def work() -> None:
        try:
            run(
                broker=broker,
                database=database,
                channels=channels,
                params=params,
                clock=CLOCK,
                health=Health(CLOCK),
                stop=stop,
            )
        except StoreError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def is_told(channel: RecordingChannel, anomaly_ids: Sequence[str]) -> bool:
    return channel.ids() == list(anomaly_ids)


def sink(broker: MemoryBroker, outbox: Outbox) -> AlerterSink:
    """Return a sink of which the sender never runs: all that a process did that died before it could send."""
    producer = broker.producer()
    sender = Sender(outbox=outbox, channels=[], params=SenderParams(), clock=CLOCK)
    return AlerterSink(
        outbox=outbox,
        sender=SenderThread(sender),
        sent=queue.SimpleQueue(),
        feed=RulesFeed(NO_COOLDOWN, channels=("chat",)),
        inbound=Inbound(
            InboundParams(),
            broker=broker,
            database=outbox._database,
            pictures=Pictures(Tape(outbox._database, broker, clock=CLOCK), CLOCK),
            status=list,
            instance="1",
            clock=CLOCK,
        ),
        producer=producer,
        status=StatusReporter(producer, worker="alerter", instance="1", clock=CLOCK),
        clock=CLOCK,
    )


def test_anomalies_are_told_on_every_channel_and_said_on_the_topic(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    events = [anomaly(f"a{number}", symbol=f"M{number}-USDT") for number in range(4)]
    publish(broker, [*events, anomaly("low", severity=Severity.LOW)])
    wanted = sorted(event.anomaly_id for event in events)
    with SlackServer(limits=SlackLimits(per_channel=0)) as slack:
        channels = build_channels(
            ChannelsParams(
                telegram=TelegramParams(token=telegram.token, api_url=telegram.url, min_interval_s=0),
                telegram_chat_ids=("1", "2"),
                slack=SlackParams(token=slack.token, channel="#alerts", api_url=slack.url, min_interval_s=0),
                slack_webhook=SlackWebhookParams(url=slack.webhook_url, min_interval_s=0),
            )
        )
        with running(broker, database, channels):
            wait_for(lambda: len(telegram.messages) == 8 and len(slack.messages) == 8)
        for chat_id in ("1", "2"):
            assert sorted(telegram.anomaly_ids(chat_id)) == wanted
        for channel in ("#alerts", WEBHOOK_CHANNEL):
            assert sorted(slack.anomaly_ids(channel)) == wanted
    names = {"telegram:1", "telegram:2", "slack:#alerts", "slack-webhook"}
    due = [alert for alert in alerts(broker) if alert.detail == "to be told"]
    assert sorted(alert.anomaly_id for alert in due) == wanted
    assert all(set(alert.channels) == names for alert in due)
    taken = {(a.anomaly_id, *a.channels) for a in alerts(broker) if a.detail == "delivered"}
    assert taken == {(anomaly_id, name) for anomaly_id in wanted for name in names}
    (silent,) = [alert for alert in alerts(broker) if alert.anomaly_id == "low"]
    assert (silent.channels, silent.detail) == ([], "severity low is below medium")


def test_the_order_within_a_market_is_kept(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    publish(broker, [anomaly(f"a{number:02d}") for number in range(6)])
    params = TelegramParams(token=telegram.token, api_url=telegram.url, min_interval_s=0)
    channels = build_channels(ChannelsParams(telegram=params, telegram_chat_ids=("1",)))
    with running(broker, database, channels):
        wait_for(lambda: len(telegram.messages) == 6)
    assert telegram.anomaly_ids() == [f"a{number:02d}" for number in range(6)]


def test_a_decision_wakes_the_sender(broker: MemoryBroker, database: Database) -> None:
    channel = RecordingChannel("chat", CLOCK)
    # Left alone, it would look again after an hour.
    params = AlerterParams(rules=plain_rules().file, sender=SenderParams(idle_poll_s=3_600))
    with running(broker, database, [channel], params):
        for number in range(1, 6):
            publish(broker, [anomaly(f"a{number}", symbol=f"M{number}-USDT")])
            told = [f"a{earlier}" for earlier in range(1, number + 1)]
            wait_for(partial(is_told, channel, told))


def test_a_crash_after_the_outbox_was_written_and_before_the_commit_loses_and_repeats_nothing(
    broker: MemoryBroker, database: Database
) -> None:
    events = [anomaly(f"a{number}", symbol=f"M{number}-USDT") for number in range(5)]
    publish(broker, events)
    # The process dies here: decisions are stored and published, no offset is committed, nothing is sent.
    before = sink(broker, Outbox(database, rules=plain_rules("chat")))
    before.on_events([Received(topics.ANOMALIES, 0, n, event) for n, event in enumerate(events)])
    assert len(alerts(broker)) == 5
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: len(alerts(broker)) == 10)
    assert channel.ids() == [event.anomaly_id for event in events]
    decisions = [encode(alert) for alert in alerts(broker) if alert.detail == "to be told"]
    assert len(decisions) == len(set(decisions)) == 5


def test_a_crash_before_the_events_were_published_publishes_them_later(
    broker: MemoryBroker, database: Database
) -> None:
    # The process dies here: it has decided, and published nothing.
    Outbox(database, rules=plain_rules("chat")).take([anomaly("a1")], now_us=CLOCK.now_us())
    with running(broker, database, [RecordingChannel("chat", CLOCK)]):
        wait_for(lambda: [alert.detail for alert in alerts(broker)].count("to be told") == 1)


def test_an_acknowledgement_from_the_topic_counts(broker: MemoryBroker, database: Database) -> None:
    publish(broker, [anomaly("a1")])
    channel = RecordingChannel("chat", CLOCK, edits=True)
    with running(broker, database, [channel]):
        wait_for(lambda: len(alerts(broker)) == 2)
        command = AlertCommand(
            command_id="c1", action=AlertAction.ACKNOWLEDGE, target="a1", author="ann", time_us=CLOCK.now_us()
        )
        broker.producer().produce(topics.ALERT_COMMANDS, encode(command), key=b"a1")
        wait_for(lambda: any(alert.state is AlertState.ACKNOWLEDGED for alert in alerts(broker)))
        wait_for(lambda: channel.threads == ["", "ref-1"])


def test_a_crash_before_the_outbox_was_written_loses_nothing(
    broker: MemoryBroker, database: Database
) -> None:
    publish(broker, [anomaly("a1")])
    # The process dies here: it has read the records and done nothing with them.
    reader = broker.consumer(group="alerter")
    reader.subscribe(TOPICS)
    assert len(reader.consume(10, 0)) == 1
    reader.close()
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: channel.ids() == ["a1"])


def test_what_was_sent_is_not_sent_again_when_the_topic_is_read_from_its_beginning(
    broker: MemoryBroker, database: Database
) -> None:
    publish(broker, [anomaly("a1"), anomaly("b1", symbol="ETH-USDT")])
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: len(channel.sent) == 2)
    broker.groups.clear()
    publish(broker, [anomaly("c1", symbol="SOL-USDT")])
    with running(broker, database, [channel]):
        wait_for(lambda: "c1" in channel.ids())
    assert sorted(channel.ids()) == ["a1", "b1", "c1"]


def test_what_was_pending_at_a_stop_is_sent_after_the_start(broker: MemoryBroker, database: Database) -> None:
    outbox = Outbox(database, rules=plain_rules("chat"))
    outbox.take([anomaly("a1"), anomaly("b1", symbol="ETH-USDT")], now_us=CLOCK.now_us() - 10)
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: channel.ids() == ["a1", "b1"])


def test_what_a_detector_on_trial_finds_alerts_nobody(broker: MemoryBroker, database: Database) -> None:
    on_trial, live = msgspec.structs.replace(anomaly("a1"), shadow=True), anomaly("a2")
    publish(broker, [on_trial, live])
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: len(alerts(broker)) == 2)
    assert channel.ids() == ["a2"]
    assert {alert.anomaly_id for alert in alerts(broker)} == {"a2"}


def test_the_end_of_an_episode_resolves_its_alert(broker: MemoryBroker, database: Database) -> None:
    publish(broker, [anomaly("a1"), anomaly("a2", episode_id="a1", phase=EpisodePhase.CLOSED)])
    channel = RecordingChannel("chat", CLOCK)
    with running(broker, database, [channel]):
        wait_for(lambda: len(alerts(broker)) == 3)
    by_anomaly = {alert.anomaly_id: alert for alert in alerts(broker)}
    assert by_anomaly["a1"].state is AlertState.FIRING
    assert by_anomaly["a2"].state is AlertState.RESOLVED
    assert {alert.alert_id for alert in alerts(broker)} == {"a1"}
    assert channel.ids() == ["a1"]


def test_the_status_says_what_was_done_and_what_is_wrong(
    broker: MemoryBroker, database: Database, telegram: TelegramServer
) -> None:
    telegram.is_token_revoked = True
    params = TelegramParams(token=telegram.token, api_url=telegram.url)
    chat = build_channels(ChannelsParams(telegram=params, telegram_chat_ids=("1",)))
    channel = RecordingChannel("chat", CLOCK)
    publish(broker, [anomaly("a1"), anomaly("low", severity=Severity.LOW)])
    with running(broker, database, [channel, *chat]):
        wait_for(lambda: any(status.state == "degraded" for status in statuses(broker)))
        wait_for(lambda: channel.ids() == ["a1"])
    broken = next(status for status in statuses(broker) if status.state == "degraded")
    assert broken.worker == "alerter"
    assert broken.detail == "telegram:1: refused: InvalidToken: Unauthorized"
    last = statuses(broker)[-1]
    assert last.state == "stopping"
    assert last.figures["notifications_sent_total"] == 1
    assert last.figures["refused_total"] == 1
    assert last.figures["suppressed_total"] == 1
    assert last.figures["delivery_p99_ms"] > 0


def test_an_error_that_ends_the_sender_ends_the_worker(broker: MemoryBroker, database: Database) -> None:
    with database.session() as session:
        session.execute(
            text(
                "CREATE TRIGGER refuse BEFORE UPDATE ON deliveries WHEN NEW.state = 'sent' "
                "BEGIN SELECT RAISE(ABORT, 'it broke here'); END"
            )
        )
    publish(broker, [anomaly("a1")])
    channel = RecordingChannel("chat", CLOCK)
    with pytest.raises(StoreError, match="it broke here"), running(broker, database, [channel]):
        wait_for(lambda: channel.is_closed)


def test_without_a_service_the_console_is_told() -> None:
    assert [channel.name for channel in build_channels(ChannelsParams())] == ["console"]


def test_a_chat_that_is_named_twice_is_told_once() -> None:
    params = ChannelsParams(telegram=TelegramParams(token="1:a"), telegram_chat_ids=("1", "2", "1"))
    assert [channel.name for channel in build_channels(params)] == ["telegram:1", "telegram:2"]
