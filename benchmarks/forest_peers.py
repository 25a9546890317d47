"""Detectors of other projects on the same streams, each with its own interface; extra `[bench]`."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Scores the rows of one stream in order, each before it is learned; the second argument is a seed.
Score = Callable[[NDArray[np.float64], int], NDArray[np.float64]]

_REFIT_ROWS: Final = 256
_REFIT_MEMORY: Final = 2_048


class Peer(NamedTuple):
    """A detector that ours is compared with.

    Attributes:
        name: with its main parameters, and with why it cannot be measured where that is so.
        score: None where it cannot be measured.
    """

    name: str
    score: Score | None


def peers() -> Iterator[Peer]:
    """Return all peers; those that are not installed can only be named."""
    for name, module, score in (
        ("river HalfSpaceTrees, 25 trees", "river", _river),
        ("PySAD LODA, 32 cuts, 100 bins", "pysad", _loda),
        ("rcf3 random cut forest, 50 trees", "rcf3", _random_cut_forest),
        ("rcf3 OnlineIForest, 32 trees", "rcf3", _rcf3_online_forest),
        ("scikit-learn forest, refitted every 256 rows", "sklearn", _refitted),
        ("scikit-learn forest that sees all first (offline)", "sklearn", _offline),
    ):
        is_there = _is_installed(module)
        yield Peer(name, score) if is_there else Peer(f"{name}: not installed", None)
    yield Peer("dSalmon half-space trees: no wheel for Python 3.11 and newer", None)


def _is_installed(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _library(module: str) -> Any:  # noqa: ANN401 - peers are optional, and publish no types
    return import_module(module)


def _river(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    scaler = _library("river.preprocessing").MinMaxScaler()
    trees = _library("river.anomaly").HalfSpaceTrees(n_trees=25, seed=seed)
    scores = np.empty(len(rows))
    for i, row in enumerate(rows.tolist()):
        features = dict(enumerate(row))
        scaler.learn_one(features)
        scaled = scaler.transform_one(features)
        scores[i] = trees.score_one(scaled)
        trees.learn_one(scaled)
    return scores


def _loda(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    np.random.seed(seed)  # noqa: NPY002 - PySAD draws from the global generator
    model = _library("pysad.models").LODA(num_bins=100, num_random_cuts=32)
    return np.array([float(np.ravel(model.fit_score_partial(row))[0]) for row in rows])


def _random_cut_forest(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    model = _library("rcf3").Forest(rows.shape[1], num_trees=50, seed=seed)
    return np.array([model.update_and_score(row) for row in rows.tolist()], np.float64)


def _rcf3_online_forest(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    model = _library("rcf3").OnlineIForest(rows.shape[1], num_trees=32, seed=seed)
    return np.array([model.update_and_score(row) for row in rows.tolist()], np.float64)


def _refitted(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    scores = np.full(len(rows), np.nan)
    for start in range(_REFIT_ROWS, len(rows), _REFIT_ROWS):
        memory = rows[max(start - _REFIT_MEMORY, 0) : start]
        model = _library("sklearn.ensemble").IsolationForest(n_estimators=100, random_state=seed).fit(memory)
        scores[start : start + _REFIT_ROWS] = -model.score_samples(rows[start : start + _REFIT_ROWS])
    return scores


def _offline(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    model = _library("sklearn.ensemble").IsolationForest(n_estimators=100, random_state=seed).fit(rows)
    return np.asarray(-model.score_samples(rows), np.float64)
