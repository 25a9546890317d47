"""A detector that the group has dropped without its knowledge, as after a long stop: what it may not do."""

from typing import Literal

import pytest

from shared import topics
from shared.clock import ManualClock
from shared.codec import encode
from shared.errors import BrokerAbortableError
from shared.metrics import Health
from shared.stream.memory import MemoryBroker, MemoryConsumer
from shared.stream.runner import Runner, RunnerParams
from tests.stream_steps import HashStep, make_trade

SYMBOL = "BTC-USDT"


def make_runner(
    broker: MemoryBroker, instance: str, guarantee: Literal["exactly_once", "at_least_once"]
) -> Runner:
    clock = ManualClock()
    runner = Runner(
        broker=broker,
        step=HashStep(),
        params=RunnerParams(instance=instance, guarantee=guarantee),
        clock=clock,
        health=Health(clock),
    )
    runner.start()
    return runner


def publish(broker: MemoryBroker, first: int, count: int) -> None:
    producer = broker.producer()
    for number in range(first, first + count):
        producer.produce(topics.TRADES, encode(make_trade(SYMBOL, number)), key=SYMBOL.encode())


def read(runner: Runner, trades: int) -> None:
    while runner.totals.trades < trades:
        runner.turn()


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_its_state_does_not_follow_its_successors(
    guarantee: Literal["exactly_once", "at_least_once"],
) -> None:
    broker = MemoryBroker(partitions=1)
    broker.ensure_topics()
    publish(broker, 0, 10)
    stopped = make_runner(broker, "1", guarantee)
    read(stopped, 10)
    assert isinstance(stopped._consumer, MemoryConsumer)
    stopped._consumer.evict()
    successor = make_runner(broker, "2", guarantee)
    publish(broker, 10, 10)
    read(successor, 20)
    successor.commit()

    def snapshots() -> list[bytes]:
        return [message.value() for message in broker.read_all(broker.partitions_of(topics.SNAPSHOTS))]

    kept = snapshots()
    assert kept
    with pytest.raises(BrokerAbortableError):
        stopped.commit()
    assert snapshots() == kept
