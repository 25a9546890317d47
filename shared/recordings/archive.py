"""Files of Binance's public archive (data.binance.vision): `trades` and `aggTrades`, zipped or unpacked.

Columns as documented in github.com/binance/binance-public-data; spot files have no header, futures files do,
so it is looked for. Times are milliseconds before 2025 and microseconds after, told by magnitude. A row of
`aggTrades` becomes one trade with the aggregate's id: ids are continuous there too.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import csv

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings.frames import EXCHANGE, open_text, to_us
from shared.recordings.markets import market_of

_NAME: Final = "SYMBOL-trades-DATE or SYMBOL-aggTrades-DATE"

# Which column holds id, price, quantity, time and "the buyer is the maker", per kind of file.
_COLUMNS: Final = {"trades": (0, 1, 2, 4, 5), "aggTrades": (0, 1, 2, 5, 6)}
_TYPES: Final = (pa.int64(), pa.float64(), pa.float64(), pa.int64(), pa.bool_())


def read_trades(path: Path) -> Iterator[Trade]:
    """Yield a file's trades in its order; the time of receiving is the time of the trade.

    Raises:
        RecordingError: the file's name does not tell market and kind, or a row cannot be parsed.
    """
    with _rows(path) as (name, rows):
        symbol, _, rest = name.partition("-")
        kind = rest.partition("-")[0]
        if kind not in _COLUMNS:
            raise RecordingError(str(path), reason=f"{name!r} is no name of the archive ({_NAME})")
        market = market_of(symbol)
        try:
            for batch in _batches(rows, _COLUMNS[kind]):
                for trade_id, price, quantity, time, is_buyer_maker in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                ):
                    time_us = to_us(time)
                    yield Trade(EXCHANGE, market, trade_id, price, quantity, is_buyer_maker, time_us, time_us)
        except (pa.ArrowInvalid, zipfile.BadZipFile) as error:
            raise RecordingError(str(path), reason=str(error)) from error


@contextmanager
def _rows(path: Path) -> Iterator[tuple[str, io.BufferedReader]]:
    """Open the CSV inside; yield its name and its bytes."""
    if not zipfile.is_zipfile(path):
        with open_text(path) as rows:
            yield path.name, rows
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise RecordingError(str(path), reason=f"holds {len(names)} CSV files instead of one")
        with archive.open(names[0]) as member:
            yield Path(names[0]).name, io.BufferedReader(member)  # type: ignore[arg-type]  # a raw stream at run time


def _batches(rows: io.BufferedReader, columns: tuple[int, ...]) -> Iterator[pa.RecordBatch]:
    first_line = rows.peek(1024).split(b"\n", 1)[0]
    if not first_line.strip():
        return
    names = [str(number) for number in range(first_line.count(b",") + 1)]
    if len(names) <= max(columns):
        raise pa.ArrowInvalid(f"rows have {len(names)} columns, expected more than {max(columns)}")
    wanted = [names[column] for column in columns]
    yield from csv.open_csv(
        rows,
        read_options=csv.ReadOptions(column_names=names, skip_rows=0 if first_line[:1].isdigit() else 1),
        convert_options=csv.ConvertOptions(
            include_columns=wanted, column_types=dict(zip(wanted, _TYPES, strict=True))
        ),
    )
