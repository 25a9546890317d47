"""The whole producer against a small exchange with faults, and a broker in memory."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import TypeVar

import msgspec
import pytest

from producer.app import ProducerApp, ProducerParams, QuotesParams
from producer.backfill import BackfillParams
from producer.backoff import BackoffParams
from producer.connection import ConnectionParams
from producer.exchanges import binance_quotes
from producer.exchanges.binance import VENUE
from producer.feed import FeedParams
from producer.publisher import PublisherParams
from producer.rest import RestParams
from producer.staleness import StalenessParams
from producer.tape import TapeParams
from producer.watchdog import WatchdogParams
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode
from shared.errors import ConfigError, DeadLetterLimitError
from shared.events import DeadLetter, Quote, TapeGap, Trade, WorkerStatus
from shared.metrics import Health
from shared.stream.broker import Producer
from shared.stream.dead_letters import DeadLetterPolicy
from shared.stream.memory import MemoryBroker, MemoryProducer
from tests.unit.producer.stub_exchange import Refusal, StubExchange

E = TypeVar("E", bound=msgspec.Struct)

NATIVE = "BTCUSDT"
DEADLINE_S = 15.0


def params_for(exchange: StubExchange) -> ProducerParams:
    return ProducerParams(
        markets=("BTC-USDT", "ETH-USDT"),
        instance="test",
        feed=FeedParams(
            connection=ConnectionParams(url=exchange.ws_url, settle_s=0.1, close_timeout_s=0.5),
            backoff=BackoffParams(base_s=0.05, max_s=0.1),
        ),
        rest=RestParams(url=exchange.rest_url, base_delay_s=0.01, max_delay_s=0.02, max_attempts=4),
        tape=TapeParams(backfill_on_start_trades=5, grace_s=0.05),
        backfill=BackfillParams(absent_attempts=2, absent_delay_s=0.01),
        staleness=StalenessParams(min_s=0.5, max_s=600, grace_s=0.2),
        watchdog=WatchdogParams(),
        publisher=PublisherParams(queue_trades=1_000),
        dead_letters=DeadLetterPolicy(limit=5),
    )


class SlowBroker(MemoryBroker):
    """A broker whose queues a test can fill."""

    is_stuck = False

    def producer(self, *, transactional_id: str | None = None) -> Producer:
        return SlowProducer(self, transactional_id=transactional_id)


class SlowProducer(MemoryProducer):
    def __init__(self, broker: SlowBroker, *, transactional_id: str | None) -> None:
        super().__init__(broker, transactional_id=transactional_id)
        self._slow = broker

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        return not self._slow.is_stuck and super().try_produce(topic, value, key=key, partition=partition)


def read(broker: MemoryBroker, event_type: type[E]) -> list[E]:
    topic = topics.topic_of(event_type)
    return [
        decode(message.value(), event_type)
        for partition in broker.partitions_of(topic)
        for message in broker.read_all([partition])
    ]


def ids(broker: MemoryBroker, symbol: str = "BTC-USDT") -> list[int]:
    return [trade.trade_id for trade in read(broker, Trade) if trade.symbol == symbol]


async def until(condition: Callable[[], bool], what: str) -> None:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + DEADLINE_S
    while not condition():
        assert clock.monotonic_s() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(
    exchange: StubExchange, broker: MemoryBroker, params: ProducerParams | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a producer, subscribed, and stop it in order at the end."""
    clock = SystemClock()
    app = ProducerApp(
        venue=VENUE,
        broker=broker,
        params=params or params_for(exchange),
        clock=clock,
        health=Health(clock),
        random=Random(1),  # noqa: S311 - jitter
    )
    stop = asyncio.Event()
    task = asyncio.create_task(app.run(stop))
    try:
        await until(lambda: task.done() or bool(exchange.subscribers), "the producer subscribes")
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(partitions=2)


def scenario(body: Callable[[StubExchange], Coroutine[None, None, None]]) -> None:
    """Run a test's coroutine with a started exchange that has some history."""

    async def run() -> None:
        exchange = StubExchange([NATIVE, "ETHUSDT"])
        for _ in range(20):
            await exchange.trade(NATIVE)
        await exchange.start()
        try:
            await body(exchange)
        finally:
            await exchange.stop()

    asyncio.run(run())


def test_history_then_live_trades_arrive_once_each_in_order(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            for _ in range(10):
                await exchange.trade(NATIVE)
            await until(lambda: len(ids(broker)) >= 15, "all trades")
        assert ids(broker) == list(range(1015, 1030))
        assert exchange.paths == ["/stream?timeUnit=MICROSECOND"]
        first = read(broker, Trade)[-1]
        assert first.symbol == "BTC-USDT"
        assert first.event_time_us == 1_029_000

    scenario(body)


def test_dropped_and_duplicated_frames_leave_no_trace(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        exchange.dropped = {(NATIVE, n) for n in (1022, 1023, 1027)}
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            for _ in range(10):
                await exchange.trade(NATIVE, copies=2)
            await until(lambda: len(ids(broker)) >= 15, "all trades")
        assert ids(broker) == list(range(1015, 1030))
        assert not read(broker, TapeGap)

    scenario(body)


def test_what_rest_cannot_answer_is_a_gap_event(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        missing = {(NATIVE, n) for n in (1022, 1023)}
        exchange.dropped = exchange.absent = missing
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            for _ in range(10):
                await exchange.trade(NATIVE)
            await until(lambda: len(ids(broker)) >= 13, "all others")
        assert ids(broker) == [n for n in range(1015, 1030) if n not in (1022, 1023)]
        [gap] = read(broker, TapeGap)
        assert (gap.symbol, gap.first_missing_id, gap.last_missing_id) == ("BTC-USDT", 1022, 1023)
        assert "does not have" in gap.reason

    scenario(body)


def test_a_cut_connection_loses_nothing(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            await exchange.trade(NATIVE)
            await until(lambda: 1020 in ids(broker), "first")
            exchange.abort_all()
            for _ in range(5):
                await exchange.trade(NATIVE)
            await until(lambda: len(exchange.messages) == 2, "subscribed again")
            await exchange.trade(NATIVE)
            await until(lambda: 1026 in ids(broker), "last")
        assert ids(broker) == list(range(1015, 1027))

    scenario(body)


def test_a_lost_last_trade_is_found_by_asking(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        exchange.dropped = {(NATIVE, 1080)}
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            # Busy enough that its silence is soon remarkable.
            for _ in range(61):
                await exchange.trade(NATIVE)
                await asyncio.sleep(0.001)
            await until(lambda: 1080 in ids(broker), "the lost trade")
            await until(lambda: len(exchange.messages) > 1, "the connection is replaced")
        assert ids(broker) == list(range(1015, 1081))

    scenario(body)


def test_a_server_that_shuts_down_is_left_for_another_before_it_ends(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            await exchange.announce_shutdown()
            await until(lambda: exchange.accepted_total == 2, "a second connection")
            assert exchange.closed_total == 0
            await until(lambda: exchange.closed_total == 1, "the first is closed")
            await exchange.trade(NATIVE)
            await until(lambda: 1020 in ids(broker), "trades go on")

    scenario(body)


def test_malformed_frames_are_dead_letters_with_their_bytes(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            await exchange.send(NATIVE, '{"stream": broken')
            await until(lambda: bool(read(broker, DeadLetter)), "a dead letter")
        [letter] = read(broker, DeadLetter)
        assert letter.payload == b'{"stream": broken'
        assert letter.source == "binance:websocket"

    scenario(body)


def test_too_many_malformed_frames_end_the_worker(broker: MemoryBroker) -> None:
    async def break_it(exchange: StubExchange) -> None:
        async with running(exchange, broker) as task:
            await until(lambda: bool(exchange.messages), "subscribed")
            for _ in range(6):
                await exchange.send(NATIVE, "{")
            await until(task.done, "the worker ends")

    async def body(exchange: StubExchange) -> None:
        with pytest.raises(DeadLetterLimitError):
            await break_it(exchange)
        assert len(read(broker, DeadLetter)) == 6

    scenario(body)


def test_rate_limits_of_rest_are_waited_for(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
            exchange.refusals.extend(
                [Refusal(429, {"Retry-After": "0"}), Refusal(503), Refusal(418, {"Retry-After": "0"})]
            )
            await exchange.trade(NATIVE)
            await until(lambda: 1020 in ids(broker), "history and the trade")
        assert ids(broker) == list(range(1015, 1021))
        assert not exchange.refusals

    scenario(body)


def test_an_unknown_market_is_named_with_close_ones(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        params = replace(params_for(exchange), markets=("BTC-USD",))
        with pytest.raises(ConfigError, match="Did you mean BTC-USDT"):
            async with running(exchange, broker, params):
                pass

    scenario(body)


def test_an_exchange_that_comes_back_is_found(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        exchange.refusals.extend([Refusal(503), Refusal(503)])
        async with running(exchange, broker):
            await until(lambda: bool(exchange.messages), "subscribed")
        assert any("cannot be reached" in status.detail for status in read(broker, WorkerStatus))

    scenario(body)


def test_a_restarted_producer_goes_on_where_the_topic_ends(broker: MemoryBroker) -> None:
    async def live_trade(exchange: StubExchange, *, subscribed: int) -> None:
        async with running(exchange, broker):
            await until(lambda: len(exchange.messages) == subscribed, "subscribed")
            number = await exchange.trade(NATIVE)
            await until(lambda: number in ids(broker), "the live trade")

    async def body(exchange: StubExchange) -> None:
        await live_trade(exchange, subscribed=1)
        for _ in range(8):
            await exchange.trade(NATIVE)
        await live_trade(exchange, subscribed=2)
        assert ids(broker) == list(range(1015, 1030))

    scenario(body)


def test_status_tells_the_figures(broker: MemoryBroker) -> None:
    async def body(exchange: StubExchange) -> None:
        async with running(exchange, broker):
            await until(lambda: any(s.state == "running" for s in read(broker, WorkerStatus)), "a report")
        status = [s for s in read(broker, WorkerStatus) if s.state == "running"][-1]
        assert status.figures["connections"] == 1
        assert set(status.markets) == {"BTC-USDT", "ETH-USDT"}
        assert read(broker, WorkerStatus)[-1].state == "stopping"

    scenario(body)


def test_a_slow_kafka_closes_the_connections_and_loses_nothing() -> None:
    broker = SlowBroker(partitions=2)

    async def body(exchange: StubExchange) -> None:
        params = replace(params_for(exchange), publisher=PublisherParams(queue_trades=50))
        async with running(exchange, broker, params):
            await until(lambda: bool(exchange.messages), "subscribed")
            broker.is_stuck = True
            for _ in range(60):
                await exchange.trade(NATIVE)
            await until(lambda: exchange.closed_total == 1, "the connection is closed")
            for _ in range(20):
                await exchange.trade(NATIVE)
            await until(lambda: any(s.state == "degraded" for s in read(broker, WorkerStatus)), "it is said")
            assert len(exchange.messages) == 1
            broker.is_stuck = False
            await until(lambda: len(exchange.messages) == 2, "subscribed again")
            last = await exchange.trade(NATIVE)
            await until(lambda: last in ids(broker), "all that was missed")
        assert ids(broker) == list(range(1015, last + 1))
        assert not read(broker, TapeGap)

    scenario(body)


def test_quotes_come_beside_the_trades_and_a_lost_change_fetches_the_book_anew(
    broker: MemoryBroker,
) -> None:
    async def update(exchange: StubExchange, first_id: int, bid: str) -> None:
        data = {
            "e": "depthUpdate",
            "E": 1_770_000_000_000_000,
            "s": NATIVE,
            "U": first_id,
            "u": first_id + 1,
            "b": [[bid, "1"]],
            "a": [],
        }
        text = json.dumps({"stream": "btcusdt@depth@100ms", "data": data})
        await exchange.send(NATIVE, text, stream="depth@100ms")

    async def body(exchange: StubExchange) -> None:
        exchange.books[NATIVE] = {"lastUpdateId": 10, "bids": [["99", "1"]], "asks": [["101", "1"]]}
        params = replace(
            params_for(exchange), quotes=QuotesParams(venue=binance_quotes.venue("depth"), levels=2)
        )
        async with running(exchange, broker, params):
            await until(lambda: len(exchange.messages) == 2, "both connections are subscribed")
            await update(exchange, 11, "99.5")
            await until(lambda: len(read(broker, Quote)) == 1, "a first quote")
            await update(exchange, 13, "99.6")
            await until(lambda: len(read(broker, Quote)) == 2, "a second quote")
            exchange.books[NATIVE]["lastUpdateId"] = 20
            await update(exchange, 21, "99.7")
            await until(lambda: len(read(broker, Quote)) == 3, "a quote after the hole")
            number = await exchange.trade(NATIVE)
            await until(lambda: ids(broker)[-1:] == [number], "trades come as ever")
        quotes = read(broker, Quote)
        assert [(q.update_id, q.bid, q.is_continuous) for q in quotes] == [
            (12, 99.5, False),
            (14, 99.6, True),
            (22, 99.7, False),
        ]
        assert quotes[1].bids == [(99.6, 1.0), (99.5, 1.0)]
        assert any("quotes_total" in status.figures for status in read(broker, WorkerStatus))

    scenario(body)
