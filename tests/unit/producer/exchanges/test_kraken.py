"""Frames of Kraken in, events out: what the documents hold, and what is peculiar to this venue."""

import json

import pytest

from producer.exchanges.kraken import KrakenProtocol, KrakenRest
from producer.exchanges.markets import Market
from producer.exchanges.protocol import InvalidFrame, PastTrades, Subscribed, SubscriptionRefused
from shared.errors import ExchangeError, ExchangeUnavailableError, RateLimitedError
from shared.events import Trade

NOW_US = 1_770_000_000_000_000
MARKET = Market(symbol="BTC-USD", native="XBTUSD", quote="USD", status="online", is_trading=True)
DOGE = Market(symbol="DOGE-USD", native="XDGUSD", quote="USD", status="online", is_trading=True)
ROW = (
    '{"symbol":"BTC/USD","side":"%s","price":105944.20,"qty":0.00027625,"ord_type":"limit",'
    '"trade_id":%d,"timestamp":"2023-10-06T17:35:55.440295Z"}'
)


@pytest.fixture
def protocol() -> KrakenProtocol:
    return KrakenProtocol([MARKET, DOGE])


def frame(*rows: str, kind: str = "update") -> bytes:
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'.encode()


def test_numbers_are_read_to_the_last_digit_and_the_side_is_the_takers(protocol: KrakenProtocol) -> None:
    events = protocol.receive(frame(ROW % ("buy", 7), ROW % ("sell", 8)), NOW_US)
    time_us = 1_696_613_755_440_295
    assert list(events) == [
        Trade("kraken", "BTC-USD", 7, 105944.2, 0.00027625, False, time_us, NOW_US),
        Trade("kraken", "BTC-USD", 8, 105944.2, 0.00027625, True, time_us, NOW_US),
    ]


def test_a_snapshot_is_past(protocol: KrakenProtocol) -> None:
    [past] = protocol.receive(frame(ROW % ("buy", 7), ROW % ("buy", 8), kind="snapshot"), NOW_US)
    assert isinstance(past, PastTrades)
    assert [trade.trade_id for trade in past.trades] == [7, 8]


def test_heartbeats_and_status_say_nothing(protocol: KrakenProtocol) -> None:
    assert not protocol.receive(b'{"channel":"heartbeat"}', NOW_US)
    status = b'{"channel":"status","type":"update","data":[{"api_version":"v2","system":"online"}]}'
    assert not protocol.receive(status, NOW_US)
    assert not protocol.receive(b'{"method":"pong","req_id":1,"time_in":"x","time_out":"y"}', NOW_US)
    assert dict(protocol.ignored) == {"status": 1, "pong": 1}


def test_each_market_is_confirmed_by_itself(protocol: KrakenProtocol) -> None:
    [sent] = protocol.open()
    message = json.loads(sent.payload)
    assert message["params"] == {"channel": "trade", "symbol": ["BTC/USD", "DOGE/USD"], "snapshot": True}

    def confirm(name: str) -> list[object]:
        result = {"channel": "trade", "snapshot": True, "symbol": name}
        answer = {"method": "subscribe", "result": result, "success": True, "req_id": 1}
        return list(protocol.receive(json.dumps(answer).encode(), NOW_US))

    assert confirm("BTC/USD") == [Subscribed((MARKET,))]
    assert not protocol.is_subscribed
    assert confirm("DOGE/USD") == [Subscribed((DOGE,))]
    assert protocol.is_subscribed


def test_a_refusal_names_its_market(protocol: KrakenProtocol) -> None:
    words = "Currency pair not supported BTC/USD"
    answer = {"error": words, "method": "subscribe", "success": False, "symbol": "BTC/USD", "req_id": 1}
    [event] = protocol.receive(json.dumps(answer).encode(), NOW_US)
    assert event == SubscriptionRefused((MARKET,), 0, words)
    assert not protocol.is_subscribed


def test_frames_of_v1_are_no_invalid_frames(protocol: KrakenProtocol) -> None:
    old = b'[993,[["354.11","0.89","1618678142.557535","s","l",""]],"trade","XMR/USD"]'
    assert not protocol.receive(old, NOW_US)
    assert protocol.ignored["v1"] == 1


def test_a_trade_without_a_price_makes_its_frame_invalid(protocol: KrakenProtocol) -> None:
    [event] = protocol.receive(frame((ROW % ("buy", 7)).replace('"price":105944.20,', "")), NOW_US)
    assert isinstance(event, InvalidFrame)
    assert "price" in event.reason


def test_one_row_that_is_no_number_leaves_the_others(protocol: KrakenProtocol) -> None:
    bad = (ROW % ("buy", 7)).replace("0.00027625", "0")
    events = protocol.receive(frame(bad, ROW % ("buy", 8)), NOW_US)
    assert [type(event) for event in events] == [InvalidFrame, Trade]


def pairs(**rows: dict[str, str]) -> bytes:
    return json.dumps({"error": [], "result": rows}).encode()


def test_markets_have_the_names_that_everybody_else_uses() -> None:
    markets = KrakenRest().read_markets(
        pairs(
            XXBTZUSD={"altname": "XBTUSD", "wsname": "XBT/USD", "status": "online"},
            XDGUSD={"altname": "XDGUSD", "wsname": "XDG/USD", "status": "post_only"},
            DARK={"altname": "XBTUSD.d"},
        )
    )
    assert [(m.symbol, m.native, m.is_trading) for m in markets] == [
        ("BTC-USD", "XBTUSD", True),
        ("DOGE-USD", "XDGUSD", False),
    ]


def test_rest_is_asked_by_time_from_before_the_hole() -> None:
    rest = KrakenRest()
    request = rest.trades_request(MARKET, from_id=7, after_us=1_696_613_755_440_295, limit=1)
    assert request.path == "/0/public/Trades"
    assert request.params == {"pair": "XBTUSD", "count": "1000", "since": "1696613755439295000"}
    assert "since" not in rest.trades_request(MARKET, from_id=7, after_us=None, limit=1).params


def test_rest_rows_are_read_as_the_documents_have_them() -> None:
    body = (
        b'{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],'
        b'["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}}'
    )
    page = KrakenRest().read_trades(body, MARKET, received_time_us=NOW_US)
    assert page.trades == [
        Trade("kraken", "BTC-USD", 61044952, 30243.4, 0.34507674, False, 1_688_669_597_827_737, NOW_US),
        Trade("kraken", "BTC-USD", 61044953, 30243.3, 0.0037696, True, 1_688_669_598_280_411, NOW_US),
    ]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("EGeneral:Too many requests", RateLimitedError),
        ("EAPI:Rate limit exceeded", RateLimitedError),
        ("EService:Unavailable", ExchangeUnavailableError),
        ("EGeneral:Internal error", ExchangeUnavailableError),
        ("EQuery:Unknown asset pair", ExchangeError),
    ],
)
def test_errors_come_with_status_200(words: str, error: type[ExchangeError]) -> None:
    rest, body = KrakenRest(), json.dumps({"error": [words]}).encode()
    with pytest.raises(error):
        rest.read_trades(body, MARKET, received_time_us=NOW_US)
    with pytest.raises(error):
        rest.read_markets(body)
    assert rest.read_error(body) == words
