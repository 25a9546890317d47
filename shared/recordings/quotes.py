"""The project's Parquet recordings of quotes: columns as in `shared.events.Quote`, but ten levels at most.

They are read as columns, in order of event time over all markets, a market's in the order of its update ids;
repeats are dropped by id.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
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


def read_quotes(paths: Iterable[Path], *, batch_quotes: int = 2_000) -> Iterator[QuoteColumns]:
    """Yield the quotes of files in batches; the files are read whole, some 400 bytes a quote.

    Raises:
        RecordingError: a file is damaged or no recording of quotes.
    """
    tables = [_load(path) for path in paths]
    if not tables:
        return
    table = pa.concat_tables(tables)
    quotes = _columns(table)
    order = np.lexsort((quotes.trade_ids, quotes.times_us))
    keys = np.stack((quotes.venue[order], quotes.trade_ids[order]), axis=1)
    _, firsts = np.unique(keys, axis=0, return_index=True)
    order = order[np.sort(firsts)]
    for start in range(0, len(order), batch_quotes):
        yield quotes.take(order[start : start + batch_quotes])


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


def _load(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, columns=QUOTE_SCHEMA.names, partitioning=None)
        return table.select(QUOTE_SCHEMA.names).cast(QUOTE_SCHEMA)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise RecordingError(str(path), reason=f"is no recording of quotes: {error}") from error
