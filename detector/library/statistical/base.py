"""What the statistical detectors share: columns judged one by one, against a sample or a sliding window.

Several columns: each has a score of its own, and a row's is the largest of them, so that a row is an anomaly
if one of its values is. A row's contributions share its score out in proportion to the columns' scores.

Whole sample (`window=None`): rows are compared with all rows that were fitted. Window: rows are in the order
of time, and each is compared with those just before it, the first ones of a table with the last ones that
were fitted. `partial_fit` moves the window on; scoring does not.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils.metaestimators import available_if

from detector.arrays import FloatCube, FloatMatrix, FloatVector
from detector.library.base import Detector
from detector.library.errors import ParameterError
from detector.library.storage import Array
from detector.library.tables import Table

# Rows whose windows are copied at once.
_CHUNK = 2_048


def _has_window(detector: "Statistical") -> bool:
    if detector.window is None:
        raise AttributeError(f"{type(detector).__name__} learns row by row only with a window")
    return True


class Statistical(Detector):
    """Compares each value with those of its column; subclasses say how."""

    # What is kept of a sample, in the order of `_summary`; each has one row per sample.
    parts: ClassVar[tuple[str, ...]]
    least_window: ClassVar[int] = 3
    window: int | None

    spreads_: FloatVector
    window_: FloatMatrix
    summary_: tuple[FloatMatrix, ...]

    @available_if(_has_window)
    def partial_fit(self, rows: Table, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Move the window on by these rows; with `window=None` there is no such method.

        Args:
            rows: those that come next; of a detector that is new, as for `fit`.
            y: ignored.

        Raises:
            DetectorError: as `fit` if it is new, else as `score`.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(rows)
        values = self._matrix(rows)
        self.window_ = np.concatenate((self.window_, values))[-len(self.window_) :].copy()
        return self

    def _check(self) -> None:
        if self.window is not None and self.window < self.least_window:
            raise ParameterError("window", self.window, f"None or at least {self.least_window}")

    def _least_rows(self) -> int:
        return self.min_rows if self.window is None else max(self.min_rows, self.window)

    def _learn(self, values: FloatMatrix) -> FloatVector:
        self.spreads_ = values.std(axis=0)
        self._set_threshold(len(values), values.shape[1])
        if self.window is None:
            self.summary_ = self._summary(values[None])
            return self._largest(self._member_scores(values))
        length = self._rows_before()
        self.window_ = values[-length:].copy()
        scores = np.full(len(values), np.nan)
        scores[length:] = self._largest(self._after(values[:length], values[length:]))
        return scores

    def _scores(self, values: FloatMatrix) -> FloatVector:
        return self._largest(self._column_scores(values))

    def _explain(self, values: FloatMatrix) -> tuple[FloatMatrix, float]:
        scores = self._column_scores(values)
        totals = scores.sum(axis=1, keepdims=True)
        shares = np.divide(scores, totals, out=np.zeros_like(scores), where=totals > 0)
        return shares * scores.max(axis=1, keepdims=True, initial=0.0), 0.0

    def _column_scores(self, values: FloatMatrix) -> FloatMatrix:
        if self.window is None:
            return self._judge(self.summary_, values)
        return self._after(self.window_, values)

    def _after(self, before: FloatMatrix, values: FloatMatrix) -> FloatMatrix:
        """Return n x d scores of rows, each against its window."""
        scores = np.empty(values.shape, np.float64)
        row_by_row = np.concatenate((before, values))
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            span = row_by_row[start : start + len(chunk) + len(before) - 1]
            windows = sliding_window_view(span, len(before), axis=0).transpose(0, 2, 1)
            scores[start : start + len(chunk)] = self._judge(self._summary(windows), chunk)
        return scores

    @staticmethod
    def _largest(scores: FloatMatrix) -> FloatVector:
        largest: FloatVector = scores.max(axis=1)
        return largest

    def _rows_before(self) -> int:
        """Return how many rows of the window lie before the row that is judged: all of them."""
        assert self.window is not None
        return self.window

    def _state(self) -> dict[str, Array]:
        state: dict[str, Array] = {"spreads": self.spreads_}
        if self.window is not None:
            return state | {"window": self.window_}
        return state | dict(zip(self.parts, self.summary_, strict=True))

    def _load_state(self, arrays: Mapping[str, Array]) -> None:
        d = self.n_features_in_
        self.spreads_ = np.asarray(arrays["spreads"], np.float64)
        if self.spreads_.shape != (d,) or (self.spreads_ <= 0).any():
            raise TypeError("spreads do not fit the features")
        if self.window is not None:
            self.window_ = np.asarray(arrays["window"], np.float64)
            if self.window_.shape != (self._rows_before(), d):
                raise TypeError("the window does not fit the features")
            return
        self.summary_ = tuple(np.asarray(arrays[name], np.float64) for name in self.parts)
        if any(part.shape != shape for part, shape in zip(self.summary_, self._shapes(), strict=True)):
            raise TypeError("the summary does not fit the features")

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the parts of a summary of one sample."""
        return ((1, self.n_features_in_),) * len(self.parts)

    def _member_scores(self, values: FloatMatrix) -> FloatMatrix:
        """Return n x d scores of the sample's own rows, once it is learned."""
        return self._judge(self.summary_, values)

    @abstractmethod
    def _set_threshold(self, rows: int, columns: int) -> None:
        """Set the threshold that is right for a sample of this size."""

    @abstractmethod
    def _summary(self, samples: FloatCube) -> tuple[FloatMatrix, ...]:
        """Return what matters of k x m x d values, k samples of m rows each: arrays that begin with k."""

    @abstractmethod
    def _judge(self, summary: tuple[FloatMatrix, ...], values: FloatMatrix) -> FloatMatrix:
        """Return n x d scores of n rows, each against its own sample, or all against the only one."""


class Fences(Statistical):
    """How many spreads beyond the edges of what is usual."""

    parts: ClassVar[tuple[str, ...]] = ("lows", "highs", "widths")
    threshold: float

    def _check(self) -> None:
        super()._check()
        if not 0 < self.threshold < float("inf"):
            raise ParameterError("threshold", self.threshold, "above 0")

    def _set_threshold(self, rows: int, columns: int) -> None:  # noqa: ARG002 - it is the user's
        self.threshold_ = float(self.threshold)

    def _summary(self, samples: FloatCube) -> tuple[FloatMatrix, ...]:
        return self._edges(samples)

    def _judge(self, summary: tuple[FloatMatrix, ...], values: FloatMatrix) -> FloatMatrix:
        lows, highs, widths = summary
        beyond = np.maximum(lows - values, values - highs)
        scores: FloatMatrix = np.maximum(beyond, 0.0) / np.where(widths > 0, widths, self.spreads_)
        return scores

    @staticmethod
    @abstractmethod
    def _edges(samples: FloatCube) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
        """Return low edges, high edges and spreads, k x d each, of k x m x d values."""
