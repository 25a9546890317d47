"""The project's own Parquet recordings: their columns, and how they are read back.

A file of trades has exactly the columns of `Trade`. The recorder writes one file per venue, market, hour of
event time (UTC) and part; it may repeat trades after a crash (at-least-once), so reading drops repeats by id
and orders each market's hour by id. Files that another program has rewritten are read all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import RecordingError
from shared.events import Trade
from shared.stream.columns import TradeColumns

MAGIC: Final = b"PAR1"

TRADE_SCHEMA: Final = pa.schema(
    [
        pa.field("exchange", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("trade_id", pa.int64(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("quantity", pa.float64(), nullable=False),
        pa.field("is_buyer_maker", pa.bool_(), nullable=False),
        pa.field("event_time_us", pa.int64(), nullable=False),
        pa.field("received_time_us", pa.int64(), nullable=False),
    ]
)
US_PER_HOUR: Final = 3_600_000_000


def to_batch(trades: Sequence[Trade]) -> pa.RecordBatch:
    """Return trades as columns."""
    columns = [
        pa.array([getattr(trade, field.name) for trade in trades], field.type) for field in TRADE_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRADE_SCHEMA)


def from_columns(trades: TradeColumns) -> pa.RecordBatch:
    """Return trades that are columns already."""
    venues = [pa.array(names, pa.string()) for names in zip(*trades.venues, strict=True)]
    columns = [
        *(names.take(pa.array(trades.venue)) for names in venues),
        pa.array(trades.trade_ids),
        pa.array(trades.prices),
        pa.array(trades.quantities),
        pa.array(trades.sells.astype(np.bool_)),
        pa.array(trades.times_us),
        pa.array(trades.received_us),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRADE_SCHEMA)


def read_trades(paths: Iterable[Path]) -> Iterator[Iterator[Trade]]:
    """Return one iterator of trades per venue and market: each trade once, hour by hour, in order of id.

    Not more than one hour of a market is held in memory, as long as files hold no more than that.

    Raises:
        RecordingError: a file is damaged or lacks a column of `Trade`.
    """
    hours: dict[tuple[str, str], dict[int, list[Path]]] = {}
    for path in paths:
        for exchange, symbol, hour in _contents(path):
            hours.setdefault((exchange, symbol), {}).setdefault(hour, []).append(path)
    for market, files in sorted(hours.items()):
        yield _market(market, files)


def _contents(path: Path) -> list[tuple[str, str, int]]:
    """Return which markets and hours a file holds."""
    table = _load(path, ["exchange", "symbol", "event_time_us"])
    hour = pc.divide(table["event_time_us"], US_PER_HOUR)
    groups = table.append_column("hour", hour).group_by(["exchange", "symbol", "hour"]).aggregate([])
    return [(row["exchange"], row["symbol"], row["hour"]) for row in groups.to_pylist()]


def _market(market: tuple[str, str], files: dict[int, list[Path]]) -> Iterator[Trade]:
    exchange, symbol = market
    for hour, paths in sorted(files.items()):
        start = hour * US_PER_HOUR
        belongs = (
            (pc.field("exchange") == exchange)
            & (pc.field("symbol") == symbol)
            & (pc.field("event_time_us") >= start)
            & (pc.field("event_time_us") < start + US_PER_HOUR)
        )
        tables = [_load(path, TRADE_SCHEMA.names).filter(belongs) for path in dict.fromkeys(paths)]
        table = pa.concat_tables(tables).sort_by("trade_id")
        last_id = None
        for row in zip(*(table[name].to_pylist() for name in TRADE_SCHEMA.names), strict=True):
            trade = Trade(*row)
            if trade.trade_id != last_id:
                last_id = trade.trade_id
                yield trade


def _load(path: Path, columns: list[str]) -> pa.Table:
    try:
        table = pq.read_table(path, columns=columns, partitioning=None)
        return table.select(columns).cast(pa.schema([TRADE_SCHEMA.field(name) for name in columns]))
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise RecordingError(str(path), reason=f"is no recording of trades: {error}") from error
