"""Flash crashes and spikes on recordings: how soon they are told, what is told where nothing is labelled.

Two kinds of recordings, both judged with the defaults:

- The crash of 2025-10-10, trade by trade. Its level is the median price from 20:30 to 20:45; what counts is
  the time from the first trade 5 % below it, and that nothing is told before 20:30.
- Minute bars with labelled flash crashes. A bar becomes twelve trades 5 s apart: open, the farther-fetched
  extreme first (low before high in a bar that closed above its open, and the other way round), close, each
  three times, as prices are medians of three trades. Volumes decide nothing.

Labels outside of the bars cannot be played; how many of them meet the floors by their labelled depth is
counted all the same. Found is what is told between a labelled start and its trough.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import crash_picture
from benchmarks.report import Row, Table, show_tables
from detector.arrays import FloatVector, IntVector
from detector.engine import Engine
from detector.params import EngineParams
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.events import Anomaly, EpisodePhase
from shared.pictures import check_path
from shared.recordings import read
from shared.stream.columns import TradeColumns

_PARAMS: Final = EngineParams(enabled=("flash_crash", "spike"))
# 2025-10-10, 20:30 and 20:45.
_QUIET_UNTIL_US: Final = 1_760_128_200_000_000
_LEVEL_UNTIL_US: Final = 1_760_129_100_000_000
_DEEP: Final = 0.05
_BAR_TRADES: Final = 12
# The pumps come after about twelve.
_ORDINARY_DAYS: Final = 10
_BATCH: Final = 20_000
# Depth asked for by the defaults: within five minutes, and within half an hour.
_FLOORS: Final = (0.04, 0.05)
_SHORT_MINUTES: Final = 5


class Label(NamedTuple):
    """A line of the labels.

    Attributes:
        asset: as in the table.
        role: `pos`, `near_miss` or `quiet`.
        start_us: of the fall.
        trough_us: minute of its lowest price.
        day_us: its day.
        minutes: within which it fell so deep.
        depth: a fraction.
    """

    asset: str
    role: str
    start_us: int
    trough_us: int
    day_us: int
    minutes: int
    depth: float

    @property
    def end_us(self) -> int:
        """The end of the trough's minute."""
        return self.trough_us + 60 * MICROSECONDS_PER_SECOND


class Day(NamedTuple):
    """A recorded market, and what was told of it.

    Attributes:
        name: of venue and market.
        times_us: n event times.
        prices: n.
        events: in order.
    """

    name: str
    times_us: IntVector
    prices: FloatVector
    events: list[Anomaly]

    def opened(self, kind: str) -> list[int]:
        """Return when episodes of a kind were opened."""
        opened = [e for e in self.events if e.episode.phase == EpisodePhase.OPENED and e.kind == kind]
        return [event.event_time_us for event in opened]


def run(*, plot: Path | None, write: Path | None) -> None:
    """Score and print.

    Args:
        plot: picture to write, of the first market of the crash.
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there are no recordings.
    """
    if plot is not None:
        check_path(plot)
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data")
    days = crash_days(folder / "crash-2025-10-10")
    bars = minute_bars(folder / "klines")
    calm = [recorded(path) for path in sorted((folder / "binance-vision").glob("*.zip"))]
    if not days and not bars:
        raise TapewatchError(f"there are neither crash nor klines in {folder}; set REAL_DATA_DIR")
    if plot is not None and days:
        crash_picture.draw(plot, _binance_first(days)[0])
    labels = folder / "klines" / "flash_crash_events.csv"
    tables = [
        Table(
            title="the crash of 2025-10-10, defaults",
            rows=[_crash_row(day) for day in _binance_first(days)],
            note=f"delay_s counts from the first trade {_DEEP:.0%} below the median of 20:30 to 20:45",
        ),
        Table(title="days without a crash, defaults", rows=[_calm_row(day) for day in calm]),
    ]
    thin = sorted((folder / "pumps" / "trades").glob("*.csv.zst"))
    if thin:
        tables.append(_thin_table(thin))
    if labels.exists():
        known = read_labels(labels)
        tables += [_bars_table(bars, known), _floors_table(known)]
    show_tables("crashes", tables, write=write)


def crash_days(folder: Path) -> list[Day]:
    """Return the recorded markets of the crash day with what was told."""
    return [recorded(path) for path in sorted(folder.glob("*.csv.gz"))]


def recorded(path: Path) -> Day:
    """Return a recording of one market with what was told."""
    sys.stderr.write(f"reading {path.name}\n")
    return _judged(TradeColumns.of(batch) for batch in read([path], batch_trades=_BATCH))


def minute_bars(folder: Path) -> list[Day]:
    """Return the markets of minute bars with what was told."""
    days = []
    for path in sorted(folder.glob("*-1m-*.feather")):
        sys.stderr.write(f"reading {path.name}\n")
        symbol = path.name.partition("-")[0].replace("_", "-")
        trades = bars_as_trades(pd.read_feather(path), symbol)
        days.append(_judged(trades[start : start + _BATCH] for start in range(0, len(trades), _BATCH)))
    return days


def bars_as_trades(bars: pd.DataFrame, symbol: str) -> TradeColumns:
    """Return minute bars as trades, as said above.

    Args:
        bars: columns date, open, high, low, close.
        symbol: of the market.
    """
    opens, highs, lows, closes = (
        np.array(bars[name], np.float64) for name in ("open", "high", "low", "close")
    )
    has_risen = closes >= opens
    path = np.stack(
        [opens, np.where(has_risen, lows, highs), np.where(has_risen, highs, lows), closes], axis=1
    )
    begins_us = np.array(bars.date, dtype="datetime64[us]").astype(np.int64)
    steps_us = np.arange(_BAR_TRADES) * (60 * MICROSECONDS_PER_SECOND // _BAR_TRADES)
    times_us = (begins_us[:, None] + steps_us).ravel()
    n = len(times_us)
    return TradeColumns(
        venues=[("binance", symbol)],
        venue=np.zeros(n, np.int64),
        trade_ids=np.arange(n),
        prices=np.repeat(path, _BAR_TRADES // 4, axis=1).ravel(),
        quantities=np.ones(n),
        sells=np.zeros(n, np.int64),
        times_us=times_us,
        received_us=times_us,
    )


def _judged(batches: Iterable[TradeColumns]) -> Day:
    engine = Engine(_PARAMS)
    times, prices, events = [], [], []
    name = ""
    for batch in batches:
        name = " ".join(batch.venues[0])
        times.append(batch.times_us)
        prices.append(batch.prices)
        events += [event for event in engine.on_batch(batch) if isinstance(event, Anomaly)]
    return Day(name, np.concatenate(times), np.concatenate(prices), events)


def _binance_first(days: Sequence[Day]) -> list[Day]:
    return sorted(days, key=lambda day: not day.name.startswith("binance"))


def _crash_row(day: Day) -> Row:
    quiet_us, level_us = _QUIET_UNTIL_US, _LEVEL_UNTIL_US
    calm = (day.times_us >= quiet_us) & (day.times_us < level_us)
    level = float(np.median(day.prices[calm]))
    deep = np.flatnonzero((day.times_us >= level_us) & (day.prices <= (1.0 - _DEEP) * level))
    crashes = day.opened("flash_crash")
    told = [at for at in crashes if at >= quiet_us]
    return Row(
        name=day.name,
        values={
            "delay_s": (told[0] - int(day.times_us[deep[0]])) / MICROSECONDS_PER_SECOND if told else np.nan,
            "before_20_30": sum(at < quiet_us for at in (*crashes, *day.opened("spike"))),
            "crashes": len(crashes),
            "spikes": len(day.opened("spike")),
            "deepest_pct": 100.0 * (1.0 - float(day.prices[day.times_us >= level_us].min()) / level),
        },
    )


def _calm_row(day: Day) -> Row:
    date = pd.Timestamp(int(day.times_us[0]), unit="us").date()
    counts = {name: len(day.opened(kind)) for name, kind in (("crashes", "flash_crash"), ("spikes", "spike"))}
    return Row(name=f"{day.name} {date}", values=counts)


def _thin_table(paths: Sequence[Path]) -> Table:
    """Count what is told of thin markets in ordinary life, before they are pumped."""
    counts, days = dict.fromkeys(("flash_crash", "spike"), 0), 0.0
    for path in paths:
        day = recorded(path)
        until_us = int(day.times_us[0]) + _ORDINARY_DAYS * MICROSECONDS_PER_DAY
        days += _ORDINARY_DAYS
        for kind in counts:
            counts[kind] += sum(at < until_us for at in day.opened(kind))
    return Table(
        title=f"thin markets, the first {_ORDINARY_DAYS} days of {len(paths)} recordings, defaults",
        rows=[Row(name=kind, values={"per_market_and_day": count / days}) for kind, count in counts.items()],
        note="nothing is labelled there: whatever is told counts",
    )


def read_labels(path: Path) -> list[Label]:
    """Return the labelled falls, near misses and quiet days."""
    table = pd.read_csv(path)
    times = [_to_us(table[name]) for name in ("t_star", "t_trough", "date")]
    figures = (table.h_star.tolist(), table["drop"].tolist())
    return [Label(*row) for row in zip(table.asset, table.role, *times, *figures, strict=True)]


def _to_us(column: "pd.Series[str]") -> list[int]:
    times = pd.to_datetime(column).dt.tz_localize(None)
    numbers: list[int] = times.to_numpy("datetime64[us]").astype(np.int64).tolist()
    return numbers


def _bars_table(days: Sequence[Day], labels: Sequence[Label]) -> Table:
    rows = []
    for day in days:
        asset = day.name.split()[1].replace("-", "")
        first, last = int(day.times_us[0]), int(day.times_us[-1])
        inside = [label for label in labels if label.asset == asset and first <= label.start_us <= last]
        rows.append(_bars_row(day, inside))
    return Table(
        title="minute bars with labels, defaults",
        rows=rows,
        note="all other alarms count as false, other falls of a labelled day included",
    )


def _bars_row(day: Day, labels: Sequence[Label]) -> Row:
    alarms = day.opened("flash_crash")
    crashes = [label for label in labels if label.role == "pos"]
    hits = [[at for at in alarms if label.start_us <= at < label.end_us] for label in crashes]
    false_alarms = set(alarms).difference(*hits)
    delays_s = [
        (within[0] - label.start_us) / MICROSECONDS_PER_SECOND
        for label, within in zip(crashes, hits, strict=True)
        if within
    ]
    first_day, last_day = (int(day.times_us[at]) // MICROSECONDS_PER_DAY for at in (0, -1))
    on_days = [at // MICROSECONDS_PER_DAY - first_day for at in false_alarms]
    per_day = np.bincount(np.array(on_days, np.int64), minlength=last_day - first_day + 1)
    near = [label for label in labels if label.role == "near_miss"]
    quiet = {label.day_us for label in labels if label.role == "quiet"}
    days = {at // MICROSECONDS_PER_DAY * MICROSECONDS_PER_DAY for at in alarms}
    return Row(
        name=day.name,
        values={
            "labelled": len(crashes),
            "found": len(delays_s),
            "after_start_s": float(np.median(delays_s)) if delays_s else np.nan,
            "near_misses": len(near),
            "of_these_told": sum(any(x.start_us <= at < x.end_us for at in alarms) for x in near),
            "quiet_days": len(quiet),
            "of_these_with_alarm": len(quiet & days),
            "false_a_day_median": float(np.median(per_day)),
            "false_a_day_mean": float(np.mean(per_day)),
            "days": len(per_day),
        },
    )


def _floors_table(labels: Sequence[Label]) -> Table:
    """Count which labelled falls are deep enough for the defaults, by what their labels say."""
    rows = []
    for asset, role in sorted({(label.asset, label.role) for label in labels}):
        part = [label for label in labels if (label.asset, label.role) == (asset, role)]
        deep = sum(label.depth >= _FLOORS[label.minutes > _SHORT_MINUTES] for label in part)
        rows.append(Row(name=f"{asset} {role}", values={"labelled": len(part), "deep_enough": deep}))
    return Table(
        title="all labels, 2021 to 2024, by their labelled depth: not played, as there are no prices",
        rows=rows,
        note="near misses fell as deep and did not recover, which nobody knows at the time of the fall",
    )
