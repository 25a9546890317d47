"""Recorded order books: how much goes untraded in ordinary ones, and that simulated ones are like them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from detector.batch import sort_by_market
from detector.quotes.features import QuoteFeatureParams, QuoteFeatures
from detector.quotes.spoofing import Spoofing, SpoofingParams
from producer.book import BookSnapshot, OrderBook
from producer.exchanges.binance import BinanceProtocol
from producer.exchanges.binance_quotes import BinanceQuotes
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookUpdate
from shared.events import Quote, Trade
from shared.stream.quotes import QuoteColumns
from tests.data.quote_market import busy

pytestmark = pytest.mark.real_data
_LEVELS = 20


def recorded(path: Path, native: str) -> list[Quote]:
    """Return what a producer would have told; without a snapshot, once twenty levels have been seen."""
    symbol = f"{native.removesuffix('USDT')}-USDT"
    market = Market(symbol=symbol, native=native, quote="USDT", status="TRADING", is_trading=True)
    trades, depth, book = BinanceProtocol([market]), BinanceQuotes([market], mode="depth"), OrderBook(_LEVELS)
    traded: list[tuple[float, float]] = []
    quotes: list[Quote] = []
    with gzip.open(path, "rb") as file:
        for line in file:
            received_ns, _, frame = line.strip().partition(b" ")
            received_us = int(received_ns) // 1_000
            traded += [
                (trade.price, -trade.quantity if trade.is_buyer_maker else trade.quantity)
                for trade in trades.receive(frame, received_us)
                if isinstance(trade, Trade)
            ]
            for event in depth.receive(frame, received_us) if b"@depth" in frame else ():
                assert isinstance(event, BookUpdate)
                if not book.is_whole:
                    assert book.load(BookSnapshot(event.change.first_id - 1, [], [], 1_000))
                book.apply(event.change)
                bids, asks = book.best()
                if min(len(bids), len(asks)) == _LEVELS and bids[0][0] < asks[0][0]:
                    quotes.append(
                        Quote(
                            exchange="binance",
                            symbol=symbol,
                            update_id=book.last_id,
                            event_time_us=event.event_time_us,
                            received_time_us=received_us,
                            bid=bids[0][0],
                            bid_quantity=bids[0][1],
                            ask=asks[0][0],
                            ask_quantity=asks[0][1],
                            bids=bids,
                            asks=asks,
                            is_continuous=bool(quotes),
                            traded=traded,
                        )
                    )
                    traded = []
    return quotes


def scores_of(quotes: QuoteColumns) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    features = QuoteFeatures(QuoteFeatureParams(warm_up_s=60.0))
    features.open(0, identity="binance/BTC-USDT")
    batch = sort_by_market(quotes, lambda _: 0)
    scores = Spoofing(SpoofingParams()).score_learn(batch.runs, features.read(batch)[0]).scores
    return scores[np.isfinite(scores)]


@pytest.mark.parametrize("native", ["BTCUSDT", "ETHUSDT"])
def test_ordinary_books_lose_a_few_times_their_depth(real_data_dir: Path, native: str) -> None:
    quotes = recorded(real_data_dir / "frames" / "binance-spot" / f"{native.lower()}_20240808.gz", native)
    assert len(quotes) > 3_400
    scores = scores_of(QuoteColumns.of_quotes(quotes))
    assert 1.0 < np.median(scores) < 2.0
    assert 2.0 < scores.max() < 5.0


def test_simulated_books_do_so_too() -> None:
    whole = busy("")
    scores = scores_of(whole.take(np.flatnonzero(whole.venue == 0)))
    assert 0.7 < np.median(scores) < 2.0
    assert 2.0 < scores.max() < 5.0
