"""Writes topics as Parquet recordings that `shared.recordings` reads back.

    FOLDER/trades/binance/BTC-USDT/2024-08-08/23-<part>.parquet     one market's hour of event time, by id
    FOLDER/quotes/binance/BTC-USDT/2024-08-08/23-<part>.parquet     the same of quotes, ten levels at most
    FOLDER/anomalies/2024-08-08-<part>.parquet                      all markets' day of event time
    FOLDER/.journals/                                               what is not yet Parquet

Guarantee: at least once. A batch is in a synced journal before its offsets are committed; a journal becomes
Parquet when it is large or old enough, at an orderly stop, or, after a crash, at the next start. Files are
written under another name and renamed when closed, so a reader never sees half a file. A batch whose offsets
could not be committed is recorded twice, in two parts; the readers drop repeats by id.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.journal import SUFFIX, Journal, abandoned, read, sync_folder
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND, Clock
from shared.errors import ConfigError, StoreUnavailableError
from shared.events import Anomaly, Quote, Trade
from shared.recordings import anomalies as anomaly_recordings
from shared.recordings import parquet as trade_recordings
from shared.recordings import quotes as quote_recordings
from shared.stream.quotes import QuoteColumns

JOURNALS: Final = ".journals"
_COMPRESSION: Final = "zstd"


@dataclass(frozen=True, kw_only=True)
class ParquetParams:
    """How recordings are cut.

    Attributes:
        folder: where they go; made when it is missing.
        part_rows: a journal with this many rows becomes Parquet.
        part_s: so does one of this age.
        retry_s: wait before one that could not become Parquet is tried again.
    """

    folder: Path
    part_rows: int = 500_000
    part_s: float = 3_600.0
    retry_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How one kind of event is recorded."""

    name: str
    schema: pa.Schema
    to_batch: Callable[[Sequence[Any]], pa.RecordBatch]
    write: Callable[[Path, pa.Table, str], list[Path]]


class ParquetRecording:
    """Keeps events in journals and turns journals into Parquet; finishes those of dead processes first.

    Args:
        params: where, and how often.
        clock: the time, for the age of a part.

    Raises:
        ConfigError: the folder cannot be made.
        StoreUnavailableError: a dead process's journal cannot be finished now.
    """

    def __init__(self, params: ParquetParams, *, clock: Clock) -> None:
        self._params = params
        self._clock = clock
        self._open: dict[str, tuple[Journal, float]] = {}
        self._not_before_s = clock.monotonic_s()
        try:
            (params.folder / JOURNALS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                [f"RECORDER_PARQUET_DIR: {params.folder} cannot be made: {error.strerror}"]
            ) from error
        for path in abandoned(params.folder / JOURNALS):
            _finish(params.folder, path)

    def record(self, events: Sequence[msgspec.Struct]) -> None:
        """Keep the trades, quotes and anomalies among the events; they are on the disk when this returns.

        Raises:
            StoreUnavailableError: they could not be written; offer all of them again.
        """
        for event_type, form in _FORMS.items():
            chosen = [event for event in events if isinstance(event, event_type)]
            if chosen:
                self._journal(form).append(form.to_batch(chosen))

    def turn(self) -> None:
        """Make Parquet of the journals that are large or old enough; to be called every second or so.

        Raises:
            StoreUnavailableError: a file could not be written; the journal stays.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._not_before_s:
            return
        self._not_before_s = now_s + self._params.retry_s
        for name, (journal, opened_s) in list(self._open.items()):
            if journal.rows >= self._params.part_rows or now_s - opened_s >= self._params.part_s:
                self._finish_own(name)
        self._not_before_s = now_s

    def close(self) -> None:
        """Make Parquet of every journal."""
        for name in list(self._open):
            self._finish_own(name)

    def _journal(self, form: _Form) -> Journal:
        if form.name not in self._open:
            part = f"{self._clock.now_us() // MICROSECONDS_PER_SECOND:010d}{secrets.token_hex(3)}"
            path = self._params.folder / JOURNALS / f"{form.name}-{part}{SUFFIX}"
            self._open[form.name] = (Journal(path), self._clock.monotonic_s())
        return self._open[form.name][0]

    def _finish_own(self, name: str) -> None:
        journal, _ = self._open[name]
        # While the lock is held: nobody else may take the journal for a dead process's.
        _finish(self._params.folder, journal.path)
        journal.close()
        del self._open[name]


def _finish(folder: Path, journal: Path) -> None:
    """Turn a journal into Parquet and remove it.

    File names come from the journal's, so that doing it again after a crash overwrites instead of repeating.
    """
    name, _, part = journal.stem.partition("-")
    form = next(form for form in _FORMS.values() if form.name == name)
    try:
        table = pa.Table.from_batches(read(journal, form.schema), schema=form.schema)
        form.write(folder, table, part)
        journal.unlink()
    except OSError as error:
        raise StoreUnavailableError("recording", detail=error.strerror or str(error)) from error


def write_trades(folder: Path, table: pa.Table, part: str) -> list[Path]:
    """Write trades as one file per venue, market and hour of event time, in order of id, each id once.

    Args:
        folder: of the recordings.
        table: columns as in `TRADE_SCHEMA`, rows in any order.
        part: end of the files' names; files of the same part are overwritten.

    Returns:
        The files.
    """
    return _write_hours(folder / "trades", table, part, identity="trade_id")


def write_quotes(folder: Path, table: pa.Table, part: str) -> list[Path]:
    """Write quotes as one file per venue, market and hour of event time, in order of update id, each id once.

    See `write_trades` for the arguments.
    """
    return _write_hours(folder / "quotes", table, part, identity="update_id")


def _write_hours(folder: Path, table: pa.Table, part: str, *, identity: str) -> list[Path]:
    hours = pc.divide(table["event_time_us"], trade_recordings.US_PER_HOUR)
    keys = ["exchange", "symbol", "hour"]
    # Sorted once and sliced: a filter per file would read everything hundreds of times.
    in_order = table.append_column("hour", hours).sort_by([(key, "ascending") for key in keys])
    groups = in_order.group_by(keys, use_threads=False).aggregate([([], "count_all")])
    paths = []
    start = 0
    for group in groups.to_pylist():
        rows = in_order.slice(start, group["count_all"]).drop_columns("hour")
        start += group["count_all"]
        at = datetime.fromtimestamp(group["hour"] * 3_600, UTC)
        market = folder / quote(group["exchange"], safe="") / quote(group["symbol"], safe="")
        paths.append(_write(market / f"{at:%Y-%m-%d}" / f"{at:%H}-{part}.parquet", _once(rows, identity)))
    return paths


def write_anomalies(folder: Path, table: pa.Table, part: str) -> list[Path]:
    """Write anomalies as one file per day of event time, in order of time, each id once."""
    days = pc.divide(table["event_time_us"], MICROSECONDS_PER_DAY)
    paths = []
    for day in pc.unique(days).to_pylist():
        rows = _once(table.filter(pc.equal(days, day)), "anomaly_id").sort_by("event_time_us")
        date = datetime.fromtimestamp(day * 86_400, UTC)
        paths.append(_write(folder / "anomalies" / f"{date:%Y-%m-%d}-{part}.parquet", rows))
    return paths


def _once(table: pa.Table, identity: str) -> pa.Table:
    """Return the rows in order of an id, the first of those that share it."""
    position = pa.array(range(table.num_rows), pa.int64())
    firsts = (
        table.select([identity]).append_column("row", position).group_by(identity).aggregate([("row", "min")])
    )
    return table.take(firsts.sort_by(identity)["row_min"])


def _write(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        pq.write_table(table, file, compression=_COMPRESSION)
        file.flush()
        # Its journal is removed next.
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
    return path


_FORMS: Final[dict[type[msgspec.Struct], _Form]] = {
    Trade: _Form(
        name="trades",
        schema=trade_recordings.TRADE_SCHEMA,
        to_batch=trade_recordings.to_batch,
        write=write_trades,
    ),
    Quote: _Form(
        name="quotes",
        schema=quote_recordings.QUOTE_SCHEMA,
        to_batch=lambda quotes: quote_recordings.to_batch(QuoteColumns.of_quotes(quotes)),
        write=write_quotes,
    ),
    Anomaly: _Form(
        name="anomalies",
        schema=anomaly_recordings.ANOMALY_SCHEMA,
        to_batch=anomaly_recordings.to_batch,
        write=write_anomalies,
    ),
}
