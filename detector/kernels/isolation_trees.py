"""Isolation trees grown from a sample: random axis-parallel cuts, a bounded number of levels.

Reference: F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008.
"""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatVector, IntVector
from detector.kernels.random import uniform

# Columns that are tried for a cut before the points count as duplicates of one another.
_TRIES: Final = 8
_EULER: Final = 0.5772156649015329


@njit(cache=True)
def _further_cuts(points: int) -> float:
    """Return the mean depth of a random tree over so many points."""
    if points <= 1:
        return 0.0
    if points == 2:
        return 1.0
    return 2.0 * (math.log(points - 1.0) + _EULER) - 2.0 * (points - 1.0) / points


@njit(cache=True)
def _cut(
    points: NDArray[np.float32], order: IntVector, start: int, end: int, rng: NDArray[np.uint64]
) -> tuple[int, float, int]:
    """Cut at random and order by side; return column, value and where the upper side starts, or column -1."""
    for _ in range(_TRIES):
        column = int(uniform(rng, 0) * points.shape[1])
        low = high = points[order[start], column]
        for i in range(start + 1, end):
            value = points[order[i], column]
            low = min(low, value)
            high = max(high, value)
        if high <= low:
            continue
        at = low + np.float32(uniform(rng, 0)) * (high - low)
        if at >= high:
            at = low
        left, right = start, end - 1
        while left <= right:
            if points[order[left], column] <= at:
                left += 1
            else:
                order[left], order[right] = order[right], order[left]
                right -= 1
        return column, at, left
    return -1, 0.0, start


@njit(cache=True)
def _lowest(node: int, inner: int) -> int:
    """Return where on the lowest level one arrives who goes down the lower sides."""
    while node < inner:
        node = 2 * node + 1
    return node - inner


@njit(cache=True)
def grow(
    points: NDArray[np.float32],
    order: IntVector,
    sample: int,
    rng: NDArray[np.uint64],
    split_at: NDArray[np.int16],
    split_value: NDArray[np.float32],
    sizes: NDArray[np.int16],
    depths: NDArray[np.float32],
) -> None:
    """Grow one tree, laid out as a heap: the children of node i are 2i + 1 and 2i + 2.

    Args:
        points: n rows.
        order: places of rows; the first `sample` are those of the tree, and change their order.
        sample: at least 1.
        rng: one generator.
        split_at: by inner node, its column.
        split_value: by inner node; what is above it goes to the upper side, infinite where nothing is cut.
        sizes: by node, points of the sample in it; 0 below a node that is not cut.
        depths: by node of the lowest level, its depth and the cuts that its points would still need.
    """
    inner = split_value.shape[0]
    split_at[:] = 0
    split_value[:] = np.inf
    sizes[:] = 0
    todo = np.empty((64, 4), np.int64)
    todo[0, :] = 0, 0, sample, 0
    waiting = 1
    while waiting > 0:
        waiting -= 1
        node, start, end, depth = todo[waiting]
        sizes[node] = end - start
        column, value, middle = -1, 0.0, start
        if end - start > 1 and node < inner:
            column, value, middle = _cut(points, order, start, end, rng)
        if column < 0:
            depths[_lowest(node, inner)] = depth + _further_cuts(end - start)
            continue
        split_at[node] = column
        split_value[node] = value
        todo[waiting, :] = 2 * node + 1, start, middle, depth + 1
        todo[waiting + 1, :] = 2 * node + 2, middle, end, depth + 1
        waiting += 2


@njit(cache=True)
def mean_depth(
    point: NDArray[np.float32],
    split_at: NDArray[np.int16],
    split_value: NDArray[np.float32],
    depths: NDArray[np.float32],
    nodes: NDArray[np.int32],
) -> float:
    """Return the mean depth over all trees at which a point ends.

    All trees go down together, level by level and without a branch: that keeps the processor busy where
    a walk down one tree after the other waits for the memory and for mispredicted turns.

    Args:
        point: d values.
        split_at: one row per tree, as in `grow`.
        split_value: likewise.
        depths: likewise.
        nodes: room for one place per tree.
    """
    trees, inner = split_value.shape
    nodes[:] = 0
    level = 1
    while level <= inner:
        for tree in range(trees):
            node = nodes[tree]
            nodes[tree] = 2 * node + 1 + np.int32(point[split_at[tree, node]] > split_value[tree, node])
        level *= 2
    total = 0.0
    for tree in range(trees):
        total += depths[tree, nodes[tree] - inner]
    return float(total / trees)


@njit(cache=True)
def add_cut_shares(
    point: NDArray[np.float32],
    split_at: NDArray[np.int16],
    split_value: NDArray[np.float32],
    sizes: NDArray[np.int16],
    shares: FloatVector,
) -> None:
    """Add what each column's cuts isolate on the point's paths: log2 of the points above over those below."""
    for tree in range(split_at.shape[0]):
        node = 0
        while node < split_value.shape[1] and split_value[tree, node] < np.inf:
            above, column = sizes[tree, node], split_at[tree, node]
            node = 2 * node + 1 + int(point[column] > split_value[tree, node])
            shares[column] += math.log2(above / sizes[tree, node])
