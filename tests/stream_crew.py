"""Detectors with a small step, in threads of the test's process; started anew when they crash."""

import threading
from collections import Counter
from types import TracebackType
from typing import Literal, Self

from shared import topics
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.errors import BrokerFatalError
from shared.events import Anomaly
from shared.metrics import Health
from shared.stream.broker import Broker, TopicPartition
from shared.stream.commit import CommitPolicy
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from tests.stream_steps import HashStep, make_trade

GROUP = "detector"
# Seldom enough that a transaction is open most of the time.
_COMMIT = CommitPolicy(max_records=200, max_delay_s=0.5, max_output_delay_s=0.2)


class Crew:
    """Some detectors over one broker; a context manager that stops them in order.

    Args:
        broker: with its topics made.
        instances: their names.
        guarantee: of all.

    Attributes:
        crashes: of all, after each of which one was started anew.
        faults: what ended one for good.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        instances: tuple[str, ...] = ("1", "2"),
        guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once",
    ) -> None:
        self.crashes = 0
        self.faults: list[str] = []
        self._broker = broker
        self._guarantee = guarantee
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(name,)) for name in instances]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, instance: str) -> None:
        clock = SystemClock()
        while not self._stop.is_set():
            runner = Runner(
                broker=self._broker,
                step=HashStep(),
                params=RunnerParams(
                    group=GROUP,
                    instance=instance,
                    guarantee=self._guarantee,
                    commit=_COMMIT,
                    snapshots=SnapshotPolicy(interval_s=1.0),
                ),
                clock=clock,
                health=Health(clock),
            )
            try:
                runner.run(self._stop)
            except BrokerFatalError as error:
                # The fate of a crash: a supervisor starts the worker anew. Its process would be gone; a
                # consumer that is left in this one would stay a member that does nothing.
                self.crashes += 1
                self.faults.append(str(error))
                runner._consumer.close()


class Tape:
    """Trades of a few markets, written to the topic and remembered.

    Args:
        broker: where the topic is.
        symbols: the markets, in turn.

    Attributes:
        trades: written so far.
        waiting: per partition, how many were not judged when that was last asked.
    """

    def __init__(self, broker: Broker, symbols: tuple[str, ...]) -> None:
        self._broker = broker
        self._producer = broker.producer()
        self._symbols = symbols
        self.trades = 0
        self.waiting: dict[int, int] = {}

    def write(self, count: int) -> None:
        """Publish the next trades; they may wait until the broker takes them."""
        for number in range(self.trades, self.trades + count):
            symbol = self._symbols[number % len(self._symbols)]
            trade = make_trade(symbol, number // len(self._symbols))
            self._producer.produce(topics.TRADES, encode(trade), key=symbol.encode())
        self.trades += count
        self._producer.poll()

    def is_judged(self) -> bool:
        """Return whether the detectors have committed all that was written."""
        assert self._producer.flush(60) == 0
        consumer = self._broker.consumer(group=GROUP)
        try:
            partitions = consumer.partitions_of(topics.TRADES)
            committed = consumer.committed(partitions)
            self.waiting = {p.partition: consumer.bounds(p)[1] - committed.get(p, 0) for p in partitions}
            return not any(self.waiting.values())
        finally:
            consumer.close()

    def close(self) -> None:
        """Release the connection."""
        self._producer.close()

    def expected(self) -> dict[str, Anomaly]:
        """Return what an undisturbed step finds on it, by id."""
        step = HashStep()
        count = self.trades
        trades = [
            make_trade(self._symbols[number % len(self._symbols)], number // len(self._symbols))
            for number in range(count)
        ]
        return {event.anomaly_id: event for event in step.on_batch(trades) if isinstance(event, Anomaly)}


def committed_anomalies(broker: Broker) -> tuple[dict[str, Anomaly], int]:
    """Return the anomalies on the topic by id, and how many of them are there more than once."""
    consumer = broker.consumer(group=None)
    partitions: list[TopicPartition] = consumer.partitions_of(topics.ANOMALIES)
    consumer.close()
    found: dict[str, Anomaly] = {}
    counts: Counter[str] = Counter()
    for message in broker.read_all(partitions):
        anomaly = decode(message.value(), Anomaly)
        assert found.setdefault(anomaly.anomaly_id, anomaly) == anomaly, "one id, two contents"
        counts[anomaly.anomaly_id] += 1
    return found, sum(count > 1 for count in counts.values())
