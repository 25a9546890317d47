"""Recordings of quotes are read as they were written, once, and in order."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from shared.errors import RecordingError
from shared.recordings.quotes import QUOTE_SCHEMA, quote_files, read_quotes, to_batch
from shared.stream.quotes import QuoteColumns
from tests.data.quote_market import busy


def test_what_was_written_is_read_once_in_any_batches(tmp_path: Path) -> None:
    quotes = busy("layering")[:2_000]
    for name, part in (("a", quotes[:1_500]), ("b", quotes[1_000:])):
        with pq.ParquetWriter(tmp_path / f"{name}.parquet", QUOTE_SCHEMA) as file:
            file.write_batch(to_batch(part))
    batches = list(read_quotes(sorted(tmp_path.iterdir()), batch_quotes=700))
    assert [len(batch) for batch in batches] == [700, 700, 600]
    again = QuoteColumns.joined(batches)
    by_id = np.lexsort((quotes.trade_ids, quotes.times_us))
    whole = quotes.take(by_id)
    names = np.array([symbol for _, symbol in whole.venues])[whole.venue].tolist()
    assert np.array([symbol for _, symbol in again.venues])[again.venue].tolist() == names
    for field in ("trade_ids", "times_us", "received_us", "books", "counts", "traded", "trade_starts"):
        np.testing.assert_array_equal(getattr(again, field), getattr(whole, field))


def test_row_groups_that_follow_each_other_are_read_one_by_one(tmp_path: Path) -> None:
    quotes = busy("layering")[:2_000]
    with pq.ParquetWriter(tmp_path / "quotes.parquet", QUOTE_SCHEMA) as file:
        for start in (1_000, 500, 0):
            file.write_batch(to_batch(quotes[start : start + 500]))
    batches = list(read_quotes(quote_files([tmp_path]), markets=["SOL-USDT"]))
    assert len(batches) > 1
    # In order of time, whatever the order of the row groups.
    times_us = np.concatenate([batch.times_us for batch in batches])
    symbols = np.array([symbol for _, symbol in quotes.venues])[quotes.venue[:1_500]]
    np.testing.assert_array_equal(times_us, quotes.times_us[:1_500][symbols == "SOL-USDT"])


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quotes.parquet"
    path.write_bytes(b"no recording")
    with pytest.raises(RecordingError, match="no recording of quotes"):
        list(read_quotes([path]))


def test_nothing_is_nothing() -> None:
    assert list(read_quotes([])) == []
