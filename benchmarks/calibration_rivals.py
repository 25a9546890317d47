"""What calibration is compared with: SPOT and DSPOT by the paper, and an empirical quantile.

Each returns, for every score, its rarity from what came before it; NaN in the first `_INITIAL` scores. None
knows of bursts, none forgets. Plain and compiled, for comparison only.

Source: A. Siffer, P.-A. Fouque, A. Termier, C. Largouet, "Anomaly Detection in Streams with Extreme Value
Theory", KDD 2017, algorithms 1 and 2. The fit is by moments instead of Grimshaw's trick.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatVector

_INITIAL: Final = 1_000
_LEVEL: Final = 0.98
_DEPTH: Final = 450
# A score that is an anomaly by this probability does not join the peaks, as in the paper.
_ANOMALY: Final = 1e-4


@njit(cache=True)
def _tail_rarity(excess: float, peaks: float, seen: float, total: float, squares: float) -> float:
    mean = total / peaks
    variance = max(squares / peaks - mean * mean, 1e-300)
    shape = 0.5 * (1.0 - mean * mean / variance)
    scale = 0.5 * mean * (mean * mean / variance + 1.0)
    if abs(shape) < 1e-6:
        return float(peaks / seen * np.exp(-excess / scale))
    return float(peaks / seen * max(1.0 + shape * excess / scale, 0.0) ** (-1.0 / shape))


@njit(cache=True)
def spot(scores: FloatVector) -> FloatVector:
    """Return n rarities by SPOT."""
    rarities = np.full(scores.shape[0], np.nan)
    start = min(_INITIAL, scores.shape[0])
    level = np.quantile(scores[:start], _LEVEL)
    peaks = total = squares = 0.0
    for i in range(scores.shape[0]):
        excess = scores[i] - level
        rarity = 1.0
        if i >= start:
            rarity = _tail_rarity(excess, peaks, i, total, squares) if excess > 0.0 and peaks > 0.0 else 1.0
            rarities[i] = rarity
        if excess > 0.0 and (i < start or rarity > _ANOMALY):
            peaks += 1.0
            total += excess
            squares += excess * excess
    return rarities


@njit(cache=True)
def dspot(scores: FloatVector) -> FloatVector:
    """Return n rarities by DSPOT: SPOT of what exceeds the moving average of the last 450 scores."""
    over = np.zeros(scores.shape[0])
    total = 0.0
    for i in range(scores.shape[0]):
        over[i] = scores[i] - total / min(max(i, 1), _DEPTH)
        total += scores[i]
        if i >= _DEPTH:
            total -= scores[i - _DEPTH]
    return spot(over)


@njit(cache=True)
def empirical(scores: FloatVector) -> FloatVector:
    """Return n rarities: the share of all scores so far that are at least as high."""
    ranks = np.argsort(np.argsort(scores))
    n = scores.shape[0]
    tree = np.zeros(n + 1)
    rarities = np.full(n, np.nan)
    for i in range(n):
        below, at = 0.0, ranks[i]
        while at > 0:
            below += tree[at]
            at -= at & -at
        if i >= _INITIAL:
            rarities[i] = (i - below + 1.0) / (i + 1.0)
        at = ranks[i] + 1
        while at <= n:
            tree[at] += 1.0
            at += at & -at
    return rarities
