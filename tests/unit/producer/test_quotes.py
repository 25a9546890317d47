"""Quotes on the topic: whole books only, dropped before trades are, and holes told."""

import asyncio
from collections.abc import Callable

import pytest

from producer.book import BookChange, BookSnapshot, Level
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookTicker, BookUpdate, InvalidFrame
from producer.publisher import Publisher, PublisherParams
from producer.quotes import BookKeeper, Quotes
from shared import topics
from shared.clock import ManualClock
from shared.codec import decode
from shared.errors import ExchangeUnavailableError
from shared.events import Quote, Trade
from shared.stream.memory import MemoryBroker, MemoryProducer

SYMBOL = "BTC-USDT"
MARKET = Market(symbol=SYMBOL, native="BTCUSDT", quote="USDT", status="TRADING", is_trading=True)


class SlowProducer(MemoryProducer):
    """Has no room while told so."""

    is_full = False

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        return not self.is_full and super().try_produce(topic, value, key=key, partition=partition)


class World:
    def __init__(self) -> None:
        self.broker = MemoryBroker(partitions=1)
        self.broker.ensure_topics()
        self.producer = SlowProducer(self.broker, transactional_id=None)
        self.publisher = Publisher(self.producer, PublisherParams(), clock=ManualClock())
        self.invalid: list[tuple[InvalidFrame, str]] = []
        self.quotes = Quotes(
            exchange="binance",
            levels=2,
            publisher=self.publisher,
            set_aside=lambda frame, source: self.invalid.append((frame, source)),
        )

    def published(self) -> list[Quote]:
        return [
            decode(message.value(), Quote)
            for partition in self.broker.partitions_of(topics.QUOTES)
            for message in self.broker.read_all([partition])
        ]

    def update(self, first_id: int, last_id: int, bids: list[Level] | None = None) -> None:
        change = BookChange(first_id, last_id, bids or [], [])
        self.quotes.on_events([BookUpdate(SYMBOL, change, last_id, last_id + 5)])

    def ticker(self, update_id: int, bid: float = 99.0) -> None:
        self.quotes.on_events([BookTicker(SYMBOL, update_id, update_id, (bid, 1.0), (101.0, 2.0))])

    def wanted(self) -> int:
        return self.quotes.wanted.qsize()


def snapshot(last_id: int) -> BookSnapshot:
    return BookSnapshot(last_id, [(99.0, 1.0), (98.0, 1.0), (97.0, 1.0)], [(101.0, 2.0)], 1_000)


@pytest.fixture
def world() -> World:
    return World()


def test_a_book_is_told_when_it_is_whole_and_when_its_best_levels_change(world: World) -> None:
    world.update(10, 12, [(99.5, 3.0)])
    assert (world.wanted(), world.published()) == (1, [])
    world.update(13, 13)
    assert world.wanted() == 1, "asked for once"
    assert world.quotes.on_snapshot(SYMBOL, snapshot(11))
    world.update(14, 14, [(97.0, 0.0)])
    world.update(15, 15, [(99.5, 4.0)])
    first, second = world.published()
    assert first == Quote(
        exchange="binance",
        symbol=SYMBOL,
        update_id=13,
        event_time_us=13,
        received_time_us=18,
        bid=99.5,
        bid_quantity=3.0,
        ask=101.0,
        ask_quantity=2.0,
        bids=[(99.5, 3.0), (99.0, 1.0)],
        asks=[(101.0, 2.0)],
        is_continuous=False,
    )
    assert (second.update_id, second.bid_quantity, second.is_continuous) == (15, 4.0, True)
    assert world.quotes.counts.published == 2


def test_a_hole_is_told_after_the_book_was_fetched_anew(world: World) -> None:
    world.update(10, 10)
    world.quotes.on_snapshot(SYMBOL, snapshot(10))
    world.update(15, 15, [(99.5, 1.0)])
    assert world.wanted() == 2
    assert len(world.published()) == 1
    assert not world.quotes.on_snapshot(SYMBOL, snapshot(13))
    assert world.quotes.on_snapshot(SYMBOL, snapshot(14))
    assert [quote.is_continuous for quote in world.published()] == [False, False]
    assert world.quotes.counts.resynced == 2


def test_tickers_are_told_once_and_in_order(world: World) -> None:
    for number in (5, 7, 6, 7, 8):
        world.ticker(number)
    assert [(q.update_id, q.is_continuous, q.bids) for q in world.published()] == [
        (5, False, []),
        (7, True, []),
        (8, True, []),
    ]


def test_quotes_give_way_while_kafka_is_slow_and_say_so(world: World) -> None:
    world.ticker(1)
    world.producer.is_full = True
    world.ticker(2)
    assert world.publisher.queued == 1
    world.ticker(3)
    world.ticker(4)
    assert (world.publisher.queued, world.quotes.counts.dropped) == (1, 2)
    world.producer.is_full = False
    world.publisher.pump()
    world.ticker(5)
    world.ticker(6)
    assert [(quote.update_id, quote.is_continuous) for quote in world.published()] == [
        (1, False),
        (2, True),
        (5, False),
        (6, True),
    ]


def test_invalid_frames_are_set_aside_with_their_source(world: World) -> None:
    frame = InvalidFrame(b"{", "broken")
    world.quotes.on_events([frame])
    assert world.invalid == [(frame, "binance:quotes")]


class Source:
    """REST that gives a book per question; None: it is down."""

    def __init__(self, answers: list[int | None], stop: Callable[[], None]) -> None:
        self.answers = answers
        self.stop = stop

    async def book(self, market: Market) -> BookSnapshot:
        assert market is MARKET
        answer = self.answers.pop(0)
        if not self.answers:
            self.stop()
        if answer is None:
            raise ExchangeUnavailableError("binance", detail="down")
        return snapshot(answer)


def test_a_book_is_asked_for_until_it_can_be_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.quotes._RETRY_S", 0.001)
    world.update(10, 10)

    async def run() -> None:
        done = asyncio.Event()
        keeper = BookKeeper(Source([None, 5, 10], done.set), world.quotes, [MARKET])
        task = asyncio.create_task(keeper.run())
        async with asyncio.timeout(10):
            await done.wait()
            while not world.published():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert [quote.update_id for quote in world.published()] == [10]
    assert world.wanted() == 0


def trade(price: float, *, is_sale: bool, at_us: int, symbol: str = SYMBOL) -> Trade:
    return Trade("binance", symbol, at_us, price, 2.0, is_sale, at_us, at_us)


def test_what_traded_is_told_once_with_the_next_quote(world: World) -> None:
    world.quotes.on_trades([trade(100.0, is_sale=True, at_us=1)])
    world.ticker(5)
    world.quotes.on_trades([trade(99.0, is_sale=True, at_us=6), trade(101.0, is_sale=False, at_us=6)])
    world.quotes.on_trades([trade(7.0, is_sale=False, at_us=6, symbol="NO-QUOTES")])
    world.ticker(7)
    world.ticker(8)
    assert [quote.traded for quote in world.published()] == [[], [(99.0, -2.0), (101.0, 2.0)], []]


def test_what_traded_long_before_is_not_told(world: World) -> None:
    last_id = 10_000_000
    world.update(last_id, last_id + 1)
    world.quotes.on_snapshot(SYMBOL, snapshot(last_id))
    world.quotes.on_trades(
        [trade(99.0, is_sale=True, at_us=last_id - 3_000_000), trade(98.0, is_sale=True, at_us=last_id)]
    )
    world.update(last_id + 2, last_id + 2, [(99.5, 3.0)])
    assert world.published()[-1].traded == [(98.0, -2.0)]


def test_trades_of_quotes_that_are_dropped_are_dropped_with_them(world: World) -> None:
    world.ticker(5)
    world.producer.is_full = True
    world.quotes.on_trades([trade(99.0, is_sale=True, at_us=6)])
    world.publisher.publish_trades([trade(99.0, is_sale=True, at_us=6)])
    world.ticker(7)
    world.producer.is_full = False
    world.publisher.pump()
    world.ticker(8)
    assert [(quote.traded, quote.is_continuous) for quote in world.published()] == [([], False), ([], False)]
