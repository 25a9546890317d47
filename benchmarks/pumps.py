"""Pumps found, how soon, and false alarms before them, on recorded markets with hand-flagged starts.

An event is a pump that was announced on Telegram; its truth is the labelled chunk in which it starts (La
Morgia et al., ICCCN 2020, chunks of 25 s). Found within five minutes counts; an alarm more than a minute
before is false; the first day of a market only warms up. `left out` chooses threshold and weights on nine
tenths of the markets, at most `_TARGET` false alarms per market and 30 days, and scores the last tenth.
"""

import csv
import itertools
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.report import Row, Table, show_tables
from detector.arrays import FloatMatrix, IntVector
from detector.event_matching import MatchParams, MatchResult, Watch, match, share_interval
from detector.features import FeatureParams, Features, Tape
from detector.patterns.pump_dump import PUMP_FEATURES, WINDOW_S, PumpDump, PumpDumpParams
from detector.runs import Runs
from shared.errors import TapewatchError

_CHUNK: Final = 25
_NEAR: Final = timedelta(hours=1)
_FOLDS: Final = 10
_TARGET: Final = 0.9
_THRESHOLDS: Final = tuple(np.arange(5.0, 8.6, 0.2).round(1).tolist())
_ROUNDS: Final = 5
_TERMS: Final = ("rise", "volume bought", "trades", "rush orders", "imbalance", "clock")


class Pumped(NamedTuple):
    """A market with its pump.

    Attributes:
        watch: name, first trade and labelled start.
        rows: n rows of features.
        clock_us: n event times.
    """

    watch: Watch
    rows: FloatMatrix
    clock_us: IntVector


def run(*, write: Path | None) -> None:
    """Score and print.

    Args:
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: there are no recordings.
    """
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data") / "pumps"
    markets = read_markets(folder)
    if not markets:
        raise TapewatchError(f"there are no labelled pumps in {folder}; set REAL_DATA_DIR")
    usual = PumpDumpParams()
    alarms = {params: _alarms(markets, params) for params in _variants(usual)}
    started_s = time.process_time()
    whole = _matched(markets, _alarms(markets, usual), range(len(markets)))
    trades = sum(len(market.rows) for market in markets)
    cost_us = (time.process_time() - started_s) / trades * 1e6
    curve = [replace(usual, threshold=threshold) for threshold in _THRESHOLDS if threshold >= 6.0]
    tables = [
        Table(
            title=f"in sample, {len(markets)} pumps",
            rows=[
                _row("defaults", whole),
                Row(name="cost of the stage", values={"cpu_us_per_trade": cost_us}),
            ],
            note=f"missed: {', '.join(whole.missed)}",
        ),
        Table(
            title=f"left out, {_FOLDS} folds, {_ROUNDS} shuffles",
            rows=[
                _left_out(
                    "threshold chosen",
                    markets,
                    {p: a for p, a in alarms.items() if p.weights == usual.weights},
                ),
                _left_out("threshold and weights chosen", markets, alarms),
            ],
        ),
        Table(
            title="by threshold, in sample",
            rows=[
                _row(f"{params.threshold:.1f}", _matched(markets, alarms[params], range(len(markets))))
                for params in curve
            ],
        ),
        Table(
            title=f"without one term, at the threshold with at most {_TARGET} false alarms, in sample",
            rows=[
                _row(f"without {name}", _without(markets, usual, term)) for term, name in enumerate(_TERMS)
            ],
        ),
    ]
    show_tables("pumps", tables, write=write)


def _variants(usual: PumpDumpParams) -> list[PumpDumpParams]:
    """Return what `left out` chooses from: around the defaults, and coarse."""
    choices = itertools.product((1.0, 1.5), (1.0,), (0.5, 1.0), (0.3, 0.5, 1.0), (0.6,), (2.0, 2.5, 3.0))
    return [
        replace(usual, weights=weights, threshold=threshold)
        for weights in choices
        for threshold in _THRESHOLDS
    ]


def read_markets(folder: Path) -> list[Pumped]:
    """Return the recorded markets that have a label, with their features."""
    labels = _labels(folder / "labels" / f"label_{_CHUNK}S.csv")
    markets = []
    for path in sorted((folder / "trades").glob("*.csv.zst")):
        sys.stderr.write(f"reading {path.name}\n")
        symbol, _, stamp = path.name.removesuffix(".csv.zst").partition("_")
        announced = datetime.strptime(stamp, "%Y-%m-%d_%H.%M").replace(tzinfo=UTC)
        starts = [at for at in labels.get(symbol, ()) if abs(at - announced) < _NEAR]
        if starts:
            markets.append(_market(path, round(starts[0].timestamp() * 1e6)))
    return markets


def _labels(path: Path) -> dict[str, list[datetime]]:
    starts: dict[str, list[datetime]] = {}
    if not path.exists():
        return starts
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["gt"] == "1":
                starts.setdefault(row["symbol"], []).append(
                    datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
                )
    return starts


def _market(path: Path, start_us: int) -> Pumped:
    table = pd.read_csv(path).sort_values("timestamp", kind="stable")
    tape = Tape(
        np.array(table.price, np.float64),
        np.array(table.amount, np.float64),
        np.array(table.side == "sell", np.int64),
        np.array(table.timestamp * 1_000, np.int64),
    )
    features = Features(FeatureParams(windows_s=(WINDOW_S,), columns=PUMP_FEATURES))
    features.open(0, identity=path.name)
    rows, clock_us = features.update(Runs.single(0, len(table)), tape)
    name = path.name.removesuffix(".csv.zst")
    return Pumped(Watch(name, int(clock_us[0]), start_us), rows, clock_us)


def _alarms(markets: Sequence[Pumped], params: PumpDumpParams) -> list[list[int]]:
    """Return when pumps were announced, market by market."""
    stage = PumpDump(params, features=PUMP_FEATURES)
    found = []
    for slot, market in enumerate(markets):
        stage.open(slot, identity=market.watch.market)
        running = stage.score_learn(Runs.single(slot, len(market.rows)), market.rows).eligible
        begins = np.flatnonzero(running & ~np.concatenate([[False], running[:-1]]))
        found.append(market.clock_us[begins].tolist())
    return found


def _matched(
    markets: Sequence[Pumped], alarms: Sequence[Sequence[int]], chosen: Iterable[int]
) -> MatchResult:
    return match([(markets[k].watch, alarms[k]) for k in chosen], MatchParams())


def _without(markets: Sequence[Pumped], usual: PumpDumpParams, term: int) -> MatchResult:
    """Return the result without one term, at the lowest threshold that keeps false alarms at the target."""
    weights = tuple(0.0 if k == term else weight for k, weight in enumerate(usual.weights))
    results = (
        _matched(
            markets,
            _alarms(markets, replace(usual, weights=weights, threshold=threshold)),
            range(len(markets)),
        )
        for threshold in np.arange(3.0, 9.0, 0.2).round(1).tolist()
    )
    return next(result for result in results if result.false_per_30_days <= _TARGET)


def _left_out(name: str, markets: Sequence[Pumped], alarms: dict[PumpDumpParams, list[list[int]]]) -> Row:
    """Choose on nine tenths of the markets, score the last tenth; several shuffles are one result."""
    delays_s: list[float] = []
    events, false_alarms, days = 0, 0, 0.0
    for number in range(_ROUNDS):
        order = np.random.default_rng(number).permutation(len(markets))
        for fold in range(_FOLDS):
            others = np.delete(order, np.s_[fold::_FOLDS]).tolist()
            known = {params: _matched(markets, found, others) for params, found in alarms.items()}
            fit = {params: one for params, one in known.items() if one.false_per_30_days <= _TARGET}
            best = max(fit, key=lambda params: (fit[params].recall, -fit[params].false_per_30_days))
            result = _matched(markets, alarms[best], order[fold::_FOLDS].tolist())
            delays_s += result.delays_s
            events += result.events
            false_alarms += result.false_alarms
            days += result.watched_days
    whole = MatchResult(
        events=events, delays_s=tuple(delays_s), missed=(), false_alarms=false_alarms, watched_days=days
    )
    return _row(name, whole, with_interval=False)


def _row(name: str, result: MatchResult, *, with_interval: bool = True) -> Row:
    low, high = share_interval(result.found, result.events)
    interval = {"recall_from": low, "recall_to": high} if with_interval else {}
    return Row(
        name=name,
        values={
            "recall": result.recall,
            **interval,
            "false_per_30_days": result.false_per_30_days,
            "precision": result.precision,
            "delay_p50_s": result.delay_s(0.5),
            "delay_p90_s": result.delay_s(0.9),
        },
    )
