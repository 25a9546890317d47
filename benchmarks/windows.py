"""Sliding windows: ours beside pandas, polars, bottleneck and river, in the same run.

Accuracy: prices of N(100, 1), one trade a second, and one of 10^12 among them; how wrong is each library's
figure, at worst, once the spike has left the window? The truth is computed in rational numbers. Cost: CPU
time per trade for sum, mean, deviation, least and greatest of one window, on the same prices; and ours as the
engine uses it. Libraries that are not installed are left out.
"""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from benchmarks import pictures
from benchmarks.report import Row, Table, median_rows, show_tables
from detector.arrays import FloatVector
from detector.features import DEFAULT_WINDOWS_S, FeatureParams, Features, Tape, all_feature_names
from detector.runs import Runs
from shared.errors import TapewatchError
from shared.pictures import check_path
from shared.recordings import read

_START_US: Final = 1_760_054_400_000_000
_SECOND_US: Final = 1_000_000
_WINDOW: Final = 300
_FIGURES: Final = ("sum", "mean", "std", "min", "max")
_OURS: Final = ("notional_300s", "mean_300s", "std_300s", "low_300s", "high_300s")
_RUN: Final = 15
_CHECKED: Final = 200
_DRAWN_BATCHES: Final = 5

# Values in, one array per figure of `_FIGURES` out, each of the same length; NaN where there is none.
Job = Callable[[FloatVector], list[FloatVector]]


def run(*, trades: int, markets: int, rounds: int, plot: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        trades: of each series.
        markets: that ours is fed with at once, in runs of 15 trades.
        rounds: of every row; medians are shown.
        plot: picture to write, of a real market with one wrong price.
        write: Markdown file whose section is replaced by the result.

    Raises:
        TapewatchError: the picture cannot be drawn.
    """
    jobs = _jobs()
    if plot is not None:
        check_path(plot)
        _draw(jobs, plot)
    spiked = _prices(trades)
    spiked[trades // 10] = 1e12
    accuracy = [_accuracy(name, job, spiked) for name, job in jobs.items()]
    timed: dict[str, Callable[[], int]] = {
        name: partial(_one_series, job, _prices(trades)) for name, job in jobs.items()
    }
    for label, columns in _column_sets().items():
        timed[f"{label}, {markets} markets, {_RUN} trades each"] = _Batches(columns, trades, markets)
    measured = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        measured.append([_timed(name, work) for name, work in timed.items()])
    title = f"{trades:,} prices of N(100, 1) with one of 1e12: largest relative error after it has left"
    show_tables(
        "windows",
        [
            Table(title=title, rows=accuracy, note=f"window of {_WINDOW} trades, one a second"),
            Table(
                title=f"CPU per trade: {', '.join(_FIGURES)} of one window, and what the engine computes",
                rows=median_rows(measured),
                note="whole series at once unless said; river takes values one by one",
            ),
        ],
        write=write,
    )


def _jobs() -> dict[str, Job]:
    jobs: dict[str, Job] = {"tapewatch": _ours, "running sums (numpy)": _running_sums}
    peers = (("pandas", _pandas), ("polars", _polars), ("bottleneck", _bottleneck), ("river", _river))
    for name, peer in peers:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed and left out", file=sys.stderr)
            continue
        module = importlib.import_module(name)
        jobs[f"{name} {module.__version__}"] = partial(peer, module)
    return jobs


def _column_sets() -> dict[str, tuple[str, ...] | None]:
    return {
        "tapewatch, 9 features of 4 windows": None,
        "tapewatch, 20 features of 4 windows": all_feature_names(DEFAULT_WINDOWS_S),
    }


def _prices(count: int) -> FloatVector:
    return np.random.default_rng(1).normal(100.0, 1.0, count)


def _accuracy(name: str, job: Job, values: FloatVector) -> Row:
    """Compare a library with the truth at some places behind the spike."""
    figures = job(values)
    first = len(values) // 10 + _WINDOW + 1
    worst = dict.fromkeys(_FIGURES, 0.0)
    for i in np.linspace(first, len(values) - 1, _CHECKED).astype(int).tolist():
        for figure, got, exact in zip(
            _FIGURES, figures, _truth(values[i - _WINDOW + 1 : i + 1]), strict=True
        ):
            worst[figure] = float(np.fmax(worst[figure], abs(got[i] - exact) / abs(exact)))
    return Row(name=name, values=worst)


def _draw(jobs: Mapping[str, Job], path: Path) -> None:
    """Draw the error of each library's deviation on a real market with one wrong price."""
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data") / "binance-vision"
    recordings = sorted(folder.glob("*.zip"))
    if not recordings:
        raise TapewatchError(f"no {folder}; set REAL_DATA_DIR to where the recordings are")
    prices = [trade.price for batch in islice(read(recordings[:1]), _DRAWN_BATCHES) for trade in batch]
    values = np.array(prices, np.float64)
    spike = len(values) // 10
    values[spike] = 1e12
    places = np.arange(spike + _WINDOW, len(values), 50)
    truth = np.array([_truth(values[i - _WINDOW + 1 : i + 1])[_FIGURES.index("std")] for i in places])
    errors: dict[str, FloatVector] = {}
    for name, job in jobs.items():
        got = job(values)[_FIGURES.index("std")][places]
        errors[name] = np.abs(got - truth) / truth
    pictures.errors_after_spike(path, errors, (places - spike).astype(np.float64))


def _truth(window: FloatVector) -> tuple[float, ...]:
    exact = [Fraction(value) for value in window.tolist()]
    total = sum(exact, Fraction(0))
    mean = total / len(exact)
    variance = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1)
    return float(total), float(mean), float(variance) ** 0.5, float(min(exact)), float(max(exact))


def _timed(name: str, work: Callable[[], int]) -> Row:
    started_s = time.process_time()
    trades = work()
    return Row(name=name, values={"cpu_us_per_trade": (time.process_time() - started_s) / trades * 1e6})


def _one_series(job: Job, values: FloatVector) -> int:
    job(values)
    return len(values)


def _tape(prices: FloatVector, start: int) -> Tape:
    n = len(prices)
    times_us = _START_US + _SECOND_US * np.arange(start, start + n)
    return Tape(prices, np.ones(n), np.zeros(n, np.int64), times_us)


def _ours(values: FloatVector) -> list[FloatVector]:
    features = Features(FeatureParams(windows_s=(float(_WINDOW),), columns=_OURS))
    features.open(0, identity="")
    rows, _ = features.update(Runs.single(0, len(values)), _tape(values, 0))
    return list(rows.T)


class _Batches:
    """What the engine computes, fed as the engine feeds it: many markets at once, a few trades of each."""

    def __init__(self, columns: tuple[str, ...] | None, trades: int, markets: int) -> None:
        self._features = Features(FeatureParams(columns=columns))
        for slot in range(markets):
            self._features.open(slot, identity="")
        turns = max(1, trades // markets // _RUN)
        self._prices = _prices(turns * markets * _RUN).reshape(turns, -1)
        self._runs = Runs(np.arange(markets), np.arange(markets + 1) * _RUN)
        self._turn = 0
        self()

    def __call__(self) -> int:
        for prices in self._prices:
            one = _tape(prices[:_RUN], self._turn * _RUN)
            times_us = np.tile(one.times_us, len(prices) // _RUN)
            self._features.update(
                self._runs, Tape(prices, np.ones(len(prices)), np.zeros(len(prices), np.int64), times_us)
            )
            self._turn += 1
        return self._prices.size


def _running_sums(values: FloatVector) -> list[FloatVector]:
    """Do what is done by hand most often: add what comes, subtract what goes."""
    sums = np.cumsum(values)
    squares = np.cumsum(values * values)
    nothing = np.full(_WINDOW - 1, np.nan)
    total = np.concatenate([nothing, sums[_WINDOW - 1 :] - np.concatenate([[0.0], sums[:-_WINDOW]])])
    square = np.concatenate([nothing, squares[_WINDOW - 1 :] - np.concatenate([[0.0], squares[:-_WINDOW]])])
    mean = total / _WINDOW
    deviation = np.sqrt(np.maximum(square - mean * total, 0.0) / (_WINDOW - 1))
    views = np.lib.stride_tricks.sliding_window_view(values, _WINDOW)
    least, most = (np.concatenate([nothing, views.min(axis=1)]), np.concatenate([nothing, views.max(axis=1)]))
    return [total, mean, deviation, least, most]


def _pandas(pandas: ModuleType, values: FloatVector) -> list[FloatVector]:
    rolling = pandas.Series(values).rolling(_WINDOW)
    return [getattr(rolling, figure)().to_numpy() for figure in _FIGURES]


def _polars(polars: ModuleType, values: FloatVector) -> list[FloatVector]:
    series = polars.Series(values)
    return [getattr(series, f"rolling_{figure}")(_WINDOW).to_numpy() for figure in _FIGURES]


def _bottleneck(bottleneck: ModuleType, values: FloatVector) -> list[FloatVector]:
    total, mean, least, most = (
        getattr(bottleneck, f"move_{figure}")(values, _WINDOW) for figure in ("sum", "mean", "min", "max")
    )
    return [total, mean, bottleneck.move_std(values, _WINDOW, ddof=1), least, most]


def _river(river: ModuleType, values: FloatVector) -> list[FloatVector]:
    stats, utils = (importlib.import_module(f"{river.__name__}.{part}") for part in ("stats", "utils"))
    parts = [
        utils.Rolling(stats.Sum(), _WINDOW),
        utils.Rolling(stats.Mean(), _WINDOW),
        utils.Rolling(stats.Var(), _WINDOW),
        stats.RollingMin(_WINDOW),
        stats.RollingMax(_WINDOW),
    ]
    rows = np.empty((len(values), len(parts)))
    for i, value in enumerate(values.tolist()):
        for k, part in enumerate(parts):
            part.update(value)
            rows[i, k] = part.get()
    rows[:, 2] = np.sqrt(np.maximum(rows[:, 2], 0.0))
    return list(rows.T)
