"""What tests for one outlier share: a row is tested as one value of a sample, against a critical value.

A row that `detect` is given joins the sample (or, with a window, the rows just before it, so that the window
counts it); one of the sample, in `fit_detect`, belongs to it already. Several columns: each is tested at
`alpha` divided by their number (Bonferroni), so that a row is flagged by chance no more often than `alpha`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from detector.arrays import FloatMatrix
from detector.library.errors import ParameterError
from detector.library.statistical.base import Statistical
from detector.library.storage import Array

Side = Literal["both", "high", "low"]


class OutlierTest(Statistical):
    """Scores a row by its statistic over the critical value: above 1 it is significant."""

    min_rows: ClassVar[int] = 3
    alpha: float
    side: Side

    rows_: int
    critical_: float

    def _check(self) -> None:
        super()._check()
        if not 0 < self.alpha < 0.5:
            raise ParameterError("alpha", self.alpha, "above 0 and below 0.5")
        if self.side not in {"both", "high", "low"}:
            raise ParameterError("side", self.side, "both, high or low")

    def _set_threshold(self, rows: int, columns: int) -> None:
        self.threshold_ = 1.0
        self._set_critical(rows + 1 if self.window is None else self.window, columns)

    def _set_critical(self, rows: int, columns: int) -> None:
        self.rows_ = rows
        self.critical_ = self._critical(rows, self._alpha_of_one(columns))

    def _alpha_of_one(self, columns: int) -> float:
        """Return the level of one side of one column."""
        return self.alpha / columns / (2 if self.side == "both" else 1)

    def _rows_before(self) -> int:
        assert self.window is not None
        return self.window - 1

    def _judge(self, summary: tuple[FloatMatrix, ...], values: FloatMatrix) -> FloatMatrix:
        return self._one_side(*self._statistics(summary, values)) / self.critical_

    def _member_scores(self, values: FloatMatrix) -> FloatMatrix:
        critical = self._critical(len(values), self._alpha_of_one(values.shape[1]))
        return self._one_side(*self._member_statistics(values)) / critical

    def _one_side(self, high: FloatMatrix, low: FloatMatrix) -> FloatMatrix:
        if self.side == "both":
            return np.maximum(high, low)
        return high if self.side == "high" else low

    def _state(self) -> dict[str, Array]:
        return super()._state() | {"rows": np.array([self.rows_])}

    def _load_state(self, arrays: Mapping[str, Array]) -> None:
        super()._load_state(arrays)
        rows = arrays["rows"]
        if rows.shape != (1,) or rows[0] < self.min_rows or (self.window or rows[0]) != rows[0]:
            raise TypeError("a number of rows that is none")
        self._set_critical(int(rows[0]), self.n_features_in_)

    @abstractmethod
    def _critical(self, rows: int, alpha: float) -> float:
        """Return the critical value of one side."""

    @abstractmethod
    def _statistics(
        self, summary: tuple[FloatMatrix, ...], values: FloatMatrix
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """Return n x d statistics of rows that join their samples: as high and as low outliers, 0 and up."""

    @abstractmethod
    def _member_statistics(self, values: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
        """Return n x d statistics of the rows of one sample, as high and as low outliers, 0 and up."""
