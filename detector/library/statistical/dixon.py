"""Dixon's Q test for one outlier.

Idea: in a normal sample, how wide can the gap between the outermost value and its neighbours be by chance,
compared with the whole range?

Score: Dixon's ratio over its critical value at level `alpha`, of the column where that is largest; above 1 it
is significant, and 0 where the value is not outermost. The ratio is r10 up to 7 rows, r11 up to 10, r21 up to
13 and r22 beyond, as Dixon advises, or the one that is asked for; r10 is Q. Critical values are computed for
any number of rows; published tables end at 30. `critical_` is that for rows that `detect` is given.

Warm-up: 3 rows (5 with r22), or a window of rows.

Cost: O(d) per row; with a window O(window x log window x d). The critical value is an integral, once.

Blind spots: two outliers hide each other from r10, three from all; heavy tails are not normal.

Reference: Dixon, "Ratios Involving Extreme Values" (Annals of Mathematical Statistics 1951); Rorabacher,
"Statistical Treatment for Rejection of Deviant Values" (Analytical Chemistry 1991) for the tables.

Example:
    >>> values = [0.189, 0.167, 0.187, 0.183, 0.186, 0.182, 0.181, 0.184, 0.181, 0.177]
    >>> labels, scores = DixonDetector(alpha=0.1, ratio="r10").fit_detect([[value] for value in values])
    >>> labels.tolist()
    [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
"""

from typing import ClassVar, Final, Literal

import numpy as np

from detector.arrays import FloatCube, FloatMatrix
from detector.library.errors import ParameterError
from detector.library.statistical import critical_values
from detector.library.statistical.outlier_test import OutlierTest, Side

Ratio = Literal["auto", "r10", "r11", "r21", "r22"]

# Neighbours that the gap reaches across, and values left out at the far end.
_RATIOS: Final = {"r10": (1, 0), "r11": (1, 1), "r21": (2, 1), "r22": (2, 2)}
# Of both ends of a sample, which is all that the ratios look at.
_KEPT: Final = 3


class DixonDetector(OutlierTest):
    """Scores a row by the gap that separates it from a sample that it belongs to, against chance.

    Args:
        alpha: probability that a normal sample has a value that is flagged.
        side: what is tested: `high`, `low`, or `both`, at half of alpha each.
        ratio: `auto`, by the number of rows, or one of `r10`, `r11`, `r21`, `r22`.
        window: how many rows, the judged one included, are a sample; None: all that were fitted.
    """

    name: ClassVar[str] = "dixon"
    parts: ClassVar[tuple[str, ...]] = ("lowest", "highest")
    # One more than are kept, as the judged row is not in the sample that it joins.
    least_window: ClassVar[int] = _KEPT + 1

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        side: Side = "both",
        ratio: Ratio = "auto",
        window: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.side = side
        self.ratio = ratio
        self.window = window

    def _check(self) -> None:
        super()._check()
        if self.ratio not in {"auto", *_RATIOS}:
            raise ParameterError("ratio", self.ratio, f"auto, {', '.join(_RATIOS)}")
        if self.window is not None and self.window < self._least_rows_of_ratio():
            raise ParameterError("window", self.window, f"at least {self._least_rows_of_ratio()}")

    def _least_rows(self) -> int:
        return max(super()._least_rows(), self._least_rows_of_ratio())

    def _least_rows_of_ratio(self) -> int:
        return self.min_rows if self.ratio == "auto" else sum(_RATIOS[self.ratio]) + 2

    def _chosen(self, rows: int) -> tuple[int, int]:
        if self.ratio != "auto":
            return _RATIOS[self.ratio]
        return _RATIOS["r10" if rows <= 7 else "r11" if rows <= 10 else "r21" if rows <= 13 else "r22"]

    def _critical(self, rows: int, alpha: float) -> float:
        return critical_values.dixon(rows, alpha, *self._chosen(rows))

    def _summary(self, samples: FloatCube) -> tuple[FloatMatrix, ...]:
        ordered = np.sort(samples, axis=1)
        return ordered[:, :_KEPT].copy(), ordered[:, -_KEPT:].copy()

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((1, _KEPT, self.n_features_in_),) * 2

    def _statistics(
        self, summary: tuple[FloatMatrix, ...], values: FloatMatrix
    ) -> tuple[FloatMatrix, FloatMatrix]:
        lowest, highest = summary
        gap, left_out = self._chosen(self.rows_)
        high = _ratio(values, highest[:, -1], highest[:, -gap], lowest[:, left_out])
        low = _ratio(-values, -lowest[:, 0], -lowest[:, gap - 1], -highest[:, -1 - left_out])
        return high, low

    def _member_statistics(self, values: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
        ordered = np.sort(values, axis=0)
        gap, left_out = self._chosen(len(values))
        high = _ratio(values, ordered[-1], ordered[-1 - gap], ordered[left_out])
        low = _ratio(-values, -ordered[0], -ordered[gap], -ordered[-1 - left_out])
        return high, low


def _ratio(
    values: FloatMatrix, outermost: FloatMatrix, neighbours: FloatMatrix, far_ends: FloatMatrix
) -> FloatMatrix:
    """Return the gaps over the ranges of values that are outermost, 0 of others."""
    ranges = values - far_ends
    is_tested = (values >= outermost) & (ranges > 0)
    ratios: FloatMatrix = np.divide(values - neighbours, ranges, out=np.zeros_like(values), where=is_tested)
    return ratios
