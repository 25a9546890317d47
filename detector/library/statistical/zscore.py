"""Z-score of a table.

Idea: how many standard deviations is a value away from the mean of its column?

Score: |x - mean| / s of the column where that is largest, s with m - 1 in the denominator; 0 and up. Where
all values of a window are equal, the standard deviation of the sample that was fitted takes its place.

Warm-up: 3 rows, or a window of rows.

Cost: O(d) per row; with a window O(window x d).

Blind spots: outliers in the sample widen its standard deviation and hide others (masking); of a sample
of m, no row's own score exceeds (m - 1) / sqrt(m) (Shiffler, 1988), so of fewer than 11 none exceeds 3.

Reference: none needed; for a significance level, see the test of Grubbs.

Example:
    >>> labels, scores = ZScoreDetector(threshold=3.0).fit([[1.0], [2.0], [3.0]]).detect([[2.5], [6.0]])
    >>> labels.tolist(), scores.tolist()
    ([0, 1], [0.5, 4.0])
"""

from typing import ClassVar

import numpy as np

from detector.arrays import FloatCube, FloatMatrix
from detector.library.statistical.base import Fences


class ZScoreDetector(Fences):
    """Scores a row by its distance from the mean, in standard deviations.

    Args:
        threshold: of an anomaly, in standard deviations.
        window: how many rows before each it is compared with; None: all that were fitted.
    """

    name: ClassVar[str] = "zscore"
    min_rows: ClassVar[int] = 3

    def __init__(self, *, threshold: float = 3.0, window: int | None = None) -> None:
        self.threshold = threshold
        self.window = window

    @staticmethod
    def _edges(samples: FloatCube) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
        means = samples.mean(axis=1)
        # Values that are all equal spread by nothing, though their mean may be off by a rounding.
        is_flat = samples.max(axis=1) == samples.min(axis=1)
        return means, means, np.where(is_flat, 0.0, samples.std(axis=1, ddof=1))
