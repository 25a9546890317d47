"""Recorded trades through the detectors and the cross-market step, into a recording of anomalies."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams
from detector.engine import Engine
from detector.params import EngineParams
from shared.events import Anomaly, MarketTick, Trade
from shared.recordings.anomalies import ANOMALY_SCHEMA, to_batch
from shared.stream.columns import TradeColumns

FILE: Final = Path("anomalies") / "found.parquet"


def anomalies(
    batches: Iterable[Sequence[Trade]], *, params: EngineParams, cross: CrossParams
) -> Iterator[list[Anomaly]]:
    """Yield what is found in each batch of trades; detectors on trial find nothing."""
    engine, markets = Engine(params), CrossEngine(cross)
    for trades in batches:
        told = engine.on_batch(TradeColumns.of(trades))
        told += markets.on_batch([event for event in told if isinstance(event, MarketTick)])
        yield [event for event in told if isinstance(event, Anomaly) and not event.shadow]


def write(found: Iterable[Sequence[Anomaly]], folder: Path) -> int:
    """Write anomalies as a recording; return how many there are.

    Args:
        found: in parts.
        folder: of the recording; made if need be.

    Raises:
        OSError: it cannot be written to.
    """
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with pq.ParquetWriter(path, ANOMALY_SCHEMA) as writer:
        for part in found:
            count += len(part)
            if part:
                writer.write_batch(to_batch(part))
    return count
