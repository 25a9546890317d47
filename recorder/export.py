"""Writes what the store holds as Parquet recordings, for replays and for training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from recorder.parquet import write_anomalies, write_trades
from shared.recordings import anomalies as anomaly_recordings
from shared.recordings import parquet as trade_recordings
from shared.store import queries
from shared.store.database import Database

# Files of this part are overwritten by the next export of the same hours.
_PART: Final = "export"


@dataclass(frozen=True, kw_only=True)
class ExportParams:
    """What is exported, and where to.

    Attributes:
        folder: of the recordings.
        markets: our names of the markets wanted; empty for all.
    """

    folder: Path
    markets: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """How much was written."""

    trades: int
    anomalies: int
    files: int


def export(database: Database, params: ExportParams, *, on_hour: Callable[[str, int], None]) -> Exported:
    """Write every stored trade and anomaly, hour by hour and market by market.

    Args:
        database: the store; only read.
        params: what, and where to.
        on_hour: told the market and the number of trades of each hour that is written.

    Raises:
        StoreError: the store cannot be read.
        OSError: the folder cannot be written to.
    """
    with database.session(read_only=True) as session:
        stored = [
            market
            for market in queries.markets(session)
            if not params.markets or market.symbol in params.markets
        ]
    trades = files = 0
    for market in stored:
        for since_us, until_us in _hours(market):
            with database.session(read_only=True) as session:
                rows = queries.trades(
                    session,
                    symbol=market.symbol,
                    exchange=market.exchange,
                    since_us=since_us,
                    until_us=until_us,
                )
            if rows:
                table = pa.Table.from_batches([trade_recordings.to_batch(rows)])
                files += len(write_trades(params.folder, table, _PART))
                trades += len(rows)
                on_hour(market.symbol, len(rows))
    anomalies, anomaly_files = _export_anomalies(database, params)
    return Exported(trades=trades, anomalies=anomalies, files=files + anomaly_files)


def _hours(market: queries.MarketSummary) -> Iterator[tuple[int, int]]:
    hour_us = trade_recordings.US_PER_HOUR
    for start_us in range(market.first_us // hour_us * hour_us, market.last_us + 1, hour_us):
        yield start_us, start_us + hour_us


def _export_anomalies(database: Database, params: ExportParams) -> tuple[int, int]:
    with database.session(read_only=True) as session:
        anomalies = [
            anomaly
            for anomaly in queries.anomalies(session, limit=None)
            if not params.markets or anomaly.symbol in params.markets
        ]
    if not anomalies:
        return 0, 0
    table = pa.Table.from_batches([anomaly_recordings.to_batch(anomalies)])
    return len(anomalies), len(write_anomalies(params.folder, table, _PART))
