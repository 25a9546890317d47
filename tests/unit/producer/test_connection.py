"""One WebSocket: pace of subscriptions, pongs in time, and every way in which it ends."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence

import pytest

from producer.connection import Connection, ConnectionParams
from producer.exchanges.binance import VENUE
from producer.exchanges.markets import Market
from producer.exchanges.protocol import FrameEvent, Venue
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.events import Trade
from tests.unit.producer.stub_exchange import StubExchange

NATIVE = "BTCUSDT"
MARKET = Market(symbol="BTC-USDT", native=NATIVE, quote="USDT", status="TRADING", is_trading=True)
Body = Callable[[StubExchange, Connection, list[FrameEvent]], Coroutine[None, None, None]]


def ids(taken: Sequence[FrameEvent]) -> list[int]:
    return [event.trade_id for event in taken if isinstance(event, Trade)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait; the scenario's own time limit ends a vain one."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


def scenario(
    body: Body, *, markets: Sequence[Market] = (MARKET,), venue: Venue = VENUE, **limits: float
) -> None:
    async def run() -> None:
        exchange = StubExchange([NATIVE])
        await exchange.start()
        taken: list[FrameEvent] = []
        params = {"settle_s": 0.1, "close_timeout_s": 0.5, "subscribe_timeout_s": 5.0} | limits
        connection = Connection(
            venue=venue,
            markets=markets,
            params=ConnectionParams(url=exchange.ws_url, **params),
            clock=SystemClock(),
            sink=lambda _, events: taken.extend(events),
        )
        try:
            async with asyncio.timeout(20):
                await body(exchange, connection, taken)
        finally:
            await exchange.stop()

    asyncio.run(run())


def test_trades_are_handed_over_and_confirm_the_connection() -> None:
    async def body(exchange: StubExchange, connection: Connection, taken: list[FrameEvent]) -> None:
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        assert connection.is_open
        number = await exchange.trade(NATIVE)
        await until(lambda: number in ids(taken))
        connection.close()
        assert await running == "closed by us"
        assert not connection.is_open

    scenario(body)


def test_a_quiet_market_is_confirmed_by_its_acknowledgement() -> None:
    async def body(_: StubExchange, connection: Connection, __: list[FrameEvent]) -> None:
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        connection.close()
        await running

    scenario(body)


def test_subscriptions_leave_at_the_planned_pace() -> None:
    markets = [
        Market(symbol=f"C{n}-USDT", native=f"C{n}USDT", quote="USDT", status="TRADING", is_trading=True)
        for n in range(250)
    ]

    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        clock = SystemClock()
        start_s = clock.monotonic_s()
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        # Three messages, a third of a second apart: the last cannot be confirmed before two thirds.
        assert clock.monotonic_s() - start_s >= 0.6
        assert len(exchange.messages) == 3
        connection.close()
        await running

    scenario(body, markets=markets)


def test_pings_of_the_server_are_answered_while_frames_pour_in() -> None:
    async def body(exchange: StubExchange, connection: Connection, taken: list[FrameEvent]) -> None:
        exchange.heartbeat_s = 0.2
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        # The server gives up after half a heartbeat without a pong; ten heartbeats pass.
        for _ in range(200):
            for _ in range(20):
                await exchange.trade(NATIVE)
            await asyncio.sleep(0.01)
        assert not running.done()
        await until(lambda: len(ids(taken)) == 4_000)
        connection.close()
        await running

    scenario(body)


def test_a_server_that_answers_no_ping_is_dead() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        exchange.answers_pings = False
        assert "keepalive ping timeout" in await connection.run()

    scenario(body, ping_interval_s=0.1, ping_timeout_s=0.2)


def test_a_cut_says_so() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        exchange.abort_all()
        assert "no close frame" in await running

    scenario(body)


def test_a_refused_handshake_says_the_status() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        exchange.refuses_connections = True
        assert "503" in await connection.run()

    scenario(body)


def test_nobody_there_says_so() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        await exchange.stop()
        assert str(exchange.port) in await connection.run()

    scenario(body)


def test_subscriptions_that_nobody_confirms_end_the_connection() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        exchange.is_silent = True
        assert "not confirmed within 0.2 s" in await connection.run()
        assert not connection.confirmed.is_set()

    scenario(body, subscribe_timeout_s=0.2)


def test_a_refused_subscription_ends_the_connection_with_the_reason() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        exchange.answer = {"code": 2, "msg": "Invalid request: too many parameters"}
        assert "too many parameters (code 2)" in await connection.run()

    scenario(body)


def test_what_the_sink_raises_is_raised() -> None:
    class FullError(Exception):
        pass

    async def run() -> None:
        exchange = StubExchange([NATIVE])
        await exchange.start()

        def sink(_: Connection, __: Sequence[FrameEvent]) -> None:
            raise FullError

        connection = Connection(
            venue=VENUE,
            markets=[MARKET],
            params=ConnectionParams(url=exchange.ws_url),
            clock=SystemClock(),
            sink=sink,
        )
        try:
            with pytest.raises(FullError):
                await asyncio.wait_for(connection.run(), 10)
        finally:
            await exchange.stop()

    asyncio.run(run())


def test_an_url_that_is_none_is_a_fault_of_the_settings() -> None:
    connection = Connection(
        venue=VENUE,
        markets=[MARKET],
        params=ConnectionParams(url="ws://"),
        clock=SystemClock(),
        sink=lambda _, __: None,
    )
    with pytest.raises(ConfigError, match="PRODUCER_WS_URL"):
        asyncio.run(connection.run())


def test_a_connection_without_a_heartbeat_is_dead() -> None:
    async def body(_: StubExchange, connection: Connection, __: list[FrameEvent]) -> None:
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        assert "not even a heartbeat" in await running

    scenario(body, venue=dataclasses.replace(VENUE, heartbeat_timeout_s=0.3))


def test_anything_that_comes_is_a_sign_of_life() -> None:
    async def body(exchange: StubExchange, connection: Connection, _: list[FrameEvent]) -> None:
        running = asyncio.create_task(connection.run())
        await connection.confirmed.wait()
        for _beat in range(20):
            await exchange.send(NATIVE, '{"data":{"e":"news"}}')
            await asyncio.sleep(0.05)
        assert not running.done()
        connection.close()
        assert await running == "closed by us"

    scenario(body, venue=dataclasses.replace(VENUE, heartbeat_timeout_s=0.5))
