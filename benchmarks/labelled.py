"""Labelled tables as streams, and what a detector's scores of one are worth."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import TapewatchError

Order = Literal["random", "file"]


class LabelledSet(NamedTuple):
    """Rows with their truth.

    Attributes:
        name: of the set.
        rows: (n, columns).
        is_anomaly: n.
    """

    name: str
    rows: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]

    def stream(self, order: Order, *, seed: int, most_rows: int | None) -> "LabelledSet":
        """Return the rows in an order, thinned to at most so many.

        Args:
            order: `random`, or that of the file; there, thinning takes every k-th row.
            seed: of the random order.
            most_rows: None for all.
        """
        count = len(self.rows)
        if order == "random":
            places = np.random.default_rng(seed).permutation(count)[:most_rows]
        else:
            places = np.arange(0, count, 1 if most_rows is None else math.ceil(count / most_rows))
        return LabelledSet(self.name, np.ascontiguousarray(self.rows[places]), self.is_anomaly[places])


def labelled_sets(directory: Path) -> Iterator[LabelledSet]:
    """Read every set of a folder (`X` and `y` in each `.npz`, as in ADBench).

    Raises:
        TapewatchError: there is none.
    """
    paths = sorted(directory.glob("*.npz"))
    if not paths:
        raise TapewatchError(f"no labelled sets in {directory}; set REAL_DATA_DIR")
    for path in paths:
        with np.load(path) as arrays:
            yield LabelledSet(path.stem.partition("_")[2], arrays["X"].astype(np.float64), arrays["y"] > 0)


def roc_auc(is_anomaly: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the chance that an anomaly scores above a usual row; ties count half, NaN as lowest.

    NaN where there are not both.
    """
    _, inverse, counts = np.unique(_with_floor(scores), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    positives = int(is_anomaly.sum())
    pairs = positives * (len(scores) - positives)
    return float((ranks[is_anomaly].sum() - positives * (positives + 1) / 2.0) / pairs) if pairs else math.nan


def average_precision(is_anomaly: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the mean precision over the anomalies, from the highest score on; equal scores come together."""
    floored = _with_floor(scores)
    order = np.argsort(-floored, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(floored[order])), len(order) - 1)
    found = np.cumsum(is_anomaly[order])[ends]
    gained = np.diff(found, prepend=0)
    total = int(is_anomaly.sum())
    return float((gained * found / (ends + 1)).sum() / total) if total else math.nan


def _with_floor(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(scores), -np.inf, scores)
