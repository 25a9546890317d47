"""How unusual each value of a point is by itself: in a thin part of its column, or far out in a tail.

Every column has one table of two figures per step of an eighth of its scale, so that scoring is a look-up:
`gap`, the log of how much thinner the column is there than where it is thickest (a histogram of equal bins in
asinh, which tames tails), and `tail`, -log of the smaller of the shares at or below and at or above.

Reference: M. Goldstein, A. Dengel, "Histogram-based outlier score (HBOS)", KI 2012; Z. Li et al., "ECOD:
    unsupervised outlier detection using empirical cumulative distribution functions", TKDE 2022.
"""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatVector

STEPS: Final = 512
_STEPS_PER_SCALE: Final = 8
_HALF: Final = STEPS // 2
_BINS: Final = 16


@njit(cache=True)
def step_of(value: float) -> int:
    """Return the place in a table of a standardised value."""
    return int(min(max(value * _STEPS_PER_SCALE + _HALF, 0.0), STEPS - 1.0))


@njit(cache=True)
def fill_tables(
    points: NDArray[np.float32], count: int, gap: NDArray[np.float32], tail: NDArray[np.float32]
) -> None:
    """Fill the tables of all columns from points.

    Args:
        points: standardised, n rows, one column per feature.
        count: how many of the rows are used.
        gap: one row per column of `points`, `STEPS` wide.
        tail: likewise.
    """
    tamed = np.empty(STEPS, np.float64)
    for step in range(STEPS):
        tamed[step] = math.asinh((step - _HALF + 0.5) / _STEPS_PER_SCALE)
    here = np.empty(STEPS, np.float64)
    for k in range(points.shape[1]):
        here[:] = 0.0
        first, last = STEPS - 1, 0
        for i in range(count):
            step = step_of(points[i, k])
            here[step] += 1.0
            first = min(first, step)
            last = max(last, step)
        width = max(tamed[last] - tamed[first], 1e-9) / _BINS
        _fill_column(tamed, here, tamed[first], width, count, gap[k], tail[k])


@njit(cache=True)
def _fill_column(
    tamed: FloatVector,
    here: FloatVector,
    first: float,
    width: float,
    count: int,
    gap: NDArray[np.float32],
    tail: NDArray[np.float32],
) -> None:
    # One empty bin on either side is for what lies outside.
    bins = np.zeros(_BINS + 2, np.float64)
    for step in range(STEPS):
        bins[_bin_of(tamed[step], first, width)] += here[step]
    smooth = np.zeros(_BINS + 2, np.float64)
    for b in range(_BINS + 2):
        smooth[b] = 0.5 * bins[b]
        if b > 0:
            smooth[b] += 0.25 * bins[b - 1]
        if b < _BINS + 1:
            smooth[b] += 0.25 * bins[b + 1]
    most = smooth.max()
    below = np.cumsum(bins)
    for step in range(STEPS):
        b = _bin_of(tamed[step], first, width)
        gap[step] = math.log((most + 0.5) / (smooth[b] + 0.5))
        rarer = min(below[b], count - below[b] + bins[b])
        tail[step] = -math.log((rarer + 0.5) / (count + 1.0))


@njit(cache=True)
def _bin_of(value: float, first: float, width: float) -> int:
    # The last bin takes its upper edge in.
    over = (value - first) / width
    if over < 0.0:
        return 0
    if over <= _BINS + 1e-6:
        return min(int(over) + 1, _BINS)
    return _BINS + 1
