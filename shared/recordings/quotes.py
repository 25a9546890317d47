"""The project's Parquet recordings of quotes: columns as in `shared.events.Quote`, but ten levels at most.

They are read as columns, in order of event time over all markets, a market's in the order of its update ids;
repeats are dropped by id. What is read at once are row groups whose times overlap: of the recorder's files an
hour, of a simulated tape half an hour of all markets, at some 400 bytes a quote.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import RecordingError
from shared.stream.quotes import LEVELS, QuoteColumns

_PAIRS: Final = pa.list_(pa.list_(pa.float64(), 2))

QUOTE_SCHEMA: Final = pa.schema(
    [
        pa.field("exchange", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("update_id", pa.int64(), nullable=False),
        pa.field("event_time_us", pa.int64(), nullable=False),
        pa.field("received_time_us", pa.int64(), nullable=False),
        pa.field("bids", _PAIRS, nullable=False),
        pa.field("asks", _PAIRS, nullable=False),
        pa.field("is_continuous", pa.bool_(), nullable=False),
        pa.field("traded", _PAIRS, nullable=False),
    ]
)


def to_batch(quotes: QuoteColumns) -> pa.RecordBatch:
    """Return quotes in the columns of a recording."""
    venues = [pa.array(names, pa.string()) for names in zip(*quotes.venues, strict=True)]
    is_known = np.arange(LEVELS) < quotes.counts[:, :, None]
    sides = [
        _pairs(
            np.concatenate(([0], np.cumsum(quotes.counts[:, side]))), quotes.books[:, side][is_known[:, side]]
        )
        for side in (0, 1)
    ]
    columns = [
        *(names.take(pa.array(quotes.venue)) for names in venues),
        pa.array(quotes.trade_ids),
        pa.array(quotes.times_us),
        pa.array(quotes.received_us),
        *sides,
        pa.array(quotes.is_continuous),
        _pairs(quotes.trade_starts, quotes.traded),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=QUOTE_SCHEMA)


def quote_files(paths: Iterable[Path]) -> list[Path]:
    """Return the recordings of quotes among files and in folders; everything else is passed over."""
    found = []
    for path in paths:
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        found += [file for file in files if is_recording(file)]
    return found


def is_recording(path: Path) -> bool:
    """Return whether a file is a recording of quotes, whole or not."""
    try:
        return "update_id" in pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return False


def read_quotes(
    paths: Iterable[Path], *, markets: Collection[str] | None = None, batch_quotes: int = 2_000
) -> Iterator[QuoteColumns]:
    """Yield the quotes of files in batches.

    Args:
        paths: files.
        markets: the markets wanted, by our names; all by default.
        batch_quotes: the largest batch, at least 1.

    Raises:
        RecordingError: a file is damaged or no recording of quotes.
    """
    for parts in _together(sorted(part for path in paths for part in _parts(path))):
        table = pa.concat_tables([_load(part) for part in parts])
        if markets is not None:
            table = table.filter(pc.is_in(table["symbol"], pa.array(markets, pa.string())))
        quotes = _columns(table)
        order = np.lexsort((quotes.trade_ids, quotes.times_us))
        keys = np.stack((quotes.venue[order], quotes.trade_ids[order]), axis=1)
        _, firsts = np.unique(keys, axis=0, return_index=True)
        order = order[np.sort(firsts)]
        for start in range(0, len(order), batch_quotes):
            yield quotes.take(order[start : start + batch_quotes])


class _Part(NamedTuple):
    """A row group of a file, from its first event time to its last."""

    first_us: int
    last_us: int
    path: Path
    number: int


def _parts(path: Path) -> Iterator[_Part]:
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                times = file.read_row_group(number, ["event_time_us"])["event_time_us"]
                if len(times):
                    ends = pc.min_max(times.cast(pa.int64()))
                    yield _Part(ends["min"].as_py(), ends["max"].as_py(), path, number)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise _no_recording(path, error) from error


def _together(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Yield parts whose times overlap, in order of time."""
    group, last_us = list[_Part](), 0
    for part in parts:
        if group and part.first_us > last_us:
            yield group
            group = []
        last_us = max(last_us, part.last_us) if group else part.last_us
        group.append(part)
    if group:
        yield group


def _columns(table: pa.Table) -> QuoteColumns:
    table = table.combine_chunks()
    exchanges, symbols = table["exchange"].to_pylist(), table["symbol"].to_pylist()
    numbers: dict[tuple[str, str], int] = {}
    venue = [numbers.setdefault(key, len(numbers)) for key in zip(exchanges, symbols, strict=True)]
    books = np.zeros((len(venue), 2, LEVELS, 2), np.float64)
    counts = np.zeros((len(venue), 2), np.int64)
    for side, name in enumerate(("bids", "asks")):
        starts, pairs = _flat(table[name])
        lengths = np.diff(starts)
        place = np.arange(len(pairs)) - np.repeat(starts[:-1], lengths)
        is_kept = place < LEVELS
        books[np.repeat(np.arange(len(venue)), lengths)[is_kept], side, place[is_kept]] = pairs[is_kept]
        counts[:, side] = np.minimum(lengths, LEVELS)
    trade_starts, traded = _flat(table["traded"])
    return QuoteColumns.of_arrays(
        venues=list(numbers),
        venue=np.array(venue, np.int64),
        update_ids=table["update_id"].to_numpy(),
        times_us=table["event_time_us"].to_numpy(),
        received_us=table["received_time_us"].to_numpy(),
        books=books,
        counts=counts,
        trade_starts=trade_starts,
        traded=traded,
        is_continuous=table["is_continuous"].to_numpy(),
    )


def _pairs(starts: NDArray[np.int64], pairs: NDArray[np.float64]) -> pa.Array:
    values = pa.FixedSizeListArray.from_arrays(pa.array(pairs.reshape(-1)), 2)
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values).cast(_PAIRS)


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    parts = [chunk for chunk in column.chunks if len(chunk)]
    lists = pa.concat_arrays(parts) if parts else pa.array([], _PAIRS)
    starts = lists.offsets.to_numpy().astype(np.int64)
    flat = lists.flatten().flatten().to_numpy().reshape(-1, 2)
    return starts - starts[0], flat


def _load(part: _Part) -> pa.Table:
    try:
        with pq.ParquetFile(part.path) as file:
            table = file.read_row_group(part.number, QUOTE_SCHEMA.names)
        return table.select(QUOTE_SCHEMA.names).cast(QUOTE_SCHEMA)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise _no_recording(part.path, error) from error


def _no_recording(path: Path, error: Exception) -> RecordingError:
    return RecordingError(str(path), reason=f"is no recording of quotes: {error}")
