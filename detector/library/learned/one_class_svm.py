"""One-Class Support Vector Machine.

Idea: the smoothest surface that holds all of the sample but a share of it; what is outside is strange.

Score: how far outside, below 0 inside; it is scikit-learn's `-decision_function`, from minus the sum of the
weights to the offset. The kernel is Gaussian, exp(-gamma |x - y|^2) with scaled columns.

Warm-up: 10 rows.

Cost: fitting grows with the square of the rows, scoring with the support vectors: at least the share `nu`.

Blind spots: far outside, all scores are the same offset, whatever the distance.

Reference: Schölkopf, Platt, Shawe-Taylor, Smola and Williamson, "Estimating the Support of a High-Dimensional
Distribution" (Neural Computation 2001).

Example:
    >>> import numpy as np
    >>> sample = np.random.default_rng(0).normal(size=(200, 2))
    >>> labels, scores = OneClassSVMDetector(contamination=0.01).fit(sample).detect([[0.0, 0.0], [8.0, 8.0]])
    >>> labels.tolist()
    [0, 1]
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from detector.arrays import FloatMatrix, FloatVector
from detector.library.errors import ParameterError
from detector.library.learned.base import Learned
from detector.library.storage import Array


class OneClassSVMDetector(Learned):
    """Scores a row by how far outside of the surface around the sample it is.

    Args:
        contamination: share of the sample that is taken to be strange, for the threshold.
        nu: share of the sample that the surface may leave outside.
        gamma: of the kernel; None: one over the number of columns.
        seed: of the orders in which `explain` goes through features; the model has no randomness.
    """

    name: ClassVar[str] = "one_class_svm"

    def __init__(
        self, *, contamination: float = 0.05, nu: float = 0.1, gamma: float | None = None, seed: int = 0
    ) -> None:
        self.contamination = contamination
        self.nu = nu
        self.gamma = gamma
        self.seed = seed

    def _check(self) -> None:
        super()._check()
        if not 0 < self.nu <= 1:
            raise ParameterError("nu", self.nu, "above 0 and at most 1")
        if self.gamma is not None and not 0 < self.gamma < float("inf"):
            raise ParameterError("gamma", self.gamma, "None or above 0")

    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        model = OneClassSVM(nu=self.nu, gamma=self._gamma(values.shape[1])).fit(values)
        self._vectors = np.array(model.support_vectors_, np.float64)
        self._weights = np.array(model.dual_coef_[0], np.float64)
        self._offset = float(-model.intercept_[0])
        return self._score_scaled(values)

    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        kernel = rbf_kernel(values, self._vectors, gamma=self._gamma(values.shape[1]))
        scores: FloatVector = self._offset - kernel @ self._weights
        return scores

    def _gamma(self, columns: int) -> float:
        return 1.0 / columns if self.gamma is None else self.gamma

    def _model_state(self) -> dict[str, Array]:
        return {"vectors": self._vectors, "weights": self._weights, "offset": np.array([self._offset])}

    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        vectors = np.asarray(arrays["vectors"], np.float64)
        weights = np.asarray(arrays["weights"], np.float64)
        if vectors.shape != (len(weights), self.n_features_in_) or arrays["offset"].shape != (1,):
            raise TypeError("vectors and weights do not fit the features")
        self._vectors, self._weights, self._offset = vectors, weights, float(arrays["offset"][0])
