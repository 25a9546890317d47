"""Detection curves: how much of what is hidden in a simulated market is found, against how strong it is.

Every scenario of the simulator (`simulator/events/`) is played at several strengths on markets that trade as
usual. The detectors have seen a quiet day before; each event is played from there, and leaves no trace for
the next. The same events come at every strength, so that only the strength differs. What is right is decided
as by `python -m detector evaluate` (`detector/evaluation/matching.py`), with default settings; how many false
alarms these settings give is counted on quiet weeks of the same markets.
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import curve_picture
from benchmarks.report import Row, Table, show_tables
from benchmarks.staged import Played, Stage, StageParams, schedule
from detector.catalogue import CATALOGUE
from detector.cross.stories import ALL
from detector.evaluation.events import Alarm, Truth
from detector.evaluation.intervals import count_interval, share_interval
from detector.evaluation.matching import Tally, match
from detector.evaluation.rules import RULES, USUAL, Rule
from detector.params import EngineParams
from shared import pictures
from simulator.events.catalogue import scenario

_PATTERNS: Final = tuple(entry.name for entry in CATALOGUE if entry.family == "pattern")
_VENUES: Final = ("binance", "coinbase")
_TOGETHER: Final = 16
_QUIET_MARKETS: Final = 8
_WARM_UP_DAYS: Final = 1.0
_STRETCH_S: Final = 1_800.0
_BUDGET: Final = EngineParams().budget_per_day


class Course(NamedTuple):
    """One curve.

    Attributes:
        pattern: to which it belongs.
        scenario: of the simulator.
        kind: of the alarms that find it.
        strengths: at which it is played, in the scenario's unit.
        about: what the curve is called.
        is_cross: whether the cross-market step finds it.
        is_told_of_all: whether alarms name all markets together.
        counts_updates: whether what is told as an update of a running episode is found too.
    """

    pattern: str
    scenario: str
    kind: str
    strengths: tuple[float, ...]
    about: str
    is_cross: bool = False
    is_told_of_all: bool = False
    counts_updates: bool = False

    @property
    def rule(self) -> Rule:
        """When an alarm is right; detectors have warmed up before."""
        return replace(RULES.get(self.kind, USUAL), warm_up_s=0.0)

    @property
    def unit(self) -> str:
        """Of the strength."""
        return scenario(self.scenario).unit


COURSES: Final = (
    Course("pump and dump", "pump_dump", "pump_dump", (1, 2, 4, 6, 8, 12, 16, 32), "pump"),
    Course("flash crash", "flash_crash", "flash_crash", (1, 2, 3, 4, 6, 8, 12), "crash"),
    Course("flash crash", "spike", "spike", (1, 2, 3, 4, 6, 8, 12), "spike"),
    Course(
        "flash crash",
        "market_crash",
        "market_move",
        (0.5, 0.75, 1, 1.25, 1.5, 2, 4),
        "all markets at once",
        is_cross=True,
        is_told_of_all=True,
    ),
    Course("whale", "whale", "whale", (4, 6, 8, 12, 16, 32, 128), "one order", counts_updates=True),
    Course("whale", "iceberg", "whale", (4, 6, 8, 12, 16, 32, 128), "iceberg", counts_updates=True),
    Course("whale", "whale", "whale", (4, 6, 8, 12, 16, 32, 128), "opens an episode"),
    Course("wash trading", "wash_trading", "wash_trading", (2, 5, 7, 10, 14, 20, 30, 50), "wash"),
    Course(
        "manipulation",
        "momentum_ignition",
        "manipulation",
        (0.1, 0.2, 0.5, 0.7, 1, 2, 4),
        "momentum ignition",
    ),
    Course(
        "manipulation", "marking_close", "manipulation", (0.1, 0.2, 0.3, 0.5, 0.7, 1, 2), "marking the close"
    ),
    Course(
        "manipulation",
        "layered_burst",
        "manipulation",
        (0.1, 0.2, 0.35, 0.5, 0.7, 1, 2),
        "layered burst",
        is_cross=True,
        is_told_of_all=True,
    ),
    Course(
        "arbitrage",
        "arbitrage",
        "arbitrage",
        (60, 80, 90, 100, 110, 120, 160, 300),
        "divergence",
        is_cross=True,
    ),
)


@dataclass(kw_only=True)
class Curve:
    """What became of the events of a course.

    Attributes:
        course: that was played.
        tallies: by strength.
    """

    course: Course
    tallies: dict[float, Tally] = field(default_factory=dict)

    def add(self, strength: float, tally: Tally) -> None:
        """Take in more events of a strength."""
        known = self.tallies.get(strength, Tally())
        self.tallies[strength] = Tally.of_all([known, tally])

    @property
    def points(self) -> list[curve_picture.Point]:
        """Recall by strength, in order of strength."""
        return [
            curve_picture.Point(strength, tally.recall, *_interval(tally))
            for strength, tally in sorted(self.tallies.items())
        ]


def run(*, events: int, days: float, quick: bool, plot: Path | None, write: Path | None) -> None:
    """Play all courses and quiet weeks, print what was found, and draw it.

    Args:
        events: of each course and strength; of those that several markets are needed for, half as many.
        days: of the quiet weeks, their first day not included.
        quick: a quarter of the events, a seventh of the days.
        plot: picture to write as well.
        write: Markdown file whose section of this benchmark is replaced.
    """
    if plot is not None:
        pictures.check_path(plot)
    if quick:
        events, days = max(events // 4, 1), days / 7.0
    quiet = quiet_rows(days=days)
    curves = [Curve(course=course) for course in COURSES]
    _play_alone([curve for curve in curves if not curve.course.is_cross], events)
    _play_together([curve for curve in curves if curve.course.is_cross], events)
    title = f"quiet: {_QUIET_MARKETS} markets on {len(_VENUES)} venues for {days:.3g} days, every detector on"
    note = (
        "Alarms per market of a venue and day, 95 % interval, and on that of them with most. "
        f"The budget of each detector is {_BUDGET:.3g} a day."
    )
    tables = [Table(title=title, rows=quiet, note=note), *(_table(curve) for curve in curves)]
    tables.append(
        Table(title="strength from which half, and nine in ten, are found", rows=_reach_rows(curves))
    )
    show_tables("curves", tables, write=write)
    if plot is not None:
        curve_picture.draw(plot, _panels(curves))


def quiet_rows(*, days: float) -> list[Row]:
    """Return how many alarms there are where nothing happens: a row per kind, then all of them."""
    _tell("quiet: warming up")
    stage = Stage(
        StageParams(
            markets=_QUIET_MARKETS,
            exchanges=_VENUES,
            enabled=tuple(dict.fromkeys((*EngineParams().enabled, *_PATTERNS))),
            cross=True,
            warm_up_s=_WARM_UP_DAYS * 86_400.0,
            stretch_s=_STRETCH_S,
        )
    )
    first = len(stage.alarms)
    ends_s = stage.at_s + days * 86_400.0
    trades = 0
    while stage.at_s < ends_s:
        trades += stage.go_on()
        if stage.at_s % 86_400.0 < _STRETCH_S:
            _tell(f"quiet: day {stage.at_s / 86_400.0 - _WARM_UP_DAYS:.0f} of {days:.3g}, {trades:,} trades")
    alarms = stage.alarms[first:]
    market_days = days * _QUIET_MARKETS * len(_VENUES)
    kinds = dict.fromkeys((*_PATTERNS, *(course.kind for course in COURSES), "combined"))
    kinds |= dict.fromkeys(alarm.kind for alarm in alarms)
    rows = [
        rate_row(kind, [a for a in alarms if a.kind == kind], days=days, market_days=market_days)
        for kind in kinds
    ]
    return [*rows, rate_row("all together", alarms, days=days, market_days=market_days)]


def rate_row(name: str, alarms: Sequence[Alarm], *, days: float, market_days: float) -> Row:
    """Return how often alarms come: per market of a venue and day, and on that of them with most.

    Args:
        name: of the row.
        alarms: that were given.
        days: that were watched.
        market_days: the same, times the markets of venues.
    """
    low, high = count_interval(len(alarms))
    of_markets = Counter((alarm.exchange, alarm.symbol) for alarm in alarms if alarm.symbol != ALL)
    return Row(
        name=name,
        values={
            "alarms": len(alarms),
            "a day": len(alarms) / market_days,
            "from": low / market_days,
            "to": high / market_days,
            "most on one": max(of_markets.values(), default=0) / days,
        },
    )


def _play_alone(curves: Sequence[Curve], events: int) -> None:
    """Play what concerns one market: as many markets as events, one on each."""
    _tell("one market each: warming up")
    stage = Stage(StageParams(markets=events, enabled=_PATTERNS))
    for curve in curves:
        for strength in curve.course.strengths:
            _tell(f"{curve.course.about}: strength {strength:g}")
            _play(curve, strength, stage=stage, spread_s=3_600.0, seed=1)


def _play_together(curves: Sequence[Curve], events: int) -> None:
    """Play what concerns several markets, or venues: from later and later on the same quiet market."""
    _tell("several markets: warming up")
    stage = Stage(
        StageParams(
            markets=_TOGETHER,
            exchanges=_VENUES,
            cross=True,
            trades_per_s=2.0,
            warm_up_s=7.0 * 3_600.0,
            stretch_s=300.0,
        )
    )
    number = 0
    while any(_is_short(curve, events) for curve in curves):
        number += 1
        for curve in curves:
            if _is_short(curve, events):
                _tell(f"{curve.course.about}: round {number}")
                for strength in curve.course.strengths:
                    _play(curve, strength, stage=stage, spread_s=120.0, seed=number)
        stage.go_on()


def _is_short(curve: Curve, events: int) -> bool:
    first = curve.tallies.get(curve.course.strengths[0], Tally())
    # What comes to several markets comes one by one, which takes long.
    return first.events < (max(1, events // 2) if curve.course.is_told_of_all else events)


def _play(curve: Curve, strength: float, *, stage: Stage, spread_s: float, seed: int) -> None:
    course = curve.course
    planned = schedule(course.scenario, strength, stage=stage, spread_s=spread_s, seed=seed)
    curve.add(strength, tally(stage.play(planned), course))


def tally(played: Played, course: Course) -> Tally:
    """Return what was found of the events that were played."""
    truths: dict[str, Truth] = {}
    for event in played.truth:
        symbol = ALL if course.is_told_of_all else event.market
        name = event.id if course.is_told_of_all else f"{event.id}/{event.market}"
        known = truths.get(name, Truth(course.kind, symbol, event.start_us, event.end_us))
        truths[name] = known._replace(
            start_us=min(known.start_us, event.start_us),
            end_us=max(known.end_us or 0, event.end_us),
        )
    symbols = {truth.symbol for truth in truths.values()}
    told = [*played.alarms, *played.updates] if course.counts_updates else played.alarms
    alarms = [alarm for alarm in told if alarm.kind == course.kind and alarm.symbol in symbols]
    watches = [watch for watch in played.watches if watch.symbol in symbols]
    return match(truths.values(), alarms, watches, course.rule).tally


def reached_at(points: Sequence[curve_picture.Point], share: float) -> float:
    """Return the strength from which a share is found, interpolated in its logarithm; NaN if it is never.

    Args:
        points: in order of strength.
        share: of the events.
    """
    above = next((at for at, point in enumerate(points) if all(p.recall >= share for p in points[at:])), None)
    if above is None:
        return math.nan
    if above == 0:
        return points[0].strength
    low, high = points[above - 1], points[above]
    part = (share - low.recall) / (high.recall - low.recall)
    return math.exp((1.0 - part) * math.log(low.strength) + part * math.log(high.strength))


def _reach_rows(curves: Sequence[Curve]) -> list[Row]:
    return [
        Row(
            name=f"{curve.course.about}, {curve.course.unit}",
            values={"half": reached_at(curve.points, 0.5), "nine in ten": reached_at(curve.points, 0.9)},
        )
        for curve in curves
    ]


def _table(curve: Curve) -> Table:
    rows = [
        Row(
            name=f"{strength:g}",
            values={
                "events": tally.events,
                "recall": tally.recall,
                **dict(zip(("from", "to"), _interval(tally), strict=True)),
                "delay median s": tally.delay_s(0.5),
                "delay 90 % s": tally.delay_s(0.9),
            },
        )
        for strength, tally in sorted(curve.tallies.items())
    ]
    return Table(
        title=f"{curve.course.about}: {curve.course.unit}, alarms of kind {curve.course.kind}", rows=rows
    )


def _interval(tally: Tally) -> tuple[float, float]:
    low, high = share_interval(tally.found, tally.events)
    # Where nothing is found, 0 but for rounding.
    return round(low, 9), high


def _panels(curves: Sequence[Curve]) -> Iterator[curve_picture.Panel]:
    for pattern in dict.fromkeys(curve.course.pattern for curve in curves):
        mine = [curve for curve in curves if curve.course.pattern == pattern]
        lines = {curve.course.about: curve.points for curve in mine}
        yield curve_picture.Panel(pattern, mine[0].course.unit, lines)


def _tell(what: str) -> None:
    sys.stderr.write(f"{time.process_time():4.0f} s of CPU: {what}\n")
