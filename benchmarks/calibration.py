"""Is a rarity what it says? Nominal against observed rates, alerts a day, recovery from a crash, and cost.

Observed are episodes: a minute without a score as rare ends one. Calm are the two days of BTCUSDC, the crash
day until 20:30, and the markets of pumps until a day before the announcement, real events included.
"""

import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import calibration_rivals as rivals
from benchmarks import pictures
from benchmarks.report import Row, Table, show_tables
from detector.arrays import BoolVector, FloatVector, IntVector
from detector.budget import AVERAGE_SHARE, LARGEST_THRESHOLD
from detector.calibration import CalibrationParams, Calibrator
from detector.features import Tape
from detector.kernels import rarity as kernel
from detector.online.protocol import Scale
from detector.params import EngineParams, make_detectors, make_features
from detector.runs import Runs
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError
from shared.pictures import check_path

_PARAMS: Final = EngineParams(enabled=("zscore", "forest", "whale"))
_NOMINAL: Final = (1e-3, 1e-4, 1e-5, 1e-6)
_LEVELS: Final = np.geomspace(1e-3, 1e-6, 19)
_FEWEST: Final = 5
_QUIET_US: Final = 60 * MICROSECONDS_PER_SECOND
_BUDGET: Final = 5.0
_CRASH_DAY: Final = datetime(2025, 10, 10, tzinfo=UTC)
_CHUNK: Final = 4_000
_RIVALS: Final = {"SPOT": rivals.spot, "DSPOT": rivals.dspot, "empirical quantile": rivals.empirical}


class _Market(NamedTuple):
    """A recording: its group, its event times, its calm part, and the scores of each detector."""

    name: str
    group: str
    clock_us: IntVector
    calm: int
    scores: dict[str, FloatVector]


def run(*, pumps: int, samples: int, plot: Path | None, plot_tail: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        pumps: markets of the pump recordings.
        samples: independent scores of each known tail.
        plot: picture to write, of observed against nominal rates.
        plot_tail: picture to write, of the tail of one market's z-scores.
        write: Markdown file whose section is replaced.

    Raises:
        TapewatchError: there are no recordings.
    """
    folder = Path(os.environ.get("REAL_DATA_DIR") or "../shared/data")
    if not folder.is_dir():
        raise TapewatchError(f"no {folder}; set REAL_DATA_DIR to where the recordings are")
    for picture in filter(None, (plot, plot_tail)):
        check_path(picture)
    markets = list(_markets(folder, pumps=pumps))
    pooled: dict[str, FloatVector] = {}
    rarities = {(m.name, d): _calibrated(m, d) for m in markets for d in m.scores}
    tables = [
        Table(
            title="observed over nominal rate of episodes, calm data",
            rows=list(_rates(markets, rarities)),
            note="In brackets of the name: trades. 1 is honest; n is the number of episodes seen.",
        ),
        Table(
            title="the same by other rules, all calm data, z-score, forest and whale pooled",
            rows=list(_alternatives(markets, rarities, pooled)),
        ),
        Table(
            title="observed over nominal rate, independent scores of known tails", rows=list(_known(samples))
        ),
        Table(
            title=f"episodes a day at a budget of {_BUDGET:g}, calm data, without absolute floors",
            rows=list(_alerts(markets, rarities)),
        ),
        Table(
            title="crash of 2025-10-10: score that is as rare as 1 in 1,000, and episodes at the budget",
            rows=list(_recovery(markets, rarities)),
        ),
        Table(title="cost", rows=[_cost(markets[0])]),
    ]
    if plot is not None:
        title = "calm data of all recordings; z-score, forest and whale pooled"
        pictures.rates(plot, _LEVELS, pooled, title=title)
    if plot_tail is not None:
        _draw_tail(next(m for m in reversed(markets) if m.group == "BTCUSDC"), plot_tail)
    show_tables("calibration", tables, write=write)


def _markets(folder: Path, *, pumps: int) -> Iterator[_Market]:
    for path in sorted(folder.glob("binance-vision/*.zip")):
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
            table = pd.read_csv(raw, header=None)
        yield _scored(path.stem, "BTCUSDC", table[5], table[1], table[2], table[6].astype(str) == "True")
    for path in sorted(folder.glob("crash-2025-10-10/*.csv.gz")):
        table = pd.read_csv(path)
        name = path.name.removesuffix(".csv.gz")
        group = "crash day, Binance" if "binance" in name else "crash day, others"
        ends = _CRASH_DAY + timedelta(hours=20.5)
        yield _scored(name, group, table.timestamp, table.price, table.amount, table.side == "sell", ends)
    for path in sorted(folder.glob("pumps/trades/*.csv.zst"))[:pumps]:
        table = pd.read_csv(path)
        stamp = path.name.removesuffix(".csv.zst").split("_", 1)[1]
        ends = datetime.strptime(stamp, "%Y-%m-%d_%H.%M").replace(tzinfo=UTC) - timedelta(days=1)
        times, is_sale = table.timestamp * 1_000, table.side == "sell"
        yield _scored(path.stem, "pump markets", times, table.price, table.amount, is_sale, ends)


def _scored(
    name: str,
    group: str,
    times_us: "pd.Series[int]",
    prices: "pd.Series[float]",
    quantities: "pd.Series[float]",
    sells: "pd.Series[bool]",
    calm_until: datetime | None = None,
) -> _Market:
    sys.stderr.write(f"scoring {name}\n")
    order = np.argsort(times_us.to_numpy(np.int64), kind="stable")
    tape = Tape(
        np.array(prices, np.float64)[order],
        np.array(quantities, np.float64)[order],
        np.array(sells, np.int64)[order],
        np.array(times_us, np.int64)[order],
    )
    features = make_features(_PARAMS)
    detectors = make_detectors(_PARAMS, features=features.names)
    for stage in (features, *detectors.values()):
        stage.open(0, identity=name)
    clock_us = np.empty(len(order), np.int64)
    scores = {detector: np.empty(len(order), np.float64) for detector in detectors}
    for start in range(0, len(order), _CHUNK):
        part = slice(start, start + _CHUNK)
        runs = Runs.single(0, len(order[part]))
        rows, clock_us[part] = features.update(runs, tape.part(start, start + _CHUNK))
        for detector, stage in detectors.items():
            scores[detector][part] = stage.score_learn(runs, rows).scores
    end_us = MICROSECONDS_PER_SECOND * calm_until.timestamp() if calm_until else np.inf
    return _Market(name, group, clock_us, int((clock_us < end_us).sum()), scores)


def _scale(detector: str) -> Scale:
    return "unit" if detector == "forest" else "log"


def _calibrated(market: _Market, detector: str) -> FloatVector:
    calibrator = Calibrator(CalibrationParams(), scale=_scale(detector))
    calibrator.open(0, identity="")
    runs = Runs.single(0, len(market.clock_us))
    return calibrator.calibrate(runs, market.scores[detector], market.clock_us).rarities


def _opened(clock_us: IntVector, rare: BoolVector) -> IntVector:
    """Return the rows at which episodes begin."""
    rows = np.flatnonzero(rare)
    opened: IntVector = rows[np.diff(clock_us[rows], prepend=-_QUIET_US) > _QUIET_US]
    return opened


_Rarities = dict[tuple[str, str], FloatVector]


def _rates(markets: list[_Market], rarities: _Rarities) -> Iterator[Row]:
    for detector in markets[0].scores:
        for group in dict.fromkeys(market.group for market in markets):
            members = [market for market in markets if market.group == group]
            calm = [(m.clock_us[: m.calm], rarities[m.name, detector][: m.calm]) for m in members]
            yield _rate(f"{detector}, {group}", calm)


def _rate(name: str, streams: list[tuple[IntVector, FloatVector]]) -> Row:
    trades = sum(int(np.isfinite(rarities).sum()) for _, rarities in streams)
    values: dict[str, float] = {}
    for nominal in _NOMINAL:
        count = sum(len(_opened(clock_us, rarities <= nominal)) for clock_us, rarities in streams)
        values |= {f"{nominal:g}": count / trades / nominal, f"n {nominal:g}": count}
    return Row(name=f"{name} ({trades:,})", values=values)


def _alternatives(
    markets: list[_Market], rarities: _Rarities, pooled: dict[str, FloatVector]
) -> Iterator[Row]:
    """Yield a row per rule, and put its observed rates at `_LEVELS` into `pooled`."""
    pairs = [(market, detector) for market in markets for detector in market.scores]
    ours = [(m.clock_us[: m.calm], rarities[m.name, d][: m.calm]) for m, d in pairs]
    pooled["ours"] = _observed(ours)
    yield _rate("ours", ours)
    for name, rule in _RIVALS.items():
        sys.stderr.write(f"{name}\n")
        streams = [_by(rule, market, detector) for market, detector in pairs]
        pooled[name] = _observed(streams)
        yield _rate(name, streams)


def _observed(streams: list[tuple[IntVector, FloatVector]]) -> FloatVector:
    """Return episodes per trade at each of `_LEVELS`; NaN where they are too few to tell."""
    trades = sum(int(np.isfinite(rarities).sum()) for _, rarities in streams)
    counts = np.array(
        [
            sum(len(_opened(clock_us, rarities <= level)) for clock_us, rarities in streams)
            for level in _LEVELS
        ],
        np.float64,
    )
    counts[counts < _FEWEST] = np.nan
    return counts / trades


def _by(
    rule: Callable[[FloatVector], FloatVector], market: _Market, detector: str
) -> tuple[IntVector, FloatVector]:
    scores = market.scores[detector][: market.calm]
    known = np.isfinite(scores)
    return market.clock_us[: market.calm][known], rule(np.ascontiguousarray(scores[known]))


def _known(samples: int) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    tails: dict[str, tuple[Scale, FloatVector]] = {
        "exponential": ("log", rng.standard_exponential(samples)),
        "Pareto, index 2": ("log", 1.0 + rng.pareto(2.0, samples)),
        "Gaussian": ("log", np.abs(rng.standard_normal(samples))),
        "beta(2, 8)": ("unit", rng.beta(2.0, 8.0, samples)),
    }
    clock_us = 10**15 + np.arange(samples) * MICROSECONDS_PER_SECOND // 5
    for name, (scale, scores) in tails.items():
        sys.stderr.write(f"{name}\n")
        calibrator = Calibrator(CalibrationParams(), scale=scale)
        calibrator.open(0, identity="")
        found = calibrator.calibrate(Runs.single(0, samples), scores, clock_us).rarities
        values = {f"{q:g}": float((found <= q).mean()) / q for q in (*_NOMINAL[1:], 1e-8)}
        yield Row(name=name, values=values)


def _alerts(markets: list[_Market], rarities: _Rarities) -> Iterator[Row]:
    for detector in markets[0].scores:
        for group in dict.fromkeys(market.group for market in markets):
            days: list[int] = []
            for market in (market for market in markets if market.group == group):
                clock_us = market.clock_us[: market.calm]
                length = (clock_us[-1] - clock_us[0]) / MICROSECONDS_PER_DAY
                threshold = min(AVERAGE_SHARE * _BUDGET * length / market.calm, LARGEST_THRESHOLD)
                opened = _opened(clock_us, rarities[market.name, detector][: market.calm] <= threshold)
                of_day = (clock_us[opened] - clock_us[0]) // MICROSECONDS_PER_DAY
                days += np.bincount(of_day, minlength=max(1, int(length + 0.5))).tolist()
            counts = np.array(days)
            values = {
                "days": len(days),
                "mean": float(counts.mean()),
                "most": int(counts.max()),
                "share over budget": float((counts > _BUDGET).mean()),
            }
            yield Row(name=f"{detector}, {group}", values=values)


def _recovery(markets: list[_Market], rarities: _Rarities) -> Iterator[Row]:
    start_us = int(_CRASH_DAY.timestamp()) * MICROSECONDS_PER_SECOND
    for market in (market for market in markets if market.group == "crash day, Binance"):
        threshold = AVERAGE_SHARE * _BUDGET * (20.5 / 24.0) / market.calm
        for detector, scores in market.scores.items():
            found = rarities[market.name, detector]
            values: dict[str, float] = {}
            for begin, end in ((18.5, 20.5), (20.5, 22.0), (22.0, 23.0), (23.0, 24.0)):
                hours = (market.clock_us - start_us) / 3.6e9
                part = (hours >= begin) & (hours < end) & np.isfinite(found)
                usual = scores[part & (found > 1e-3)]
                values[f"score, {begin:g} to {end:g} h"] = float(usual.max()) if usual.size else np.nan
                values[f"n, {begin:g} to {end:g} h"] = len(
                    _opened(market.clock_us, part & (found <= threshold))
                )
            yield Row(name=f"{market.name.split('_')[-1]}, {detector}", values=values)


def _cost(market: _Market) -> Row:
    """Return CPU time per score, in batches of 500, and that of the slowest batch."""
    scores, clock_us = market.scores["zscore"], market.clock_us
    best = np.full(-(-len(scores) // 500), np.inf)
    for _ in range(5):
        calibrator = Calibrator(CalibrationParams(), scale="log")
        calibrator.open(0, identity="")
        for number in range(len(best)):
            part = slice(number * 500, number * 500 + 500)
            runs = Runs.single(0, len(scores[part]))
            began_ns = time.perf_counter_ns()
            calibrator.calibrate(runs, scores[part], clock_us[part])
            best[number] = min(best[number], time.perf_counter_ns() - began_ns)
    values = {"us_per_score": best.sum() / len(scores) / 1e3, "slowest_batch_us": best.max() / 1e3}
    return Row(name="z-score, one market, batches of 500, best of 5", values=values)


def _draw_tail(market: _Market, path: Path) -> None:
    """Draw how often z-scores are reached after the whole of a market: trades, episodes, and the fit."""
    found, clock_us = market.scores["zscore"], market.clock_us
    calibrator = Calibrator(CalibrationParams(), scale="log")
    calibrator.open(0, identity="")
    calibrator.calibrate(Runs.single(0, len(found)), found, clock_us)
    state = calibrator.state(0)
    fit, ends, counts = (np.asarray(state[key]) for key in ("fit", "table_ends", "table_counts"))
    table = np.zeros(kernel.BINS + 1, np.float32)
    table[: ends[-1] + 1] = np.repeat(counts, np.diff(ends, prepend=-1))
    scores = np.geomspace(2.5, 2.0 * np.nanmax(found), 300)
    places = [kernel.position(score, True) for score in scores.tolist()]
    known = np.sort(found[np.isfinite(found)])
    trades = 1.0 - np.searchsorted(known, scores) / len(known)
    episodes = np.array([table[int(at)] for at in places]) / fit[kernel.TRADES]
    curves = {
        "trades (share of all)": np.where(trades > 0, trades, np.nan),
        "episodes counted": np.where(episodes > 0, episodes, np.nan),
        "rarity: counted, then the fitted tail": np.array([kernel.rarity(at, table, fit) for at in places]),
    }
    level = float(scores[np.searchsorted(places, fit[kernel.LEVEL])])
    title = f"{market.name}: how often a z-score is reached"
    pictures.tail(path, scores, curves, level=level, title=title)
