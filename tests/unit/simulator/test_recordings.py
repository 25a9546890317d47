"""Recordings as a source."""

import gzip
import os
import zipfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.errors import RecordingError
from simulator.recordings import RecordingParams, RecordingSource
from simulator.source import MarketTrade

REAL_DATA_DIR = Path(os.environ.get("REAL_DATA_DIR", Path(__file__).parents[3] / ".." / "shared" / "data"))
needs_real_data = pytest.mark.skipif(not REAL_DATA_DIR.is_dir(), reason=f"no recordings in {REAL_DATA_DIR}")

FRAMES = (
    b'1723161254036059768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255308}}\n'
    b'1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT",'
    b'"t":7,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}\n'
    b'1723161254347673567 {"stream":"ethusdt@trade","data":{"e":"trade","E":1723161255619,"s":"ETHUSDT",'
    b'"t":9,"p":"2680.10000000","q":"0.04800000","T":1723161255617,"m":false,"M":true}}\n'
)


def play(*paths: Path) -> list[MarketTrade]:
    source = RecordingSource(RecordingParams(paths=paths))
    return [trade for chunk in source.chunks() for trade in chunk.trades]


def test_raw_frames_keep_their_trades_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "frames.gz"
    path.write_bytes(gzip.compress(FRAMES))
    assert play(path) == [
        MarketTrade(
            "BTCUSDT", 7, "61837.63000000", "0.02000000", True, 1_723_161_255_342_000, 1_723_161_255_342_000
        ),
        MarketTrade(
            "ETHUSDT", 9, "2680.10000000", "0.04800000", False, 1_723_161_255_617_000, 1_723_161_255_617_000
        ),
    ]


def test_a_recording_tells_its_markets_and_its_start(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(FRAMES)
    source = RecordingSource(RecordingParams(paths=(path,)))
    assert [(info.symbol, info.base_asset, info.quote_asset) for info in source.symbols] == [
        ("BTCUSDT", "BTC", "USDT"),
        ("ETHUSDT", "ETH", "USDT"),
    ]
    assert source.start_us == 1_723_161_255_342_000
    assert source.history() == []
    assert list(source.chunks()) == list(source.chunks())


def test_the_archive_is_played_with_its_own_ids(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDC-aggTrades-2025-10-04.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "BTCUSDC-aggTrades-2025-10-04.csv",
            "184359103,122335.79000000,0.00084000,243254795,243254804,1759536000061015,False,True\n"
            "184359104,122336.26000000,0.00005000,243254805,243254805,1759536000061016,True,True\n",
        )
    first, second = play(path)
    assert first == MarketTrade(
        "BTCUSDC",
        184_359_103,
        "122335.79000000",
        "0.00084000",
        False,
        1_759_536_000_061_015,
        1_759_536_000_061_015,
    )
    assert (second.trade_id, second.is_buyer_maker) == (184_359_104, True)


def test_our_own_parquet_is_played_and_other_venues_are_left_out(tmp_path: Path) -> None:
    table = pa.table(
        {
            "exchange": ["binance", "kraken"],
            "symbol": ["BTC-USDT", "BTC-USDT"],
            "trade_id": [5, 6],
            "price": [100.5, 101.0],
            "quantity": [1.0, 2.0],
            "is_buyer_maker": [True, False],
            "event_time_us": [1_700_000_000_000_000, 1_700_000_000_000_001],
            "received_time_us": [1_700_000_000_100_000, 1_700_000_000_100_001],
        }
    )
    path = tmp_path / "trades.parquet"
    pq.write_table(table, path)
    [trade] = play(path)
    assert (trade.symbol, trade.trade_id, trade.price) == ("BTCUSDT", 5, "100.50000000")
    assert trade.trade_time_us == 1_700_000_000_000_000


def test_a_recorded_stream_in_csv_keeps_gaps_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    path.write_text(
        "TimestampOfReceive,Stream,EventType,EventTime,TransactionTime,Symbol,TradeId,Price,Quantity,"
        "IsBuyerMarketMaker,MUnknownParameter\n"
        "1741046401272286,trxusdt@trade,trade,1741046401271969,1741046401271497,TRXUSDT,70,0.2312,2619.4,1,True\n"
        "1741046401322500,trxusdt@trade,trade,1741046401321743,1741046401321398,TRXUSDT,70,0.2313,83.9,0,True\n"
        "1741046401926777,trxusdt@trade,trade,1741046401926090,1741046401925569,TRXUSDT,73,0.2313,865.0,0,True\n"
    )
    assert [trade.trade_id for trade in play(path)] == [70, 70, 73]


def test_what_holds_no_trade_of_the_exchange_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "frames"
    empty.write_bytes(FRAMES.splitlines()[0])
    with pytest.raises(RecordingError, match="no trade of binance"):
        RecordingSource(RecordingParams(paths=(empty,)))
    with pytest.raises(RecordingError, match="missing"):
        RecordingSource(RecordingParams(paths=(tmp_path / "missing",)))


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    header = (
        "TimestampOfReceive,Stream,EventType,EventTime,TransactionTime,Symbol,TradeId,Price,Quantity,"
        "IsBuyerMarketMaker"
    )
    path.write_text(f"{header}\n1741046401272286,trxusdt@trade,trade,1,1741046401271497,TRXUSDT,x,1,1,1\n")
    with pytest.raises(RecordingError, match="line 2"):
        RecordingSource(RecordingParams(paths=(path,)))


@pytest.mark.real_data
@needs_real_data
def test_real_frames_have_continuous_ids() -> None:
    paths = sorted((REAL_DATA_DIR / "frames" / "binance-spot").glob("*.gz"))
    trades = play(*paths)
    assert {trade.symbol for trade in trades} == {"BTCUSDT", "ETHUSDT"}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        ids = [trade.trade_id for trade in trades if trade.symbol == symbol]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert len(ids) > 5_000


@pytest.mark.real_data
@needs_real_data
def test_a_thin_market_of_old_frames() -> None:
    trades = play(REAL_DATA_DIR / "frames" / "binance-spot" / "ALPINEBTC.json")
    assert len(trades) == 4_993
    assert {trade.symbol for trade in trades} == {"ALPINEBTC"}


@pytest.mark.real_data
@needs_real_data
def test_planted_defects_are_played_as_they_are() -> None:
    folder = REAL_DATA_DIR / "frames" / "trx-stream"
    sound, planted = (
        [trade.trade_id for path in folder.glob(f"*{name}*.csv") for trade in play(path)]
        for name in ("positive", "negative")
    )
    assert len(sound) == len(planted) == 10_000
    assert {later - earlier for earlier, later in pairwise(sound)} == {1}
    assert {0, 2} <= {later - earlier for earlier, later in pairwise(planted)}
