"""Quotes of Binance in, events out."""

import json

import pytest

from producer.book import BookChange, BookSnapshot
from producer.exchanges.binance_quotes import BinanceBookRest, BinanceQuotes, venue
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookTicker, BookUpdate, InvalidFrame, ShutdownAnnounced, Subscribed
from shared.errors import ExchangeError

NOW_US = 1_770_000_000_000_000
MARKET = Market(symbol="BTC-USDT", native="BTCUSDT", quote="USDT", status="TRADING", is_trading=True)
TICKER = {"u": 400, "s": "BTCUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"}
DEPTH = {
    "e": "depthUpdate",
    "E": 1_672_515_782_136_000,
    "s": "BTCUSDT",
    "U": 157,
    "u": 160,
    "b": [["0.0024", "10"]],
    "a": [["0.0026", "0.00000000"]],
}


def frame(stream: str, data: dict[str, object]) -> bytes:
    return json.dumps({"stream": f"btcusdt@{stream}", "data": data}).encode()


@pytest.fixture
def tickers() -> BinanceQuotes:
    return BinanceQuotes([MARKET], mode="book_ticker")


@pytest.fixture
def depth() -> BinanceQuotes:
    return BinanceQuotes([MARKET], mode="depth")


def test_the_streams_of_the_mode_are_subscribed(tickers: BinanceQuotes, depth: BinanceQuotes) -> None:
    assert json.loads(tickers.open()[0].payload)["params"] == ["btcusdt@bookTicker"]
    assert json.loads(depth.open()[0].payload)["params"] == ["btcusdt@depth@100ms"]
    assert list(depth.receive(b'{"result":null,"id":1}', NOW_US)) == [Subscribed((MARKET,))]
    assert depth.is_subscribed


def test_a_ticker_is_read(tickers: BinanceQuotes) -> None:
    assert list(tickers.receive(frame("bookTicker", TICKER), NOW_US)) == [
        BookTicker("BTC-USDT", 400, NOW_US, (25.35, 31.21), (25.36, 40.66))
    ]


def test_a_side_without_orders_is_no_quote(tickers: BinanceQuotes) -> None:
    empty = TICKER | {"b": "0.00000000", "B": "0.00000000"}
    assert not tickers.receive(frame("bookTicker", empty), NOW_US)
    assert tickers.ignored["book with an empty side"] == 1


def test_a_depth_update_is_read(depth: BinanceQuotes) -> None:
    assert list(depth.receive(frame("depth@100ms", DEPTH), NOW_US)) == [
        BookUpdate(
            "BTC-USDT",
            BookChange(157, 160, [(0.0024, 10.0)], [(0.0026, 0.0)]),
            1_672_515_782_136_000,
            NOW_US,
        )
    ]


@pytest.mark.parametrize("bad", [{"u": -1}, {"b": "x"}, {"b": "1e999"}, {"s": None}])
def test_a_broken_ticker_is_set_aside(tickers: BinanceQuotes, bad: dict[str, object]) -> None:
    [event] = tickers.receive(frame("bookTicker", TICKER | bad), NOW_US)
    assert isinstance(event, InvalidFrame)


@pytest.mark.parametrize("bad", [{"b": [["0", "1"]]}, {"a": [["1", "-1"]]}, {"U": None}, {"b": [["1"]]}])
def test_a_broken_depth_update_is_set_aside(depth: BinanceQuotes, bad: dict[str, object]) -> None:
    [event] = depth.receive(frame("depth@100ms", DEPTH | bad), NOW_US)
    assert isinstance(event, InvalidFrame)


def test_what_else_comes_is_sorted_out_as_for_trades(depth: BinanceQuotes) -> None:
    [event] = depth.receive(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', NOW_US)
    assert isinstance(event, ShutdownAnnounced)
    other = frame("depth@100ms", DEPTH | {"s": "ETHUSDT"})
    assert not depth.receive(other, NOW_US)
    assert depth.ignored["quote of another market"] == 1


def test_a_book_is_asked_for_and_read() -> None:
    rest = BinanceBookRest()
    request = rest.book_request(MARKET)
    assert (request.path, request.params) == ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "1000"})
    assert request.weight == 50
    body = {"lastUpdateId": 1027024, "bids": [["4.0", "431.0"]], "asks": [["4.000002", "12.0"]]}
    assert rest.read_book(json.dumps(body).encode()) == BookSnapshot(
        1027024, [(4.0, 431.0)], [(4.000002, 12.0)], 1_000
    )
    with pytest.raises(ExchangeError, match="depth is invalid"):
        rest.read_book(b'{"code":-1121,"msg":"Invalid symbol."}')


def test_quotes_have_few_of_the_venues_connection_attempts() -> None:
    quotes = venue("depth")
    assert quotes.max_attempts < 300
    assert quotes.book_rest is not None
