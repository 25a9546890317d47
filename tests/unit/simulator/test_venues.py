"""Coinbase and Kraken as the simulator speaks them: subscriptions, frames, REST, without a socket."""

import json

import pytest

from simulator.coinbase import Coinbase
from simulator.crowd import MarketParams
from simulator.engine import VENUES, Engine, EngineParams
from simulator.faults import FaultCommand
from simulator.kraken import Kraken
from simulator.market import MarketSource
from simulator.scenarios import ScenarioParams
from simulator.source import MarketTrade, SymbolInfo
from simulator.tape import Tape
from simulator.venue import Request, Response, VenueName
from simulator.weights import WeightLimiter, WeightParams
from tests.unit.simulator.test_engine import NOW, SECOND, FakeLink

SYMBOLS = (
    SymbolInfo(symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT"),
    SymbolInfo(symbol="DOGEUSDT", base_asset="DOGE", quote_asset="USDT"),
)
TIME_US = 1_700_000_000_123_456


def trade(number: int, *, is_buyer_maker: bool = False) -> MarketTrade:
    time_us = TIME_US + number
    return MarketTrade("BTCUSDT", number, "105944.20000000", "0.00027625", is_buyer_maker, time_us, time_us)


def tapes(count: int = 60) -> dict[str, Tape]:
    made = {info.symbol: Tape(capacity=1_000) for info in SYMBOLS}
    for number in range(1, count + 1):
        made["BTCUSDT"].append(trade(number))
    return made


@pytest.fixture
def coinbase() -> Coinbase:
    return Coinbase(symbols=SYMBOLS, tapes=tapes(), limiter=WeightLimiter(WeightParams(weight_per_minute=8)))


@pytest.fixture
def kraken() -> Kraken:
    return Kraken(symbols=SYMBOLS, tapes=tapes(), limiter=WeightLimiter(WeightParams(weight_per_minute=8)))


def ask(venue: Coinbase | Kraken, endpoint: str, **query: str) -> Response:
    return venue.answer(Request(endpoint=endpoint, query=query), now_us=NOW, market_time_us=NOW)


def test_coinbase_confirms_and_begins_with_the_last_match(coinbase: Coinbase) -> None:
    session = coinbase.open("/")
    assert session is not None
    request = {"type": "subscribe", "product_ids": ["BTC-USDT"], "channels": ["matches", "heartbeat"]}
    answer, last = map(json.loads, session.control(json.dumps(request)))
    assert answer["type"] == "subscriptions"
    assert {channel["name"] for channel in answer["channels"]} == {"matches", "heartbeat"}
    assert (last["type"], last["trade_id"], last["product_id"]) == ("last_match", 60, "BTC-USDT")
    assert session.wants("BTCUSDT")
    assert not session.wants("DOGEUSDT")
    [beat] = map(json.loads, coinbase.heartbeats(session, market_time_us=NOW))
    assert (beat["type"], beat["last_trade_id"]) == ("heartbeat", 60)
    assert len(session.control(json.dumps(request))) == 1, "nothing new, so no last match"
    session.control(json.dumps(request | {"type": "unsubscribe"}))
    assert not session.wants("BTCUSDT")


def test_coinbase_refuses_what_it_does_not_have(coinbase: Coinbase) -> None:
    session = coinbase.open("/")
    assert session is not None
    for message in (
        "{",
        '{"type":"sing"}',
        '{"type":"subscribe","product_ids":["X-Y"],"channels":["matches"]}',
        '{"type":"subscribe","product_ids":["BTC-USDT"],"channels":[{"name":"level9"}]}',
    ):
        [answer] = map(json.loads, session.control(message))
        assert answer["type"] == "error"
    assert coinbase.open("/stream") is None


def test_coinbase_tells_the_makers_side(coinbase: Coinbase) -> None:
    frame = json.loads(coinbase.encode(trade(7, is_buyer_maker=True), "match"))
    assert (frame["side"], frame["price"], frame["size"]) == ("buy", "105944.20000000", "0.00027625")
    assert frame["time"] == "2023-11-14T22:13:20.123463Z"


def test_coinbase_pages_backwards(coinbase: Coinbase) -> None:
    rows = json.loads(ask(coinbase, "products/BTC-USDT/trades", limit="3", after="50").body)
    assert [row["trade_id"] for row in rows] == [49, 48, 47]
    rows = json.loads(ask(coinbase, "products/BTC-USDT/trades", limit="2").body)
    assert [row["trade_id"] for row in rows] == [60, 59]
    assert ask(coinbase, "products/X-Y/trades").status == 404
    assert ask(coinbase, "products/BTC-USDT/trades", limit="0").status == 400
    coinbase.set_status("DOGEUSDT", "offline")
    assert [row["status"] for row in json.loads(ask(coinbase, "products").body)] == ["online", "offline"]
    with pytest.raises(ValueError, match="is no status"):
        coinbase.set_status("DOGEUSDT", "HALT")
    with pytest.raises(ValueError, match="is no market"):
        coinbase.set_status("X", "offline")
    assert [ask(coinbase, "time").status for _ in range(4)] == [404, 404, 404, 429]


def test_kraken_confirms_each_market_and_begins_with_a_snapshot(kraken: Kraken) -> None:
    session = kraken.open("/v2")
    assert session is not None
    assert not kraken.heartbeats(session, market_time_us=NOW)
    params = {"channel": "trade", "symbol": ["BTC/USDT", "X/Y"], "snapshot": True}
    request = {"method": "subscribe", "params": params, "req_id": 3}
    confirmed, snapshot, refused = map(json.loads, session.control(json.dumps(request)))
    assert (confirmed["success"], confirmed["req_id"], confirmed["result"]["symbol"]) == (True, 3, "BTC/USDT")
    assert (snapshot["type"], [row["trade_id"] for row in snapshot["data"]]) == (
        "snapshot",
        list(range(11, 61)),
    )
    assert (refused["success"], refused["symbol"]) == (False, "X/Y")
    assert session.wants("BTCUSDT")
    assert kraken.heartbeats(session, market_time_us=NOW) == [b'{"channel":"heartbeat"}']
    [pong] = map(json.loads, session.control('{"method":"ping","req_id":4}'))
    assert pong == {"method": "pong", "req_id": 4}
    session.control(json.dumps(request | {"method": "unsubscribe"}))
    assert not session.wants("BTCUSDT")


def test_kraken_writes_numbers_digit_by_digit(kraken: Kraken) -> None:
    frame = kraken.encode(trade(7, is_buyer_maker=True), "update")
    assert b'"price":105944.20000000,"qty":0.00027625,' in frame
    assert json.loads(frame)["data"][0]["side"] == "sell"


def test_kraken_pages_by_time_and_errs_with_status_200(kraken: Kraken) -> None:
    answer = json.loads(ask(kraken, "Trades", pair="XBTUSDT", since=f"{TIME_US + 50}000", count="3").body)
    assert [row[-1] for row in answer["result"]["XBTUSDT"]] == [51, 52, 53]
    assert answer["result"]["last"] == f"{TIME_US + 53}000"
    answer = json.loads(ask(kraken, "Trades", pair="XBTUSDT", count="2").body)
    assert [row[-1] for row in answer["result"]["XBTUSDT"]] == [59, 60]
    pairs = json.loads(ask(kraken, "AssetPairs").body)["result"]
    assert {row["wsname"] for row in pairs.values()} == {"XBT/USDT", "XDG/USDT"}
    for endpoint, query in (
        ("Trades", {"pair": "BTCUSDT"}),
        ("Trades", {"pair": "XBTUSDT", "count": "x"}),
        ("Sing", {}),
    ):
        refused = ask(kraken, endpoint, **query)
        assert (refused.status, bool(json.loads(refused.body)["error"])) == (200, True)
    answers = [ask(kraken, "AssetPairs") for _ in range(3)]
    assert b"Too many requests" in answers[-1].body


@pytest.mark.parametrize("name", ["coinbase", "kraken"])
def test_signs_of_life_come_each_second_with_or_without_trades(name: str) -> None:
    source = MarketSource(
        MarketParams(symbols=("BTCUSDT",), rate=5, duration_s=2, history_trades=5, scenarios=ScenarioParams())
    )
    exchange = Engine(EngineParams(venues=(name,)), source, on_injected=lambda _: None, now_us=NOW)
    venue = exchange.venues[name]
    session = venue.open({"coinbase": "/", "kraken": "/v2"}[name])
    assert session is not None
    link = FakeLink()
    subscriber = exchange.connect(venue, session, link, now_us=NOW)
    messages = {
        "coinbase": {"type": "subscribe", "product_ids": ["BTC-USDT"], "channels": ["matches", "heartbeat"]},
        "kraken": {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USDT"]}},
    }
    exchange.control(subscriber, json.dumps(messages[name]), now_us=NOW)
    for step in range(1, 21):
        exchange.pump(now_us=NOW + step * SECOND // 2)
    assert exchange.state().finished
    assert sum(b"heartbeat" in frame for frame in link.frames) == 10
    assert sum(b"trade_id" in frame and b"heartbeat" not in frame for frame in link.frames) > 0


def test_every_venue_of_the_table_is_a_venue_of_the_command_line() -> None:
    assert set(VENUES) == set(VenueName)


def test_one_market_is_told_by_several_venues_trade_by_trade() -> None:
    source = MarketSource(
        MarketParams(
            symbols=("BTCUSDT",), rate=20, duration_s=5, history_trades=5, scenarios=ScenarioParams()
        )
    )
    exchange = Engine(
        EngineParams(venues=("coinbase", "kraken")), source, on_injected=lambda _: None, now_us=NOW
    )
    told: dict[str, set[int]] = {}
    links = {}
    for name, path, message in (
        ("coinbase", "/", {"type": "subscribe", "product_ids": ["BTC-USDT"], "channels": ["matches"]}),
        ("kraken", "/v2", {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USDT"]}}),
    ):
        venue, links[name] = exchange.venues[name], FakeLink()
        session = venue.open(path)
        assert session is not None
        exchange.control(
            exchange.connect(venue, session, links[name], now_us=NOW), json.dumps(message), now_us=NOW
        )
    for second in range(1, 8):
        exchange.pump(now_us=NOW + second * SECOND)
    told["coinbase"] = {json.loads(f)["trade_id"] for f in links["coinbase"].frames if b"trade_id" in f}
    told["kraken"] = {
        row["trade_id"] for f in links["kraken"].frames if b"trade_id" in f for row in json.loads(f)["data"]
    }
    assert told["coinbase"] == told["kraken"]
    assert len(told["kraken"]) > 50
    exchange.command(FaultCommand(status_symbol="BTCUSDT", status="offline"), now_us=NOW)
    [product] = json.loads(ask_of(exchange, "coinbase", "products").body)
    assert product["status"] == "offline"
    [pair] = json.loads(ask_of(exchange, "kraken", "AssetPairs").body)["result"].values()
    assert pair["status"] == "online", "this venue has no such word"
    with pytest.raises(ValueError, match="is no status"):
        exchange.command(FaultCommand(status_symbol="BTCUSDT", status="HALT"), now_us=NOW)


def test_each_venue_tells_its_own_trades() -> None:
    params = MarketParams(
        symbols=("BTCUSDT",),
        exchanges=("coinbase", "kraken"),
        rate=20,
        duration_s=60,
        history_trades=50,
        scenarios=ScenarioParams(whales_per_hour=0, crashes_per_hour=0),
    )
    exchange = Engine(
        EngineParams(venues=params.exchanges), MarketSource(params), on_injected=lambda _: None, now_us=NOW
    )
    exchange.start(now_us=NOW)
    known = {name: exchange.state(venue).symbols["BTCUSDT"] for name, venue in exchange.venues.items()}
    link, venue = FakeLink(), exchange.venues["coinbase"]
    session = venue.open("/")
    assert session is not None
    message = {"type": "subscribe", "product_ids": ["BTC-USDT"], "channels": ["matches"]}
    exchange.control(exchange.connect(venue, session, link, now_us=NOW), json.dumps(message), now_us=NOW)
    for number in range(1, 63):
        exchange.pump(now_us=NOW + number * SECOND)
    states = {name: exchange.state(venue) for name, venue in exchange.venues.items()}
    first, second = (states[name].symbols["BTCUSDT"] for name in params.exchanges)
    assert first.trades + second.trades == states["kraken"].trades_total
    assert 0 < second.trades < first.trades
    for name, state in states.items():
        before, after = known[name], state.symbols["BTCUSDT"]
        assert (before.last_id or 0) + after.trades == after.last_id
    assert {json.loads(frame)["trade_id"] for frame in link.frames} == set(
        range((known["coinbase"].last_id or 0) + 1, (first.last_id or 0) + 1)
    )
    rows = json.loads(ask_of(exchange, "coinbase", "products/BTC-USDT/trades").body)
    assert rows[0]["trade_id"] == first.last_id
    told = json.loads(ask_of(exchange, "kraken", "Trades", pair="XBTUSDT").body)["result"]
    assert told["XBTUSDT"][-1][-1] == second.last_id


def ask_of(exchange: Engine, name: str, endpoint: str, **query: str) -> Response:
    return exchange.request(exchange.venues[name], Request(endpoint=endpoint, query=query), now_us=NOW)
