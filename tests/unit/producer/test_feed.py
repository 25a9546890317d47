"""Keeping connections: groups, make before break, back-off, pauses."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random

from producer.backoff import BackoffParams
from producer.connection import ConnectionParams
from producer.exchanges.binance import VENUE
from producer.exchanges.markets import Market
from producer.exchanges.protocol import FrameEvent
from producer.feed import Feed, FeedParams
from shared.clock import SystemClock
from shared.events import Trade
from tests.unit.producer.stub_exchange import StubExchange

DEADLINE_S = 15.0


def market(native: str) -> Market:
    symbol = f"{native.removesuffix('USDT')}-USDT"
    return Market(symbol=symbol, native=native, quote="USDT", status="TRADING", is_trading=True)


class Sink:
    """Remembers the ids that came."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def on_events(self, events: Sequence[FrameEvent]) -> None:
        self.ids += [event.trade_id for event in events if isinstance(event, Trade)]


async def until(condition: Callable[[], bool], what: str) -> None:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + DEADLINE_S
    while not condition():
        assert clock.monotonic_s() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.01)


def scenario(
    body: Callable[[StubExchange, Feed, Sink], Coroutine[None, None, None]],
    *,
    natives: Sequence[str] = ("BTCUSDT",),
    reconnect_after_s: float = 3_600,
) -> None:
    async def run() -> None:
        exchange = StubExchange(list(natives))
        await exchange.start()
        sink = Sink()
        params = FeedParams(
            connection=ConnectionParams(
                url=exchange.ws_url, settle_s=0.1, close_timeout_s=0.5, subscribe_timeout_s=0.5
            ),
            backoff=BackoffParams(base_s=0.05, max_s=0.1),
            streams_per_connection=2,
            reconnect_after_s=reconnect_after_s,
        )
        feed = Feed(
            venue=VENUE,
            markets=[market(native) for native in natives],
            params=params,
            clock=SystemClock(),
            random=Random(1),  # noqa: S311 - jitter
            sink=sink,
        )
        running = asyncio.create_task(feed.run())
        try:
            await until(lambda: all(slot.is_confirmed for slot in feed.slots), "all confirmed")
            await body(exchange, feed, sink)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await exchange.stop()

    asyncio.run(run())


def test_more_markets_than_fit_get_more_connections() -> None:
    async def body(exchange: StubExchange, feed: Feed, _: Sink) -> None:
        assert feed.open_connections == 3
        assert sorted(len(streams) for _, streams in exchange.subscribers) == [1, 2, 2]

    scenario(body, natives=[f"C{n}USDT" for n in range(5)])


def test_an_old_connection_is_replaced_before_it_is_closed() -> None:
    async def body(exchange: StubExchange, feed: Feed, sink: Sink) -> None:
        sent = []
        while exchange.closed_total < 3:
            # At no moment is there no subscriber: every trade arrives.
            sent.append(await exchange.trade("BTCUSDT"))
            await asyncio.sleep(0.01)
        await until(lambda: set(sink.ids) >= set(sent), "every trade")
        assert feed.reconnects_total >= 3

    scenario(body, reconnect_after_s=0.5)


def test_the_old_connection_stays_until_a_new_one_works() -> None:
    async def body(exchange: StubExchange, feed: Feed, sink: Sink) -> None:
        exchange.refuses_connections = True
        feed.replace("BTC-USDT", "stale")
        await until(lambda: exchange.accepted_total >= 4, "several attempts")
        assert exchange.closed_total == 0
        number = await exchange.trade("BTCUSDT")
        await until(lambda: number in sink.ids, "the old connection still brings trades")
        exchange.refuses_connections = False
        await until(lambda: exchange.closed_total == 1, "the old one is closed")
        assert feed.open_connections == 1

    scenario(body)


def test_a_successor_that_is_never_confirmed_replaces_nothing() -> None:
    async def body(exchange: StubExchange, feed: Feed, _: Sink) -> None:
        exchange.is_silent = True
        feed.replace("BTC-USDT", "stale")
        await until(lambda: exchange.accepted_total >= 3, "a second successor")
        assert feed.slots[0].is_confirmed
        exchange.is_silent = False
        number = len(exchange.messages)
        await until(lambda: len(exchange.messages) > number, "another successor subscribes")

    scenario(body)


def test_an_old_connection_that_ends_early_leaves_its_place_to_the_successor() -> None:
    async def body(exchange: StubExchange, feed: Feed, sink: Sink) -> None:
        exchange.is_silent = True
        feed.replace("BTC-USDT", "stale")
        await until(lambda: exchange.accepted_total == 2, "a successor")
        exchange.is_silent = False
        exchange.abort_all()
        await until(lambda: exchange.accepted_total == 3, "a new connection")
        await until(lambda: bool(exchange.subscribers[0][1]), "it subscribes")
        number = await exchange.trade("BTCUSDT")
        await until(lambda: number in sink.ids, "trades go on")
        await until(lambda: feed.slots[0].is_confirmed, "it is confirmed")

    scenario(body)


def test_a_pause_closes_everything_and_a_resume_opens_it_again() -> None:
    async def body(exchange: StubExchange, feed: Feed, sink: Sink) -> None:
        feed.pause()
        await until(lambda: feed.open_connections == 0, "all closed")
        accepted = exchange.accepted_total
        assert feed.is_paused
        feed.resume()
        await until(lambda: exchange.accepted_total == accepted + 2, "both connect again")
        await until(lambda: all(slot.is_confirmed for slot in feed.slots), "both work")
        number = await exchange.trade("C0USDT")
        await until(lambda: number in sink.ids, "trades go on")

    scenario(body, natives=["C0USDT", "C1USDT", "C2USDT"])


def test_an_unreachable_exchange_is_tried_again_and_named() -> None:
    async def body(exchange: StubExchange, feed: Feed, _: Sink) -> None:
        exchange.refuses_connections = True
        exchange.abort_all()
        await until(lambda: exchange.accepted_total >= 4, "several attempts")
        await until(lambda: "503" in feed.last_failure, "the failure is named")
        exchange.refuses_connections = False
        await until(lambda: feed.slots[0].is_confirmed, "connected again")
        assert feed.last_failure == ""

    scenario(body)
