"""Recordings of any form, merged in time order."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings import parquet, read
from shared.recordings.markets import market_of
from tests import samples

HOUR_US = 3_600_000_000


def recorded(path: Path, trades: Iterable[Trade]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([parquet.to_batch(list(trades))]), path)
    return path


def flat(batches: Iterable[list[Trade]]) -> list[Trade]:
    return [trade for batch in batches for trade in batch]


def test_parquet_comes_back_as_it_was(tmp_path: Path) -> None:
    trades = samples.trades(5_000)
    path = recorded(tmp_path / "part.parquet", trades)
    batches = list(read([path], batch_trades=2_000))
    assert [len(batch) for batch in batches] == [2_000, 2_000, 1_000]
    assert flat(batches) == trades


def test_repeats_are_dropped_and_parts_put_in_order(tmp_path: Path) -> None:
    trades = samples.trades(30)
    recorded(tmp_path / "trades" / "b.parquet", trades[:20])
    recorded(tmp_path / "trades" / "a.parquet", trades[10:])
    assert flat(read([tmp_path])) == trades


def test_hours_follow_each_other_whatever_the_files_are_called(tmp_path: Path) -> None:
    late = samples.trade(2, at_us=samples.START_US + 2 * HOUR_US)
    early = samples.trade(1)
    recorded(tmp_path / "a.parquet", [late])
    recorded(tmp_path / "b.parquet", [early])
    assert flat(read([tmp_path])) == [early, late]


def test_ids_order_a_market_even_where_its_clock_went_back(tmp_path: Path) -> None:
    trades = [samples.trade(1, at_us=samples.START_US + 5), samples.trade(2, at_us=samples.START_US + 4)]
    assert flat(read([recorded(tmp_path / "part.parquet", reversed(trades))])) == trades


def test_markets_are_merged_by_time_and_may_be_chosen(tmp_path: Path) -> None:
    bitcoin = samples.trades(10)
    ether = [samples.trade(n, symbol="ETH-USDT", at_us=samples.START_US + 500 + n * 2_000) for n in range(5)]
    paths = [recorded(tmp_path / "b.parquet", bitcoin), recorded(tmp_path / "e.parquet", ether)]
    merged = flat(read(paths))
    assert merged == sorted(bitcoin + ether, key=lambda trade: trade.event_time_us)
    assert flat(read(paths, markets=["ETH-USDT"])) == ether


def test_a_file_of_several_markets_from_another_program(tmp_path: Path) -> None:
    mixed = [*samples.trades(3), *samples.trades(3, symbol="ETH-USDT")]
    table = pa.Table.from_batches([parquet.to_batch(mixed)])
    # DuckDB and pandas write other text types, and columns in any order.
    table = table.set_column(1, "symbol", table["symbol"].cast(pa.large_string()))
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "mixed.parquet")
    assert sorted(map(repr, flat(read([tmp_path])))) == sorted(map(repr, mixed))


def test_forms_are_told_by_content_and_merged(tmp_path: Path) -> None:
    frame = tmp_path / "frames"
    frame.write_text(
        '{"e":"trade","s":"ETHUSDT","t":1,"p":"2.0","q":"1.0","T":1723161255001,"m":false}\n',
        encoding="utf-8",
    )
    archive = tmp_path / "BNBUSDT-trades-2024-08-08.csv"
    archive.write_text("9,500.0,1.0,500.0,1723161255003,True,True\n", encoding="utf-8")
    own = recorded(tmp_path / "own.parquet", [samples.trade(2)])
    assert [trade.symbol for trade in flat(read([archive, own, frame]))] == [
        "ETH-USDT",
        "BTC-USDT",
        "BNB-USDT",
    ]


def test_an_unusable_trade_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "BNBUSDT-trades-2024-08-08.csv"
    archive.write_text("9,-5.0,1.0,500.0,1723161255003,True,True\n", encoding="utf-8")
    with pytest.raises(RecordingError, match=r"trade 9 of BNB-USDT: price -5\.0 is not a positive"):
        flat(read([archive]))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        flat(read([tmp_path / "nothing"]))


@pytest.mark.parametrize("damage", [b"PAR1 and then nonsense", b"PAR1"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(damage)
    with pytest.raises(RecordingError, match="is no recording of trades"):
        flat(read([path]))


def test_a_parquet_file_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.Table.from_batches([parquet.to_batch(samples.trades(1))]).drop_columns("price"), path)
    with pytest.raises(RecordingError, match="price"):
        flat(read([path]))


def test_the_columns_are_exactly_those_of_a_trade() -> None:
    assert tuple(parquet.TRADE_SCHEMA.names) == Trade.__struct_fields__


@pytest.mark.parametrize(
    ("venue_symbol", "market"),
    [
        ("BTCUSDT", "BTC-USDT"),
        ("btcfdusd", "BTC-FDUSD"),
        ("ETHBTC", "ETH-BTC"),
        ("POL-USD", "POL-USD"),
        ("BTC/USD", "BTC-USD"),
        ("币安人生USDT", "币安人生-USDT"),
        ("USDT", "USDT"),
        ("WHATEVER", "WHATEVER"),
    ],
)
def test_markets_are_told_by_known_quote_assets(venue_symbol: str, market: str) -> None:
    assert market_of(venue_symbol) == market


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("files", "markets"),
    [
        (["frames/binance-spot/btcusdt_20240808.gz", "frames/binance-spot/ethusdt_20240808.gz"], 2),
        (["frames/binance-spot/ALPINEBTC.json"], 1),
        (["binance-vision/BTCUSDC-aggTrades-2025-10-04.zip"], 1),
    ],
)
def test_real_recordings_are_whole_and_in_order(real_data_dir: Path, files: list[str], markets: int) -> None:
    paths = [real_data_dir / file for file in files]
    if not all(path.exists() for path in paths):
        pytest.skip(f"{real_data_dir} does not hold {', '.join(files)}")
    last_ids: dict[str, int] = {}
    last_us = 0
    for trade in flat(read(paths)):
        assert trade.trade_id == last_ids.get(trade.symbol, trade.trade_id - 1) + 1
        assert trade.event_time_us >= last_us
        last_ids[trade.symbol], last_us = trade.trade_id, trade.event_time_us
    assert len(last_ids) == markets


def test_reading_does_not_change_what_was_received(tmp_path: Path) -> None:
    trade = msgspec.structs.replace(samples.trade(1), price=0.1 + 0.2, quantity=5e-324)
    assert flat(read([recorded(tmp_path / "part.parquet", [trade])])) == [trade]
