"""How well detectors rank anomalies in labelled streams, and what a row costs them (`forest_speed.py`).

Every row is scored before it is learned, in a random order (five seeds) and in the order of the file; a score
that is missing while warming up counts as the lowest. All have their defaults for all sets.
"""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.forest_peers import Score, peers
from benchmarks.forest_speed import COST, SPEED_NOTE, cost_rows, market_rows, say
from benchmarks.labelled import LabelledSet, Order, average_precision, labelled_sets, roc_auc
from benchmarks.report import Row, Table, show_tables
from detector.arrays import resized
from detector.kernels import forest as forest_kernel
from detector.kernels.random import seeds as tree_seeds
from detector.online.ensemble import EnsembleParams, StreamEnsemble
from detector.online.ensemble_model import PARTS
from detector.runs import Runs
from shared.errors import TapewatchError
from shared.pictures import check_path

_QUICK_ROWS: Final = 2_000
_QUICK_SEEDS: Final = 2
_SPEED_ROWS: Final = 3_000
_SPEED_ROUNDS: Final = 3
_ORDERS: Final[tuple[Order, ...]] = ("random", "file")
# Like the authors' code, which scores from the beginning; below twice a leaf's size no score says anything.
_FIRST_SCORED: Final = 64
_DEFAULT: Final = "ours: ensemble, default"


class Result(NamedTuple):
    """One detector on one stream.

    Attributes:
        set_name: of the labelled set.
        order: of its rows.
        seed: of the order and of the detector.
        auc: area under the ROC curve.
        precision: average precision.
    """

    set_name: str
    order: Order
    seed: int
    auc: float
    precision: float


def run(
    *,
    data: Path,
    rows: int,
    seeds: int,
    quick: bool,
    speed_only: bool,
    plot: Path | None,
    write: Path | None,
) -> None:
    """Measure and print: what a row costs, and unless only that is asked for, how well anomalies are found.

    Args:
        data: folder with the labelled sets.
        rows: at most so many of a set are used, except for the whole files of the last table.
        seeds: random orders, and seeds of the detectors.
        quick: fewer of both, for a first look.
        speed_only: leaves out accuracy, which takes most of the time.
        plot: picture to write, of accuracy against cost.
        write: Markdown file whose sections `forest-speed` and `forest` are replaced.

    Raises:
        TapewatchError: a picture of accuracy is asked for, but not accuracy.
    """
    if plot is not None:
        if speed_only:
            raise TapewatchError("the picture shows accuracy, which --speed-only leaves out")
        check_path(plot)
    rows, seeds = (min(rows, _QUICK_ROWS), min(seeds, _QUICK_SEEDS)) if quick else (rows, seeds)
    sets = list(labelled_sets(data))
    compared = {**_ours(), **{peer.name: peer.score for peer in peers()}, "random scores (null)": _null}
    _compile()
    streams = [each.stream("random", seed=1, most_rows=_SPEED_ROWS) for each in sets]
    costs = cost_rows(compared, streams, rounds=1 if quick else _SPEED_ROUNDS)
    market = market_rows(rounds=1 if quick else _SPEED_ROUNDS)
    about = f"at most {_SPEED_ROWS:,} rows of each set, one by one in Python where a peer knows no other way"
    show_tables(
        "forest-speed",
        [
            Table(
                title="the detector's forest, windows full, every trade learned", rows=market, note=SPEED_NOTE
            ),
            Table(title=f"CPU per row, score and learn, {about}", rows=costs),
        ],
        write=write,
    )
    if not speed_only:
        _show_accuracy(sets, compared, costs, rows=rows, seeds=seeds, is_quick=quick, plot=plot, write=write)


def _show_accuracy(
    sets: Sequence[LabelledSet],
    compared: Mapping[str, Score | None],
    costs: Sequence[Row],
    *,
    rows: int,
    seeds: int,
    is_quick: bool,
    plot: Path | None,
    write: Path | None,
) -> None:
    measured = _measured(compared, sets, rows=rows, seeds=seeds)
    ablated = _measured(_ablations(), sets, rows=rows, seeds=seeds)
    whole = []
    for each in sets:
        say(f"whole {each.name}: {len(each.rows):,} rows")
        whole += [
            _result(_ensemble(EnsembleParams()), each, order, seed, rows if is_quick else None)
            for order in _ORDERS
            for seed in range(1, seeds + 1)
        ]
    names = ", ".join(each.name for each in sets)
    tables = [
        Table(title=f"detectors, at most {rows:,} rows of each of {names}", rows=_rows(measured), note=_NOTE),
        Table(title="what each part of the ensemble gives", rows=_rows(ablated), note=_ABLATION_NOTE),
        Table(title="the ensemble on whole sets", rows=_set_rows(sets, whole), note=_SET_NOTE),
    ]
    if plot is not None:
        _draw(plot, tables[0].rows, costs)
    show_tables("forest", tables, write=write)


def _draw(plot: Path, accuracies: Sequence[Row], costs: Sequence[Row]) -> None:
    by_name = {row.name: row.values for row in costs}
    points = [
        Row(name=row.name, values={**row.values, **by_name[row.name]})
        for row in accuracies
        if row.values and by_name.get(row.name)
    ]
    across = (COST, "CPU per row, score and learn, in microseconds")
    up = ("auc_random", "mean ROC AUC, random order")
    pictures.scatter(plot, points, across=across, up=up, title="accuracy against cost")


_NOTE: Final = (
    "Means over the sets (those thinned to no anomaly at all are left out); auc_sd is the standard deviation "
    "over the seeds of that mean. The forest of the paper scores from its 64th row on, as its authors' does; "
    "in the pipeline it waits until its window is full."
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
        planted = forest_kernel.no_trees(trees=trees, max_depth=depth, columns=columns)
        planted = forest_kernel.Trees._make(resized(array, 0) for array in planted)
        forest_kernel.plant(planted, 0, columns=columns, rng=tree_seeds(seed, "benchmark", count=trees))
        memory = forest_kernel.Memory(
            window=np.zeros((1, window, columns), np.float32),
            taken=np.zeros(1, np.int64),
            since_s=np.zeros(1),
        )
        rules = forest_kernel.make_rules(
            window=window,
            max_leaf=max_leaf,
            max_depth=depth,
            sees_outside=sees_outside,
            spacing_s=0.0,
            scored_from=_FIRST_SCORED,
            time_column=0,
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


def _measured(
    scores: Mapping[str, Score | None], sets: Sequence[LabelledSet], *, rows: int, seeds: int
) -> dict[str, list[Result]]:
    """Return the results by detector; none of one that cannot be measured, with the reason in its name."""
    measured: dict[str, list[Result]] = {}
    for place, (name, score) in enumerate(scores.items(), 1):
        label, results = name, []
        began_s = time.monotonic()
        try:
            for seed in range(1, seeds + 1):
                if score is None:
                    break
                say(f"{place} of {len(scores)}, {name}: seed {seed} of {seeds}")
                results += [_result(score, each, order, seed, rows) for each in sets for order in _ORDERS]
        except Exception as error:  # noqa: BLE001 - whatever another project's detector raises is its row
            label, results = f"{name}: failed, {type(error).__name__}: {error}", []
        say(f"{place} of {len(scores)}, {label}: {time.monotonic() - began_s:.0f} s")
        measured[label] = results
    return measured


def _result(score: Score, each: LabelledSet, order: Order, seed: int, rows: int | None) -> Result:
    stream = each.stream(order, seed=seed, most_rows=rows)
    scores, truth = score(stream.rows, seed), stream.is_anomaly
    return Result(each.name, order, seed, roc_auc(truth, scores), average_precision(truth, scores))


def _mean(results: Iterable[Result], order: Order, figure: str) -> float:
    figures = [float(getattr(each, figure)) for each in results if each.order == order]
    return float(np.nanmean(figures))


def _rows(measured: Mapping[str, list[Result]]) -> list[Row]:
    rows = []
    for name, results in measured.items():
        if not results:
            rows.append(Row(name=name))
            continue
        by_seed = [
            _mean([r for r in results if r.seed == seed], "random", "auc")
            for seed in {r.seed for r in results}
        ]
        values = {
            "auc_random": _mean(results, "random", "auc"),
            "auc_sd": float(np.std(by_seed)),
            "precision_random": _mean(results, "random", "precision"),
            "auc_file": _mean(results, "file", "auc"),
            "precision_file": _mean(results, "file", "precision"),
        }
        rows.append(Row(name=name, values=values))
    return rows


def _set_rows(sets: Sequence[LabelledSet], whole: list[Result]) -> list[Row]:
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
        rows.append(Row(name=each.name, values=values))
    means = {
        key: statistics.fmean(row.values[key] for row in rows)
        for key in rows[0].values
        if key not in {"rows", "columns"}
    }
    return [*rows, Row(name="mean", values=means)]
