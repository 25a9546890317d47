"""Distance from the median, in median absolute deviations.

Idea: median and median absolute deviation stay where they are until half of the sample is strange.

Score: the modified z-score 0.6745 |x - median| / MAD of the column where that is largest; 0 and up. Where
more than half of the values are equal, MAD is 0, and the mean absolute deviation from the median takes its
place: |x - median| / (1.2533 MeanAD), as SPSS does. Where all values of a window are equal, the standard
deviation of the sample that was fitted does.

Warm-up: 3 rows, or a window of rows.

Cost: O(d) per row; with a window O(window x d).

Blind spots: skewed columns (volume) have too many anomalies on the long side; take logarithms first.

Reference: Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), which recommends 3.5.

Example:
    >>> labels, scores = MADDetector().fit([[1.0], [2.0], [3.0], [4.0], [1000.0]]).detect([[3.5], [1000.0]])
    >>> labels.tolist(), scores.round(2).tolist()
    ([0, 1], [0.34, 672.47])
"""

from typing import ClassVar

import numpy as np

from detector.arrays import FloatCube, FloatMatrix
from detector.library.statistical.base import Fences

# On normal data, the standard deviation is so many median, and so many mean absolute deviations.
_PER_MEDIAN, _PER_MEAN = 1.482602218505602, 1.2533141373155001


class MADDetector(Fences):
    """Scores a row by its distance from the median, in median absolute deviations.

    Args:
        threshold: of an anomaly, as a modified z-score.
        window: how many rows before each it is compared with; None: all that were fitted.
    """

    name: ClassVar[str] = "mad"
    min_rows: ClassVar[int] = 3

    def __init__(self, *, threshold: float = 3.5, window: int | None = None) -> None:
        self.threshold = threshold
        self.window = window

    @staticmethod
    def _edges(samples: FloatCube) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
        medians = np.median(samples, axis=1)
        distances = np.abs(samples - medians[:, None, :])
        spreads = _PER_MEDIAN * np.median(distances, axis=1)
        return medians, medians, np.where(spreads > 0, spreads, _PER_MEAN * distances.mean(axis=1))
