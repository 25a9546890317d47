"""Test of Grubbs for one outlier (maximum normed residual).

Idea: in a normal sample, how far can the value farthest from the mean be by chance, itself included?

Score: |x - mean| / s over its critical value at level `alpha`, of the column where that is largest; above 1
it is significant. Mean and s include x. `critical_` is the critical value for rows that `detect` is given.

Warm-up: 3 rows, or a window of rows.

Cost: O(d) per row; with a window O(window x d).

Blind spots: two outliers hide each other (masking); heavy tails are not normal, so that significance is no
rarity there.

Reference: Grubbs, "Procedures for Detecting Outlying Observations in Samples" (Technometrics 1969).

Example:
    >>> masses = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]
    >>> labels, scores = GrubbsDetector(side="high").fit_detect([[mass] for mass in masses])
    >>> labels.tolist(), scores.round(3).max().item()
    ([0, 0, 0, 0, 0, 0, 0, 1], 1.215)
"""

from typing import ClassVar

import numpy as np

from detector.arrays import FloatCube, FloatMatrix
from detector.library.statistical import critical_values
from detector.library.statistical.outlier_test import OutlierTest, Side


class GrubbsDetector(OutlierTest):
    """Scores a row by its distance from the mean of a sample that it belongs to, against chance.

    Args:
        alpha: probability that a normal sample has a value that is flagged.
        side: what is tested: `high`, `low`, or `both`, at half of alpha each.
        window: how many rows, the judged one included, are a sample; None: all that were fitted.
    """

    name: ClassVar[str] = "grubbs"
    parts: ClassVar[tuple[str, ...]] = ("means", "squares")

    def __init__(self, *, alpha: float = 0.05, side: Side = "both", window: int | None = None) -> None:
        self.alpha = alpha
        self.side = side
        self.window = window

    def _critical(self, rows: int, alpha: float) -> float:
        return critical_values.grubbs(rows, alpha)

    def _summary(self, samples: FloatCube) -> tuple[FloatMatrix, ...]:
        means = samples.mean(axis=1)
        # Values that are all equal spread by nothing, though their mean may be off by a rounding.
        is_flat = samples.max(axis=1) == samples.min(axis=1)
        means = np.where(is_flat, samples[:, 0], means)
        return means, ((samples - means[:, None]) ** 2).sum(axis=1)

    def _statistics(
        self, summary: tuple[FloatMatrix, ...], values: FloatMatrix
    ) -> tuple[FloatMatrix, FloatMatrix]:
        means, squares = summary
        joined = self.rows_
        away = values - means
        spreads = np.sqrt((squares + away**2 * (joined - 1) / joined) / (joined - 1))
        return _both(away * (joined - 1) / joined, spreads)

    def _member_statistics(self, values: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
        return _both(values - values.mean(axis=0), values.std(axis=0, ddof=1))


def _both(away: FloatMatrix, spreads: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    normed = np.divide(away, spreads, out=np.zeros_like(away), where=spreads > 0)
    return np.maximum(normed, 0.0), np.maximum(-normed, 0.0)
