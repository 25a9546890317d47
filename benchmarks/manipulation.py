"""Driven moves: how often they are told where nothing is known of any, and how many planted ones are found.

Recordings hold no labelled manipulation of this sort, so that every alarm on them counts against the
detector, whatever went on there; of markets that were pumped, only the time before the first pump counts.
Planted ones are scenarios of the simulator, at three strengths each, the same events at every strength;
what is right is decided as by `python -m detector evaluate` (`detector/evaluation/matching.py`).
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.report import Row, Table, show_tables
from detector.evaluation.contestants import Configuration, EngineRun
from detector.evaluation.events import Alarm, Span, Truth, Watch
from detector.evaluation.intervals import count_interval, share_interval
from detector.evaluation.matching import Tally, match
from detector.evaluation.rules import USUAL
from detector.evaluation.truth import read_truth
from detector.params import EngineParams
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.recordings import read
from shared.stream.columns import TradeColumns
from simulator.crowd import MarketParams
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.tapes import stretches

_NAME: Final = "manipulation"
_CONFIGURATION: Final = Configuration(name=_NAME, params=EngineParams(enabled=(_NAME,)))
_RECORDINGS: Final = (
    ("BTC-USDC, ordinary days", "binance-vision/*.zip"),
    ("day of a crash, six markets", "crash-2025-10-10/*.csv*"),
    ("thin markets before they were pumped", "pumps/trades/*.csv.zst"),
)
_LABELS: Final = "pumps/labels/label_25S.csv"
_BEFORE_US: Final = 3_600 * MICROSECONDS_PER_SECOND
_BATCH_TRADES: Final = 20_000
_STRENGTHS: Final = {"momentum_ignition": (0.5, 1.0, 2.0), "marking_close": (0.25, 0.5, 1.0)}
_SYMBOLS: Final = tuple(f"SIM{number:03d}USDT" for number in range(6))
# One trade in two seconds; the warm-up; then an event every two hours on each market, for a day.
_TRADES_PER_S: Final = 0.5
_WARM_UP_S: Final = 28_800.0
_DAY_S: Final = 86_400.0
_EVERY_S: Final = 7_200.0


class Ordinary(NamedTuple):
    """A recording in which nothing is known.

    Attributes:
        alarms: that were given.
        days: from the first trade to the last.
    """

    alarms: int
    days: float


def run(*, write: Path | None) -> None:
    """Measure and print.

    Args:
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there are no recordings.
    """
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data")
    planted = [_found(scenario, strength) for scenario, of in _STRENGTHS.items() for strength in of]
    tables = [
        Table(
            title="alarms on recordings",
            rows=[_alarms(name, folder, pattern) for name, pattern in _RECORDINGS],
            note="per market and day, with the exact interval of a Poisson count; most: on one market",
        ),
        Table(
            title=f"planted in {len(_SYMBOLS)} simulated markets, {_TRADES_PER_S:g} trades a second",
            rows=planted,
            note="by the size of the move in percent; false: alarms about none of them",
        ),
    ]
    show_tables(_NAME, tables, write=write)


def _alarms(name: str, folder: Path, pattern: str) -> Row:
    labels = folder / _LABELS
    truths = read_truth([labels]) if labels.exists() else []
    ordinary = [_ordinary(path, truths) for path in sorted(folder.glob(pattern))]
    if not ordinary:
        raise TapewatchError(f"there are no recordings {pattern} in {folder}; set REAL_DATA_DIR")
    alarms, days = sum(one.alarms for one in ordinary), sum(one.days for one in ordinary)
    low, high = count_interval(alarms)
    rates = [one.alarms / one.days for one in ordinary]
    values = {
        "recordings": float(len(ordinary)),
        "days": days,
        "alarms": float(alarms),
        "a_day": alarms / days,
        "from": low / days,
        "to": high / days,
        "median": float(np.median(rates)),
        "most": max(rates),
    }
    return Row(name=name, values=values)


def _ordinary(path: Path, truths: Sequence[Truth]) -> Ordinary:
    sys.stderr.write(f"judging {path.name}\n")
    run = EngineRun(_CONFIGURATION)
    first_us = last_us = 0
    pumped_us = 2**63 - 1
    for batch in read([path]):
        trades = TradeColumns.of(batch)
        if not first_us:
            first_us, symbol = int(trades.times_us[0]), trades.venues[0][1]
            starts_us = [one.start_us for one in truths if one.symbol == symbol and one.start_us > first_us]
            pumped_us = min(starts_us, default=pumped_us)
        is_before = trades.times_us < pumped_us - _BEFORE_US
        trades = trades.take(np.flatnonzero(is_before))
        if not len(trades):
            break
        run.on_batch(trades)
        last_us = int(trades.times_us[-1])
    return Ordinary(len(run.alarms), (last_us - first_us) / MICROSECONDS_PER_DAY)


def _found(scenario: str, strength: float) -> Row:
    sys.stderr.write(f"playing {scenario} {strength:g}\n")
    market = MarketParams(
        symbols=_SYMBOLS,
        rate=_TRADES_PER_S,
        duration_s=_WARM_UP_S + _DAY_S,
        scenarios=ScenarioParams(
            whales_per_hour=0.0, crashes_per_hour=0.0, scheduled=tuple(_schedule(scenario, strength))
        ),
    )
    tally = _tally(market)
    low, high = share_interval(tally.found, tally.events)
    values = {
        "events": float(tally.events),
        "recall": tally.recall,
        "from": low,
        "to": high,
        "false": float(tally.false_alarms),
        "delay_p50_s": tally.delay_s(0.5),
        "delay_p90_s": tally.delay_s(0.9),
    }
    return Row(name=f"{scenario.replace('_', ' ')}, {strength:g} %", values=values)


def _tally(market: MarketParams) -> Tally:
    run, truths = EngineRun(_CONFIGURATION), list[Truth]()
    for stretch in stretches(market):
        trades = stretch.trades
        for start in range(0, len(trades), _BATCH_TRADES):
            run.on_batch(trades[start : start + _BATCH_TRADES])
        truths += [
            Truth(one.kind, one.market, one.start_us, one.end_us, exchange=one.exchange)
            for one in stretch.truth
        ]
    return _judged(truths, run.alarms, market)


def _judged(truths: Iterable[Truth], alarms: Iterable[Alarm], market: MarketParams) -> Tally:
    known = list(truths)
    end_us = market.start_us + round((_WARM_UP_S + _DAY_S) * MICROSECONDS_PER_SECOND)
    places = {(truth.exchange, truth.symbol) for truth in known}
    watches = [Watch(*place, (Span(market.start_us, end_us),)) for place in sorted(places)]
    return match(known, alarms, watches, replace(USUAL, warm_up_s=_WARM_UP_S)).tally


def _schedule(scenario: str, strength: float) -> Iterator[Scheduled]:
    """Yield an event every two hours on each market, at the same times for every strength."""
    rng = np.random.default_rng(1)
    for symbol in _SYMBOLS:
        for begin_s in np.arange(_WARM_UP_S, _WARM_UP_S + _DAY_S - _EVERY_S, _EVERY_S):
            yield Scheduled(scenario, symbol, float(begin_s + rng.uniform(0.0, 3_000.0)), strength)
