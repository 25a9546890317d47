import pytest

from alerter.tape import Tape
from shared import topics
from shared.clock import ManualClock
from shared.codec import encode
from shared.events import Anomaly, Trade
from shared.store.database import Database
from shared.store.writes import store
from shared.stream.memory import MemoryBroker
from tests.unit.alerter.examples import EVENT_US, anomaly

S = 1_000_000
SINCE_US, UNTIL_US = EVENT_US - 60 * S, EVENT_US + 60 * S


def trade(number: int, *, symbol: str = "BTC-USDT", exchange: str = "binance", second: float = 0.0) -> Trade:
    return Trade(exchange, symbol, number, 64_000.0, 1.0, False, EVENT_US + round(second * S), 0)


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(partitions=2)
    made.ensure_topics()
    return made


def publish(broker: MemoryBroker, *trades: Trade) -> None:
    producer = broker.producer()
    for event in trades:
        producer.produce(topics.TRADES, encode(event), key=event.symbol.encode())


def ids(database: Database, broker: MemoryBroker | None, event: Anomaly | None = None) -> list[int]:
    tape = Tape(database, broker, clock=ManualClock())
    trades = tape.around(event or anomaly(), since_us=SINCE_US, until_us=UNTIL_US)
    return [found.trade_id for found in trades]


OTHERS = (
    trade(1, second=-61),
    trade(2, second=60),
    trade(3, symbol="ETH-USDT"),
    trade(4, exchange="kraken"),
)
OURS = (trade(10, second=-60), trade(11), trade(12, second=59.9))


def test_trades_come_from_the_store_where_they_are(database: Database, broker: MemoryBroker) -> None:
    with database.session() as session:
        store(session, [*OTHERS, *OURS])
    assert ids(database, None) == [10, 11, 12]
    # And then the topic is not read.
    publish(broker, trade(13))
    assert ids(database, broker) == [10, 11, 12]


def test_else_they_come_from_the_topic(database: Database, broker: MemoryBroker) -> None:
    publish(broker, *OTHERS[:1], *OURS, *OTHERS[1:])
    assert ids(database, broker) == [10, 11, 12]


def test_a_store_that_is_behind_the_event_is_not_enough(database: Database, broker: MemoryBroker) -> None:
    with database.session() as session:
        store(session, OURS[:1])
    publish(broker, *OURS)
    assert ids(database, broker) == [10, 11, 12]


def test_what_is_no_trade_is_not_drawn(database: Database, broker: MemoryBroker) -> None:
    producer = broker.producer()
    producer.produce(topics.TRADES, b"{}", key=b"BTC-USDT")
    publish(broker, *OURS)
    assert ids(database, broker) == [10, 11, 12]


def test_what_is_told_of_all_markets_has_no_trades(database: Database, broker: MemoryBroker) -> None:
    publish(broker, *OURS)
    assert ids(database, broker, anomaly(symbol="ALL", exchange="all")) == []


def test_without_either_there_are_none(database: Database) -> None:
    assert ids(database, None) == []
