"""Where the topic ends, per market."""

import pytest

from producer.resume import last_positions
from producer.tape import Position
from shared.clock import SystemClock
from shared.codec import encode
from shared.events import Trade
from shared.stream.memory import MemoryBroker

SYMBOLS = ("BTC-USDT", "ETH-USDT")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(partitions=3)
    broker.ensure_topics()
    return broker


def publish(broker: MemoryBroker, symbol: str, number: int, time_us: int, exchange: str = "binance") -> None:
    trade = Trade(exchange, symbol, number, 1.0, 1.0, False, time_us, time_us)
    broker.producer().produce("trades", encode(trade), key=symbol.encode())


def positions(broker: MemoryBroker, first_step_records: int = 1_000) -> dict[str, Position]:
    return last_positions(
        broker,
        exchange="binance",
        symbols=SYMBOLS,
        clock=SystemClock(),
        first_step_records=first_step_records,
    )


def test_an_empty_topic_has_no_positions(broker: MemoryBroker) -> None:
    assert positions(broker) == {}


def test_the_last_trade_of_each_market_counts(broker: MemoryBroker) -> None:
    for number in range(10):
        publish(broker, "BTC-USDT", number, 100 + number)
        publish(broker, "ETH-USDT", 50 + number, 200 + number)
    assert positions(broker) == {"BTC-USDT": Position(9, 109), "ETH-USDT": Position(59, 209)}


def test_other_venues_and_markets_do_not_count(broker: MemoryBroker) -> None:
    publish(broker, "BTC-USDT", 5, 100)
    publish(broker, "BTC-USDT", 900, 200, exchange="coinbase")
    publish(broker, "XRP-USDT", 7, 300)
    assert positions(broker) == {"BTC-USDT": Position(5, 100)}


def test_a_replayed_recording_does_not_take_us_back(broker: MemoryBroker) -> None:
    publish(broker, "BTC-USDT", 500, 1_000)
    publish(broker, "BTC-USDT", 20, 40)
    assert positions(broker) == {"BTC-USDT": Position(500, 1_000)}


def test_ids_that_began_anew_are_followed(broker: MemoryBroker) -> None:
    publish(broker, "BTC-USDT", 500, 1_000)
    publish(broker, "BTC-USDT", 20, 2_000)
    assert positions(broker) == {"BTC-USDT": Position(20, 2_000)}


def test_a_quiet_market_is_found_far_behind_its_neighbours(broker: MemoryBroker) -> None:
    publish(broker, "ETH-USDT", 1, 1)
    for number in range(50):
        publish(broker, "BTC-USDT", number, number)
    found = positions(broker, first_step_records=3)
    assert found == {"BTC-USDT": Position(49, 49), "ETH-USDT": Position(1, 1)}


def test_a_market_that_the_topic_has_never_seen_starts_afresh(broker: MemoryBroker) -> None:
    for number in range(50):
        publish(broker, "BTC-USDT", number, number)
    assert positions(broker, first_step_records=3) == {"BTC-USDT": Position(49, 49)}


def test_records_that_are_no_trades_are_left_to_others(broker: MemoryBroker) -> None:
    publish(broker, "BTC-USDT", 5, 100)
    broker.producer().produce("trades", b"nonsense", key=b"BTC-USDT")
    assert positions(broker) == {"BTC-USDT": Position(5, 100)}
