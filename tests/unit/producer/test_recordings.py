"""Real recordings through the real parser and tape: everything is read, and continuity judged rightly."""

import bisect
import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from producer.book import BookSnapshot, OrderBook
from producer.exchanges.binance import BinanceProtocol
from producer.exchanges.binance_quotes import BinanceBookRest, BinanceQuotes
from producer.exchanges.coinbase import CoinbaseProtocol
from producer.exchanges.kraken import KrakenProtocol, KrakenRest
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookTicker, BookUpdate, FrameEvent, InvalidFrame, PastTrades
from producer.tape import FillRequest, Position, Tape, TapeParams
from shared.events import Trade

FRAMES = Path(os.environ.get("REAL_DATA_DIR", Path(__file__).parents[4] / "shared" / "data")) / "frames"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FRAMES.is_dir(), reason=f"the recordings are not at {FRAMES}"),
]


def market(native: str, quote: str) -> Market:
    symbol = f"{native.removesuffix(quote)}-{quote}"
    return Market(symbol=symbol, native=native, quote=quote, status="TRADING", is_trading=True)


def trx_frames(kind: str) -> Iterator[tuple[int, bytes]]:
    """Return receive times in µs and frames, as they came over the wire."""
    path = FRAMES / "trx-stream" / f"test_{kind}_binance_trade_stream_spot_trxusdt_04-03-2025.csv"
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            data = {
                "e": row["EventType"],
                "E": int(row["EventTime"]),
                "s": row["Symbol"],
                "t": int(row["TradeId"]),
                "p": row["Price"],
                "q": row["Quantity"],
                "T": int(row["TransactionTime"]),
                "m": row["IsBuyerMarketMaker"] == "1",
                "M": True,
            }
            yield int(row["TimestampOfReceive"]), json.dumps({"stream": row["Stream"], "data": data}).encode()


def trades_only(events: list[FrameEvent]) -> list[Trade]:
    trades = [event for event in events if isinstance(event, Trade)]
    assert len(trades) == len(events), "an event is no trade"
    return trades


def resumed(first: Trade) -> Tape:
    return Tape(TapeParams(), {first.symbol: Position(first.trade_id - 1, 0)})


@pytest.mark.parametrize("native", ["BTCUSDT", "ETHUSDT"])
def test_the_combined_stream_of_2024(native: str) -> None:
    protocol = BinanceProtocol([market(native, "USDT")])
    events: list[FrameEvent] = []
    frames = 0
    with gzip.open(FRAMES / "binance-spot" / f"{native.lower()}_20240808.gz", "rb") as file:
        for line in file:
            received_ns, _, frame = line.strip().partition(b" ")
            events += protocol.receive(frame, int(received_ns) // 1_000)
            frames += b"@trade" in frame
    trades = trades_only(events)
    assert len(trades) == frames > 6_000
    assert set(protocol.ignored) == {"depthUpdate", "bookTicker", "unknown"}
    output = resumed(trades[0]).feed(trades, now_s=0)
    assert output.trades == trades
    # The receiver's clock runs about 1.2 s behind: so the unit of both times is right.
    assert all(-5_000_000 < t.received_time_us - t.event_time_us < 1_000_000 for t in trades)


def test_raw_frames_of_2022_with_order_ids() -> None:
    protocol = BinanceProtocol([market("ALPINEBTC", "BTC")])
    recorded = json.loads((FRAMES / "binance-spot" / "ALPINEBTC.json").read_text())
    assert {"a", "b"} <= set(recorded[0])
    events: list[FrameEvent] = []
    for data in recorded:
        events += protocol.receive(json.dumps(data).encode(), 0)
    trades = trades_only(events)
    assert len(trades) == len(recorded) == 4_993
    assert sum(trade.quantity in {47.58, 43.5} for trade in trades) == 922
    assert trades[0].event_time_us == recorded[0]["T"] * 1_000
    assert resumed(trades[0]).feed(trades, now_s=0).trades == trades


def test_a_sound_recording_has_no_hole_and_no_duplicate() -> None:
    protocol = BinanceProtocol([market("TRXUSDT", "USDT")])
    trades = trades_only([e for time_us, f in trx_frames("positive") for e in protocol.receive(f, time_us)])
    tape = resumed(trades[0])
    assert tape.feed(trades, now_s=0).trades == trades
    assert len(trades) == 10_000
    assert tape.duplicates_total == 0


def test_planted_defects_are_found_and_nothing_else() -> None:
    sound = BinanceProtocol([market("TRXUSDT", "USDT")])
    everything = trades_only([e for time_us, f in trx_frames("positive") for e in sound.receive(f, time_us)])
    protocol = BinanceProtocol([market("TRXUSDT", "USDT")])
    damaged = trades_only([e for time_us, f in trx_frames("negative") for e in protocol.receive(f, time_us)])
    tape = resumed(everything[0])
    published = tape.feed(damaged, now_s=0).trades
    [request] = tape.tick(now_s=1).requests
    missing = everything[2]
    # The third trade's id was overwritten with the second's: one hole, one duplicate.
    assert request == FillRequest("TRX-USDT", missing.trade_id, missing.trade_id)
    assert tape.duplicates_total == 1
    published += tape.feed([missing], now_s=1).trades
    assert [trade.trade_id for trade in published] == [trade.trade_id for trade in everything]


def venue_lines(name: str, kind: str) -> Iterator[tuple[int, bytes]]:
    """Return times in µs and what was received (`recv`) or answered (`http`), as a venue sent it."""
    with zstandard.open(FRAMES / "venues" / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["t"] == kind:
                yield round(record["ts"] * 1e6), record["data"].encode()


def test_frames_of_coinbase_with_their_snapshots() -> None:
    markets = [
        Market(symbol=name, native=name, quote="USD", status="online", is_trading=True)
        for name in ("BTC-USD", "ETH-USD")
    ]
    protocol = CoinbaseProtocol(markets)
    past: list[Trade] = []
    live: list[Trade] = []
    for time_us, frame in venue_lines("COINBASE", "recv"):
        for event in protocol.receive(frame, time_us):
            if isinstance(event, PastTrades):
                past += event.trades
            else:
                assert isinstance(event, Trade), event
                live.append(event)
    assert len(live) == frames_of_coinbase("update")
    assert len(past) == frames_of_coinbase("snapshot") > 0
    for market_ in markets:
        mine = [trade for trade in past + live if trade.symbol == market_.symbol]
        # The live trades follow the snapshot's without a hole: nothing was lost, nothing came twice.
        numbers = [trade.trade_id for trade in mine]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    # The clocks agree to some ms: so the unit of both times is right.
    assert all(abs(t.received_time_us - t.event_time_us) < 1_000_000 for t in live)


def frames_of_coinbase(kind: str) -> int:
    return sum(
        len(event["trades"])
        for _, frame in venue_lines("COINBASE", "recv")
        if (message := json.loads(frame))["channel"] == "market_trades"
        for event in message["events"]
        if event["type"] == kind
    )


def test_coinbases_side_is_the_makers() -> None:
    """A trade that a seller made lies at the lowest ask, one that a buyer made at the highest bid."""
    books: dict[str, dict[str, dict[float, float]]] = {}
    agreeing = counted = 0
    for _, frame in venue_lines("COINBASE", "recv"):
        message = json.loads(frame)
        for event in message["events"] if message["channel"] in {"l2_data", "market_trades"} else ():
            if message["channel"] == "l2_data":
                book = books.setdefault(event["product_id"], {"bid": {}, "offer": {}})
                for row in event["updates"]:
                    book[row["side"]][float(row["price_level"])] = float(row["new_quantity"])
            elif event["type"] == "update":
                for row in event["trades"]:
                    book = books.get(row["product_id"], {})
                    if not book:
                        continue
                    bid = max(price for price, size in book["bid"].items() if size)
                    ask = min(price for price, size in book["offer"].items() if size)
                    price = float(row["price"])
                    is_at_ask = abs(price - ask) < abs(price - bid)
                    counted += 1
                    agreeing += is_at_ask is (row["side"] == "SELL")
    assert (agreeing, counted) == (73, 78)


def test_frames_of_krakens_first_protocol_are_passed_over_and_its_pairs_read() -> None:
    [(_, answer)] = venue_lines("KRAKEN", "http")
    listed = KrakenRest().read_markets(answer)
    markets = listed.select(("BTC-USD", "DOGE-USD", "ADA-BTC", "XMR-USD"))
    assert [m.native for m in markets] == ["XBTUSD", "XDGUSD", "ADAXBT", "XMRUSD"]
    protocol = KrakenProtocol(markets)
    frames = 0
    for time_us, frame in venue_lines("KRAKEN", "recv"):
        frames += 1
        assert not [e for e in protocol.receive(frame, time_us) if isinstance(e, InvalidFrame)]
    assert protocol.ignored.total() == frames > 4_000


@pytest.mark.parametrize("native", ["BTCUSDT", "ETHUSDT"])
def test_the_book_from_depth_has_the_best_prices_of_the_ticker(native: str) -> None:
    """Two streams of one book, kept apart: the ticker knows nothing of the changes, and says the same."""
    markets = [market(native, "USDT")]
    depth, ticker = BinanceQuotes(markets, mode="depth"), BinanceQuotes(markets, mode="book_ticker")
    book, tickers, best = OrderBook(20), [], []
    with gzip.open(FRAMES / "binance-spot" / f"{native.lower()}_20240808.gz", "rb") as file:
        for line in file:
            _, _, frame = line.strip().partition(b" ")
            tickers += [e for e in ticker.receive(frame, 0) if isinstance(e, BookTicker)]
            for event in depth.receive(frame, 0):
                assert isinstance(event, BookUpdate)
                if not book.is_whole:
                    # The recording has no snapshot: the book is known as far as it has changed since.
                    assert book.load(BookSnapshot(event.change.first_id - 1, [], [], 1_000))
                assert book.apply(event.change)
                bids, asks = book.best()
                best.append((book.last_id, bids[:1], asks[:1]))
    assert book.resyncs_total == 1, "ids follow each other over all of it"
    ids = [event.update_id for event in tickers]
    agreeing = sum(
        ([told.bid], [told.ask]) == (bid, ask)
        for number, bid, ask in best[300:]
        if (told := tickers[bisect.bisect_right(ids, number) - 1])
    )
    assert len(best) > 3_400
    assert agreeing >= len(best) - 302


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_US"])
def test_books_begin_with_the_recorded_snapshots(name: str) -> None:
    lines = zstandard.open(FRAMES / "venues" / f"{name}.jsonl.zst", "rt", encoding="utf-8")
    with lines:
        records = [json.loads(line) for line in lines]
    answers = {
        record["url"].partition("symbol=")[2].partition("&")[0]: record["data"].encode()
        for record in records
        if record["t"] == "http" and "/depth?" in record["url"]
    }
    assert len(answers) == 4
    markets = [market(native, native[-4:]) for native in answers]
    protocol = BinanceQuotes(markets, mode="depth")
    books = {market_.symbol: OrderBook(20) for market_ in markets}
    for record in records:
        if record["t"] == "recv":
            for event in protocol.receive(record["data"].encode(), 0):
                if isinstance(event, BookUpdate):
                    books[event.symbol].apply(event.change)
    for market_ in markets:
        # Every change waits; those before the snapshot are passed over, the others join it without a hole.
        assert books[market_.symbol].load(BinanceBookRest().read_book(answers[market_.native]))
        bids, asks = books[market_.symbol].best()
        assert len(bids) == len(asks) == 20
        assert bids[0][0] < asks[0][0]
