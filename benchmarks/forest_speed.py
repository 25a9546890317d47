"""What the online forest costs per trade: in a long run, in the short runs of many markets, step by step."""

import time
from typing import Final

import numpy as np

from benchmarks.report import Row
from detector.arrays import FloatMatrix
from detector.features import FEATURES, FeatureParams, Features, Tape
from detector.online.forest import Forest, ForestParams
from detector.runs import Runs

_RUN: Final = 15
_FILL: Final = 2_500
_STEPS: Final = 5_000


def speed_rows(
    *, trades: int = 20_000, markets: tuple[int, ...] = (1, 33, 400), trees: int = 32
) -> list[Row]:
    """Measure one round; a caller interleaves rounds and takes medians (`report.median_rows`).

    Windows are full before the clock runs, and every trade is learned, and another forgotten: the most that a
    trade can cost.

    Args:
        trades: per row, at least.
        markets: rows of so many markets at once, in runs of 15 trades; 1: one run of all trades.
        trees: of each market's forest.
    """
    rows = [_batches(trades, count, trees) for count in markets]
    return [*rows, _single_steps(trees)]


def _features(count: int, seed: int) -> FloatMatrix:
    """Return features of a random market: bursts at one instant, heavy-tailed sizes, ten trades a second."""
    rng = np.random.default_rng(seed)
    tape = Tape(
        100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, count))),
        rng.lognormal(-1.0, 1.2, count),
        (rng.random(count) < 0.5).astype(np.int64),
        10**15
        + np.cumsum(np.where(rng.random(count) < 0.4, 0, rng.exponential(1.6e5, count))).astype(np.int64),
    )
    features = Features(FeatureParams())
    features.open(0, identity="")
    return features.update(Runs.single(0, count), tape)[0]


def _filled(markets: int, trees: int) -> Forest:
    forest = Forest(ForestParams(trees=trees, min_spacing_s=0.0, sees_outside=True), features=FEATURES)
    rows = _features(_FILL, 0)
    for slot in range(markets):
        forest.open(slot, identity=f"{slot}")
        forest.score_learn(Runs.single(slot, _FILL), rows)
    return forest


def _batches(trades: int, markets: int, trees: int) -> Row:
    forest = _filled(markets, trees)
    run = trades if markets == 1 else _RUN
    turns = max(1, trades // markets // run)
    runs = Runs(np.arange(markets), np.arange(markets + 1) * run)
    series = [_features(turns * run, seed) for seed in range(1, min(markets, 8) + 1)]
    batches = [
        np.concatenate([series[slot % len(series)][turn * run : (turn + 1) * run] for slot in range(markets)])
        for turn in range(turns)
    ]
    started_s = time.process_time()
    for batch in batches:
        forest.score_learn(runs, batch)
    spent_s = time.process_time() - started_s
    name = (
        f"{trees} trees, 1 market, one run"
        if markets == 1
        else f"{trees} trees, {markets} markets, runs of 15"
    )
    return Row(name=name, values={"cpu_us_per_trade": spent_s / sum(len(batch) for batch in batches) * 1e6})


def _single_steps(trees: int) -> Row:
    """Time calls with a single row, Python's part included."""
    forest = _filled(1, trees)
    rows = _features(_STEPS, 1)
    one = Runs.single(0, 1)
    spent_us = np.empty(_STEPS)
    for i in range(_STEPS):
        row = rows[i : i + 1]
        started_ns = time.perf_counter_ns()
        forest.score_learn(one, row)
        spent_us[i] = (time.perf_counter_ns() - started_ns) / 1e3
    p50, p99 = np.quantile(spent_us, [0.5, 0.99]).tolist()
    name = f"{trees} trees, calls with one row, Python included"
    return Row(name=name, values={"p50_us": p50, "p99_us": p99})
