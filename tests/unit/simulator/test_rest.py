"""Binance's REST endpoints over a tape."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from simulator.rest import Rest
from simulator.source import MarketTrade, SymbolInfo
from simulator.tape import Tape
from simulator.venue import Request, Response
from simulator.weights import WeightLimiter, WeightParams

NOW_US = 1_800_000_000_000_000
START_US = 1_700_000_000_000_000


def trade(trade_id: int) -> MarketTrade:
    time_us = START_US + trade_id * 1_000_000
    return MarketTrade(
        "BTCUSDT", trade_id, "2.50000000", "0.10000000", trade_id % 2 == 0, time_us, time_us + 500
    )


def exchange(*, ids: range = range(1, 2_001), weight_per_minute: int = 6_000) -> Rest:
    tapes = {"BTCUSDT": Tape(capacity=10_000), "ETHUSDT": Tape(capacity=10_000)}
    for trade_id in ids:
        tapes["BTCUSDT"].append(trade(trade_id))
    symbols = (
        SymbolInfo(symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT"),
        SymbolInfo(symbol="ETHUSDT", base_asset="ETH", quote_asset="USDT"),
    )
    params = WeightParams(weight_per_minute=weight_per_minute, asked_on_before_ban=2, ban_s=120)
    return Rest(symbols=symbols, tapes=tapes, limiter=WeightLimiter(params))


def ask(
    rest: Rest,
    endpoint: str,
    query: Mapping[str, str | int] | None = None,
    *,
    micro: bool = False,
    now_us: int = NOW_US,
) -> Response:
    request = Request(
        endpoint=endpoint, query={k: str(v) for k, v in (query or {}).items()}, is_microseconds=micro
    )
    return rest.handle(request, now_us=now_us, market_time_us=NOW_US)


def answer(
    rest: Rest, endpoint: str, query: Mapping[str, str | int] | None = None, *, micro: bool = False
) -> Any:  # noqa: ANN401 - JSON
    response = ask(rest, endpoint, query, micro=micro)
    assert response.status == 200, response.body
    return msgspec.json.decode(response.body)


def test_ping_and_time() -> None:
    assert answer(exchange(), "ping") == {}
    assert answer(exchange(), "time") == {"serverTime": NOW_US // 1_000}
    assert answer(exchange(), "time", micro=True) == {"serverTime": NOW_US}


def test_historical_trades_begin_with_the_id_asked_for() -> None:
    trades = answer(exchange(), "historicalTrades", {"symbol": "BTCUSDT", "fromId": 100, "limit": 3})
    assert [row["id"] for row in trades] == [100, 101, 102]
    assert trades[0] == {
        "id": 100,
        "price": "2.50000000",
        "qty": "0.10000000",
        "quoteQty": "0.25000000",
        "time": (START_US + 100_000_000) // 1_000,
        "isBuyerMaker": True,
        "isBestMatch": True,
    }


def test_historical_trades_without_an_id_are_the_latest() -> None:
    trades = answer(exchange(), "historicalTrades", {"symbol": "BTCUSDT", "limit": 1_000})
    assert [row["id"] for row in trades] == list(range(1_001, 2_001))


def test_recent_trades_are_500_unless_told_otherwise() -> None:
    assert [row["id"] for row in answer(exchange(), "trades", {"symbol": "BTCUSDT"})] == list(
        range(1_501, 2_001)
    )


def test_agg_trades_carry_the_ids_of_their_trades() -> None:
    [row] = answer(exchange(), "aggTrades", {"symbol": "BTCUSDT", "fromId": 5, "limit": 1}, micro=True)
    assert row == {
        "a": 5,
        "p": "2.50000000",
        "q": "0.10000000",
        "f": 5,
        "l": 5,
        "T": START_US + 5_000_000,
        "m": False,
        "M": True,
    }


def test_agg_trades_of_a_span_include_both_ends() -> None:
    start_ms, end_ms = START_US // 1_000 + 5_000, START_US // 1_000 + 7_000
    rest = exchange()
    span = answer(rest, "aggTrades", {"symbol": "BTCUSDT", "startTime": start_ms, "endTime": end_ms})
    assert [row["a"] for row in span] == [5, 6, 7]
    in_us = answer(
        rest,
        "aggTrades",
        {"symbol": "BTCUSDT", "startTime": start_ms * 1_000 + 1, "endTime": end_ms * 1_000},
    )
    assert [row["a"] for row in in_us] == [6, 7]
    until = answer(rest, "aggTrades", {"symbol": "BTCUSDT", "endTime": end_ms, "limit": 2})
    assert [row["a"] for row in until] == [6, 7]


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ({}, ["BTCUSDT", "ETHUSDT"]),
        ({"symbol": "ETHUSDT"}, ["ETHUSDT"]),
        ({"symbols": '["ETHUSDT","BTCUSDT"]'}, ["ETHUSDT", "BTCUSDT"]),
        ({"symbolStatus": "TRADING"}, ["ETHUSDT"]),
        ({"symbolStatus": "HALT"}, ["BTCUSDT"]),
    ],
)
def test_exchange_info_filters(query: dict[str, str | int], symbols: list[str]) -> None:
    rest = exchange()
    rest.set_status("BTCUSDT", "HALT")
    info = answer(rest, "exchangeInfo", query)
    assert [entry["symbol"] for entry in info["symbols"]] == symbols
    eth = next((entry for entry in info["symbols"] if entry["symbol"] == "ETHUSDT"), None)
    if eth is not None:
        assert (eth["baseAsset"], eth["quoteAsset"], eth["status"]) == ("ETH", "USDT", "TRADING")


@pytest.mark.parametrize(
    ("endpoint", "query", "status", "code"),
    [
        ("trades", {}, 400, -1102),
        ("trades", {"symbol": "NOPE"}, 400, -1121),
        ("trades", {"symbol": "BTCUSDT", "limit": 1_001}, 400, -1130),
        ("trades", {"symbol": "BTCUSDT", "limit": "x"}, 400, -1100),
        ("historicalTrades", {"symbol": "BTCUSDT", "fromId": -1}, 400, -1100),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": 1, "startTime": 1}, 400, -1128),
        ("exchangeInfo", {"symbols": '["NOPE"]'}, 400, -1121),
        ("exchangeInfo", {"symbols": "BTCUSDT"}, 400, -1100),
        ("exchangeInfo", {"symbol": "BTCUSDT", "symbolStatus": "TRADING"}, 400, -1128),
        ("exchangeInfo", {"symbolStatus": "ASLEEP"}, 400, -1122),
        ("klines", {"symbol": "BTCUSDT"}, 404, -1000),
        ("depth", {"symbol": "NOPE"}, 400, -1121),
    ],
)
def test_wrong_requests(endpoint: str, query: dict[str, str | int], status: int, code: int) -> None:
    response = ask(exchange(), endpoint, query)
    assert response.status == status
    error = msgspec.json.decode(response.body)
    assert error["code"] == code
    assert error["msg"]


def test_weights_are_counted_and_a_full_minute_is_refused_then_banned() -> None:
    rest = exchange(weight_per_minute=60)
    used = [
        ask(rest, endpoint, {"symbol": "BTCUSDT"}).headers["X-MBX-USED-WEIGHT-1M"]
        for endpoint in ("historicalTrades", "trades", "aggTrades", "aggTrades")
    ]
    assert used == ["25", "50", "54", "58"]
    refused = ask(rest, "aggTrades", {"symbol": "BTCUSDT"})
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "60"
    assert msgspec.json.decode(refused.body)["code"] == -1003
    assert ask(rest, "ping").status == 429
    banned = ask(rest, "ping")
    assert (banned.status, banned.headers["Retry-After"]) == (418, "120")
    assert ask(rest, "ping", now_us=NOW_US + 119_000_000).status == 418
    assert ask(rest, "ping", now_us=NOW_US + 121_000_000).status == 200


def test_the_next_minute_is_free_again() -> None:
    rest = exchange(weight_per_minute=25)
    assert ask(rest, "trades", {"symbol": "BTCUSDT"}).status == 200
    assert ask(rest, "ping", now_us=NOW_US + 59_000_000).status == 429
    assert ask(rest, "trades", {"symbol": "BTCUSDT"}, now_us=NOW_US + 60_000_000).status == 200


def test_a_status_must_exist() -> None:
    with pytest.raises(ValueError, match="NOPE"):
        exchange().set_status("NOPE", "HALT")
    with pytest.raises(ValueError, match="ASLEEP"):
        exchange().set_status("BTCUSDT", "ASLEEP")
