"""The judge must find what is wrong."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from detector.engine import Engine
from detector.market_engines import MarketEngines
from shared import topics
from shared.clock import ManualClock
from shared.codec import encode
from shared.events import Anomaly, DeadLetter, Trade
from shared.metrics import Health
from shared.stream.broker import TopicPartition
from shared.stream.memory import MemoryBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.sink import Received, SinkParams, SinkRunner
from tests.chaos.judge import judge_letters, judge_topics, judge_venue
from tests.chaos.poison import Poisoner
from tests.chaos.stage import ENGINE


def tape(ids: Iterable[int]) -> list[Trade]:
    # Every hundredth trade is a whale.
    return [
        Trade("binance", "BTC-USDT", n, 100.0, 10_000.0 if n % 100 == 0 else 1.0, False, n * 1_000, n * 1_000)
        for n in ids
    ]


def broker_with(trades: list[Trade], anomalies: list[Anomaly]) -> MemoryBroker:
    broker = MemoryBroker(partitions=2)
    broker.ensure_topics()
    producer = broker.producer()
    for trade in trades:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    for anomaly in anomalies:
        producer.produce(topics.ANOMALIES, encode(anomaly), key=anomaly.symbol.encode())
    return broker


def found(trades: list[Trade]) -> list[Anomaly]:
    return [event for event in Engine(ENGINE).on_batch(trades) if isinstance(event, Anomaly)]


TRADES = tape(range(1_000, 4_000))
ANOMALIES = found(TRADES)


def test_what_is_whole_and_equal_has_no_faults() -> None:
    verdict = judge_topics(broker_with(TRADES, ANOMALIES), ENGINE)
    judge_venue(verdict, {"BTC-USDT": 3_999})
    assert (verdict.faults, verdict.trades, len(verdict.anomalies)) == ([], 3_000, len(ANOMALIES))


def test_a_hole_a_repeat_and_an_early_end_are_faults() -> None:
    for ids in ([1_000, 1_001, 1_003], [1_000, 1_001, 1_001, 1_002], [1_001, 1_000, 1_002]):
        assert any("follows" in fault for fault in judge_topics(broker_with(tape(ids), []), ENGINE).faults)
    verdict = judge_topics(broker_with(TRADES, ANOMALIES), ENGINE)
    judge_venue(verdict, {"BTC-USDT": 4_000})
    assert any("the venue at 4000" in fault for fault in verdict.faults)


def test_missing_repeated_and_changed_anomalies_are_faults() -> None:

    changed = [msgspec.structs.replace(ANOMALIES[0], score=-1.0), *ANOMALIES[1:]]
    for wrong, word in (
        (ANOMALIES[1:], "missing"),
        ([*ANOMALIES, ANOMALIES[0]], "more than once"),
        (changed, "different"),
    ):
        faults = judge_topics(broker_with(TRADES, wrong), ENGINE).faults
        assert len(faults) == 1
        assert word in faults[0]


def test_a_repeated_anomaly_is_no_fault_where_it_may_repeat_as_long_as_it_is_the_same() -> None:
    again = broker_with(TRADES, [*ANOMALIES, ANOMALIES[0]])
    verdict = judge_topics(again, ENGINE, may_repeat=True)
    assert (verdict.faults, verdict.repeated_anomalies) == ([], 1)
    other = msgspec.structs.replace(ANOMALIES[0], score=-1.0)
    faults = judge_topics(broker_with(TRADES, [*ANOMALIES, other]), ENGINE, may_repeat=True).faults
    assert any("two different contents" in fault for fault in faults)


class Forgetful:
    """A sink that keeps nothing, and stops its runner when it has seen enough."""

    def __init__(self, stop: threading.Event, *, enough: int) -> None:
        self._stop = stop
        self._left = enough

    def on_events(self, batch: Sequence[Received]) -> None:
        self._left -= len(batch)

    def on_idle(self) -> None:
        if self._left <= 0:
            self._stop.set()

    def close(self) -> None:
        """Hold nothing."""


def poisoned() -> tuple[MemoryBroker, Counter[bytes]]:
    """Return a tape with a dose of poison in its middle, read by a detector and a recorder."""
    broker = broker_with(TRADES[:1_500], [])
    poisoner = Poisoner(broker.producer(), ("BTC-USDT", "ETH-USDT"))
    poisoner.dose()
    producer = broker.producer()
    for trade in TRADES[1_500:]:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    clock = ManualClock()
    runner = Runner(
        broker=broker, step=MarketEngines(ENGINE), params=RunnerParams(), clock=clock, health=Health(clock)
    )
    runner.start()
    while runner.totals.trades < len(TRADES) + poisoner.invalid.total() + poisoner.padded:
        runner.turn()
    runner.close()
    stop = threading.Event()
    SinkRunner(
        broker=broker,
        sink=Forgetful(stop, enough=len(TRADES) + poisoner.padded),
        group="recorder",
        topic_names=[topics.TRADES],
        params=SinkParams(),
        clock=clock,
        health=Health(clock),
    ).run(stop)
    return broker, poisoner.invalid


def test_exactly_the_poison_is_set_aside_and_disturbs_nothing_else() -> None:
    broker, published = poisoned()
    verdict = judge_topics(broker, ENGINE)
    judge_letters(verdict, broker, published=published)
    assert verdict.faults == []
    assert verdict.invalid_records == published.total() > 10
    assert verdict.anomalies.keys() == {anomaly.anomaly_id for anomaly in ANOMALIES}


def test_a_letter_too_few_too_many_or_with_other_bytes_is_a_fault() -> None:
    letters = TopicPartition(topics.DEAD_LETTERS, 0)

    def faults_without(change: str) -> list[str]:
        broker, published = poisoned()
        log = broker.logs[letters]
        first = next(broker.read_all([letters]))
        letter = msgspec.json.decode(first.value(), type=DeadLetter)
        if change == "again":
            broker.append(letters, b"trades", first.value())
        elif change == "bytes":
            broker.append(letters, b"trades", encode(msgspec.structs.replace(letter, payload=b"?")))
        elif change == "stranger":
            broker.append(letters, b"trades", encode(msgspec.structs.replace(letter, offset=0)))
        elif change == "missing":
            del log[0]
        else:
            published[b"never arrived"] += 1
        verdict = judge_topics(broker, ENGINE)
        judge_letters(verdict, broker, published=published)
        return verdict.faults

    assert ["again" in fault for fault in faults_without("again")] == [True]
    assert ["other bytes" in fault for fault in faults_without("bytes")] == [True]
    assert ["without need" in fault for fault in faults_without("stranger")] == [True]
    assert ["has not set aside" in fault for fault in faults_without("missing")] == [True]
    assert ["other ones than put" in fault for fault in faults_without("lost")] == [True]
