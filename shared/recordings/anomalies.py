"""The project's Parquet recordings of anomalies; columns, nested ones too, as in `shared.events.Anomaly`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import RecordingError
from shared.events import Anomaly

_NUMBER_BY_NAME: Final = pa.map_(pa.string(), pa.float64())

ANOMALY_SCHEMA: Final = pa.schema(
    [
        pa.field("anomaly_id", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("exchange", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rarity", pa.float64()),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("threshold_on", pa.string(), nullable=False),
        pa.field("event_time_us", pa.int64(), nullable=False),
        pa.field("trade_id", pa.int64(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("window", pa.struct({"start_us": pa.int64(), "end_us": pa.int64()}), nullable=False),
        pa.field("features", _NUMBER_BY_NAME, nullable=False),
        pa.field("contributions", _NUMBER_BY_NAME, nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field(
            "episode",
            pa.struct(
                {
                    "episode_id": pa.string(),
                    "phase": pa.string(),
                    "opened_us": pa.int64(),
                    "last_us": pa.int64(),
                    "trades": pa.int64(),
                    "peak_score": pa.float64(),
                    "peak_rarity": pa.float64(),
                }
            ),
            nullable=False,
        ),
        pa.field("shadow", pa.bool_()),
        pa.field(
            "context",
            pa.struct(
                {
                    "window_s": pa.float64(),
                    "market_return_pct": pa.float64(),
                    "moved_with": pa.int64(),
                    "markets": pa.int64(),
                    "is_market_wide": pa.bool_(),
                    "sentence": pa.string(),
                }
            ),
        ),
    ]
)
_MAPS: Final = ("features", "contributions")


def to_batch(anomalies: Iterable[Anomaly]) -> pa.RecordBatch:
    """Return anomalies as columns."""
    rows = [msgspec.to_builtins(anomaly) for anomaly in anomalies]
    for row in rows:
        row.update({name: list(row[name].items()) for name in _MAPS})
    return pa.RecordBatch.from_pylist(rows, schema=ANOMALY_SCHEMA)


def read_anomalies(paths: Iterable[Path]) -> list[Anomaly]:
    """Return recorded anomalies in time order, each once.

    Args:
        paths: files; of a folder, every Parquet file in its folder `anomalies`.

    Raises:
        RecordingError: a file is damaged, or is no recording of anomalies.
    """
    files = [
        file
        for path in paths
        for file in (sorted((path / "anomalies").rglob("*.parquet")) if path.is_dir() else [path])
    ]
    by_id = {anomaly.anomaly_id: anomaly for file in files for anomaly in _load(file)}
    return sorted(by_id.values(), key=lambda anomaly: (anomaly.event_time_us, anomaly.anomaly_id))


def _load(path: Path) -> list[Anomaly]:
    try:
        rows = pq.read_table(path, schema=ANOMALY_SCHEMA, partitioning=None).to_pylist(
            maps_as_pydicts="strict"
        )
        return msgspec.convert(rows, list[Anomaly])
    except (pa.ArrowInvalid, msgspec.ValidationError, OSError) as error:
        raise RecordingError(str(path), reason=f"is no recording of anomalies: {error}") from error
