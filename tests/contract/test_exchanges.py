"""What the producer relies on from every exchange: one suite over all venues."""

import importlib
import json
import pkgutil
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import exchanges
from producer.exchanges import binance, coinbase, kraken
from producer.exchanges.markets import Market
from producer.exchanges.protocol import FrameEvent, InvalidFrame, Rest, Subscribed, Venue
from shared.errors import ExchangeError
from shared.events import Trade

NOW_US = 1_770_000_000_000_000
TIME_US = 1_769_999_999_123_456
ISO = datetime.fromtimestamp(TIME_US // 10**6, UTC).strftime("%Y-%m-%dT%H:%M:%S") + ".123456Z"


@dataclass(frozen=True)
class Example:
    """How a venue writes one trade, its answer to a subscription, and its market.

    `frame` and `row` take the trade's id, price and quantity as they are written, and whether the taker sold.
    """

    venue: Venue
    market: Market
    frame: Callable[[int, str, str, bool], str]
    row: Callable[[int, str, str, bool], str]
    page: Callable[[list[str]], str]
    answers: Callable[[str], list[dict[str, object]]]
    markets: str


def market(venue: str, native: str) -> Market:
    status = "TRADING" if venue == "binance" else "online"
    return Market(symbol="BTC-USDT", native=native, quote="USDT", status=status, is_trading=True)


def _coinbase_row(number: int, price: str, quantity: str, taker_sold: bool) -> str:  # noqa: FBT001 - as in Example
    side = "buy" if taker_sold else "sell"
    return f'{{"trade_id":{number},"price":"{price}","size":"{quantity}","side":"{side}","time":"{ISO}"}}'


EXAMPLES = [
    Example(
        venue=binance.VENUE,
        market=market("binance", "BTCUSDT"),
        frame=lambda n, p, q, sold: (
            f'{{"stream":"btcusdt@trade","data":{{"e":"trade","s":"BTCUSDT","t":{n},"p":"{p}","q":"{q}",'
            f'"T":{TIME_US},"m":{json.dumps(sold)}}}}}'
        ),
        row=lambda n, p, q, sold: (
            f'{{"id":{n},"price":"{p}","qty":"{q}","time":{TIME_US},"isBuyerMaker":{json.dumps(sold)}}}'
        ),
        page=lambda rows: f"[{','.join(rows)}]",
        answers=lambda sent: [{"result": None, "id": json.loads(sent)["id"]}],
        markets='{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT"}]}',
    ),
    Example(
        venue=coinbase.VENUE,
        market=market("coinbase", "BTC-USDT"),
        frame=lambda n, p, q, sold: (
            '{"type":"match","product_id":"BTC-USDT",' + _coinbase_row(n, p, q, sold)[1:]
        ),
        row=_coinbase_row,
        page=lambda rows: f"[{','.join(rows)}]",
        answers=lambda sent: [
            {
                "type": "subscriptions",
                "channels": [
                    {"name": name, "product_ids": json.loads(sent)["product_ids"]}
                    for name in json.loads(sent)["channels"]
                ],
            }
        ],
        markets='[{"id":"BTC-USDT","base_currency":"BTC","quote_currency":"USDT","status":"online"}]',
    ),
    Example(
        venue=kraken.VENUE,
        market=market("kraken", "XBTUSDT"),
        frame=lambda n, p, q, sold: (
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USDT","trade_id":{n},"price":{p},'
            f'"qty":{q},"side":"{"sell" if sold else "buy"}","ord_type":"limit","timestamp":"{ISO}"}}]}}'
        ),
        row=lambda n, p, q, sold: (
            f'["{p}","{q}",{Decimal(TIME_US) / 10**6},"{"s" if sold else "b"}","l","",{n}]'
        ),
        page=lambda rows: f'{{"error":[],"result":{{"XBTUSDT":[{",".join(rows)}],"last":"1"}}}}',
        answers=lambda sent: [
            {"method": "subscribe", "success": True, "result": {"channel": "trade", "symbol": symbol}}
            for symbol in json.loads(sent)["params"]["symbol"]
        ],
        markets='{"error":[],"result":{"XBTUSDT":{"altname":"XBTUSDT","wsname":"XBT/USDT","status":"online"}}}',
    ),
]
every_venue = pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.venue.name)
DIGITS = st.decimals(min_value="0.00000001", max_value="9999999", places=8).map(lambda d: f"{d:f}")


def events_of(example: Example, frame: str | bytes) -> list[FrameEvent]:
    payload = frame.encode() if isinstance(frame, str) else frame
    return list(example.venue.protocol([example.market]).receive(payload, NOW_US))


@every_venue
@given(price=DIGITS, quantity=DIGITS, number=st.integers(0, 2**63 - 1), taker_sold=st.booleans())
def test_a_trade_is_the_same_by_websocket_and_rest_and_exact(
    example: Example, price: str, quantity: str, number: int, *, taker_sold: bool
) -> None:
    expected = Trade(
        example.venue.name,
        "BTC-USDT",
        number,
        float(Decimal(price)),
        float(Decimal(quantity)),
        taker_sold,
        TIME_US,
        NOW_US,
    )
    assert events_of(example, example.frame(number, price, quantity, taker_sold)) == [expected]
    body = example.page([example.row(number, price, quantity, taker_sold)]).encode()
    page = example.venue.rest.read_trades(body, example.market, received_time_us=NOW_US)
    assert page.trades == [expected]


@every_venue
def test_subscriptions_are_confirmed_one_by_one_however_many(example: Example) -> None:
    markets = [
        Market(symbol=f"C{n}-USDT", native=f"C{n}-USDT", quote="USDT", status="online", is_trading=True)
        for n in range(130)
    ]
    protocol = example.venue.protocol(markets)
    sent = protocol.open()
    assert [frame.after_s for frame in sent] == sorted(frame.after_s for frame in sent)
    confirmed: list[Market] = []
    for frame in sent:
        assert not protocol.is_subscribed
        for answer in example.answers(frame.payload):
            for event in protocol.receive(json.dumps(answer).encode(), NOW_US):
                if isinstance(event, Subscribed):
                    confirmed += event.markets
    assert protocol.is_subscribed
    assert sorted(m.symbol for m in confirmed) == sorted(m.symbol for m in markets)


@every_venue
@pytest.mark.parametrize("number", ["0", "-1", "1e999", "0.0"])
def test_a_price_that_is_none_is_set_aside_with_its_bytes(example: Example, number: str) -> None:
    frame = example.frame(1, number, "1", False)
    [event] = events_of(example, frame)
    assert isinstance(event, InvalidFrame)
    assert event.payload == frame.encode()
    assert event.reason


@every_venue
@given(junk=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_no_bytes_raise(example: Example, junk: bytes) -> None:
    for event in events_of(example, junk):
        assert isinstance(event, get_args(FrameEvent))


@every_venue
@given(seed=st.integers(0, 2**32))
def test_no_damage_to_a_frame_raises(example: Example, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - test data
    frame = bytearray(example.frame(5, "1.5", "2.5", True).encode())
    for _ in range(dice.randint(1, 4)):
        frame[dice.randrange(len(frame))] = dice.randrange(256)
    for event in events_of(example, bytes(frame[: dice.randint(1, len(frame))])):
        assert isinstance(event, get_args(FrameEvent))


@every_venue
def test_json_nested_without_end_is_an_invalid_frame(example: Example) -> None:
    [event] = events_of(example, '{"data":' + "[" * 100_000)
    assert isinstance(event, InvalidFrame)


@every_venue
def test_a_trade_of_another_market_is_ignored_and_counted(example: Example) -> None:
    other = Market(symbol="ETH-USDT", native="ETH-USDT", quote="USDT", status="online", is_trading=True)
    protocol = example.venue.protocol([other])
    assert not protocol.receive(example.frame(1, "1", "1", False).encode(), NOW_US)
    assert protocol.ignored["trade of another market"] == 1


@every_venue
def test_kinds_of_ignored_frames_are_bounded(example: Example) -> None:
    protocol = example.venue.protocol([example.market])
    for number in range(200):
        kind = f"news{number}"
        protocol.receive(json.dumps({"type": kind, "channel": kind, "stream": f"x@{kind}"}).encode(), NOW_US)
    assert sum(protocol.ignored.values()) == 200
    assert len(protocol.ignored) <= 65


@every_venue
def test_a_page_ascends_and_keeps_unusable_rows(example: Example) -> None:
    rows = [example.row(n, "1", "1", False) for n in (3, 1)] + [example.row(2, "0", "1", False)]
    body = example.page(rows).encode()
    page = example.venue.rest.read_trades(body, example.market, received_time_us=NOW_US)
    assert [trade.trade_id for trade in page.trades] == [1, 3]
    assert len(page.invalid) == 1


@every_venue
def test_markets_are_listed_under_our_names(example: Example) -> None:
    markets = example.venue.rest.read_markets(example.markets.encode())
    assert markets.select(("BTC-USDT",)) == (example.market,)


@every_venue
@pytest.mark.parametrize("body", [b"", b"[1]", b'{"a":1}', b"<html>", b"\xff", b"null"])
def test_answers_that_are_none_are_exchange_errors(example: Example, body: bytes) -> None:
    rest = example.venue.rest
    with pytest.raises(ExchangeError):
        rest.read_markets(body)
    with pytest.raises(ExchangeError):
        rest.read_trades(body, example.market, received_time_us=NOW_US)
    assert rest.read_error(body)


@every_venue
def test_questions_cost_no_more_than_the_venue_allows(example: Example) -> None:
    rest: Rest = example.venue.rest
    for request in (
        rest.markets_request(),
        rest.trades_request(example.market, from_id=5, after_us=TIME_US, limit=10**6),
        rest.trades_request(example.market, from_id=None, after_us=None, limit=10**6),
    ):
        assert 0 < request.weight <= rest.weight_per_minute
        assert str(10**6) not in request.params.values()


@every_venue
def test_endpoints_are_encrypted(example: Example) -> None:
    assert example.venue.ws_url.startswith("wss://")
    assert example.venue.rest_url.startswith("https://")


def test_every_venue_of_the_package_is_in_this_suite() -> None:
    modules = [
        importlib.import_module(f"{exchanges.__name__}.{module.name}")
        for module in pkgutil.iter_modules(exchanges.__path__)
    ]
    found = {module.VENUE.name for module in modules if hasattr(module, "VENUE")}
    assert found == {example.venue.name for example in EXAMPLES}
