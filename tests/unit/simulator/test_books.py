"""Order books as they are told: a producer's book, kept from the changes, is the simulator's."""

import msgspec
import pytest

from producer.book import OrderBook
from producer.exchanges.binance_quotes import BinanceBookRest, BinanceQuotes
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookTicker, BookUpdate
from simulator.binance import Binance, BinanceSession
from simulator.books import Books
from simulator.crowd import MarketParams
from simulator.engine import Engine, EngineParams
from simulator.market import MarketSource
from simulator.source import MarketBook
from simulator.streams import parse_target
from simulator.tape import Tape
from simulator.venue import Request
from simulator.weights import WeightLimiter, WeightParams

MARKET = Market(symbol="BTC-USDT", native="BTCUSDT", quote="USDT", status="TRADING", is_trading=True)
PARAMS = MarketParams(symbols=("BTCUSDT",), rate=5.0, history_trades=0, duration_s=30.0, has_quotes=True)


def books() -> list[MarketBook]:
    return [book for chunk in MarketSource(PARAMS).chunks() for book in chunk.books]


def venue() -> Binance:
    source = MarketSource(PARAMS)
    tapes = {info.symbol: Tape(capacity=10) for info in source.symbols}
    return Binance(symbols=source.symbols, tapes=tapes, limiter=WeightLimiter(WeightParams()))


def session(stream: str) -> BinanceSession:
    target = parse_target(f"/stream?streams=btcusdt@{stream}")
    assert target is not None
    return BinanceSession(target)


def test_a_producers_book_is_the_simulators() -> None:
    simulated, told = venue(), books()
    assert len(told) > 200
    depth, ticker = session("depth@100ms"), session("bookTicker")
    reads_depth, reads_ticker = (BinanceQuotes([MARKET], mode=mode) for mode in ("depth", "book_ticker"))
    book, tickers = OrderBook(10), 0
    for number, each in enumerate(told):
        changes = simulated.show([each])
        for frame in simulated.quotes(changes, depth):
            (update,) = reads_depth.receive(frame.payload, 1)
            assert isinstance(update, BookUpdate)
            book.apply(update.change)
            assert update.event_time_us // 1_000 == each.time_us // 1_000
        if number == 3:
            request = Request(endpoint="depth", query={"symbol": "BTCUSDT", "limit": "1000"})
            answer = simulated.answer(request, now_us=1, market_time_us=1)
            assert book.load(BinanceBookRest().read_book(answer.body))
        for frame in simulated.quotes(changes, ticker):
            (best,) = reads_ticker.receive(frame.payload, 1)
            assert isinstance(best, BookTicker)
            assert best.bid == tuple(map(float, each.bids[0]))
            tickers += 1
        if number >= 3:
            assert book.is_whole
            assert book.best()[0][0] == tuple(map(float, each.bids[0]))
            assert book.best()[1] == [(float(price), float(size)) for price, size in each.asks[:10]]
    assert book.resyncs_total == 1
    assert 0 < tickers <= len(told)


def test_a_book_of_another_market_is_refused() -> None:
    request = Request(endpoint="depth", query={"symbol": "NOUSDT"})
    answer = venue().answer(request, now_us=1, market_time_us=1)
    assert answer.status == 400
    assert msgspec.json.decode(answer.body)["code"] == -1121


def test_the_same_book_again_changes_nothing() -> None:
    told = Books()
    book = MarketBook("BTCUSDT", 1, [("1.0", "2.0")], [("3.0", "4.0")])
    first = told.take(book)
    assert first is not None
    assert (first.last_id - first.first_id, first.best) == (1, (("1.0", "2.0"), ("3.0", "4.0")))
    assert told.take(book._replace(time_us=2)) is None
    third = told.take(MarketBook("BTCUSDT", 3, [("1.0", "2.0")], [("3.5", "4.0")]))
    assert third is not None
    assert third.first_id == first.last_id + 1
    assert third.asks == [("3.0", "0.00000000"), ("3.5", "4.0")]
    assert third.bids == []


@pytest.mark.parametrize(
    ("stream", "is_told"), [("depth@100ms", True), ("bookTicker", True), ("trade", False)]
)
def test_only_those_who_want_quotes_get_them(stream: str, is_told: bool) -> None:  # noqa: FBT001 - a parameter
    class Link:
        def __init__(self) -> None:
            self.frames: list[bytes] = []

        def write(self, payloads: list[bytes]) -> None:
            self.frames += [payload for payload in payloads if b'"T"' not in payload]

        def unsent_bytes(self) -> int:
            return 0

        def close(self) -> None: ...

        def cut(self) -> None: ...

    engine = Engine(
        EngineParams(starts_at_once=True), MarketSource(PARAMS), on_injected=lambda _: None, now_us=0
    )
    link = Link()
    engine.connect(engine.venues["binance"], session(stream), link, now_us=0)
    for now_us in range(0, 5_000_000, 100_000):
        engine.pump(now_us=now_us)
    assert bool(link.frames) == is_told
