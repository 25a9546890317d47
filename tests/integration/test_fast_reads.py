"""The runner on a real Kafka, its members and the broker itself coming and going: every event, once each."""

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import pytest

from deploy.kafka.apache import ApacheKafka
from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.errors import BrokerAbortableError
from shared.events import Anomaly, Trade
from shared.metrics import Health
from shared.stream.broker import Consumer, Producer
from shared.stream.commit import CommitPolicy
from shared.stream.fast_intake import LibraryIntake, ScanIntake
from shared.stream.intake import Intake, MessageIntake
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.runner import Runner, RunnerParams
from tests.deadlines import eventually
from tests.stream_steps import HashStep, make_trade

pytestmark = pytest.mark.integration
Protocol: TypeAlias = Literal["classic", "consumer"]

PARTITIONS = 4
SYMBOLS = [f"M{number}-USDT" for number in range(12)]
TRADES = 6_000


def runner(broker: KafkaBroker, intake: Callable[[Consumer], Intake], instance: int) -> Runner:
    clock = SystemClock()
    made = Runner(
        broker=broker,
        step=HashStep(),
        params=RunnerParams(
            instance=str(instance), batch_records=50, commit=CommitPolicy(max_records=170, max_delay_s=0.2)
        ),
        clock=clock,
        health=Health(clock),
        intake=intake,
    )
    made.start()
    return made


def work(one: Runner, action: Callable[[], int | None]) -> int:
    """Do as `Runner.run` does when a transaction must be aborted."""
    try:
        return action() or 0
    except BrokerAbortableError:
        one.start_over()
        return 0


def a_broker(servers: str, protocol: Protocol) -> KafkaBroker:
    made = KafkaBroker(
        KafkaParams(
            bootstrap_servers=servers,
            topic_prefix=f"fast-{uuid.uuid4().hex[:8]}-",
            partitions=PARTITIONS,
            group_protocol=protocol,
        )
    )
    made.ensure_topics()
    return made


def a_tape() -> list[Trade]:
    return [make_trade(SYMBOLS[number % len(SYMBOLS)], number) for number in range(TRADES)]


def queue(producer: Producer, trades: Sequence[Trade]) -> None:
    for trade in trades:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())


def judged_by(broker: KafkaBroker) -> list[Anomaly]:
    consumer = broker.consumer(group=None)
    anomalies = consumer.partitions_of(topics.ANOMALIES)
    consumer.close()
    return [decode(message.value(), Anomaly) for message in broker.read_all(anomalies)]


def expected() -> dict[str, Anomaly]:
    events = HashStep().on_batch(a_tape())
    return {event.anomaly_id: event for event in events if isinstance(event, Anomaly)}


def assert_each_once(found: Sequence[Anomaly]) -> None:
    assert len(found) == len({anomaly.anomaly_id for anomaly in found})
    assert {anomaly.anomaly_id: anomaly for anomaly in found} == expected()


@pytest.mark.parametrize(
    ("protocol", "intake"),
    [
        ("classic", MessageIntake),
        ("classic", ScanIntake),
        ("classic", LibraryIntake),
        ("consumer", LibraryIntake),
    ],
)
def test_every_event_once_while_members_come_go_and_start_over(
    kafka: RunningBroker, protocol: Protocol, intake: Callable[[Consumer], Intake]
) -> None:
    broker = a_broker(kafka.bootstrap_servers, protocol)
    producer = broker.producer()
    queue(producer, a_tape())
    assert producer.flush(30) == 0

    runners = [runner(broker, intake, 0)]
    judged = 0

    def turns(count: int) -> None:
        nonlocal judged
        for _ in range(count):
            judged += sum(work(one, one.turn) for one in runners)

    def has_judged(wanted: int) -> bool:
        turns(1)
        return judged >= wanted

    def takes_part() -> bool:
        turns(1)
        return bool(runners[-1].markets())

    eventually(lambda: has_judged(500), seconds=60, about="a first reader")
    for instance in (1, 2):
        runners.append(runner(broker, intake, instance))
        eventually(takes_part, seconds=60, about="a member to take part")
        # As after an aborted transaction: positions are set back by seeking, and the state is read anew.
        runners[0].start_over()
        turns(3)
        leaving = runners.pop(0)
        work(leaving, leaving.commit)
        leaving.close()

    def is_done() -> bool:
        turns(1)
        for one in runners:
            work(one, one.commit)
        lag = runners[0].lag_records()
        return len(lag) == PARTITIONS and sum(lag.values()) == 0

    eventually(is_done, seconds=60, about="everything to be judged")
    for one in runners:
        one.close()
    assert_each_once(judged_by(broker))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_every_event_once_although_the_broker_dies_while_it_is_read(
    own_kafka: ApacheKafka, protocol: Protocol
) -> None:
    broker = a_broker(own_kafka.bootstrap_servers, protocol)
    producer = broker.producer()
    tape = a_tape()
    queue(producer, tape[: TRADES // 2])
    assert producer.flush(30) == 0
    one, stop = runner(broker, LibraryIntake, 0), threading.Event()
    running = threading.Thread(target=one.run, args=(stop,))
    running.start()
    try:
        eventually(lambda: one.totals.trades >= 300, seconds=60, about="the first trades")
        queue(producer, tape[TRADES // 2 :])
        own_kafka.kill()
        own_kafka.start()
        assert producer.flush(60) == 0
        wanted = len(expected())
        eventually(lambda: len(judged_by(broker)) >= wanted, seconds=90, about="all events", every_s=0.5)
    finally:
        stop.set()
        running.join(60)
    assert not running.is_alive()
    assert_each_once(judged_by(broker))
