"""How far a point lies from the middle of the densest half, in terms of how features go together there.

Reference: P. Rousseeuw, K. van Driessen, "A fast algorithm for the minimum covariance determinant estimator",
    Technometrics 1999: concentration steps keep the rows nearest to the current centre, and begin anew with
    them. Shrinkage towards independent columns keeps a few rows of many columns invertible.
"""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import BoolVector, FloatMatrix, FloatVector

# Added to variances of standardised columns, so that constant ones divide nothing by zero.
_LEAST_VARIANCE: Final = 1e-6
_LEAST_SHRINKAGE: Final = 0.01


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def squared_mahalanobis(
    point: NDArray[np.float32], centre: NDArray[np.float32], whitening: NDArray[np.float32]
) -> float:
    """Return the squared Mahalanobis distance; `whitening` is lower triangular."""
    total = np.float32(0.0)
    for i in range(point.shape[0]):
        along = np.float32(0.0)
        for j in range(i + 1):
            along += whitening[i, j] * (point[j] - centre[j])
        total += along * along
    return float(total)


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def _moments(
    points: NDArray[np.float32], is_kept: BoolVector, mean: FloatVector, covariance: FloatMatrix
) -> int:
    n, columns = points.shape
    kept = 0
    mean[:] = 0.0
    for i in range(n):
        if is_kept[i]:
            kept += 1
            for k in range(columns):
                mean[k] += points[i, k]
    mean /= kept
    covariance[:] = 0.0
    for i in range(n):
        if is_kept[i]:
            for k in range(columns):
                off = points[i, k] - mean[k]
                for j in range(k + 1):
                    covariance[k, j] += off * (points[i, j] - mean[j])
    covariance /= kept
    return kept


@njit(cache=True)
def _shrink(covariance: FloatMatrix, kept: int) -> None:
    columns = covariance.shape[0]
    mean_variance = 0.0
    for k in range(columns):
        mean_variance += covariance[k, k] / columns
    shrinkage = min(1.0, columns / (kept + 1.0)) * 0.5 + _LEAST_SHRINKAGE
    for k in range(columns):
        for j in range(k + 1):
            covariance[k, j] *= 1.0 - shrinkage
        covariance[k, k] += shrinkage * mean_variance + _LEAST_VARIANCE


@njit(cache=True)
def _whiten(covariance: FloatMatrix, whitening: NDArray[np.float32]) -> None:
    """Put the inverse of the Cholesky factor of the lower half of a covariance into `whitening`."""
    columns = covariance.shape[0]
    for k in range(columns):
        for j in range(k + 1):
            rest = covariance[k, j]
            for i in range(j):
                rest -= covariance[k, i] * covariance[j, i]
            if j < k:
                covariance[k, j] = rest / covariance[j, j]
            else:
                # Exact arithmetic keeps it at least at the least variance; rounding may not.
                covariance[k, k] = math.sqrt(max(rest, _LEAST_VARIANCE))
    inverse = np.zeros((columns, columns), np.float64)
    for k in range(columns):
        inverse[k, k] = 1.0 / covariance[k, k]
        for i in range(k + 1, columns):
            total = 0.0
            for j in range(k, i):
                total -= covariance[i, j] * inverse[j, k]
            inverse[i, k] = total / covariance[i, i]
    for i in range(columns):
        for j in range(columns):
            whitening[i, j] = inverse[i, j]


@njit(cache=True)
def concentrate(
    points: NDArray[np.float32],
    kept_share: float,
    steps: int,
    centre: NDArray[np.float32],
    whitening: NDArray[np.float32],
) -> None:
    """Find centre and whitening matrix of the densest part of the points.

    Args:
        points: n rows, standardised; at least 2.
        kept_share: of the rows that are in the densest part.
        steps: of concentration, after a first estimate from all rows.
        centre: where the centre is put.
        whitening: where the matrix is put, lower triangular.
    """
    n, columns = points.shape
    is_kept = np.ones(n, np.bool_)
    distances = np.empty(n, np.float64)
    mean = np.empty(columns, np.float64)
    covariance = np.empty((columns, columns), np.float64)
    for step in range(steps + 1):
        kept = _moments(points, is_kept, mean, covariance)
        _shrink(covariance, kept)
        _whiten(covariance, whitening)
        for k in range(columns):
            centre[k] = mean[k]
        if step < steps:
            for i in range(n):
                distances[i] = squared_mahalanobis(points[i], centre, whitening)
            limit = np.sort(distances)[int(kept_share * (n - 1))]
            for i in range(n):
                is_kept[i] = distances[i] <= limit
