"""The picture of an alert: how long it takes to draw, and how heavy it is.

A crash on a market of real trades is drawn again and again; so are thinner stretches of the same market.
"""

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from alerter.charts import Moment, draw
from benchmarks.report import Row, show
from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.events import Trade
from shared.recordings import read

RECORDING: Final = Path("crash-2025-10-10/binance_trades_2025-10-10_POLUSDT.csv.gz")
_BEFORE_US: Final = 300 * MICROSECONDS_PER_SECOND
_AFTER_US: Final = 120 * MICROSECONDS_PER_SECOND


def run(*, rounds: int, picture: Path | None, write: Path | None) -> None:
    """Measure drawing, and write the crash's picture where it is wanted.

    Raises:
        TapewatchError: the recording is not there.
    """
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data")
    path = folder / RECORDING
    if not path.is_file():
        raise TapewatchError(f"{path} is not there; set REAL_DATA_DIR")
    trades = [trade for batch in read([path]) for trade in batch]
    steepest = _steepest(trades)
    quarter = trades[len(trades) // 4]
    rows = [
        _row("the crash", trades, steepest, rounds),
        _row("a calm stretch", trades, quarter, rounds),
    ]
    if picture is not None:
        picture.write_bytes(_drawn(_around(trades, steepest), steepest))
    note = f"The picture of an alert: seven minutes of {RECORDING.stem}, median of {rounds} rounds"
    show("charts", rows, note=note, write=write)


def _steepest(trades: Sequence[Trade]) -> Trade:
    """Return the trade that lies furthest below the price of two minutes before."""
    times = np.array([trade.event_time_us for trade in trades])
    prices = np.array([trade.price for trade in trades])
    before = prices[np.searchsorted(times, times - _AFTER_US)]
    return trades[int(np.argmin(prices / before))]


def _row(name: str, trades: Sequence[Trade], event: Trade, rounds: int) -> Row:
    around = _around(trades, event)
    spent_ms = []
    for _ in range(rounds):
        started_s = time.process_time()
        png = _drawn(around, event)
        spent_ms.append((time.process_time() - started_s) * 1_000)
    values = {"trades": len(around), "cpu_ms": statistics.median(spent_ms), "kB": len(png) / 1_000}
    return Row(name=name, values=values)


def _around(trades: Sequence[Trade], event: Trade) -> list[Trade]:
    since_us, until_us = event.event_time_us - _BEFORE_US, event.event_time_us + _AFTER_US
    return [trade for trade in trades if since_us <= trade.event_time_us < until_us]


def _drawn(trades: Sequence[Trade], event: Trade) -> bytes:
    png = draw(
        trades,
        Moment(
            title=f"CRITICAL: flash crash on {event.symbol} ({event.exchange})",
            subtitle="2025-10-10, the steepest fall within two minutes",
            since_us=event.event_time_us - _BEFORE_US,
            until_us=event.event_time_us + _AFTER_US,
            opened_us=event.event_time_us - _AFTER_US,
            closed_us=event.event_time_us,
            event_us=event.event_time_us,
            price=event.price,
            quote=event.symbol.rpartition("-")[2],
        ),
    )
    assert png is not None
    return png
