"""Any split into batches, any crash point, any hand-over: the same events, once each."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import BrokerAbortableError
from shared.events import Anomaly
from shared.metrics import Health
from shared.stream.broker import Consumer, Message
from shared.stream.commit import CommitPolicy
from shared.stream.memory import MemoryBroker, MemoryConsumer
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from tests.stream_steps import HashStep, make_trade

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "DOGE-USDT")


@dataclass(frozen=True)
class Turn:
    """One action of the schedule."""

    action: str
    worker: int
    records: int


turns = st.lists(
    st.builds(
        Turn,
        action=st.sampled_from(
            ["turn", "turn", "turn", "commit", "commit", "crash", "leave", "evict", "wait"]
        ),
        worker=st.integers(0, 1),
        records=st.integers(1, 9),
    ),
    min_size=20,
    max_size=60,
)
tapes = st.lists(st.sampled_from(SYMBOLS), min_size=40, max_size=100)


def publish(broker: MemoryBroker, tape: list[str]) -> None:
    producer = broker.producer()
    for number, symbol in enumerate(tape):
        producer.produce(topics.TRADES, encode(make_trade(symbol, number)), key=symbol.encode())


def committed_anomalies(broker: MemoryBroker) -> list[Anomaly]:
    return [
        decode(message.value(), Anomaly)
        for partition in broker.partitions_of(topics.ANOMALIES)
        for message in broker.read_all([partition])
    ]


def expected_anomalies(tape: list[str]) -> dict[str, Anomaly]:
    step = HashStep()
    trades = [make_trade(symbol, number) for number, symbol in enumerate(tape)]
    return {event.anomaly_id: event for event in step.on_batch(trades) if isinstance(event, Anomaly)}


class Fleet:
    """Up to three detector processes over one broker, each in its own turn."""

    def __init__(self, broker: MemoryBroker, guarantee: str, batch_records: int) -> None:
        self.broker = broker
        self.clock = ManualClock()
        self.guarantee = guarantee
        self.batch_records = batch_records
        self.runners: dict[int, Runner] = {}

    def runner(self, worker: int) -> Runner:
        if worker not in self.runners:
            params = RunnerParams(
                instance=str(worker),
                guarantee=self.guarantee,  # type: ignore[arg-type]  # one of the two literals
                batch_records=self.batch_records,
                commit=CommitPolicy(max_records=7, max_delay_s=1.0, max_output_delay_s=0.5),
                snapshots=SnapshotPolicy(interval_s=2.0),
            )
            runner = Runner(
                broker=self.broker,
                step=HashStep(),
                params=params,
                clock=self.clock,
                health=Health(self.clock),
            )
            runner.start()
            self.runners[worker] = runner
        return self.runners[worker]

    def do(self, turn: Turn) -> None:
        if turn.action == "wait":
            self.clock.advance(seconds=turn.records / 2)
        elif turn.action == "crash":
            if crashed := self.runners.pop(turn.worker, None):
                assert isinstance(crashed._consumer, MemoryConsumer)
                crashed._consumer.crash()
        elif turn.action == "evict":
            # As if stopped for longer than the session time-out: it goes on without knowing.
            if dropped := self.runners.get(turn.worker):
                assert isinstance(dropped._consumer, MemoryConsumer)
                dropped._consumer.evict()
        elif turn.action == "leave":
            if leaving := self.runners.pop(turn.worker, None):
                self.working(leaving, leaving.close)
        elif turn.action == "commit":
            self.working(runner := self.runner(turn.worker), runner.commit)
        else:
            self.working(runner := self.runner(turn.worker), runner.turn)

    @staticmethod
    def working(runner: Runner, work: Callable[[], object]) -> None:
        """Do as `Runner.run` does when a transaction must be aborted."""
        try:
            work()
        except BrokerAbortableError:
            runner.start_over()

    def finish(self) -> None:
        """Let everybody work until nothing is left."""
        self.runner(0)
        for _ in range(400):
            self.clock.advance(seconds=1.0)
            for runner in self.runners.values():
                self.working(runner, runner.turn)
            if not self._lag():
                break
        for worker in list(self.runners):
            self.runners.pop(worker).close()

    def _lag(self) -> int:
        group = self.broker.groups["detector"]
        return sum(
            len(self.broker.logs[partition]) - group.offsets.get(partition, 0)
            for partition in self.broker.partitions_of(topics.TRADES)
        )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(tape=tapes, schedule=turns, batch_records=st.integers(1, 9))
def test_exactly_once_repeats_nothing_and_loses_nothing(
    tape: list[str], schedule: list[Turn], batch_records: int
) -> None:
    broker = MemoryBroker(partitions=3)
    broker.ensure_topics()
    publish(broker, tape)
    fleet = Fleet(broker, "exactly_once", batch_records)
    for turn in schedule:
        fleet.do(turn)
    fleet.finish()

    found = committed_anomalies(broker)
    expected = expected_anomalies(tape)
    assert len(found) == len({anomaly.anomaly_id for anomaly in found}), "an anomaly was published twice"
    assert {anomaly.anomaly_id: anomaly for anomaly in found} == expected


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(tape=tapes, schedule=turns, batch_records=st.integers(1, 9))
def test_at_least_once_loses_nothing_and_repeats_only_known_ids(
    tape: list[str], schedule: list[Turn], batch_records: int
) -> None:
    broker = MemoryBroker(partitions=3)
    broker.ensure_topics()
    publish(broker, tape)
    fleet = Fleet(broker, "at_least_once", batch_records)
    for turn in schedule:
        fleet.do(turn)
    fleet.finish()

    found = committed_anomalies(broker)
    expected = expected_anomalies(tape)
    for anomaly in found:
        assert anomaly == expected[anomaly.anomaly_id], "a repeat differs from the original"
    assert {anomaly.anomaly_id for anomaly in found} == set(expected)


def test_an_aborted_transaction_is_done_again_from_the_last_commit() -> None:
    broker = MemoryBroker(partitions=1)
    broker.ensure_topics()
    tape = ["BTC-USDT"] * 12
    publish(broker, tape)
    clock = ManualClock()
    runner = Runner(
        broker=broker,
        step=HashStep(),
        params=RunnerParams(batch_records=4),
        clock=clock,
        health=Health(clock),
    )
    runner.start()
    runner.turn()
    clock.advance(seconds=2)
    runner.turn()  # four more, and a commit
    runner.turn()  # the last four, uncommitted
    runner.start_over()
    stop = threading.Event()

    def until_done() -> None:
        clock.advance(seconds=2)
        if not sum(runner.lag_records().values()):
            stop.set()

    runner.run(stop, after_turn=until_done)
    assert {a.anomaly_id: a for a in committed_anomalies(broker)} == expected_anomalies(tape)
    assert runner.totals.aborts == 1


class InterruptedConsumer(MemoryConsumer):
    """Loses its partitions and gets them back while it hands out a batch, as librdkafka may."""

    interrupt = False

    def consume(self, max_records: int, timeout_s: float) -> list[Message]:
        taken = super().consume(max_records, timeout_s)
        if taken and self.interrupt:
            self.interrupt = False
            assert self._listener is not None
            held = sorted(self._positions)
            self._listener.lost(held)
            for partition, offset in self._listener.assigned(held).items():
                self.seek(partition, offset)
        return taken


class InterruptedBroker(MemoryBroker):
    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        return InterruptedConsumer(self, group=group, from_start=from_start)


def test_records_taken_before_a_rebalance_are_not_judged_after_it() -> None:
    broker = InterruptedBroker(partitions=1)
    broker.ensure_topics()
    tape = ["BTC-USDT"] * 12
    publish(broker, tape)
    fleet = Fleet(broker, "exactly_once", 4)
    runner = fleet.runner(0)
    runner.turn()
    assert isinstance(runner._consumer, InterruptedConsumer)
    runner._consumer.interrupt = True
    runner.turn()
    fleet.finish()
    assert {a.anomaly_id: a for a in committed_anomalies(broker)} == expected_anomalies(tape)
    assert len(committed_anomalies(broker)) == len(expected_anomalies(tape))
