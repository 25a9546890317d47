"""What a forest of decision trees says about a row; the trees lie one after the other in flat arrays."""

from typing import NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntVector


class Trees(NamedTuple):
    """Some trees with n nodes in all.

    Attributes:
        roots: the first node of each tree.
        features: n, which feature a node asks for.
        thresholds: n, a row goes left up to this.
        lefts: n, the node to the left; -1 where it ends.
        rights: n, the node to the right; -1 where it ends.
        shares: n, of the examples that ended here, the share that were what is looked for.
    """

    roots: IntVector
    features: IntVector
    thresholds: FloatVector
    lefts: IntVector
    rights: IntVector
    shares: FloatVector


def no_trees() -> Trees:
    """Return a forest that says nothing."""
    nothing, none = np.empty(0, np.int64), np.empty(0, np.float64)
    return Trees(nothing, nothing, none, nothing, nothing, none)


@njit(cache=True)
def probability(trees: Trees, row: FloatVector) -> float:
    """Return the mean of what the trees say; 0 without any.

    Numbers are rounded to 32 bits before they are compared, as scikit-learn does when it learns.
    """
    total = 0.0
    for root in trees.roots:
        node = root
        while trees.lefts[node] >= 0:
            is_left = np.float32(row[trees.features[node]]) <= trees.thresholds[node]
            node = trees.lefts[node] if is_left else trees.rights[node]
        total += trees.shares[node]
    return float(total / max(len(trees.roots), 1))


@njit(cache=True)
def means(trees: Trees, rows: FloatMatrix) -> FloatVector:
    """Return n means of what the trees say about n rows, as `probability` does."""
    said = np.empty(len(rows), np.float64)
    for at in range(len(rows)):
        said[at] = probability(trees, rows[at])
    return said
