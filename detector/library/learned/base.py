"""What the learned detectors share: columns on one scale, a threshold from the sample, Shapley values."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from detector.arrays import FloatMatrix, FloatVector
from detector.library.base import Detector
from detector.library.errors import ParameterError
from detector.library.shapley import contributions
from detector.library.storage import Array


class Learned(Detector):
    """Fits a model to the sample, each column taken in standard deviations from its mean.

    The threshold is the score above which the share `contamination` of the sample lies.
    """

    min_rows: ClassVar[int] = 10
    contamination: float
    seed: int

    means_: FloatVector
    scales_: FloatVector

    def _check(self) -> None:
        if not 0 < self.contamination <= 0.5:
            raise ParameterError("contamination", self.contamination, "above 0 and at most 0.5")
        if not 0 <= self.seed < 2**32:
            raise ParameterError("seed", self.seed, "from 0 to 4294967295")

    def _learn(self, values: FloatMatrix) -> FloatVector:
        self.means_, self.scales_ = values.mean(axis=0), values.std(axis=0)
        # One thread adds up in one order, so that the same seed gives the same model to the last bit.
        with threadpool_limits(limits=1):
            scores = self._learn_scaled(self._scaled(values))
        self.threshold_ = float(np.quantile(scores, 1.0 - self.contamination))
        return scores

    def _scores(self, values: FloatMatrix) -> FloatVector:
        return self._score_scaled(self._scaled(values)) if len(values) else np.empty(0, np.float64)

    def _scaled(self, values: FloatMatrix) -> FloatMatrix:
        scaled: FloatMatrix = (values - self.means_) / self.scales_
        return scaled

    def _explain(self, values: FloatMatrix) -> tuple[FloatMatrix, float]:
        return contributions(self._scores, values, self.medians_, seed=self.seed)

    def _state(self) -> dict[str, Array]:
        return {"means": self.means_, "scales": self.scales_} | self._model_state()

    def _load_state(self, arrays: Mapping[str, Array]) -> None:
        self.means_ = np.asarray(arrays["means"], np.float64)
        self.scales_ = np.asarray(arrays["scales"], np.float64)
        if not self.means_.shape == self.scales_.shape == (self.n_features_in_,) or (self.scales_ <= 0).any():
            raise TypeError("means and scales do not fit the features")
        self._load_model(arrays)

    @abstractmethod
    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        """Fit the model to n x d scaled rows, return their scores."""

    @abstractmethod
    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        """Return n scores of n x d scaled rows, n at least 1."""

    @abstractmethod
    def _model_state(self) -> dict[str, Array]:
        """Return the arrays of the model."""

    @abstractmethod
    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        """Take over the arrays of the model; raise as `_load_state`."""
