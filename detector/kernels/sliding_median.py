"""Median and median absolute deviation of a sliding window, exactly.

The window is kept sorted in a flat array. A new value takes the place of the oldest one: two binary searches,
and the values between the two places move up or down by one. Sorted values have their deviations from the
median sorted too, once below it and once above it, so the median deviation is found by one more binary search
over where to cut the two. All is O(log window) but for the shift, which is one pass over at most
8 * window bytes in a row. For windows of thousands that is less than the cache misses of a balanced tree.
"""

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix


@njit(cache=True)
def _place(ordered: FloatMatrix, k: int, count: int, value: float) -> int:
    """Return how many of the first `count` values of row `k` are smaller."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if ordered[k, middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def insert(ordered: FloatMatrix, k: int, count: int, value: float) -> None:
    """Put a value among the first `count` sorted ones; there is room for one more."""
    at = _place(ordered, k, count, value)
    for i in range(count, at, -1):
        ordered[k, i] = ordered[k, i - 1]
    ordered[k, at] = value


@njit(cache=True)
def replace(ordered: FloatMatrix, k: int, old: float, new: float) -> None:
    """Put a value in the place of one that is there."""
    count = ordered.shape[1]
    at, to = _place(ordered, k, count, old), _place(ordered, k, count, new)
    if to > at:
        to -= 1
        for i in range(at, to):
            ordered[k, i] = ordered[k, i + 1]
    else:
        for i in range(at, to, -1):
            ordered[k, i] = ordered[k, i - 1]
    ordered[k, to] = new


@njit(cache=True)
def median(ordered: FloatMatrix, k: int) -> float:
    """Return the median of the sorted values of row `k`, of which there is one at least."""
    count = ordered.shape[1]
    half = count >> 1
    if count & 1:
        return float(ordered[k, half])
    return float(ordered[k, half - 1] + 0.5 * (ordered[k, half] - ordered[k, half - 1]))


@njit(cache=True)
def median_deviation(ordered: FloatMatrix, k: int, centre: float) -> float:
    """Return the median of the absolute deviations of sorted values from their median."""
    count = ordered.shape[1]
    half = count >> 1
    # Values below `half` lie at or below the centre, the others at or above it: `half` and `count - half`
    # deviations in rising order. The `half` smallest are `left` of the one and `half - left` of the other.
    low, high = 0, half
    while low < high:
        left = (low + high) >> 1
        if centre - ordered[k, half - 1 - left] < ordered[k, half + (half - left) - 1] - centre:
            low = left + 1
        else:
            high = left
    left, right = low, half - low
    following = np.inf
    if left < half:
        following = centre - ordered[k, half - 1 - left]
    if half + right < count:
        following = min(following, ordered[k, half + right] - centre)
    if count & 1:
        return float(following)
    largest = -np.inf
    if left > 0:
        largest = centre - ordered[k, half - left]
    if right > 0:
        largest = max(largest, ordered[k, half + right - 1] - centre)
    return float(largest + 0.5 * (following - largest))
