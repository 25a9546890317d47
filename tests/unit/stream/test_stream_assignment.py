"""Records that a read took in hand before a rebalance in its middle must not be judged out of order."""

import pytest

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import BrokerFatalError
from shared.events import Anomaly
from shared.metrics import Health
from shared.stream.broker import Consumer, TopicPartition
from shared.stream.intake import MessageIntake, TradeBatch
from shared.stream.memory import MemoryBroker
from shared.stream.runner import Runner, RunnerParams
from tests.stream_steps import HashStep, make_trade

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT")
TRADES = 60


class UnquietIntake:
    """Reads as usual, and lets partitions come or go when the records are in hand already."""

    def __init__(self, consumer: Consumer, disturbed: frozenset[int]) -> None:
        self._disturbed = disturbed
        self._inner = MessageIntake(consumer)
        self._consumer = consumer
        self.reads = 0

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        batch = self._inner.read(max_records, timeout_s)
        self.reads += 1
        if batch.positions and self.reads in self._disturbed:
            moved = [TopicPartition(topics.TRADES, min(batch.positions))]
            listener = self._consumer._listener  # type: ignore[attr-defined]  # MemoryConsumer's own
            # Lost and given back: what is in hand of it lies behind where it is to be read on.
            listener.lost(moved)
            for partition, start in listener.assigned(moved).items():
                self._consumer.seek(partition, start)
        return batch


def run_over(broker: MemoryBroker, *disturbed: int) -> tuple[Runner, UnquietIntake]:
    intakes: list[UnquietIntake] = []

    def make(consumer: Consumer) -> UnquietIntake:
        intakes.append(UnquietIntake(consumer, frozenset(disturbed)))
        return intakes[0]

    clock = ManualClock()
    runner = Runner(
        broker=broker,
        step=HashStep(),
        params=RunnerParams(batch_records=7),
        clock=clock,
        health=Health(clock),
        intake=make,
    )
    runner.start()
    return runner, intakes[0]


def broker_with_trades() -> MemoryBroker:
    broker = MemoryBroker(partitions=3)
    broker.ensure_topics()
    producer = broker.producer()
    for number in range(TRADES):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        producer.produce(topics.TRADES, encode(make_trade(symbol, number)), key=symbol.encode())
    return broker


def test_what_was_in_hand_of_a_partition_that_moved_is_read_again_in_order() -> None:
    broker = broker_with_trades()
    runner, intake = run_over(broker, 2, 3, 5)
    for _ in range(200):
        runner.turn()
    runner.close()
    assert intake.reads > 5
    found = [
        decode(message.value(), Anomaly)
        for partition in broker.partitions_of(topics.ANOMALIES)
        for message in broker.read_all([partition])
    ]
    trades = [make_trade(SYMBOLS[number % len(SYMBOLS)], number) for number in range(TRADES)]
    expected = [event for event in HashStep().on_batch(trades) if isinstance(event, Anomaly)]
    assert sorted(found, key=lambda a: a.anomaly_id) == sorted(expected, key=lambda a: a.anomaly_id)


def test_records_of_a_partition_that_nobody_was_given_are_a_crash_and_no_standstill() -> None:
    broker = broker_with_trades()
    runner, _ = run_over(broker)
    runner.turn()
    consumer = runner._consumer
    # It looks as if it had been dropped, and then reads what it never heard of.
    runner._assignment._is_dropped = True
    del runner._states[min(runner._states)]
    for partition in broker.partitions_of(topics.TRADES):
        consumer.seek(partition, 0)
    with pytest.raises(BrokerFatalError, match="never assigned"):
        runner.turn()
