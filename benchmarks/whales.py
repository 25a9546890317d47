"""Whales on whole days: alarms against the alert budget, and whether a day's largest trades are among them.

An alarm is the opening of an episode; an alert is what is sent by default (severity medium or more). A large
trade counts as covered when it lies within an episode, from its first to its last order, and as named when
what followed it, or a larger order within a minute of it, was told. Each day is played by
itself, as to a detector that has just been started, and all days one after the other. The whole budget is
that of `DETECTOR_BUDGET_PER_DAY`.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import whale_picture
from benchmarks.report import Row, Table, show_tables
from detector.arrays import FloatVector, IntVector
from detector.engine import Engine
from detector.online.protocol import AFTER_S
from detector.params import EngineParams
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.events import Anomaly, EpisodePhase, Severity
from shared.pictures import check_path
from shared.recordings import read
from shared.stream.columns import TradeColumns

_PARAMS: Final = EngineParams(enabled=("whale",))
_LARGEST: Final = 10
_BATCH: Final = 20_000
_WAKE_US: Final = 60 * MICROSECONDS_PER_SECOND
_HOUR_US: Final = MICROSECONDS_PER_DAY / 24


class Played(NamedTuple):
    """A recording, and what was told of it.

    Attributes:
        times_us: n event times.
        notionals: n, quote units.
        prices: n.
        events: in order.
    """

    times_us: IntVector
    notionals: FloatVector
    prices: FloatVector
    events: list[Anomaly]

    def spans(self) -> list[tuple[int, int]]:
        """Return first and last order of every episode."""
        last = {e.episode.episode_id: e.episode for e in self.events}
        return [(episode.opened_us, episode.last_us) for episode in last.values()]


def run(*, plot: Path | None, write: Path | None) -> None:
    """Score and print.

    Args:
        plot: picture to write, of the first day.
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there are no recordings.
    """
    if plot is not None:
        check_path(plot)
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data") / "binance-vision"
    paths = sorted(folder.glob("*.zip"))
    if not paths:
        raise TapewatchError(f"there are no recordings in {folder}; set REAL_DATA_DIR")
    days = [played([path]) for path in paths]
    if plot is not None:
        whale_picture.draw(plot, days[0])
    note = f"budget {_PARAMS.budget_per_day:g} a day; floor {_PARAMS.whale_min_notional:,.0f} in quote units"
    tables = [Table(title="each day by itself", rows=[row for day in days for row in _rows(day)], note=note)]
    if len(paths) > 1:
        tables.append(Table(title="all days, one after the other", rows=_rows(played(paths)), note=note))
    show_tables("whales", tables, write=write)


def played(paths: Sequence[Path]) -> Played:
    """Return recordings of one market with what was told."""
    sys.stderr.write(f"reading {', '.join(path.name for path in paths)}\n")
    engine = Engine(_PARAMS)
    times, notionals, prices, events = [], [], [], []
    for batch in read(paths, batch_trades=_BATCH):
        columns = TradeColumns.of(batch)
        times.append(columns.times_us)
        prices.append(columns.prices)
        notionals.append(columns.prices * columns.quantities)
        events += [event for event in engine.on_batch(columns) if isinstance(event, Anomaly)]
    return Played(np.concatenate(times), np.concatenate(notionals), np.concatenate(prices), events)


def _rows(tape: Played) -> list[Row]:
    days = tape.times_us // MICROSECONDS_PER_DAY
    return [_row(tape, int(day), np.flatnonzero(days == day)) for day in np.unique(days)]


def _row(tape: Played, day: int, places: IntVector) -> Row:
    largest = places[np.argsort(-tape.notionals[places], kind="stable")[:_LARGEST]]
    events = [e for e in tape.events if e.event_time_us // MICROSECONDS_PER_DAY == day]
    told = {e.episode.episode_id for e in events if e.severity.rank >= Severity.MEDIUM.rank}
    start_us, end_us = day * MICROSECONDS_PER_DAY, (day + 1) * MICROSECONDS_PER_DAY
    lasted = sum(max(min(last, end_us) - max(first, start_us), 0) for first, last in tape.spans())
    return Row(
        name=f"{pd.Timestamp(day, unit='D').date()}",
        values={
            "trades": len(places),
            "alarms": sum(e.episode.phase == EpisodePhase.OPENED for e in events),
            "alerts": len(told),
            "largest": len(largest),
            "smallest_of_these": float(tape.notionals[largest].min()),
            "covered": sum(_is_covered(tape, place) for place in largest.tolist()),
            "named": sum(_is_named(tape, place) for place in largest.tolist()),
            "sequels": sum(AFTER_S in e.features for e in events),
            "hours_in_episodes": lasted / _HOUR_US,
        },
    )


def _is_covered(tape: Played, place: int) -> bool:
    return any(first <= tape.times_us[place] <= last for first, last in tape.spans())


def _is_named(tape: Played, place: int) -> bool:
    # The sum of an order's fills may round below its only trade.
    least = 0.999 * tape.notionals[place]
    orders = [
        (e.window.start_us, abs(e.features["after_order"])) for e in tape.events if AFTER_S in e.features
    ]
    return any(abs(at - tape.times_us[place]) <= _WAKE_US and size >= least for at, size in orders)
