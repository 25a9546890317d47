"""The REST client against a server that limits, bans, fails and answers nonsense."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random

import pytest

from producer.exchanges.binance import VENUE
from producer.exchanges.markets import Market
from producer.rest import RestClient, RestParams
from shared.clock import SystemClock
from shared.errors import ExchangeError, ExchangeUnavailableError, RateLimitedError
from tests.unit.producer.stub_exchange import Refusal, StubExchange

MARKET = Market(symbol="BTC-USDT", native="BTCUSDT", quote="USDT", status="TRADING", is_trading=True)
NOW = {"Retry-After": "0"}


def scenario(
    body: Callable[[StubExchange, RestClient], Coroutine[None, None, None]], *, max_attempts: int = 4
) -> None:
    async def run() -> None:
        exchange = StubExchange(["BTCUSDT"])
        for _ in range(10):
            await exchange.trade("BTCUSDT")
        await exchange.start()
        params = RestParams(
            url=exchange.rest_url, base_delay_s=0.01, max_delay_s=0.01, max_attempts=max_attempts
        )
        client = RestClient(VENUE, params, clock=SystemClock(), random=Random(1))  # noqa: S311 - jitter
        try:
            await body(exchange, client)
        finally:
            await client.close()
            await exchange.stop()

    asyncio.run(run())


def test_trades_from_an_id_on_included() -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        page = await client.trades(MARKET, from_id=1003, limit=4)
        assert [trade.trade_id for trade in page.trades] == [1003, 1004, 1005, 1006]
        [(path, params, unit)] = exchange.asked
        assert path == "/api/v3/historicalTrades"
        assert params == {"symbol": "BTCUSDT", "fromId": "1003", "limit": "4"}
        assert unit == "MICROSECOND"

    scenario(body)


def test_markets() -> None:
    async def body(_: StubExchange, client: RestClient) -> None:
        assert (await client.markets()).get("BTC-USDT") == MARKET

    scenario(body)


@pytest.mark.parametrize(
    "refusal", [Refusal(500), Refusal(503, body="<html>"), Refusal(429, NOW), Refusal(418, NOW)]
)
def test_faults_and_limits_are_outwaited(refusal: Refusal) -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        exchange.refusals.extend([refusal] * 3)
        page = await client.trades(MARKET, from_id=None, limit=2)
        assert [trade.trade_id for trade in page.trades] == [1008, 1009]
        assert len(exchange.asked) == 4

    scenario(body)


@pytest.mark.parametrize(
    ("refusal", "error_type"),
    [(Refusal(500), ExchangeUnavailableError), (Refusal(429, NOW), RateLimitedError)],
)
def test_attempts_are_bounded(refusal: Refusal, error_type: type[ExchangeError]) -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        exchange.refusals.extend([refusal] * 9)
        with pytest.raises(error_type):
            await client.trades(MARKET, from_id=None, limit=2)
        assert len(exchange.asked) == 4

    scenario(body)


@pytest.mark.parametrize("status", [418, 429])
def test_an_order_to_wait_holds_for_every_question(status: int) -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        exchange.refusals.append(Refusal(status, {"Retry-After": "1"}))
        with pytest.raises(RateLimitedError) as caught:
            await client.trades(MARKET, from_id=None, limit=2)
        assert caught.value.retry_after_s == 1
        clock = SystemClock()
        ordered_s = clock.monotonic_s()
        await client.markets()
        assert clock.monotonic_s() - ordered_s >= 0.9

    scenario(body, max_attempts=1)


def test_what_is_no_longer_wanted_is_not_asked() -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        exchange.refusals.append(Refusal(429, {"Retry-After": "3600"}))
        wanted = iter([True, False])
        page = await client.trades(MARKET, from_id=None, limit=2, is_wanted=lambda: next(wanted, False))
        assert page.trades == []
        assert len(exchange.asked) == 1

    scenario(body)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(400, body='{"code":-1121,"msg":"Invalid symbol."}'), r"Invalid symbol. \(-1121\)"),
        (Refusal(403, body="<html>WAF</html>"), "firewall"),
        (Refusal(451, body="no"), "legal reasons"),
        (Refusal(200, body="<html>proxy</html>"), "historicalTrades is invalid"),
    ],
)
def test_other_refusals_are_errors_at_once_and_say_why(refusal: Refusal, words: str) -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        exchange.refusals.append(refusal)
        with pytest.raises(ExchangeError, match=words):
            await client.trades(MARKET, from_id=None, limit=2)
        assert len(exchange.asked) == 1

    scenario(body)


def test_no_answer_names_the_address() -> None:
    async def body(exchange: StubExchange, client: RestClient) -> None:
        await exchange.stop()
        with pytest.raises(ExchangeUnavailableError, match=f"no answer from {exchange.rest_url}"):
            await client.markets()

    scenario(body)
