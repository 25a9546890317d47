"""Frames of Coinbase in, events out: what the documents hold, and what is peculiar to this venue."""

import json

import pytest

from producer.exchanges.coinbase import CoinbaseProtocol, CoinbaseRest
from producer.exchanges.markets import Market
from producer.exchanges.protocol import (
    InvalidFrame,
    LatestTrade,
    PastTrades,
    Subscribed,
    SubscriptionRefused,
)
from shared.errors import ExchangeError
from shared.events import Trade

NOW_US = 1_770_000_000_000_000


def market(symbol: str = "BTC-USD") -> Market:
    quote = symbol.partition("-")[2]
    return Market(symbol=symbol, native=symbol, quote=quote, status="online", is_trading=True)


@pytest.fixture
def protocol() -> CoinbaseProtocol:
    return CoinbaseProtocol([market(), market("ETH-USD")])


def match(**changes: object) -> bytes:
    """Return a match as in the documents; a change to None removes the field."""
    data = {
        "type": "match",
        "trade_id": 10,
        "sequence": 50,
        "maker_order_id": "ac928c66-ca53-498f-9c13-a110027a60e8",
        "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
        "time": "2014-11-07T08:19:27.028459Z",
        "product_id": "BTC-USD",
        "size": "5.23512",
        "price": "400.23",
        "side": "sell",
    } | changes
    return json.dumps({name: value for name, value in data.items() if value is not None}).encode()


def test_a_match_is_read_to_the_last_digit_and_its_makers_side_flipped(protocol: CoinbaseProtocol) -> None:
    expected = Trade(
        "coinbase", "BTC-USD", 10, 400.23, 5.23512, False, 1_415_348_367_028_459, NOW_US
    )  # a resting sell order was taken, so the taker bought
    assert list(protocol.receive(match(), NOW_US)) == [expected]
    [trade] = protocol.receive(match(side="buy"), NOW_US)
    assert isinstance(trade, Trade)
    assert trade.is_buyer_maker


def test_the_last_match_before_the_subscription_is_past(protocol: CoinbaseProtocol) -> None:
    [past] = protocol.receive(match(type="last_match"), NOW_US)
    assert isinstance(past, PastTrades)
    assert [trade.trade_id for trade in past.trades] == [10]


def test_a_heartbeat_tells_the_latest_trade(protocol: CoinbaseProtocol) -> None:
    heartbeat = {
        "type": "heartbeat",
        "sequence": 90,
        "last_trade_id": 20,
        "product_id": "BTC-USD",
        "time": "2014-11-07T08:19:28.464459Z",
    }
    assert list(protocol.receive(json.dumps(heartbeat).encode(), NOW_US)) == [LatestTrade("BTC-USD", 20)]
    # For months the venue sent nothing but zeros: they must not look like a market that began anew.
    assert not protocol.receive(json.dumps(heartbeat | {"last_trade_id": 0}).encode(), NOW_US)
    assert not protocol.receive(json.dumps(heartbeat | {"product_id": "X-USD"}).encode(), NOW_US)


def test_a_subscription_is_whole_when_both_channels_are_confirmed(protocol: CoinbaseProtocol) -> None:
    [frame] = protocol.open()
    message = json.loads(frame.payload)
    assert message["type"] == "subscribe"
    assert set(message["channels"]) == {"matches", "heartbeat"}
    assert message["product_ids"] == ["BTC-USD", "ETH-USD"]

    def confirm(*names: str) -> list[object]:
        channels = [{"name": name, "product_ids": ["BTC-USD", "ETH-USD"]} for name in names]
        return list(
            protocol.receive(json.dumps({"type": "subscriptions", "channels": channels}).encode(), NOW_US)
        )

    assert confirm("matches") == [Subscribed((market(), market("ETH-USD")))]
    assert not protocol.is_subscribed
    confirm("matches", "heartbeat")
    assert protocol.is_subscribed


def test_a_refusal_tells_its_reason(protocol: CoinbaseProtocol) -> None:
    error = {"type": "error", "message": "Failed to subscribe", "reason": "X-USD is not a valid product"}
    [event] = protocol.receive(json.dumps(error).encode(), NOW_US)
    assert isinstance(event, SubscriptionRefused)
    assert event.message == "Failed to subscribe: X-USD is not a valid product"
    assert not protocol.is_subscribed


def test_frames_of_advanced_trade_are_read_oldest_first(protocol: CoinbaseProtocol) -> None:
    def row(number: int, side: str) -> dict[str, str]:
        return {
            "product_id": "BTC-USD",
            "trade_id": str(number),
            "price": "65083.67",
            "size": "0.002186",
            "time": "2026-08-09T21:05:42.514318Z",
            "side": side,
        }

    def frame(kind: str) -> bytes:
        events = [{"type": kind, "trades": [row(12, "SELL"), row(11, "BUY")]}]
        return json.dumps({"channel": "market_trades", "sequence_num": 3, "events": events}).encode()

    trades = list(protocol.receive(frame("update"), NOW_US))
    assert [(t.trade_id, t.is_buyer_maker) for t in trades if isinstance(t, Trade)] == [
        (11, True),
        (12, False),
    ]
    assert list(protocol.receive(frame("snapshot"), NOW_US)) == [PastTrades(tuple(trades))]  # type: ignore[arg-type]  # they are trades


def test_rest_rows_have_the_makers_side_too() -> None:
    row = {
        "trade_id": 74,
        "side": "sell",
        "size": "0.01000000",
        "price": "10.00000000",
        "time": "2014-11-07T22:19:28.578544Z",
    }
    older = row | {"trade_id": 73, "side": "buy"}
    page = CoinbaseRest().read_trades(json.dumps([row, older]).encode(), market(), received_time_us=NOW_US)
    assert [(t.trade_id, t.is_buyer_maker) for t in page.trades] == [(73, True), (74, False)]
    assert page.trades[1].event_time_us == 1_415_398_768_578_544


def test_rest_is_asked_for_the_page_that_ends_where_the_wanted_trades_begin() -> None:
    rest = CoinbaseRest()
    request = rest.trades_request(market(), from_id=500, after_us=None, limit=20)
    assert (request.path, request.params) == ("/products/BTC-USD/trades", {"limit": "20", "after": "520"})
    request = rest.trades_request(market(), from_id=None, after_us=None, limit=5_000)
    assert request.params == {"limit": "1000"}


def test_a_product_that_does_not_trade_is_known_as_such() -> None:
    def row(name: str, **changes: object) -> dict[str, object]:
        base, quote = name.split("-")
        given = {"id": name, "base_currency": base, "quote_currency": quote, "status": "online"}
        return given | changes

    rows = [row("BTC-USD"), row("ETH-USD", trading_disabled=True), row("SOL-USD", status="delisted")]
    markets = CoinbaseRest().read_markets(json.dumps(rows).encode())
    assert [m.symbol for m in markets if m.is_trading] == ["BTC-USD"]
    assert len(markets) == 3


def test_the_venues_words_are_kept() -> None:
    rest = CoinbaseRest()
    assert rest.read_error(b'{"message":"NotFound"}') == "NotFound"
    assert rest.read_error(b"<html>") == "<html>"
    with pytest.raises(ExchangeError, match="products is invalid"):
        rest.read_markets(b'{"message":"NotFound"}')


def test_a_match_without_a_number_is_invalid(protocol: CoinbaseProtocol) -> None:
    [event] = protocol.receive(match(price=None), NOW_US)
    assert isinstance(event, InvalidFrame)
    assert "price" in event.reason
