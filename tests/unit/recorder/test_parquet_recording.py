"""Parquet recordings: what was recorded is read back, once, whatever happened in between."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.parquet import JOURNALS, ParquetParams, ParquetRecording, write_trades
from shared.clock import ManualClock
from shared.errors import ConfigError, StoreUnavailableError
from shared.events import Anomaly, Quote, Trade
from shared.recordings import read
from shared.recordings.anomalies import read_anomalies
from shared.recordings.parquet import TRADE_SCHEMA, to_batch
from shared.recordings.quotes import quote_files, read_quotes
from tests import samples
from tests.data.quote_market import busy

HOUR_US = 3_600_000_000


def recording(folder: Path, clock: ManualClock | None = None, **params: float) -> ParquetRecording:
    cut = ParquetParams(folder=folder, **params)  # type: ignore[arg-type]  # numbers of either kind
    return ParquetRecording(cut, clock=clock or ManualClock())


def trades_in(folder: Path) -> list[Trade]:
    return [trade for batch in read([folder]) for trade in batch]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_can_be_read_before_a_part_is_cut_and_all_after(tmp_path: Path) -> None:
    recorder = recording(tmp_path)
    recorder.record(samples.trades(10))
    assert list(tmp_path.rglob("*.parquet")) == []
    recorder.record(samples.trades(10, first_id=10))
    recorder.close()
    assert trades_in(tmp_path) == samples.trades(20)
    assert list((tmp_path / JOURNALS).iterdir()) == []


def test_one_file_per_venue_market_and_hour(tmp_path: Path) -> None:
    recorder = recording(tmp_path)
    next_hour = samples.trade(1, at_us=samples.START_US + HOUR_US)
    recorder.record([samples.trade(0), next_hour, samples.trade(0, symbol="A/B-币")])
    recorder.close()
    [first, second, odd] = [Path(file) for file in files_in(tmp_path)]
    assert first.parts[:4] == ("trades", "binance", "A%2FB-%E5%B8%81", "2024-08-08")
    assert second.parts[:4] == ("trades", "binance", "BTC-USDT", "2024-08-08")
    assert odd.parts[:4] == ("trades", "binance", "BTC-USDT", "2024-08-09")
    assert [first.name[:3], second.name[:3], odd.name[:3]] == ["23-", "23-", "00-"]


def test_files_are_compressed_and_have_exactly_the_columns_of_a_trade(tmp_path: Path) -> None:
    recorder = recording(tmp_path)
    recorder.record(samples.trades(10))
    recorder.close()
    [path] = tmp_path.rglob("*.parquet")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.equals(TRADE_SCHEMA)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_anomalies_come_back_whole(tmp_path: Path) -> None:
    recorder = recording(tmp_path)
    later = samples.anomaly("later", at_us=samples.START_US + 24 * HOUR_US)
    rare = msgspec.structs.replace(samples.anomaly("rare"), rarity=1e-7, features={}, contributions={})
    recorder.record([later, rare, samples.tape_gap(), later])
    recorder.close()
    assert read_anomalies([tmp_path]) == [rare, later]
    assert len(files_in(tmp_path)) == 2


def test_quotes_come_back_once_by_market_and_hour_beside_the_trades(tmp_path: Path) -> None:
    quotes = busy("layering")[:200].events()
    later = msgspec.structs.replace(
        quotes[-1], update_id=10**13, event_time_us=samples.START_US + 9 * HOUR_US
    )
    best_only = msgspec.structs.replace(later, symbol="ETH-USDT", bids=[], asks=[])
    recorder = recording(tmp_path)
    recorder.record([*quotes, *samples.trades(5)])
    recorder.record([*quotes[150:], later, best_only])
    recorder.close()
    files = [Path(file).parts for file in files_in(tmp_path)]
    assert sorted({parts[:3] for parts in files}) == [
        ("quotes", "binance", "BTC-USDT"),
        ("quotes", "binance", "ETH-USDT"),
        ("quotes", "binance", "SOL-USDT"),
        ("trades", "binance", "BTC-USDT"),
    ]
    read_back = [quote for part in read_quotes(quote_files([tmp_path])) for quote in part.events()]
    assert len(read_back) == 202
    known = [quote for quote in read_back if quote.update_id != later.update_id]
    assert sorted(known, key=key) == sorted(quotes, key=key)
    # Without levels, the best prices are the only ones.
    assert next(quote for quote in read_back if quote.symbol == "ETH-USDT").bids == [
        (later.bid, later.bid_quantity)
    ]
    assert trades_in(tmp_path) == samples.trades(5)
    # What a folder of quotes alone holds are no trades.
    assert trades_in(tmp_path / "quotes") == []


def key(quote: Quote) -> tuple[str, int]:
    return quote.symbol, quote.update_id


def test_a_recorded_anomaly_has_every_field() -> None:
    assert tuple(msgspec.to_builtins(samples.anomaly())) == Anomaly.__struct_fields__


def test_a_part_is_cut_by_rows(tmp_path: Path) -> None:
    recorder = recording(tmp_path, part_rows=15)
    recorder.record(samples.trades(10))
    recorder.turn()
    assert list(tmp_path.rglob("*.parquet")) == []
    recorder.record(samples.trades(10, first_id=10))
    recorder.turn()
    assert trades_in(tmp_path) == samples.trades(20)
    recorder.close()


def test_a_part_is_cut_by_age(tmp_path: Path) -> None:
    clock = ManualClock()
    recorder = recording(tmp_path, clock, part_s=60)
    recorder.record(samples.trades(10))
    clock.advance(seconds=59)
    recorder.turn()
    assert list(tmp_path.rglob("*.parquet")) == []
    clock.advance(seconds=1)
    recorder.turn()
    assert trades_in(tmp_path) == samples.trades(10)
    recorder.close()


def _crash(recorder: ParquetRecording) -> None:
    """Let go of the journals' locks, as the end of a process does, and finish nothing."""
    for journal, _ in recorder._open.values():
        journal.close()


def test_after_a_crash_the_next_start_finishes_what_was_kept(tmp_path: Path) -> None:
    crashed = recording(tmp_path)
    crashed.record([*samples.trades(10), samples.anomaly()])
    _crash(crashed)
    # Offsets of the last batch were not committed: it comes again.
    recorder = recording(tmp_path)
    assert trades_in(tmp_path) == samples.trades(10)
    assert read_anomalies([tmp_path]) == [samples.anomaly()]
    recorder.record(samples.trades(10, first_id=5))
    recorder.close()
    assert trades_in(tmp_path) == samples.trades(15)


def test_a_crash_while_a_part_is_cut_repeats_nothing(tmp_path: Path) -> None:
    crashed = recording(tmp_path)
    crashed.record(samples.trades(10))
    [journal] = (tmp_path / JOURNALS).iterdir()
    kept = journal.read_bytes()
    crashed.close()
    journal.write_bytes(kept)
    before = files_in(tmp_path / "trades")
    recording(tmp_path).close()
    assert files_in(tmp_path / "trades") == before
    assert not journal.exists()


def test_two_recorders_may_share_a_folder(tmp_path: Path) -> None:
    one = recording(tmp_path)
    one.record(samples.trades(5))
    two = recording(tmp_path)
    two.record(samples.trades(5, first_id=5))
    one.record(samples.trades(5, first_id=10))
    one.close()
    two.close()
    assert trades_in(tmp_path) == samples.trades(15)


def test_readers_never_see_a_file_that_is_being_written(tmp_path: Path) -> None:
    recorder = recording(tmp_path)
    recorder.record(samples.trades(10))
    recorder.close()
    [path] = tmp_path.rglob("*.parquet")
    path.with_name(f".{path.name}.partial").write_bytes(b"PAR1 half")
    assert trades_in(tmp_path) == samples.trades(10)


def test_a_part_that_cannot_be_written_stays_a_journal_and_is_tried_again_later(tmp_path: Path) -> None:
    clock = ManualClock()
    recorder = recording(tmp_path, clock, part_rows=1, retry_s=30)
    recorder.record(samples.trades(10))
    in_the_way = tmp_path / "trades"
    in_the_way.write_text("a file", encoding="utf-8")
    with pytest.raises(StoreUnavailableError):
        recorder.turn()
    in_the_way.unlink()
    recorder.turn()
    assert list(tmp_path.rglob("*.parquet")) == [], "not before the time is up"
    recorder.record(samples.trades(10, first_id=10))
    clock.advance(seconds=30)
    recorder.turn()
    assert trades_in(tmp_path) == samples.trades(20)
    recorder.close()


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match="RECORDER_PARQUET_DIR: "):
        recording(tmp_path / "file")


def test_writing_a_part_again_overwrites_it(tmp_path: Path) -> None:
    for count in (5, 10):
        table = pa.Table.from_batches([to_batch(samples.trades(count)[::-1])])
        assert len(write_trades(tmp_path, table, "export")) == 1
    [path] = tmp_path.rglob("*.parquet")
    assert pq.read_table(path)["trade_id"].to_pylist() == list(range(10))
