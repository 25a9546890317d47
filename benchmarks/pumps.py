"""Pumps found, how soon, and false alarms before them, on recorded markets with hand-flagged starts.

The truth are the labelled chunks in which pumps start (La Morgia et al., ICCCN 2020, chunks of 25 s), matched
as `python -m detector evaluate` does it (`detector/evaluation/matching.py`). `left out` chooses threshold and
weights on nine tenths of the coins, at most `_TARGET` false alarms per market and 30 days, and scores the
last tenth. News must not be taken for pumps: `benchmarks/news_spikes.py`.
"""

import itertools
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import accumulation, news_spikes
from benchmarks.report import Row, Table, show_tables
from detector.arrays import FloatMatrix, IntVector
from detector.evaluation.events import Alarm, Span, Truth
from detector.evaluation.intervals import share_interval
from detector.evaluation.matching import Outcome, Tally, match
from detector.evaluation.rules import RULES
from detector.evaluation.tapes import MarketTape
from detector.evaluation.truth import read_truth
from detector.explain_source import utc
from detector.features import FeatureParams, Features, Tape
from detector.patterns.pump_dump import PUMP_FEATURES, WINDOW_S, PumpDump, PumpDumpParams
from detector.runs import Runs
from shared.errors import TapewatchError

_CHUNK: Final = 25
_VENUE: Final = "binance"
_FOLDS: Final = 10
_TARGET: Final = 0.9
_THRESHOLDS: Final = tuple(np.arange(5.0, 8.6, 0.2).round(1).tolist())
_ROUNDS: Final = 5
_TERMS: Final = ("rise", "volume bought", "trades", "rush orders", "imbalance", "clock")


class Pumped(NamedTuple):
    """A recorded market with its pumps.

    Attributes:
        name: of the file.
        tape: what was traded.
        rows: n rows of features.
        clock_us: n event times.
        truths: labelled starts on the market.
    """

    name: str
    tape: MarketTape
    rows: FloatMatrix
    clock_us: IntVector
    truths: list[Truth]


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
    tallies = {params: _tallies(markets, params) for params in _variants(usual)}
    started_s = time.process_time()
    outcomes = _outcomes(markets, usual)
    trades = sum(len(market.rows) for market in markets)
    cost_us = (time.process_time() - started_s) / trades * 1e6
    whole = Tally.of_all([outcome.tally for outcome in outcomes])
    curve = [replace(usual, threshold=threshold) for threshold in _THRESHOLDS if threshold >= 6.0]
    tables = [
        Table(
            title=f"in sample, {whole.events} pumps in {len(markets)} recordings",
            rows=[
                _row("defaults", whole),
                Row(name="cost of the stage", values={"cpu_us_per_trade": cost_us}),
            ],
            note=f"missed: {', '.join(_missed(outcomes))}",
        ),
        Table(
            title=f"left out by coin, {_FOLDS} folds, {_ROUNDS} shuffles",
            rows=[
                _left_out(
                    "threshold chosen",
                    markets,
                    {params: found for params, found in tallies.items() if params.weights == usual.weights},
                ),
                _left_out("threshold and weights chosen", markets, tallies),
            ],
        ),
        Table(
            title="by threshold, in sample",
            rows=[_row(f"{params.threshold:.1f}", Tally.of_all(tallies[params])) for params in curve],
        ),
        Table(
            title=f"without one term, at the threshold with at most {_TARGET} false alarms, in sample",
            rows=[
                _row(f"without {name}", _without(markets, usual, term)) for term, name in enumerate(_TERMS)
            ],
        ),
        accumulation.table(markets),
        *news_spikes.tables(folder.parent, markets),
    ]
    show_tables("pumps", tables, write=write)


def _missed(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{truth.symbol} {utc(truth.start_us)[:16]}" for outcome in outcomes for truth in outcome.missed]


def _variants(usual: PumpDumpParams) -> list[PumpDumpParams]:
    """Return what `left out` chooses from: around the defaults, and coarse."""
    choices = itertools.product((1.0, 1.5), (1.0,), (0.5, 1.0), (0.3, 0.5, 1.0), (0.6,), (2.0, 2.5, 3.0))
    return [
        replace(usual, weights=weights, threshold=threshold)
        for weights in choices
        for threshold in _THRESHOLDS
    ]


def read_markets(folder: Path) -> list[Pumped]:
    """Return the recorded markets that have labels, with their features."""
    path = folder / "labels" / f"label_{_CHUNK}S.csv"
    truths = read_truth([path]) if path.exists() else []
    markets = []
    for recording in sorted((folder / "trades").glob("*.csv.zst")):
        sys.stderr.write(f"reading {recording.name}\n")
        symbol = f"{recording.name.partition('_')[0]}-BTC"
        of_market = [truth for truth in truths if truth.symbol == symbol]
        if of_market:
            markets.append(_market(recording, symbol, of_market))
    return markets


def _market(path: Path, symbol: str, truths: list[Truth]) -> Pumped:
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
    span = Span(int(clock_us[0]), int(clock_us[-1]) + 1)
    bought = np.where(tape.sells == 1, -tape.quantities, tape.quantities)
    traded = MarketTape(_VENUE, symbol, clock_us, tape.prices, bought, (span,))
    return Pumped(path.name.removesuffix(".csv.zst"), traded, rows, clock_us, truths)


def _outcomes(markets: Sequence[Pumped], params: PumpDumpParams) -> list[Outcome]:
    """Return what became of the pumps and of the alarms, file by file."""
    stage = PumpDump(params, features=PUMP_FEATURES)
    outcomes = []
    for slot, market in enumerate(markets):
        stage.open(slot, identity=market.name)
        running = stage.score_learn(Runs.single(slot, len(market.rows)), market.rows).eligible
        begins = np.flatnonzero(running & ~np.concatenate([[False], running[:-1]]))
        alarms = [
            Alarm(PumpDump.kind, _VENUE, market.tape.symbol, at_us)
            for at_us in market.clock_us[begins].tolist()
        ]
        outcomes.append(match(market.truths, alarms, [market.tape.watch], RULES[PumpDump.kind]))
    return outcomes


def _tallies(markets: Sequence[Pumped], params: PumpDumpParams) -> list[Tally]:
    return [outcome.tally for outcome in _outcomes(markets, params)]


def _without(markets: Sequence[Pumped], usual: PumpDumpParams, term: int) -> Tally:
    """Return the result without one term, at the lowest threshold that keeps false alarms at the target."""
    weights = tuple(0.0 if k == term else weight for k, weight in enumerate(usual.weights))
    results = (
        Tally.of_all(_tallies(markets, replace(usual, weights=weights, threshold=threshold)))
        for threshold in np.arange(3.0, 9.0, 0.2).round(1).tolist()
    )
    return next(result for result in results if result.false_per_30_days <= _TARGET)


def _left_out(name: str, markets: Sequence[Pumped], tallies: Mapping[PumpDumpParams, Sequence[Tally]]) -> Row:
    """Choose on nine tenths of the coins, score the last tenth; several shuffles are one result."""
    coins = np.array([market.tape.symbol for market in markets])
    scored: list[Tally] = []
    for number in range(_ROUNDS):
        order = np.random.default_rng(number).permutation(np.unique(coins))
        for fold in range(_FOLDS):
            is_left_out = np.isin(coins, order[fold::_FOLDS])
            known = {params: _chosen(of_files, ~is_left_out) for params, of_files in tallies.items()}
            fit = {params: one for params, one in known.items() if one.false_per_30_days <= _TARGET}
            best = max(fit, key=lambda params: (fit[params].recall, -fit[params].false_per_30_days))
            scored.append(_chosen(tallies[best], is_left_out))
    return _row(name, Tally.of_all(scored), with_interval=False)


def _chosen(tallies: Sequence[Tally], is_chosen: Collection[bool]) -> Tally:
    return Tally.of_all([tally for tally, is_one in zip(tallies, is_chosen, strict=True) if is_one])


def _row(name: str, result: Tally, *, with_interval: bool = True) -> Row:
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
