"""Distance beyond the quartiles, in interquartile ranges: by interpolated quartiles, and by Tukey's hinges.

Idea: half of a column lies in a box; what is further from it than it is wide, and half as much, is outside.

Score: max(lower - x, x - upper) / (upper - lower) of the column where that is largest, 0 inside the box; 0
and up. `IQRDetector` takes quartiles by linear interpolation (numpy's default, Hyndman and Fan's type 7),
`TukeyDetector` the hinges of the box plot: the medians of the lower and of the upper half, both with the
median if the number of rows is odd. Beyond 1.5 a value is outside, beyond 3 it is far out. Where the box has
no width, the standard deviation of the sample that was fitted takes its place.

Warm-up: 4 rows, or a window of rows.

Cost: O(d) per row; with a window O(window x d).

Blind spots: normal data are outside at 0.7 % of rows, and heavy-tailed ones (returns) far more often.

Reference: Tukey, "Exploratory Data Analysis" (1977), section 2D.

Example:
    >>> sample = [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]
    >>> IQRDetector().fit(sample).score([[8.5]]).tolist()
    [1.5]
    >>> TukeyDetector().fit(sample).score([[9.5]]).tolist()
    [1.5]
"""

from typing import ClassVar

import numpy as np

from detector.arrays import FloatCube, FloatMatrix
from detector.library.statistical.base import Fences


class IQRDetector(Fences):
    """Scores a row by its distance beyond the quartiles, in interquartile ranges.

    Args:
        threshold: of an anomaly, in interquartile ranges.
        window: how many rows before each it is compared with; None: all that were fitted.
    """

    name: ClassVar[str] = "iqr"
    min_rows: ClassVar[int] = 4
    least_window: ClassVar[int] = 4

    def __init__(self, *, threshold: float = 1.5, window: int | None = None) -> None:
        self.threshold = threshold
        self.window = window

    @staticmethod
    def _edges(samples: FloatCube) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
        lows, highs = np.quantile(samples, (0.25, 0.75), axis=1)
        return lows, highs, highs - lows


class TukeyDetector(Fences):
    """Scores a row by its distance beyond Tukey's hinges, in distances of the hinges.

    Args:
        threshold: of an anomaly: 1.5 for what is outside, 3 for what is far out.
        window: how many rows before each it is compared with; None: all that were fitted.
    """

    name: ClassVar[str] = "tukey"
    min_rows: ClassVar[int] = 4
    least_window: ClassVar[int] = 4

    def __init__(self, *, threshold: float = 1.5, window: int | None = None) -> None:
        self.threshold = threshold
        self.window = window

    @staticmethod
    def _edges(samples: FloatCube) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
        ordered = np.sort(samples, axis=1)
        half = (ordered.shape[1] + 1) // 2
        lows = np.median(ordered[:, :half], axis=1)
        highs = np.median(ordered[:, -half:], axis=1)
        return lows, highs, highs - lows
