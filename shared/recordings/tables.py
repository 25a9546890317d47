"""CSV tables of trades whose header names the columns, as Tardis.dev and research data sets have them.

    exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    binance,POLUSDT,1760054400816129,1760054400819420,34802455,buy,0.2361,47.8

Needed are `symbol`, `timestamp`, `side` (the taker's), `price` and `amount`, in any order, among any others.
Without `exchange` it is Binance, without `local_timestamp` the time of receiving is that of the trade, and
without `id` the rows are numbered from 1. Times may be milli-, micro- or nanoseconds, told by magnitude.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import csv

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings.frames import EXCHANGE, open_text, to_us
from shared.recordings.markets import market_of

_NEEDED: Final = {
    "symbol": pa.string(),
    "timestamp": pa.int64(),
    "side": pa.string(),
    "price": pa.float64(),
    "amount": pa.float64(),
}
_OPTIONAL: Final = {"exchange": pa.string(), "local_timestamp": pa.int64(), "id": pa.int64()}
_SELLS: Final = {"buy": False, "sell": True}


def is_table(path: Path) -> bool:
    """Return whether the file begins with a header that names the needed columns.

    Raises:
        RecordingError: it cannot be read.
    """
    try:
        with open_text(path) as rows:
            return set(_NEEDED) <= set(_header(rows))
    except OSError as error:
        raise RecordingError(str(path), reason=error.strerror or str(error)) from error


def read_trades(path: Path) -> Iterator[Trade]:
    """Yield a file's trades in its order.

    Raises:
        RecordingError: it is damaged, or a row cannot be parsed.
    """
    number = 0
    try:
        with open_text(path) as rows:
            for batch in _batches(rows):
                for row in batch.to_pylist():
                    number += 1
                    yield _trade(row, number)
    except (pa.ArrowInvalid, OSError, EOFError, KeyError) as error:
        raise RecordingError(str(path), reason=f"row {number} or later: {error}") from error


def _header(rows: io.BufferedReader) -> list[str]:
    line = rows.peek(1024).split(b"\n", 1)[0]
    return line.decode("utf-8", errors="replace").strip().split(",")


def _batches(rows: io.BufferedReader) -> csv.CSVStreamingReader:
    types = {name: kind for name, kind in (_NEEDED | _OPTIONAL).items() if name in _header(rows)}
    return csv.open_csv(
        rows,
        convert_options=csv.ConvertOptions(include_columns=list(types), column_types=types, null_values=[]),
    )


def _trade(row: dict[str, str | int | float], number: int) -> Trade:
    time_us = to_us(int(row["timestamp"]))
    return Trade(
        str(row.get("exchange", EXCHANGE)),
        market_of(str(row["symbol"])),
        int(row.get("id", number)),
        float(row["price"]),
        float(row["amount"]),
        _SELLS[str(row["side"])],
        time_us,
        to_us(int(row["local_timestamp"])) if "local_timestamp" in row else time_us,
    )
