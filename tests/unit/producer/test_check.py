"""One attempt to reach the exchange, with a clear sentence for every way in which it fails."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from producer.check import check
from producer.connection import ConnectionParams
from producer.exchanges.binance import VENUE
from producer.rest import RestClient, RestParams
from shared.clock import SystemClock
from shared.errors import ConfigError, ExchangeError
from tests.unit.producer.stub_exchange import StubExchange


def run(prepare: Callable[[StubExchange], None], market: str = "BTC-USDT") -> str:
    async def attempt() -> str:
        exchange = StubExchange(["BTCUSDT"])
        await exchange.start()
        clock = SystemClock()
        rest = RestClient(
            VENUE,
            RestParams(url=exchange.rest_url),
            clock=clock,
            random=Random(1),  # noqa: S311 - jitter
        )
        connection = ConnectionParams(url=exchange.ws_url, settle_s=0.1, subscribe_timeout_s=0.2)
        prepare(exchange)
        if exchange.is_gone:
            await exchange.stop()
        try:
            return await check(venue=VENUE, rest=rest, connection=connection, markets=[market], clock=clock)
        finally:
            await rest.close()
            await exchange.stop()

    return asyncio.run(attempt())


def test_success_says_what_was_subscribed() -> None:
    assert "1 markets subscribed at 127.0.0.1" in run(lambda _: None)


def test_an_unknown_market() -> None:
    with pytest.raises(ConfigError, match="does not list BTC-USD"):
        run(lambda _: None, "BTC-USD")


def test_no_rest() -> None:
    with pytest.raises(ExchangeError, match=r"REST cannot be reached.*PRODUCER_REST_URL"):
        run(lambda exchange: setattr(exchange, "is_gone", True))


@pytest.mark.parametrize(("fault", "words"), [("refuses_connections", "503"), ("is_silent", "not confirmed")])
def test_no_websocket(fault: str, words: str) -> None:
    with pytest.raises(ExchangeError, match=rf"{words}.*PRODUCER_WS_URL"):
        run(lambda exchange: setattr(exchange, fault, True))
