"""The four fates of an error, refused snapshots, eviction, overload: each with its event and its metric."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from structlog.typing import EventDict

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import (
    BrokerAbortableError,
    BrokerFatalError,
    BrokerRetriableError,
    DeadLetterLimitError,
    TapewatchError,
)
from shared.events import Anomaly, DeadLetter, Quarantine, Trade
from shared.metrics import Health
from shared.stream.broker import Consumer, Message, TopicPartition
from shared.stream.dead_letters import DeadLetterPolicy
from shared.stream.eviction import EvictionPolicy
from shared.stream.memory import MemoryBroker, MemoryConsumer
from shared.stream.overload import OverloadPolicy
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from shared.stream.snapshots import FORMAT_VERSION, RESUME_KEY
from shared.stream.step import OutputEvent
from tests.stream_steps import HashStep, make_trade

MARKETS = ("BTC-USDT", "ETH-USDT")
HOUR_TRADES = 3_600


class FaultyConsumer(MemoryConsumer):
    """Raises what it is told to, once each, before it reads or commits."""

    read_faults: tuple[TapewatchError, ...] = ()
    commit_faults: tuple[TapewatchError, ...] = ()

    def consume(self, max_records: int, timeout_s: float) -> list[Message]:
        if self.read_faults:
            fault, *rest = self.read_faults
            self.read_faults = tuple(rest)
            raise fault
        return super().consume(max_records, timeout_s)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.commit_faults:
            fault, *rest = self.commit_faults
            self.commit_faults = tuple(rest)
            raise fault
        super().commit(offsets)


class FaultyBroker(MemoryBroker):
    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        return FaultyConsumer(self, group=group, from_start=from_start)


@dataclass
class Stage:
    """A broker with one partition, and runners over it."""

    broker: MemoryBroker = field(default_factory=lambda: FaultyBroker(partitions=1))
    clock: ManualClock = field(default_factory=ManualClock)
    published: int = 0

    def __post_init__(self) -> None:
        self.broker.ensure_topics()

    def publish(self, count: int, *, markets: Sequence[str] = MARKETS) -> None:
        producer = self.broker.producer()
        for _ in range(count):
            symbol = markets[self.published % len(markets)]
            producer.produce(topics.TRADES, encode(make_trade(symbol, self.published)), key=symbol.encode())
            self.published += 1

    def publish_garbage(self, count: int = 1) -> None:
        for _ in range(count):
            self.broker.producer().produce(topics.TRADES, b"no trade", key=b"BTC-USDT")

    def runner(self, step: HashStep | None = None, **params: object) -> Runner:
        defaults: dict[str, object] = {"batch_records": 10, "snapshots": SnapshotPolicy(interval_s=1.0)}
        runner = Runner(
            broker=self.broker,
            step=step or HashStep(),
            params=RunnerParams(**(defaults | params)),  # type: ignore[arg-type]  # checked by the dataclass's users
            clock=self.clock,
            health=Health(self.clock),
        )
        runner.start()
        return runner

    def work(self, runner: Runner) -> None:
        """Let the runner read everything and commit it, as `Runner.run` would."""
        stop = threading.Event()

        def until_done() -> None:
            self.clock.advance(seconds=2)
            if runner.markets() and not sum(runner.lag_records().values()):
                stop.set()

        runner.run(stop, after_turn=until_done)

    def events(self, topic: str) -> list[bytes]:
        [partition] = self.broker.partitions_of(topic)
        return [message.value() for message in self.broker.read_all([partition])]

    def anomalies(self) -> list[Anomaly]:
        return [decode(value, Anomaly) for value in self.events(topics.ANOMALIES)]

    def snapshot_records(self) -> dict[bytes, bytes]:
        [partition] = self.broker.partitions_of(topics.SNAPSHOTS)
        return {m.key() or b"": m.value() for m in self.broker.read_all([partition])}

    def replace_snapshot(self, key: bytes, value: bytes) -> None:
        [partition] = self.broker.partitions_of(topics.SNAPSHOTS)
        self.broker.append(partition, key, value)


def undisturbed(count: int, fingerprint: str = "hash-1") -> list[Anomaly]:
    """Return what is found in the first trades of a stage."""
    step = HashStep(fingerprint)
    trades = [make_trade(MARKETS[number % 2], number) for number in range(count)]
    return [event for event in step.on_batch(trades) if isinstance(event, Anomaly)]


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


def named(logs: list[EventDict], event: str) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == event]


# Retry


def test_a_read_that_fails_is_done_again(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(20)
    runner = stage.runner()
    assert isinstance(runner._consumer, FaultyConsumer)
    runner._consumer.read_faults = (BrokerRetriableError("consume", detail="away"),)
    before = metric("tapewatch_retries_total", worker="detector")
    stage.work(runner)
    assert stage.anomalies() == undisturbed(20)
    assert [entry["detail"] for entry in named(logs, "broker_unavailable")] == ["away"]
    assert metric("tapewatch_retries_total", worker="detector") == before + 1


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (BrokerRetriableError("commit", detail="away"), "broker_unavailable"),
        (BrokerAbortableError("commit", detail="dropped"), "transaction_aborted"),
    ],
)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_commit_that_fails_is_done_again_from_the_last_one(
    fault: TapewatchError, event: str, guarantee: str, logs: list[EventDict]
) -> None:
    stage = Stage()
    stage.publish(20)
    runner = stage.runner(guarantee=guarantee)
    assert isinstance(runner._consumer, FaultyConsumer)
    runner._consumer.commit_faults = (fault,)
    before = metric("tapewatch_commits_total", outcome="aborted")
    stage.work(runner)
    found = stage.anomalies()
    assert {a.anomaly_id: a for a in found} == {a.anomaly_id: a for a in undisturbed(20)}
    assert guarantee == "at_least_once" or len(found) == len(undisturbed(20))
    assert len(named(logs, event)) == 1
    assert metric("tapewatch_commits_total", outcome="aborted") == before + 1


# Dead letter


def test_an_invalid_record_is_set_aside_with_its_bytes(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(4)
    stage.publish_garbage()
    stage.publish(8)
    before = metric("tapewatch_dead_letters_total", source=topics.TRADES)
    stage.work(stage.runner())
    [letter] = [decode(value, DeadLetter) for value in stage.events(topics.DEAD_LETTERS)]
    assert (letter.source, letter.offset, letter.payload) == (topics.TRADES, 4, b"no trade")
    assert stage.anomalies() == undisturbed(12)
    assert metric("tapewatch_dead_letters_total", source=topics.TRADES) == before + 1
    assert [entry["offset"] for entry in named(logs, "record_invalid")] == [4]


def test_too_many_invalid_records_halt_the_worker_and_move_nothing() -> None:
    stage = Stage()
    stage.publish_garbage(5)
    before = metric("tapewatch_crashes_total", worker="detector", kind="DeadLetterLimitError")
    runner = stage.runner(dead_letters=DeadLetterPolicy(limit=4))
    with pytest.raises(DeadLetterLimitError):
        stage.work(runner)
    assert stage.events(topics.DEAD_LETTERS) == []
    assert stage.broker.groups["detector"].offsets == {}
    assert metric("tapewatch_crashes_total", worker="detector", kind="DeadLetterLimitError") == before + 1


# Quarantine


class QuarantiningStep(HashStep):
    """Reports a detector that raised at the fifth trade."""

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        events = super().on_batch(trades)
        for trade in trades:
            if trade.trade_id == 5:
                events.append(
                    Quarantine(
                        symbol=trade.symbol,
                        detector="forest",
                        fingerprint="f",
                        error="ZeroDivisionError",
                        event_time_us=trade.event_time_us,
                        trade_id=5,
                    )
                )
        return events


def test_a_quarantine_is_published_logged_and_counted(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(12)
    before = metric("tapewatch_quarantines_total", detector="forest")
    stage.work(stage.runner(QuarantiningStep()))
    [quarantine] = [decode(value, Quarantine) for value in stage.events(topics.QUARANTINES)]
    assert (quarantine.symbol, quarantine.detector) == ("ETH-USDT", "forest")
    assert stage.anomalies() == undisturbed(12)
    assert metric("tapewatch_quarantines_total", detector="forest") == before + 1
    assert [entry["symbol"] for entry in named(logs, "detector_quarantined")] == ["ETH-USDT"]


# Crash


class RaisingStep(HashStep):
    """Has a fault of its own."""

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        raise ZeroDivisionError(len(trades))


@pytest.mark.parametrize("fault", [ZeroDivisionError(), BrokerFatalError("consume", detail="fenced")])
def test_everything_else_crashes_and_commits_nothing(fault: Exception, logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(12)
    runner = stage.runner(RaisingStep() if isinstance(fault, ZeroDivisionError) else None)
    if isinstance(fault, BrokerFatalError):
        assert isinstance(runner._consumer, FaultyConsumer)
        runner._consumer.read_faults = (fault,)
    kind = type(fault).__name__
    before = metric("tapewatch_crashes_total", worker="detector", kind=kind)
    with pytest.raises(type(fault)):
        stage.work(runner)
    assert stage.broker.groups["detector"].offsets == {}
    assert metric("tapewatch_crashes_total", worker="detector", kind=kind) == before + 1
    assert [entry["kind"] for entry in named(logs, "runner_crashed")] == [kind]
    # The supervisor starts another one, which finds everything as it was.
    runner._consumer.crash()  # type: ignore[attr-defined]  # the one in memory
    stage.work(stage.runner())
    assert stage.anomalies() == undisturbed(12)


# The group goes on without us


def test_one_who_was_dropped_takes_nothing_back(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(12)
    runner = stage.runner()
    while not runner.markets():
        runner.turn()
    assert isinstance(runner._consumer, FaultyConsumer)
    runner._consumer.evict()
    assigned = len(named(logs, "partition_assigned"))
    with pytest.raises(BrokerAbortableError):
        runner.commit()
    runner.start_over()
    # Whose the partitions are now is not ours to say: no state is restored, no position set.
    assert runner.markets() == 0
    assert len(named(logs, "partition_assigned")) == assigned
    stage.work(runner)
    assert stage.anomalies() == undisturbed(12)


# Snapshots


def other_fingerprint(_: Stage) -> HashStep:
    return HashStep("hash-2")


def older_version(stage: Stage) -> HashStep:
    for key, value in stage.snapshot_records().items():
        # A msgpack array, then the version as its first element.
        assert value[1] == FORMAT_VERSION
        stage.replace_snapshot(key, bytes([value[0], FORMAT_VERSION - 1]) + value[2:])
    return HashStep()


@pytest.mark.parametrize("make_step", [other_fingerprint, older_version])
def test_refused_snapshots_are_rebuilt_in_silence_from_the_retained_trades(
    make_step: Callable[[Stage], HashStep], logs: list[EventDict]
) -> None:
    stage = Stage()
    stage.publish(31)
    stage.work(stage.runner())
    assert stage.snapshot_records().keys() == {b"BTC-USDT#0", b"ETH-USDT#0", RESUME_KEY}
    before, refused = stage.anomalies(), metric("tapewatch_snapshots_refused_total")
    step = make_step(stage)
    stage.publish(29)
    stage.work(stage.runner(step))
    found = stage.anomalies()
    assert found[: len(before)] == before == undisturbed(31)
    # All the later ones, each once, with the state of somebody who saw every trade; none of the earlier.
    assert found[len(before) :] == undisturbed(60, step.fingerprint)[len(before) :]
    assert {entry["symbol"] for entry in named(logs, "snapshot_refused")} == set(MARKETS)
    assert metric("tapewatch_snapshots_refused_total") == refused + 2
    assert [entry["silent_from"] for entry in named(logs, "partition_assigned")] == [0, 0]


def test_one_damaged_record_costs_one_markets_warm_up(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(30)
    stage.work(stage.runner())
    stage.replace_snapshot(b"ETH-USDT#0", stage.snapshot_records()[b"ETH-USDT#0"][:-3])
    stage.publish(30)
    stage.work(stage.runner())
    found = stage.anomalies()
    expected = undisturbed(60)
    assert [a for a in found if a.symbol == "BTC-USDT"] == [a for a in expected if a.symbol == "BTC-USDT"]
    # The other one begins anew: its digests are those of its later trades alone.
    fresh = HashStep()
    later = [make_trade(MARKETS[number % 2], number) for number in range(30, 60)]
    anew = [event for event in fresh.on_batch(later) if event.symbol == "ETH-USDT"]
    assert [a for a in found if a.symbol == "ETH-USDT"][-len(anew) :] == anew
    assert [entry["symbol"] for entry in named(logs, "snapshot_refused")] == ["ETH-USDT"]


# Eviction


def test_a_market_that_vanishes_leaves_memory_and_topic(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(20)
    params = {"eviction": EvictionPolicy(forget_after_s=HOUR_TRADES)}
    runner = stage.runner(step := HashStep(), **params)
    before = metric("tapewatch_markets_evicted_total")
    for _ in range(2 * HOUR_TRADES // 1_000):
        # A trade takes a second.
        stage.publish(1_000, markets=["BTC-USDT"])
        while runner.turn():
            stage.clock.advance(seconds=1)
    assert list(step.symbols()) == ["BTC-USDT"]
    runner.close()
    assert stage.snapshot_records()[b"ETH-USDT#0"] is None
    assert runner.markets_evicted() == 1
    assert [entry["symbol"] for entry in named(logs, "market_evicted")] == ["ETH-USDT"]
    assert metric("tapewatch_markets_evicted_total") == before + 1
    # The next owner hears nothing of it.
    stage.runner(heir := HashStep(), **params).turn()
    assert list(heir.symbols()) == ["BTC-USDT"]


# Overload


class SlowStep(HashStep):
    """Takes a second of its clock for ten trades, a tenth of that when it sheds."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        level = self.shed_to[-1] if self.shed_to else 0
        self._clock.advance(seconds=len(trades) / (100 if level else 10))
        return super().on_batch(trades)


def test_under_load_the_step_sheds_until_it_has_caught_up(logs: list[EventDict]) -> None:
    stage = Stage()
    stage.publish(900)
    step = SlowStep(stage.clock)
    runner = stage.runner(
        step, overload=OverloadPolicy(shed_above_lag_s=10, raise_after_s=1e6, lower_after_s=5)
    )
    levels = set()
    while stage.broker.groups["detector"].offsets.get(TopicPartition(topics.TRADES, 0), 0) < 900:
        runner.turn()
        levels.add((runner.shed_level, metric("tapewatch_shed_level")))
    for _ in range(10):
        stage.clock.advance(seconds=1)
        runner.turn()
    assert levels == {(0, 0.0), (1, 1.0)}
    assert step.shed_to == [1, 0]
    assert [entry["level"] for entry in named(logs, "shed_level_changed")] == [1, 0]
    # No trade was skipped.
    assert stage.anomalies() == undisturbed(900)


def test_without_a_limit_nothing_is_ever_shed() -> None:
    stage = Stage()
    stage.publish(900)
    step = SlowStep(stage.clock)
    stage.work(stage.runner(step))
    assert step.shed_to == []
