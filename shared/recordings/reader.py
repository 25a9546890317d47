"""Any recordings, merged into one stream of trades in time order.

Within one venue and market the order is that of the recording (ids increase); across markets it is that of
event times, so a recording plays back as the market happened.
"""

import heapq
import zipfile
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from shared.codec import trade_fault
from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings import archive, frames, parquet, quotes, tables

DEFAULT_BATCH_TRADES: Final = 2_000


def read(
    paths: Iterable[Path],
    *,
    markets: Collection[str] | None = None,
    batch_trades: int = DEFAULT_BATCH_TRADES,
) -> Iterator[list[Trade]]:
    """Yield the trades of recordings in time order, in batches.

    Args:
        paths: files of any known form, but those of quotes are passed over; of a folder, the Parquet files in
            its folder `trades`, or else in it.
        markets: the markets wanted, by our names; all by default.
        batch_trades: the largest batch, at least 1.

    Raises:
        RecordingError: a file is missing, damaged, of no known form, or holds an unusable trade.
    """
    wanted = None if markets is None else frozenset(markets)
    merged = heapq.merge(*_sources(paths), key=lambda trade: trade.event_time_us)
    chosen = (trade for trade in merged if wanted is None or trade.symbol in wanted)
    while batch := list(islice(chosen, batch_trades)):
        yield batch


def _sources(paths: Iterable[Path]) -> list[Iterator[Trade]]:
    sources: list[Iterator[Trade]] = []
    own: list[Path] = []
    for path in paths:
        if path.is_dir():
            within = path / "trades" if (path / "trades").is_dir() else path
            own += sorted(within.rglob("*.parquet"))
        elif _starts_with(path, parquet.MAGIC):
            own.append(path)
        elif zipfile.is_zipfile(path):
            sources.append(_checked(path, archive.read_trades(path)))
        elif path.name.endswith((".csv", ".csv.gz", ".csv.zst")):
            form = tables if tables.is_table(path) else archive
            sources.append(_checked(path, form.read_trades(path)))
        else:
            sources.append(_checked(path, frames.read_trades(path)))
    # A tape's quotes lie beside its trades.
    sources += parquet.read_trades(file for file in own if not quotes.is_recording(file))
    return sources


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise RecordingError(str(path), reason=error.strerror or str(error)) from error


def _checked(path: Path, trades: Iterator[Trade]) -> Iterator[Trade]:
    """Refuse what the producer would refuse; our own recordings were checked when they were made."""
    for trade in trades:
        fault = trade_fault(trade)
        if fault is not None:
            raise RecordingError(str(path), reason=f"trade {trade.trade_id} of {trade.symbol}: {fault}")
        yield trade
