"""Frames of Binance in, events out: what the documents and the recordings hold, and everything wrong."""

import json

import msgspec
import pytest

from producer.exchanges.binance import MAX_STREAMS, BinanceProtocol, BinanceRest, stream_of, to_us
from producer.exchanges.markets import Market
from producer.exchanges.protocol import InvalidFrame, ShutdownAnnounced, Subscribed, SubscriptionRefused
from shared.errors import ExchangeError
from shared.events import Trade

NOW_US = 1_770_000_000_000_000


def market(symbol: str = "BTC-USDT", status: str = "TRADING") -> Market:
    native = symbol.replace("-", "")
    quote = symbol.partition("-")[2]
    return Market(symbol=symbol, native=native, quote=quote, status=status, is_trading=status == "TRADING")


@pytest.fixture
def protocol() -> BinanceProtocol:
    return BinanceProtocol([market(), market("币安人生-USDT")])


def frame(**changes: object) -> bytes:
    """Return a combined trade frame; a change to None removes the field."""
    data = {
        "e": "trade",
        "E": 1_770_000_000_000_100,
        "s": "BTCUSDT",
        "t": 7,
        "p": "61685.99000000",
        "q": "0.00140000",
        "T": 1_770_000_000_000_099,
        "m": True,
        "M": True,
    } | changes
    kept = {name: value for name, value in data.items() if value is not None}
    return json.dumps({"stream": "btcusdt@trade", "data": kept}).encode()


def only_trade(protocol: BinanceProtocol, payload: bytes) -> Trade:
    [event] = protocol.receive(payload, NOW_US)
    assert isinstance(event, Trade), event
    return event


def test_a_trade_is_read_to_the_last_digit(protocol: BinanceProtocol) -> None:
    assert only_trade(protocol, frame()) == Trade(
        "binance", "BTC-USDT", 7, 61685.99, 0.0014, True, 1_770_000_000_000_099, NOW_US
    )


def test_times_in_milliseconds_become_microseconds(protocol: BinanceProtocol) -> None:
    assert only_trade(protocol, frame(T=1_723_161_601_271)).event_time_us == 1_723_161_601_271_000
    assert to_us(10**14 - 1) == (10**14 - 1) * 1_000
    assert to_us(10**14) == 10**14


def test_order_ids_of_old_recordings_and_unknown_fields_are_ignored(protocol: BinanceProtocol) -> None:
    assert only_trade(protocol, frame(b=1, a=2, X={"deep": [1]})) == only_trade(protocol, frame())


def test_the_raw_form_is_read_too(protocol: BinanceProtocol) -> None:
    raw = msgspec.json.encode(json.loads(frame())["data"])
    assert only_trade(protocol, raw) == only_trade(protocol, frame())


def test_symbols_are_any_text(protocol: BinanceProtocol) -> None:
    assert only_trade(protocol, frame(s="币安人生USDT")).symbol == "币安人生-USDT"
    assert stream_of(market("币安人生-USDT")) == "币安人生usdt@trade"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"p": None}, "`p`"),
        ({"t": None}, "`t`"),
        ({"m": None}, "`m`"),
        ({"p": "abc"}, "float"),
        ({"p": "NaN"}, "finite"),
        ({"p": "Infinity"}, "finite"),
        ({"p": "0"}, "positive"),
        ({"q": "-1"}, "positive"),
        ({"p": "1e200", "q": "1e200"}, "notional"),
        ({"t": -1}, "`int` >= 0"),
        ({"t": 2**64}, "int"),
        ({"T": -5}, "`int` >= 0"),
        ({"s": 5}, "`str`"),
    ],
)
def test_a_trade_that_is_none_keeps_its_bytes_and_says_why(
    protocol: BinanceProtocol, changes: dict[str, object], word: str
) -> None:
    payload = frame(**changes)
    [event] = protocol.receive(payload, NOW_US)
    assert isinstance(event, InvalidFrame)
    assert event.payload == payload
    assert word in event.reason


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"nonsense",
        b"null",
        b"5",
        b'"text"',
        b"\xff\xfe\x00",
        b"[1,",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        frame()[:-1],
        frame().replace(b"BTCUSDT", b"BTC\xffUSDT"),
        b'{"stream":"btcusdt@trade","data":null}',
        b'{"stream":1,"data":{"e":"trade"}}',
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_bytes_that_are_no_frame_never_raise(protocol: BinanceProtocol, payload: bytes) -> None:
    [event] = protocol.receive(payload, NOW_US)
    assert isinstance(event, InvalidFrame)
    assert event.payload == payload


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (frame(e="blockTrade"), "blockTrade"),
        (frame(e="aggTrade", a=5), "aggTrade"),
        (frame(e="somethingNew"), "somethingNew"),
        (frame(s="ETHUSDT"), "trade of another market"),
        (b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"2"}}', "bookTicker"),
        (b'{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker"}]}', "arr"),
        (b'[{"e":"24hrMiniTicker"}]', "array"),
        (b'{"lastUpdateId":1,"bids":[]}', "unknown"),
        (b'{"result":null,"id":99}', "unknown"),
    ],
)
def test_what_is_none_of_our_business_is_counted(
    protocol: BinanceProtocol, payload: bytes, kind: str
) -> None:
    assert list(protocol.receive(payload, NOW_US)) == []
    assert protocol.ignored == {kind: 1}


def test_kinds_that_are_counted_are_bounded(protocol: BinanceProtocol) -> None:
    for number in range(1_000):
        protocol.receive(frame(e=f"kind{number}"), NOW_US)
    assert len(protocol.ignored) <= 65
    assert protocol.ignored.total() == 1_000


@pytest.mark.parametrize(
    "payload",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_an_announced_shutdown_is_understood_in_both_forms(protocol: BinanceProtocol, payload: bytes) -> None:
    assert list(protocol.receive(payload, NOW_US)) == [ShutdownAnnounced(1_770_123_456_789_000)]


def test_subscriptions_are_batched_and_paced_below_five_messages_a_second() -> None:
    markets = [market(f"C{number}-USDT") for number in range(MAX_STREAMS)]
    plan = BinanceProtocol(markets).open()
    calls = [json.loads(sent.payload) for sent in plan]
    assert [call["id"] for call in calls] == list(range(1, len(calls) + 1))
    assert {call["method"] for call in calls} == {"SUBSCRIBE"}
    assert [name for call in calls for name in call["params"]] == [stream_of(m) for m in markets]
    for start in range(60):
        sent = [item for item in plan if start / 10 <= item.after_s < start / 10 + 1]
        # Two remain for a pong and a ping.
        assert len(sent) <= 3


def test_more_streams_than_a_connection_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="1025 streams"):
        BinanceProtocol([market(f"C{number}-USDT") for number in range(MAX_STREAMS + 1)])


def test_acknowledgements_are_matched_by_id() -> None:
    markets = [market(f"C{number}-USDT") for number in range(150)]
    protocol = BinanceProtocol(markets)
    assert list(protocol.receive(b'{"result":null,"id":2}', NOW_US)) == [Subscribed(tuple(markets[100:]))]
    assert not protocol.is_subscribed
    assert list(protocol.receive(b'{"result":null,"id":1}', NOW_US)) == [Subscribed(tuple(markets[:100]))]
    assert protocol.is_subscribed


@pytest.mark.parametrize(
    ("payload", "code", "is_matched"),
    [
        (b'{"code":2,"msg":"Invalid request","id":1}', 2, True),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', 2, True),
        (b'{"code":3,"msg":"Invalid request","id":null}', 3, False),
    ],
)
def test_a_refused_subscription_says_which_and_why(
    protocol: BinanceProtocol, payload: bytes, code: int, *, is_matched: bool
) -> None:
    [event] = protocol.receive(payload, NOW_US)
    assert isinstance(event, SubscriptionRefused)
    assert (event.code, event.message) == (code, "Invalid request")
    assert bool(event.markets) == is_matched
    assert not protocol.is_subscribed


def test_rest_trades_are_sorted_and_unusable_rows_kept_apart() -> None:
    rows = [
        {
            "id": 3,
            "price": "2",
            "qty": "1",
            "quoteQty": "2",
            "time": 1_770_000_000_000_000,
            "isBuyerMaker": True,
        },
        {"id": 1, "price": "2", "qty": "1", "time": 1_723_161_601_271, "isBuyerMaker": False},
        {"id": 2, "price": "0", "qty": "1", "time": 1_770_000_000_000_000, "isBuyerMaker": False},
    ]
    page = BinanceRest().read_trades(json.dumps(rows).encode(), market(), received_time_us=NOW_US)
    assert [trade.trade_id for trade in page.trades] == [1, 3]
    assert page.trades[0].event_time_us == 1_723_161_601_271_000
    [invalid] = page.invalid
    assert json.loads(invalid.payload)["id"] == 2


@pytest.mark.parametrize("payload", [b"", b"{}", b"<html>", b'[{"id":1}]', b"[1]"])
def test_answers_that_make_no_sense_are_clear_errors(payload: bytes) -> None:
    with pytest.raises(ExchangeError, match="historicalTrades is invalid"):
        BinanceRest().read_trades(payload, market(), received_time_us=NOW_US)
    with pytest.raises(ExchangeError, match="exchangeInfo is invalid"):
        BinanceRest().read_markets(payload)


def test_questions_cost_what_the_documents_say() -> None:
    rest = BinanceRest()
    request = rest.trades_request(market(), from_id=5, after_us=None, limit=5_000)
    assert request.path == "/api/v3/historicalTrades"
    assert request.params == {"symbol": "BTCUSDT", "limit": "1000", "fromId": "5"}
    assert request.headers == {"X-MBX-TIME-UNIT": "MICROSECOND"}
    assert (request.weight, rest.markets_request().weight) == (25, 20)
    assert "fromId" not in rest.trades_request(market(), from_id=None, after_us=None, limit=5).params


def test_a_refusal_is_told_in_the_venues_words() -> None:
    assert BinanceRest().read_error(b'{"code":-1121,"msg":"Invalid symbol."}') == "Invalid symbol. (-1121)"
    assert BinanceRest().read_error(b"<html>blocked</html>") == "<html>blocked</html>"
    assert BinanceRest().read_error(b"") == "no explanation"


def test_the_symbol_map_reads_statuses() -> None:
    rows = [
        {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": []},
        {"symbol": "OLDUSDT", "status": "BREAK", "baseAsset": "OLD", "quoteAsset": "USDT"},
    ]
    markets = BinanceRest().read_markets(json.dumps({"timezone": "UTC", "symbols": rows}).encode())
    assert markets.get("BTC-USDT") == market()
    assert markets.get("OLD-USDT") == market("OLD-USDT", "BREAK")
