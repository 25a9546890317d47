"""The runner on a real Kafka, its members coming and going: every intake gives the same events, once each."""

import uuid
from collections.abc import Callable

import pytest

from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.errors import BrokerAbortableError
from shared.events import Anomaly
from shared.metrics import Health
from shared.stream.broker import Consumer
from shared.stream.commit import CommitPolicy
from shared.stream.fast_intake import LibraryIntake, ScanIntake
from shared.stream.intake import Intake, MessageIntake
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.runner import Runner, RunnerParams
from tests.deadlines import eventually
from tests.stream_steps import HashStep, make_trade

pytestmark = pytest.mark.integration

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


@pytest.mark.parametrize("intake", [MessageIntake, ScanIntake, LibraryIntake])
def test_every_event_once_while_members_come_go_and_start_over(
    kafka: RunningBroker, intake: Callable[[Consumer], Intake]
) -> None:
    broker = KafkaBroker(
        KafkaParams(
            bootstrap_servers=kafka.bootstrap_servers,
            topic_prefix=f"fast-{uuid.uuid4().hex[:8]}-",
            partitions=PARTITIONS,
        )
    )
    broker.ensure_topics()
    tape = [make_trade(SYMBOLS[number % len(SYMBOLS)], number) for number in range(TRADES)]
    producer = broker.producer()
    for trade in tape:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
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
    consumer = broker.consumer(group=None)
    anomalies = consumer.partitions_of(topics.ANOMALIES)
    consumer.close()
    found = [decode(message.value(), Anomaly) for message in broker.read_all(anomalies)]
    expected = [event for event in HashStep().on_batch(tape) if isinstance(event, Anomaly)]
    assert len(found) == len({anomaly.anomaly_id for anomaly in found})
    assert {a.anomaly_id: a for a in found} == {a.anomaly_id: a for a in expected}
