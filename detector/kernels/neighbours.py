"""How far a point lies from its nearest ones among a few hundred reference points.

A tenth of the references as neighbours makes the mean distance a smooth density: one or two neighbours see
every duplicate as normal, half of them see only the distance from the middle.

Reference: S. Ramaswamy, R. Rastogi, K. Shim, "Efficient algorithms for mining outliers from large data sets",
    SIGMOD 2000; on a sample: M. Sugiyama, K. Borgwardt, "Rapid distance-based outlier detection via
    sampling", NIPS 2013.
"""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

FAR: Final = np.float32(3e38)


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def squared_distances(
    point: NDArray[np.float32], references: NDArray[np.float32], count: int, out: NDArray[np.float32]
) -> None:
    """Put the squared distances of a point from the first `count` references into `out`.

    Args:
        point: d values.
        references: d rows, one column per reference, so that the inner loop is compiled to vectors.
        count: of references.
        out: at least `count` places.
    """
    for j in range(count):
        out[j] = 0.0
    for k in range(point.shape[0]):
        value = point[k]
        for j in range(count):
            apart = references[k, j] - value
            out[j] += apart * apart


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def mean_nearest(squared: NDArray[np.float32], count: int, neighbours: int) -> float:
    """Return the mean of the smallest distances.

    The largest of them is found by halving an interval of bit patterns, which are ordered as the numbers
    are: counting is compiled to vectors, so that it takes a third of the time of a selection by exchanges.

    Args:
        squared: distances, none negative.
        count: of them.
        neighbours: how many of the smallest are averaged, at most `count`.
    """
    patterns = squared.view(np.int32)
    low = high = patterns[0]
    for j in range(1, count):
        low = min(low, patterns[j])
        high = max(high, patterns[j])
    while low < high:
        middle = low + ((high - low) >> 1)
        within = np.int32(0)
        for j in range(count):
            within += np.int32(patterns[j] <= middle)
        if within >= neighbours:
            high = np.int32(middle)
        else:
            low = np.int32(middle + 1)
    total = np.float32(0.0)
    within = np.int32(0)
    for j in range(count):
        if patterns[j] < high:
            total += math.sqrt(squared[j])
            within += np.int32(1)
    # Those at the limit itself are equal: as many of them as are still missing.
    limit = np.empty(1, np.int32)
    limit[0] = high
    return (total + (neighbours - within) * math.sqrt(limit.view(np.float32)[0])) / neighbours
