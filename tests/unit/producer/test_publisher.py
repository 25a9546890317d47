"""Hand-over to Kafka: order, a full queue, failed deliveries, the last flush."""

import asyncio
from collections.abc import Mapping

import pytest

from producer.publisher import Publisher, PublisherParams
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode
from shared.errors import BrokerFatalError, BrokerRetriableError
from shared.events import TapeGap, Trade
from shared.stream.broker import Consumer, TopicPartition


class NarrowProducer:
    """A `broker.Producer` with a small queue that a test empties."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.records: list[tuple[str, bytes, bytes]] = []
        self.failure: BrokerFatalError | None = None
        self.unacknowledged = 0

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        assert partition is None
        self.poll()
        if len(self.records) >= self.room:
            return False
        self.records.append((topic, key, value))
        return True

    def produce(self, topic: str, value: bytes | None, *, key: bytes, partition: int | None = None) -> None:
        raise AssertionError(f"the publisher must never block: {topic} {key!r} {value!r} {partition}")

    def poll(self, timeout_s: float = 0) -> None:
        assert timeout_s == 0, "the publisher must never block"
        if self.failure is not None:
            raise self.failure

    def flush(self, timeout_s: float) -> int:
        assert timeout_s > 0
        self.poll()
        return self.unacknowledged

    def begin(self) -> None: ...
    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


def trade(number: int) -> Trade:
    return Trade("binance", "BTC-USDT", number, 1.0, 1.0, False, 5, 5)


def make(room: int, queue_trades: int = 4, flush_timeout_s: float = 5) -> tuple[Publisher, NarrowProducer]:
    producer = NarrowProducer(room)
    params = PublisherParams(queue_trades=queue_trades, flush_timeout_s=flush_timeout_s)
    return Publisher(producer, params, clock=SystemClock()), producer


def ids(producer: NarrowProducer) -> list[int]:
    return [decode(value, Trade).trade_id for topic, _, value in producer.records if topic == topics.TRADES]


def test_the_key_is_the_market() -> None:
    publisher, producer = make(room=10)
    publisher.publish_trades([trade(1)])
    assert [(topic, key) for topic, key, _ in producer.records] == [("trades", b"BTC-USDT")]


def test_what_kafka_cannot_take_waits_in_order_and_is_never_dropped() -> None:
    publisher, producer = make(room=2)
    publisher.publish_trades([trade(n) for n in range(5)])
    assert ids(producer) == [0, 1]
    assert (publisher.queued, publisher.trades_total) == (3, 5)
    producer.room = 4
    publisher.publish_trades([trade(5)])
    assert ids(producer) == [0, 1], "nothing overtakes what waits"
    publisher.pump()
    assert ids(producer) == [0, 1, 2, 3]
    producer.room = 100
    publisher.pump()
    assert ids(producer) == [0, 1, 2, 3, 4, 5]


def test_a_full_queue_says_so_and_has_room_again_only_at_half() -> None:
    publisher, producer = make(room=0, queue_trades=4)
    publisher.publish_trades([trade(n) for n in range(4)])
    assert publisher.is_full
    seen = []
    for producer.room in (1, 2):
        publisher.pump()
        seen.append((publisher.is_full, publisher.has_room))
    assert seen == [(False, False), (False, True)]


def test_frames_that_come_after_it_is_full_are_kept_all_the_same() -> None:
    publisher, producer = make(room=0, queue_trades=2)
    publisher.publish_trades([trade(n) for n in range(6)])
    producer.room = 100
    publisher.pump()
    assert ids(producer) == list(range(6))


def test_other_events_go_to_their_topics() -> None:
    publisher, producer = make(room=10)
    gap = TapeGap(
        exchange="binance",
        symbol="BTC-USDT",
        first_missing_id=1,
        last_missing_id=2,
        reason="x",
        detected_time_us=3,
    )
    publisher.publish(gap, key="BTC-USDT")
    [(topic, key, value)] = producer.records
    assert (topic, key, decode(value, TapeGap)) == ("tape-gaps", b"BTC-USDT", gap)


def test_a_failed_delivery_is_raised() -> None:
    publisher, producer = make(room=10)
    producer.failure = BrokerFatalError("deliver", detail="refused")
    with pytest.raises(BrokerFatalError):
        publisher.pump()
    with pytest.raises(BrokerFatalError):
        publisher.publish_trades([trade(1)])


def test_the_last_flush_hands_over_what_waits() -> None:
    publisher, producer = make(room=1)
    publisher.publish_trades([trade(n) for n in range(3)])

    async def flush_while_kafka_recovers() -> None:
        flushing = asyncio.create_task(publisher.flush())
        await asyncio.sleep(0)
        producer.room = 100
        await flushing

    asyncio.run(flush_while_kafka_recovers())
    assert ids(producer) == [0, 1, 2]


@pytest.mark.parametrize(("room", "unacknowledged"), [(0, 0), (9, 3)])
def test_what_is_not_acknowledged_in_time_is_an_error(room: int, unacknowledged: int) -> None:
    publisher, producer = make(room=room, flush_timeout_s=0.1)
    producer.unacknowledged = unacknowledged
    publisher.publish_trades([trade(n) for n in range(3)])
    with pytest.raises(BrokerRetriableError, match="3 records are not acknowledged"):
        asyncio.run(publisher.flush())
