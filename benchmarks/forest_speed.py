"""What forests cost: ours on a market's trades, and all that are compared on rows of labelled sets."""

import ctypes
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numba import njit

from benchmarks.forest_peers import Score
from benchmarks.labelled import LabelledSet
from benchmarks.report import Row, median_rows
from detector.arrays import FloatMatrix, IntVector
from detector.features import FEATURES, FeatureParams, Features, Tape
from detector.kernels.forest import Memory, Rules, Trees, score_learn
from detector.online.forest import Forest, ForestParams
from detector.runs import Runs

COST: Final = "cpu_us_per_row"
SPEED_NOTE: Final = (
    "Two thousand trades are remembered, so each trade is scored, learned, and another one forgotten. Single "
    "steps are timed within a compiled loop by the wall's clock, which other work on the machine lengthens."
)
_TREES: Final = 32
_TRADES: Final = 20_000
_MARKETS: Final = (1, 33, 400)
_RUN: Final = 15
_FILL: Final = 2_500
_STEPS: Final = 20_000
_MONOTONIC: Final = time.CLOCK_MONOTONIC

# Compiled code reads the clock by itself.
_read_clock = ctypes.CDLL(None).clock_gettime
_read_clock.argtypes = [ctypes.c_int, ctypes.c_void_p]
_read_clock.restype = ctypes.c_int


def say(line: str) -> None:
    """Tell how far the benchmark is."""
    print(line, file=sys.stderr, flush=True)


def cost_rows(
    scores: Mapping[str, Score | None], streams: Sequence[LabelledSet], *, rounds: int
) -> list[Row]:
    """Return what a row of the streams costs each detector; nothing for one that cannot be measured.

    Args:
        scores: by name.
        streams: all are read; the mean over them is shown, each with the median of its rounds.
        rounds: interleaved.
    """
    spent: dict[str, list[list[float]]] = {}
    failed: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for name, score in scores.items():
            if score is None or name in failed:
                continue
            say(f"cost, round {number} of {rounds}: {name}")
            try:
                spent.setdefault(name, []).append([_cost_us(score, stream) for stream in streams])
            except Exception as error:  # noqa: BLE001 - whatever another project's detector raises is its row
                failed[name] = f"{name}: failed, {type(error).__name__}: {error}"
    rows = []
    for name in scores:
        if name in failed or name not in spent:
            rows.append(Row(name=failed.get(name, name)))
            continue
        medians = [statistics.median(costs) for costs in zip(*spent[name], strict=True)]
        rows.append(Row(name=name, values={COST: statistics.fmean(medians)}))
    return rows


def _cost_us(score: Score, stream: LabelledSet) -> float:
    began_s = time.process_time()
    score(stream.rows, 1)
    return (time.process_time() - began_s) / len(stream.rows) * 1e6


def market_rows(*, rounds: int) -> list[Row]:
    """Return what a trade costs the detector's forest: in a long run, in short runs of many markets, alone.

    Windows are full before the clock runs, and every trade is learned, and another forgotten: the most that a
    trade can cost.

    Args:
        rounds: medians are shown.
    """
    measured = []
    for number in range(1, rounds + 1):
        say(f"the detector's forest, round {number} of {rounds}")
        measured.append([*(_batches(count) for count in _MARKETS), _single_steps()])
    return median_rows(measured)


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


def _filled(markets: int) -> Forest:
    forest = Forest(ForestParams(trees=_TREES, min_spacing_s=0.0, sees_outside=True), features=FEATURES)
    rows = _features(_FILL, 0)
    for slot in range(markets):
        forest.open(slot, identity=f"{slot}")
        forest.score_learn(Runs.single(slot, _FILL), rows)
    return forest


def _batches(markets: int) -> Row:
    """Time rows of so many markets at once, in runs of 15 trades; of one market, all in one run."""
    forest = _filled(markets)
    run = _TRADES if markets == 1 else _RUN
    turns = max(1, _TRADES // markets // run)
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
    what = "1 market, one run" if markets == 1 else f"{markets} markets, runs of {_RUN}"
    cost_us = spent_s / sum(len(batch) for batch in batches) * 1e6
    return Row(name=f"{_TREES} trees, {what}", values={"cpu_us_per_trade": cost_us})


def _timed(
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    points: FloatMatrix,
    memory: Memory,
    trees: Trees,
    rules: Rules,
    spent_ns: IntVector,
) -> None:
    """Time the kernel row by row."""
    now = np.zeros(2, np.int64)
    wanted, scores, shares = np.zeros(1, np.bool_), np.zeros(1), np.zeros((1, points.shape[1]))
    for i in range(rows.shape[0]):
        _read_clock(_MONOTONIC, now.ctypes)
        started_ns = now[0] * 1_000_000_000 + now[1]
        score_learn(
            slots, starts, rows[i : i + 1], points[i : i + 1], wanted, memory, trees, rules, scores, shares
        )
        _read_clock(_MONOTONIC, now.ctypes)
        spent_ns[i] = now[0] * 1_000_000_000 + now[1] - started_ns


# The types of numba's decorator are too narrow for what it returns.
_timed_compiled: Any = njit(_timed)


def _single_steps() -> Row:
    """Time single rows, without Python around them; the clock's own time is in it."""
    forest = _filled(1)
    rows = _features(_STEPS, 0)
    spent_ns = np.zeros(_STEPS, np.int64)
    memory, trees, rules = forest._memory, forest._trees, forest._rules  # noqa: SLF001 - nobody else looks in there
    points = forest._gather(rows)  # noqa: SLF001 - as above
    _timed_compiled(*Runs.single(0, 1), rows[:1], points[:1], memory, trees, rules, spent_ns)
    _timed_compiled(*Runs.single(0, 1), rows[1:], points[1:], memory, trees, rules, spent_ns[1:])
    p50, p99 = (np.quantile(spent_ns[1:], [0.5, 0.99]) / 1e3).tolist()
    return Row(name=f"{_TREES} trees, 1 market, single steps", values={"p50_us": p50, "p99_us": p99})
