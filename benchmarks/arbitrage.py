"""Arbitrage between venues on recordings of a crash: what is covered, and false alarms before it.

Truth is made of the last price per second of both venues, however old: every second in which they differ by
more than `_TRUE_BPS`; and of those, the ones in which both have traded within the last `_LIVE_S`. A second is
covered when it lies in an episode. Trades go through the detectors' ticks, as in production.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.report import Row, Table, show_tables
from detector.arrays import BoolVector, FloatVector, IntVector
from detector.batch import sort_by_market
from detector.cross.board import Listing
from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams
from detector.ticks import TickParams, Ticks
from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.events import Anomaly, EpisodePhase, MarketTick, Trade
from shared.recordings import read
from shared.stream.columns import TradeColumns

_PARAMS: Final = CrossParams(enabled=("arbitrage",))
_TRUE_BPS: Final = 100.0
_LIVE_S: Final = 10
_BASIS_POINTS: Final = 1e4


class Prices(NamedTuple):
    """A listing, second by second of a day.

    Attributes:
        prices: last price so far; NaN before the first.
        ages_s: seconds since the last second with a trade; large before the first.
    """

    prices: FloatVector
    ages_s: IntVector


class Measured(NamedTuple):
    """What a run over the recordings gave.

    Attributes:
        anomalies: all that were told.
        tapes: per listing, times in microseconds and prices.
        trades: how many there were.
        ticks: how many they became.
        tick_cpu_s: that making ticks took.
        cross_cpu_s: that judging them took.
    """

    anomalies: list[Anomaly]
    tapes: dict[Listing, tuple[IntVector, FloatVector]]
    trades: int
    ticks: int
    tick_cpu_s: float
    cross_cpu_s: float


def run(*, folder: Path, calm_until: str, crash: tuple[str, str], write: Path | None) -> None:
    """Score and print.

    Args:
        folder: tables of the trades of one day, of several venues.
        calm_until: time of the day, HH:MM, before which an episode is a false alarm.
        crash: first and last minute of the crash, HH:MM.
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there are no recordings of one market on two venues.
    """
    paths = sorted(folder.glob("*.csv*"))
    if not paths:
        raise TapewatchError(f"there are no recordings in {folder}; set REAL_DATA_DIR")
    measured = told(paths, _PARAMS)
    scored = score(measured, calm_until=calm_until, crash=crash)
    if not scored:
        raise TapewatchError(f"no market of {folder} is on two venues")
    span = f"{crash[0]} to {crash[1]}"
    ticked = {
        "trades": float(measured.trades),
        "ticks": float(measured.ticks),
        "tick_cpu_us_per_trade": measured.tick_cpu_s / measured.trades * 1e6,
        "cross_cpu_us_per_tick": measured.cross_cpu_s / measured.ticks * 1e6,
    }
    tables = [
        Table(
            title=f"seconds with more than {_TRUE_BPS:.0f} bps, {_date(_day_s(measured))}",
            rows=scored,
            note=f"live: both venues have traded within {_LIVE_S} s; the crash is {span} UTC",
        ),
        Table(title="cost, reading apart", rows=[Row(name="all recordings", values=ticked)]),
    ]
    show_tables("arbitrage", tables, write=write)


def told(paths: Sequence[Path], params: CrossParams) -> Measured:
    """Return what the cross-market step tells of recordings, and what is needed to judge it."""
    ticks, slots = Ticks(TickParams()), dict[tuple[str, str], int]()
    engine = CrossEngine(params)

    def slot_of(venue: tuple[str, str]) -> int:
        if venue not in slots:
            slots[venue] = len(slots)
            ticks.open(slots[venue], identity="/".join(venue))
        return slots[venue]

    anomalies: list[Anomaly] = []
    columns: dict[Listing, list[tuple[IntVector, FloatVector]]] = {}
    trades: list[Trade] = []
    count = made_ticks = 0
    tick_s = cross_s = 0.0
    for trades in _with_progress(read(paths)):
        batch = sort_by_market(TradeColumns.of(trades), slot_of)
        before_s = time.process_time()
        made = ticks.tell(batch, batch.tape.times_us, [])
        between_s = time.process_time()
        found = engine.on_batch([tick for _, tick in sorted(made, key=_event_time_us)])
        if count:
            # The first batch waits for the compiler.
            tick_s, cross_s = tick_s + between_s - before_s, cross_s + time.process_time() - between_s
        anomalies += [event for event in found if isinstance(event, Anomaly)]
        count, made_ticks = count + len(trades), made_ticks + len(made)
        for slot, part in batch.runs.each():
            listing = Listing(*list(slots)[slot])
            columns.setdefault(listing, []).append((batch.tape.times_us[part], batch.tape.prices[part]))
    anomalies += [event for event in engine.on_batch(_silence(trades[-1])) if isinstance(event, Anomaly)]
    tapes = {
        listing: (np.concatenate([t for t, _ in parts]), np.concatenate([p for _, p in parts]))
        for listing, parts in columns.items()
    }
    return Measured(anomalies, tapes, count, made_ticks, tick_s, cross_s)


def score(measured: Measured, *, calm_until: str, crash: tuple[str, str]) -> list[Row]:
    """Return the figures of every pair of venues: in the calm, in the crash, on the whole day.

    Args:
        measured: of one day.
        calm_until: HH:MM.
        crash: first and last minute, HH:MM.
    """
    day_s = _day_s(measured)
    bounds = [_seconds(clock) for clock in (calm_until, *crash)]
    return [row for pair in _pairs(measured.tapes) for row in _score(measured, pair, day_s, bounds)]


def _day_s(measured: Measured) -> int:
    first_s = min(int(times[0]) for times, _ in measured.tapes.values()) // MICROSECONDS_PER_SECOND
    return first_s - first_s % 86_400


def _silence(last: Trade) -> list[MarketTick]:
    """Return ticks that let time pass, so that every episode ends."""
    later_us = last.event_time_us + 300 * MICROSECONDS_PER_SECOND
    return [MarketTick("end", "END-END", 0, 1.0, 1.0, False, later_us, later_us)]


def _event_time_us(made: tuple[int, MarketTick]) -> int:
    return made[1].event_time_us


def _with_progress(batches: Iterable[list[Trade]]) -> Iterator[list[Trade]]:
    for number, batch in enumerate(batches):
        if number % 50 == 0 and sys.stderr.isatty():
            sys.stderr.write(f"\r{datetime.fromtimestamp(batch[0].event_time_us / 1e6, UTC):%H:%M} ")
        yield batch
    if sys.stderr.isatty():
        sys.stderr.write("\n")


def _date(day_s: int) -> str:
    return f"{datetime.fromtimestamp(day_s, UTC):%Y-%m-%d}"


def _seconds(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3_600 + int(minutes) * 60


def _pairs(listings: Iterable[Listing]) -> Iterator[tuple[Listing, Listing]]:
    ordered = sorted(listings)
    for at, first in enumerate(ordered):
        yield from (
            (first, second)
            for second in ordered[at + 1 :]
            if second.base == first.base and second.exchange != first.exchange
        )


def _by_second(tape: tuple[IntVector, FloatVector], day_s: int) -> Prices:
    times_us, prices = tape
    at = (times_us // MICROSECONDS_PER_SECOND - day_s).astype(np.int64)
    is_in = (at >= 0) & (at < 86_400)
    last = np.full(86_400, np.nan)
    last[at[is_in]] = prices[is_in]
    seconds = np.arange(86_400)
    latest = np.maximum.accumulate(np.where(np.isnan(last), -1, seconds))
    return Prices(np.where(latest < 0, np.nan, last[latest]), np.where(latest < 0, 86_400, seconds - latest))


def _score(measured: Measured, pair: tuple[Listing, Listing], day_s: int, bounds: Sequence[int]) -> list[Row]:
    """Return what was found of a pair until the calm ends, in the crash, and on the whole day."""
    first, second = (_by_second(measured.tapes[listing], day_s) for listing in pair)
    with np.errstate(invalid="ignore"):
        is_true = np.abs(np.log(first.prices / second.prices)) * _BASIS_POINTS > _TRUE_BPS
    is_live = is_true & (np.maximum(first.ages_s, second.ages_s) <= _LIVE_S)
    mine = [a for a in measured.anomalies if a.symbol in {listing.symbol for listing in pair}]
    opened = [a for a in mine if a.episode.phase is EpisodePhase.OPENED]
    covered = np.zeros(86_400, np.bool_)
    for anomaly in mine:
        ends_us = (anomaly.episode.opened_us, anomaly.episode.last_us)
        start, end = (us // MICROSECONDS_PER_SECOND - day_s for us in ends_us)
        covered[max(start, 0) : end + 1] = True
    calm_until, begins, ends = bounds
    spans = {"calm": slice(0, calm_until), "crash": slice(begins, ends), "day": slice(0, 86_400)}
    rows = []
    for name, span in spans.items():
        within = [a for a in opened if span.start <= _second(a, day_s) < span.stop]
        delays = [(a.event_time_us - a.episode.opened_us) / MICROSECONDS_PER_SECOND for a in within]
        values = {
            "episodes": float(len(within)),
            "seconds": float(is_true[span].sum()),
            "covered_pct": _share(covered[span], is_true[span]),
            "live_seconds": float(is_live[span].sum()),
            "live_covered_pct": _share(covered[span], is_live[span]),
            "in_vain_pct": 100.0 - _share(is_true[span], covered[span]),
            "told_after_s": float(np.median(delays)) if delays else np.nan,
        }
        rows.append(Row(name=f"{pair[0].base}, {pair[0].exchange}/{pair[1].exchange}: {name}", values=values))
    return rows


def _second(anomaly: Anomaly, day_s: int) -> int:
    return anomaly.event_time_us // MICROSECONDS_PER_SECOND - day_s


def _share(part: BoolVector, whole: BoolVector) -> float:
    return float((part & whole).sum() / whole.sum() * 100) if whole.any() else np.nan
