"""How well detectors rank anomalies in labelled streams, and what a row costs them.

Every row is scored before it is learned, in a random order (five seeds) and in the order of the file; a score
that is missing while warming up counts as the lowest. All have their defaults for all sets.
"""

import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.forest_peers import Score, peers
from benchmarks.labelled import LabelledSet, Order, average_precision, labelled_sets, roc_auc
from benchmarks.report import Row, Table, show_tables
from detector.kernels import forest as forest_kernel
from detector.kernels.random import seeds as tree_seeds
from detector.kernels.vectors import LANES
from detector.online.ensemble import EnsembleParams, StreamEnsemble
from detector.online.ensemble_model import PARTS
from detector.runs import Runs
from shared.pictures import check_path

_QUICK_ROWS: Final = 2_000
_QUICK_SEEDS: Final = 2
_ORDERS: Final[tuple[Order, ...]] = ("random", "file")
_DEFAULT: Final = "ours: ensemble, default"


class Result(NamedTuple):
    """One detector on one stream.

    Attributes:
        set_name: of the labelled set.
        order: of its rows.
        seed: of the order and of the detector.
        auc: area under the ROC curve.
        precision: average precision.
        cpu_us: per row, score and learn.
    """

    set_name: str
    order: Order
    seed: int
    auc: float
    precision: float
    cpu_us: float


def run(*, data: Path, rows: int, seeds: int, quick: bool, plot: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        data: folder with the labelled sets.
        rows: at most so many of a set are used, except for the whole files of the last table.
        seeds: random orders, and seeds of the detectors.
        quick: fewer of both, for a first look.
        plot: picture to write, of accuracy against cost.
        write: Markdown file whose section is replaced.
    """
    if plot is not None:
        check_path(plot)
    rows, seeds = (min(rows, _QUICK_ROWS), min(seeds, _QUICK_SEEDS)) if quick else (rows, seeds)
    sets = list(labelled_sets(data))
    others = {**_ours(), **dict(peers()), "random scores (null)": _null}
    _compile()
    compared = {name: _measured(name, score, sets, rows, seeds) for name, score in others.items()}
    ablated = {name: _measured(name, score, sets, rows, seeds) for name, score in _ablations().items()}
    whole = [
        _result(_ensemble(EnsembleParams()), each, order, seed, rows if quick else None)
        for each in sets
        for order in _ORDERS
        for seed in range(1, seeds + 1)
    ]
    names = ", ".join(each.name for each in sets)
    tables = [
        Table(title=f"detectors, at most {rows:,} rows of each of {names}", rows=_rows(compared), note=_NOTE),
        Table(title="what each part of the ensemble gives", rows=_rows(ablated), note=_ABLATION_NOTE),
        Table(title="the ensemble on whole sets", rows=_set_rows(sets, whole), note=_SET_NOTE),
    ]
    if plot is not None:
        across = ("cpu_us_per_row", "CPU per row, score and learn, in microseconds")
        up = ("auc_random", "mean ROC AUC, random order")
        pictures.scatter(plot, tables[0].rows, across=across, up=up, title="accuracy against cost")
    show_tables("forest", tables, write=write)


_NOTE: Final = (
    "Means over the sets (those thinned to no anomaly at all are left out); auc_sd is the standard deviation "
    "over the seeds of that mean. The windowed forest of the paper has no score in its first 2,048 rows."
)
_ABLATION_NOTE: Final = "Each line is the default with one change."
_SET_NOTE: Final = "Means over the seeds, with the worst and the best of them."


def _ensemble(params: EnsembleParams) -> Score:
    def score(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
        return StreamEnsemble(replace(params, seed=seed), columns=rows.shape[1]).score_learn(rows)

    return score


def _ours() -> dict[str, Score]:
    return {
        _DEFAULT: _ensemble(EnsembleParams()),
        "ours: Online Isolation Forest of the paper, 32 trees": _paper_forest(max_leaf=32),
        "ours: the same, leaf size 16": _paper_forest(max_leaf=16),
        "ours: the same, leaf size 16, sees outside": _paper_forest(max_leaf=16, sees_outside=True),
    }


def _ablations() -> dict[str, Score]:
    params = EnsembleParams()
    changes: dict[str, EnsembleParams] = {
        "default": params,
        **{f"without {part}": replace(params, parts=tuple(p for p in PARTS if p != part)) for part in PARTS},
        **{f"only {part}": replace(params, parts=(part,)) for part in PARTS},
        "bursts are learned like all else": replace(params, spares_bursts=False),
        "128 trees": replace(params, trees=128),
        "memory of 512 rows": replace(params, memory_rows=512),
    }
    return {name: _ensemble(changed) for name, changed in changes.items()}


def _paper_forest(
    *, max_leaf: int, sees_outside: bool = False, window: int = 2_048, trees: int = 32
) -> Score:
    """Return the market's forest for rows of any columns: no spacing, no shaping."""
    depth = int(np.ceil(np.log((window + 1) / max_leaf) / np.log(4)))

    def score(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
        columns = rows.shape[1]
        lanes = -(-2 * columns // LANES) * LANES
        planted = forest_kernel.Trees(
            values=np.full((1, trees, 2**depth - 1), np.inf, np.float32),
            columns=np.zeros((1, trees, 2**depth - 1), np.uint16),
            counts=np.zeros((1, trees, 2 ** (depth + 1) - 1), np.int32),
            depths=np.zeros((1, trees, 2**depth), np.int8),
            boxes=np.zeros((1, trees, 2**depth, lanes), np.float32),
            rng=tree_seeds(seed, "benchmark", count=trees)[None],
        )
        planted.boxes[:, :, :, : 2 * columns] = -np.inf
        memory = forest_kernel.Memory(
            window=np.zeros((1, window, columns), np.float32),
            taken=np.zeros(1, np.int64),
            since_s=np.zeros(1),
        )
        depth_of = 0.5 * np.log2(np.maximum(np.arange(2 * window + 1) / max_leaf, 1.0))
        rules = forest_kernel.Rules(
            max_leaf=max_leaf, sees_outside=sees_outside, spacing_s=0.0, time_column=0, depth_of=depth_of
        )
        scores, shares = np.empty(len(rows)), np.empty(rows.shape)
        wanted = np.zeros(len(rows), np.bool_)
        clock = np.ones((len(rows), 1))
        forest_kernel.score_learn(
            *Runs.single(0, len(rows)),
            clock,
            rows,
            wanted,
            memory,
            planted,
            np.zeros((1, trees, 2**depth)),
            rules,
            scores,
            shares,
        )
        return scores

    return score


def _null(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(len(rows))


def _compile() -> None:
    rows = np.random.default_rng(0).normal(size=(3_000, 3))
    for score in (*_ours().values(), *_ablations().values()):
        score(rows, 1)


def _measured(name: str, score: Score, sets: Iterable[LabelledSet], rows: int, seeds: int) -> list[Result]:
    results = []
    for seed in range(1, seeds + 1):
        print(f"{name}: seed {seed} of {seeds}", file=sys.stderr)
        for each in sets:
            results += [_result(score, each, order, seed, rows) for order in _ORDERS]
    return results


def _result(score: Score, each: LabelledSet, order: Order, seed: int, rows: int | None) -> Result:
    stream = each.stream(order, seed=seed, most_rows=rows)
    began_s = time.process_time()
    scores = score(stream.rows, seed)
    cpu_us = (time.process_time() - began_s) / len(stream.rows) * 1e6
    truth = stream.is_anomaly
    return Result(each.name, order, seed, roc_auc(truth, scores), average_precision(truth, scores), cpu_us)


def _mean(results: Iterable[Result], order: Order, figure: str) -> float:
    figures = [float(getattr(each, figure)) for each in results if each.order == order]
    return float(np.nanmean(figures))


def _rows(measured: Mapping[str, list[Result]]) -> list[Row]:
    rows = []
    for name, results in measured.items():
        by_seed = [
            _mean([r for r in results if r.seed == seed], "random", "auc")
            for seed in {r.seed for r in results}
        ]
        fastest = {r.set_name: min(x.cpu_us for x in results if x.set_name == r.set_name) for r in results}
        values = {
            "auc_random": _mean(results, "random", "auc"),
            "auc_sd": float(np.std(by_seed)),
            "precision_random": _mean(results, "random", "precision"),
            "auc_file": _mean(results, "file", "auc"),
            "precision_file": _mean(results, "file", "precision"),
            "cpu_us_per_row": statistics.fmean(fastest.values()),
        }
        rows.append(Row(name=name, values=values))
    return rows


def _set_rows(sets: Iterable[LabelledSet], whole: list[Result]) -> list[Row]:
    rows = []
    for each in sets:
        mine = [result for result in whole if result.set_name == each.name]
        values = {"rows": float(len(each.rows)), "columns": float(each.rows.shape[1])}
        for order in _ORDERS:
            aucs = [result.auc for result in mine if result.order == order]
            values |= {
                f"auc_{order}": statistics.fmean(aucs),
                f"{order}_worst": min(aucs),
                f"{order}_best": max(aucs),
            }
        values["cpu_us_per_row"] = min(result.cpu_us for result in mine)
        rows.append(Row(name=each.name, values=values))
    means = {
        key: statistics.fmean(row.values[key] for row in rows)
        for key in rows[0].values
        if key not in {"rows", "columns"}
    }
    return [*rows, Row(name="mean", values=means)]
