"""The judge must find what is wrong."""

from collections.abc import Iterable

import msgspec

from detector.engine import Engine
from shared import topics
from shared.codec import encode
from shared.events import Anomaly, Trade
from shared.stream.memory import MemoryBroker
from tests.chaos.judge import judge_topics, judge_venue
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
