"""The WebSocket protocol without a socket."""

import msgspec
import pytest

from simulator.source import MarketTrade
from simulator.streams import (
    FrameForm,
    Session,
    Target,
    encode_shutdown,
    encode_trade,
    parse_target,
)

TRADE = MarketTrade(
    "BTCUSDT", 7, "61837.63000000", "0.02000000", True, 1_723_161_255_342_001, 1_723_161_255_343_999
)


def session(*streams: str, is_combined: bool = True) -> Session:
    return Session(Target(streams=streams, is_combined=is_combined, is_microseconds=False))


def reply(session: Session, message: str) -> object:
    return msgspec.json.decode(session.handle(message))


def test_a_raw_trade_has_exactly_the_fields_of_today_in_the_exchanges_order() -> None:
    assert encode_trade(TRADE, FrameForm.RAW_MS) == (
        b'{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":7,"p":"61837.63000000","q":"0.02000000",'
        b'"T":1723161255342,"m":true,"M":true}'
    )


def test_a_combined_trade_in_microseconds_is_wrapped_with_its_stream() -> None:
    frame = msgspec.json.decode(encode_trade(TRADE, FrameForm.COMBINED_US))
    assert frame["stream"] == "btcusdt@trade"
    assert (frame["data"]["T"], frame["data"]["E"]) == (1_723_161_255_342_001, 1_723_161_255_343_999)


def test_a_symbol_that_is_not_ascii_survives() -> None:
    trade = msgspec.structs.replace(TRADE, symbol="币安人生USDT")
    frame = msgspec.json.decode(encode_trade(trade, FrameForm.COMBINED_MS))
    assert frame["stream"] == "币安人生usdt@trade"
    assert frame["data"]["s"] == "币安人生USDT"


def test_server_shutdown_in_both_forms() -> None:
    assert encode_shutdown(1_770_123_456_789_012, FrameForm.RAW_MS) == (
        b'{"e":"serverShutdown","E":1770123456789}'
    )
    combined = msgspec.json.decode(encode_shutdown(1_770_123_456_789_012, FrameForm.COMBINED_MS))
    assert combined["stream"] == "!serverShutdown"
    assert combined["data"]["e"] == "serverShutdown"


@pytest.mark.parametrize(
    ("path", "streams", "is_combined", "is_microseconds"),
    [
        ("/ws/btcusdt@trade", ("btcusdt@trade",), False, False),
        ("/ws", (), False, False),
        ("/stream", (), True, False),
        ("/stream?streams=btcusdt@trade/ethusdt@trade", ("btcusdt@trade", "ethusdt@trade"), True, False),
        ("/stream?streams=a@trade&timeUnit=MICROSECOND", ("a@trade",), True, True),
        ("/stream?streams=a@trade&timeUnit=microsecond", ("a@trade",), True, True),
        (
            "/stream?streams=btcusdt%40trade%2Fethusdt%40trade",
            ("btcusdt@trade", "ethusdt@trade"),
            True,
            False,
        ),
        ("/ws/%E5%B8%81usdt@trade?timeUnit=MICROSECOND", ("币usdt@trade",), False, True),
    ],
)
def test_urls(path: str, streams: tuple[str, ...], is_combined: bool, is_microseconds: bool) -> None:  # noqa: FBT001 - parametrized
    expected = Target(streams=streams, is_combined=is_combined, is_microseconds=is_microseconds)
    assert parse_target(path) == expected


@pytest.mark.parametrize(
    "path",
    ["/", "/wss/a@trade", "/stream/a", "/stream?streams=" + "/".join(f"s{n}@trade" for n in range(1_025))],
)
def test_urls_with_nothing_behind_them(path: str) -> None:
    assert parse_target(path) is None


def test_subscribing_and_unsubscribing() -> None:
    client = session("a@trade")
    assert reply(client, '{"method":"SUBSCRIBE","params":["b@trade","c@trade"],"id":1}') == {
        "result": None,
        "id": 1,
    }
    assert reply(client, '{"method":"UNSUBSCRIBE","params":["a@trade"],"id":"x1"}') == {
        "result": None,
        "id": "x1",
    }
    assert reply(client, '{"method":"LIST_SUBSCRIPTIONS","id":null}') == {
        "result": ["b@trade", "c@trade"],
        "id": None,
    }
    assert client.has("b@trade")
    assert not client.has("a@trade")


def test_the_combined_property_can_be_read_and_set() -> None:
    client = session(is_combined=False)
    assert reply(client, '{"method":"GET_PROPERTY","params":["combined"],"id":2}') == {
        "result": False,
        "id": 2,
    }
    assert reply(client, '{"method":"SET_PROPERTY","params":["combined",true],"id":3}') == {
        "result": None,
        "id": 3,
    }
    assert client.form is FrameForm.COMBINED_MS


@pytest.mark.parametrize(
    ("message", "code", "msg", "request_id"),
    [
        ("{", 3, "Invalid JSON", None),
        ('{"method":"SUBSCRIBE","params":["a@trade"]}', 2, "request ID", None),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":1.5}', 2, "request ID", None),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":"' + "x" * 37 + '"}', 2, "request ID", None),
        ('{"method":"subscribe","params":["a@trade"],"id":1}', 2, "unknown variant `subscribe`", 1),
        ('{"params":["a@trade"],"id":1}', 2, "missing field `method`", 1),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2, "stream names", 1),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["a"],"id":1}', 2, "too many parameters", 1),
        ('{"method":"GET_PROPERTY","params":["combined",true],"id":1}', 2, "too many parameters", 1),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name must be a string", 1),
        ('{"method":"GET_PROPERTY","params":["other"],"id":1}', 0, "Unknown property", 1),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1, "expected Boolean", 1),
    ],
)
def test_wrong_requests(message: str, code: int, msg: str, request_id: int | None) -> None:
    answer = reply(session(), message)
    assert isinstance(answer, dict)
    assert (answer["code"], answer["id"]) == (code, request_id)
    assert msg in answer["msg"]


def test_a_connection_holds_1024_streams_and_no_more() -> None:
    client = session(*(f"s{number}@trade" for number in range(1_023)))
    assert reply(client, '{"method":"SUBSCRIBE","params":["a@trade"],"id":1}') == {"result": None, "id": 1}
    refused = reply(client, '{"method":"SUBSCRIBE","params":["b@trade"],"id":2}')
    assert isinstance(refused, dict)
    assert refused["code"] == 2
    assert len(client.streams) == 1_024
