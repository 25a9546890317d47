"""Isolation Forest.

Idea: random cuts separate a strange row from the others sooner than an ordinary one.

Score: 2^-(mean depth / usual depth), from 0 to 1: about 0.5 for ordinary rows, towards 1 for isolated ones.
It is scikit-learn's `-score_samples`, computed by a compiled walk through the trees.

Warm-up: 10 rows.

Cost: trees times depth comparisons per row; memory: about 500 nodes of 40 bytes per tree.

Blind spots: dense groups of strange rows; a strange value among many features that are ordinary.

Reference: Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008).

Example:
    >>> import numpy as np
    >>> sample = np.random.default_rng(0).normal(size=(500, 2))
    >>> forest = IsolationForestDetector(contamination=0.01).fit(sample)
    >>> labels, scores = forest.detect([[0.0, 0.0], [8.0, 8.0]])
    >>> labels.tolist()
    [0, 1]
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

from detector.arrays import FloatMatrix, FloatVector
from detector.kernels.decision_trees import Trees, means
from detector.library.errors import ColumnsError, ParameterError
from detector.library.learned.base import Learned
from detector.library.storage import Array

_EULER = 0.5772156649015329


class IsolationForestDetector(Learned):
    """Scores a row by how soon random cuts isolate it.

    Args:
        contamination: share of the sample that is taken to be strange.
        trees: how many.
        rows_per_tree: drawn for each tree without repetition; at most all.
        seed: of the cuts.
    """

    name: ClassVar[str] = "isolation_forest"

    def __init__(
        self, *, contamination: float = 0.05, trees: int = 100, rows_per_tree: int = 256, seed: int = 0
    ) -> None:
        self.contamination = contamination
        self.trees = trees
        self.rows_per_tree = rows_per_tree
        self.seed = seed

    def _check(self) -> None:
        super()._check()
        if not 1 <= self.trees <= 10_000:
            raise ParameterError("trees", self.trees, "from 1 to 10000")
        if self.rows_per_tree < 2:
            raise ParameterError("rows_per_tree", self.rows_per_tree, "at least 2")

    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        drawn = min(self.rows_per_tree, len(values))
        model = IsolationForest(n_estimators=self.trees, max_samples=drawn, random_state=self.seed)
        model.fit(values)
        self._trees = _flattened(model)
        self._usual_depth = float(_usual_depths(np.array([drawn]))[0])
        return self._score_scaled(values)

    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        scores: FloatVector = 2.0 ** (-means(self._trees, values) / self._usual_depth)
        return scores

    def _model_state(self) -> dict[str, Array]:
        state: dict[str, Array] = {f"trees_{name}": a for name, a in self._trees._asdict().items()}
        return state | {"usual_depth": np.array([self._usual_depth])}

    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        trees = _trees({name: [arrays[f"trees_{name}"]] for name in Trees._fields})
        _refuse_unsound(trees, features=self.n_features_in_)
        if arrays["usual_depth"].shape != (1,) or arrays["usual_depth"][0] <= 0:
            raise TypeError("a usual depth that is none")
        self._trees, self._usual_depth = trees, float(arrays["usual_depth"][0])


def _usual_depths(rows: Array) -> FloatVector:
    """Return how deep an unsuccessful search goes in a binary tree of so many rows."""
    count = np.maximum(rows.astype(np.float64), 2.0)
    depth = 2.0 * (np.log(count - 1.0) + _EULER) - 2.0 * (count - 1.0) / count
    depths: FloatVector = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, depth))
    return depths


def _flattened(model: IsolationForest) -> Trees:
    """Return the trees one after the other, with the depth of a row that ends at a node as its share."""
    parts: dict[str, list[Array]] = {name: [] for name in Trees._fields}
    size = 0
    for estimator, columns in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = estimator.tree_
        lefts, rights = (np.asarray(a, np.int64) for a in (tree.children_left, tree.children_right))
        is_leaf = lefts < 0
        depths = np.zeros(len(lefts), np.float64)
        for node in np.flatnonzero(~is_leaf):
            depths[[lefts[node], rights[node]]] = depths[node] + 1.0
        parts["roots"].append(np.array([size], np.int64))
        parts["features"].append(
            np.where(is_leaf, 0, np.asarray(columns)[np.where(is_leaf, 0, tree.feature)])
        )
        parts["thresholds"].append(np.where(is_leaf, 0.0, tree.threshold))
        parts["lefts"].append(np.where(is_leaf, -1, lefts + size))
        parts["rights"].append(np.where(is_leaf, -1, rights + size))
        parts["shares"].append(np.where(is_leaf, depths + _usual_depths(tree.n_node_samples), 0.0))
        size += len(lefts)
    return _trees(parts)


def _trees(parts: Mapping[str, list[Array]]) -> Trees:
    """Return trees from parts of their arrays."""
    integers = {
        n: np.concatenate(parts[n]).astype(np.int64) for n in ("roots", "features", "lefts", "rights")
    }
    floats = {n: np.concatenate(parts[n]).astype(np.float64) for n in ("thresholds", "shares")}
    return Trees(
        integers["roots"],
        integers["features"],
        floats["thresholds"],
        integers["lefts"],
        integers["rights"],
        floats["shares"],
    )


def _refuse_unsound(trees: Trees, *, features: int) -> None:
    """Raise TypeError unless every walk through the trees stays inside and ends."""
    nodes = np.arange(len(trees.lefts))
    if {len(array) for array in trees[1:]} != {len(nodes)} or not len(trees.roots):
        raise TypeError("trees of different lengths")
    is_leaf = trees.lefts < 0
    for children in (trees.lefts, trees.rights):
        if (children[~is_leaf] <= nodes[~is_leaf]).any() or (children >= len(nodes)).any():
            raise TypeError("trees that do not end")
    if ((trees.features < 0) | (trees.features >= features)).any():
        raise TypeError("trees that ask for unknown features")
    if ((trees.roots < 0) | (trees.roots >= len(nodes))).any():
        raise TypeError("trees without a root")


def create_crypto_isolation_forest(
    price_data: pd.DataFrame,
    *,
    features: Sequence[str] = ("close", "volume", "returns"),
    contamination: float = 0.05,
    seed: int = 0,
) -> IsolationForestDetector:
    """Return an Isolation Forest fitted to columns of a table of prices.

    Args:
        price_data: one row per candle, with at least these columns.
        features: names of the columns to look at.
        contamination: share of the rows that is taken to be strange.
        seed: of the forest.

    Raises:
        DetectorError: a column is absent, constant or not finite, or there are too few rows.
    """
    missing = [name for name in features if name not in price_data.columns]
    if missing:
        raise ColumnsError(missing, "columns are missing")
    detector = IsolationForestDetector(contamination=contamination, seed=seed)
    return detector.fit(price_data[list(features)])
