"""Any split into batches, any crash point, any hand-over: the same events, once each.

The tapes hold silences after which markets are forgotten, late trades, trades from the future, and records
that are no trades; what is expected comes from a reference that goes through a partition record by record.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import BrokerAbortableError
from shared.events import Anomaly, DeadLetter, Trade
from shared.metrics import Health
from shared.stream.broker import Consumer, Message, TopicPartition
from shared.stream.commit import CommitPolicy
from shared.stream.eviction import EvictionPolicy
from shared.stream.fast_intake import ScanIntake
from shared.stream.intake import Intake, MessageIntake
from shared.stream.memory import MemoryBroker, MemoryConsumer
from shared.stream.runner import Runner, RunnerParams
from shared.stream.settings_feed import SettingsFeed
from shared.stream.snapshot_writer import SnapshotPolicy
from tests.stream_steps import HashStep, make_trade

# The one that reads librdkafka's batches needs a real broker: tests/integration/test_fast_reads.py.
intakes = st.sampled_from([MessageIntake, ScanIntake])
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
            ["turn", "turn", "turn", "commit", "commit", "crash", "die", "leave", "evict", "wait"]
        ),
        worker=st.integers(0, 1),
        records=st.integers(1, 9),
    ),
    min_size=20,
    max_size=60,
)


class Entry(NamedTuple):
    """One record of the tape.

    Attributes:
        symbol: its market.
        after_s: time since the record before it.
        is_sound: whether it is a trade.
        off_s: by how much its event time is off: late ones, and ones from the future.
    """

    symbol: str
    after_s: float = 1.0
    is_sound: bool = True
    off_s: float = 0.0


FORGET_AFTER_S = 64.0
WHOLE = SnapshotPolicy(interval_s=2.0)
# A slice or two a commit, so that a snapshot takes several, while the market trades on.
IN_SLICES = SnapshotPolicy(interval_s=2.0, budget_s=0.000_25, slice_bytes=16)
tapes = st.lists(
    st.builds(
        Entry,
        symbol=st.sampled_from(SYMBOLS),
        after_s=st.sampled_from([0.0, 1.0, 1.0, 1.0, 5.0, 40.0, 63.5, 65.0, 300.0]),
        is_sound=st.sampled_from([True] * 15 + [False]),
        off_s=st.sampled_from([0.0] * 12 + [-2.0, -100.0, 40.0, 1e6]),
    ),
    min_size=40,
    max_size=100,
)


def publish(broker: MemoryBroker, tape: list[Entry]) -> None:
    producer = broker.producer()
    now_us = 1_700_000_000_000_000
    for number, entry in enumerate(tape):
        now_us += round(entry.after_s * 1e6)
        trade = msgspec.structs.replace(
            make_trade(entry.symbol, number),
            event_time_us=now_us + round(entry.off_s * 1e6),
            received_time_us=now_us,
        )
        value = encode(trade) if entry.is_sound else b"{}"
        producer.produce(topics.TRADES, value, key=entry.symbol.encode())


def committed_anomalies(broker: MemoryBroker) -> list[Anomaly]:
    return [
        decode(message.value(), Anomaly)
        for partition in broker.partitions_of(topics.ANOMALIES)
        for message in broker.read_all([partition])
    ]


def expected_anomalies(broker: MemoryBroker) -> dict[str, Anomaly]:
    """Return what a step finds that is given one record at a time and forgets markets as the rule says."""
    found: dict[str, Anomaly] = {}
    step_us = round(FORGET_AFTER_S * 1e6) // 64
    for partition in broker.partitions_of(topics.TRADES):
        step = HashStep()
        clock_us = -1
        traded_us: dict[str, int] = {}
        for message in broker.logs[partition]:
            if message.value() == b"{}":
                continue
            trade = decode(message.value(), Trade)
            own_us = min(trade.event_time_us, trade.received_time_us + 3_600_000_000)
            clock_us = max(clock_us, own_us - own_us % step_us)
            if clock_us - traded_us.get(trade.symbol, clock_us) > FORGET_AFTER_S * 1e6:
                step.evict(trade.symbol)
            traded_us[trade.symbol] = clock_us
            found |= {
                event.anomaly_id: event for event in step.on_batch([trade]) if isinstance(event, Anomaly)
            }
    return found


def dead_letters(broker: MemoryBroker) -> list[tuple[int, int]]:
    [partition] = broker.partitions_of(topics.DEAD_LETTERS)
    letters = [decode(message.value(), DeadLetter) for message in broker.read_all([partition])]
    return [(letter.partition, letter.offset) for letter in letters]


def invalid_records(broker: MemoryBroker) -> set[tuple[int, int]]:
    return {
        (message.partition(), message.offset())
        for partition in broker.partitions_of(topics.TRADES)
        for message in broker.logs[partition]
        if message.value() == b"{}"
    }


class DeathError(Exception):
    """A process ends in the middle of a commit."""


class MortalConsumer(MemoryConsumer):
    """May die when it is to commit offsets, after everything else of the commit is on its way."""

    is_dying = False

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.is_dying:
            raise DeathError
        super().commit(offsets)


class MortalBroker(MemoryBroker):
    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        return MortalConsumer(self, group=group, from_start=from_start)


class TickingClock(ManualClock):
    """Goes on by a tenth of a millisecond whenever it is looked at."""

    def monotonic_s(self) -> float:
        self.advance(seconds=0.000_1)
        return super().monotonic_s()


class Fleet:
    """Up to three detector processes over one broker, each in its own turn."""

    def __init__(
        self,
        broker: MemoryBroker,
        guarantee: str,
        batch_records: int,
        snapshots: SnapshotPolicy = WHOLE,
        intake: Callable[[Consumer], Intake] = MessageIntake,
    ) -> None:
        self.broker = broker
        self.intake = intake
        self.clock = TickingClock()
        self.guarantee = guarantee
        self.batch_records = batch_records
        self.snapshots = snapshots
        self.runners: dict[int, Runner] = {}

    def runner(self, worker: int) -> Runner:
        if worker not in self.runners:
            params = RunnerParams(
                instance=str(worker),
                guarantee=self.guarantee,  # type: ignore[arg-type]  # one of the two literals
                batch_records=self.batch_records,
                commit=CommitPolicy(max_records=7, max_delay_s=1.0, max_output_delay_s=0.5),
                snapshots=self.snapshots,
                eviction=EvictionPolicy(forget_after_s=FORGET_AFTER_S),
            )
            runner = Runner(
                broker=self.broker,
                step=HashStep(),
                params=params,
                clock=self.clock,
                health=Health(self.clock),
                intake=self.intake,
                settings=self.feed(),
            )
            runner.start()
            self.runners[worker] = runner
        return self.runners[worker]

    def feed(self) -> SettingsFeed | None:
        """Return where a detector's settings come from; here they never change."""
        return None

    def do(self, turn: Turn) -> None:
        if turn.action == "wait":
            self.clock.advance(seconds=turn.records / 2)
        elif turn.action == "crash":
            if crashed := self.runners.pop(turn.worker, None):
                assert isinstance(crashed._consumer, MemoryConsumer)
                crashed._consumer.crash()
        elif turn.action == "die":
            self.die(turn.worker)
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

    def die(self, worker: int) -> None:
        dying = self.runner(worker)
        assert isinstance(dying._consumer, MortalConsumer)
        dying._consumer.is_dying = True
        try:
            self.working(dying, dying.commit)
        except DeathError:
            dying._consumer.crash()
            del self.runners[worker]
        else:
            dying._consumer.is_dying = False

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
@given(
    tape=tapes,
    schedule=turns,
    batch_records=st.integers(1, 9),
    partitions=st.integers(1, 4),
    snapshots=st.sampled_from([WHOLE, IN_SLICES]),
    intake=intakes,
)
def test_exactly_once_repeats_nothing_and_loses_nothing(
    tape: list[Entry],
    schedule: list[Turn],
    batch_records: int,
    partitions: int,
    snapshots: SnapshotPolicy,
    intake: Callable[[Consumer], Intake],
) -> None:
    broker = MortalBroker(partitions=partitions)
    broker.ensure_topics()
    publish(broker, tape)
    fleet = Fleet(broker, "exactly_once", batch_records, snapshots, intake)
    for turn in schedule:
        fleet.do(turn)
    fleet.finish()

    found = committed_anomalies(broker)
    expected = expected_anomalies(broker)
    assert len(found) == len({anomaly.anomaly_id for anomaly in found}), "an anomaly was published twice"
    assert {anomaly.anomaly_id: anomaly for anomaly in found} == expected
    assert sorted(dead_letters(broker)) == sorted(invalid_records(broker))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(
    tape=tapes,
    schedule=turns,
    batch_records=st.integers(1, 9),
    partitions=st.integers(1, 4),
    snapshots=st.sampled_from([WHOLE, IN_SLICES]),
    intake=intakes,
)
def test_at_least_once_loses_nothing_and_repeats_only_known_ids(
    tape: list[Entry],
    schedule: list[Turn],
    batch_records: int,
    partitions: int,
    snapshots: SnapshotPolicy,
    intake: Callable[[Consumer], Intake],
) -> None:
    broker = MortalBroker(partitions=partitions)
    broker.ensure_topics()
    publish(broker, tape)
    fleet = Fleet(broker, "at_least_once", batch_records, snapshots, intake)
    for turn in schedule:
        fleet.do(turn)
    fleet.finish()

    found = committed_anomalies(broker)
    expected = expected_anomalies(broker)
    for anomaly in found:
        assert anomaly == expected[anomaly.anomaly_id], "a repeat differs from the original"
    assert {anomaly.anomaly_id for anomaly in found} == set(expected)
    assert set(dead_letters(broker)) == invalid_records(broker)


def test_an_aborted_transaction_is_done_again_from_the_last_commit() -> None:
    broker = MemoryBroker(partitions=1)
    broker.ensure_topics()
    tape = [Entry("BTC-USDT")] * 12
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
    assert {a.anomaly_id: a for a in committed_anomalies(broker)} == expected_anomalies(broker)
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
    tape = [Entry("BTC-USDT")] * 12
    publish(broker, tape)
    fleet = Fleet(broker, "exactly_once", 4)
    runner = fleet.runner(0)
    runner.turn()
    assert isinstance(runner._consumer, InterruptedConsumer)
    runner._consumer.interrupt = True
    runner.turn()
    fleet.finish()
    assert {a.anomaly_id: a for a in committed_anomalies(broker)} == expected_anomalies(broker)
    assert len(committed_anomalies(broker)) == len(expected_anomalies(broker))
