"""Negative log-likelihood under a mixture of Gaussians.

Idea: markets have a few usual states, each of its own shape; what is unlikely in all of them is strange.

Score: -log of the density in scaled columns, as scikit-learn's `-score_samples`; of any sign.

Warm-up: 10 rows, and more rows than components.

Cost: a d x d product per row and component; memory: d x d numbers per component.

Blind spots: heavy tails are not Gaussian, so that scores of far rows grow with the square of the distance; a
component may settle on a few strange rows.

Reference: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm" (1977).

Example:
    >>> import numpy as np
    >>> sample = np.random.default_rng(0).normal(size=(200, 2))
    >>> mixture = GaussianMixtureDetector(contamination=0.01).fit(sample)
    >>> mixture.detect([[0.0, 0.0], [8.0, 8.0]])[0].tolist()
    [0, 1]
"""

import math
import warnings
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from detector.arrays import FloatMatrix, FloatVector
from detector.library.errors import DetectorError, ParameterError
from detector.library.learned.base import Learned
from detector.library.storage import Array

_ITERATIONS = 500


class GaussianMixtureDetector(Learned):
    """Scores a row by how unlikely it is under a mixture of Gaussians.

    Args:
        contamination: share of the sample that is taken to be strange.
        components: how many Gaussians, each with its whole covariance.
        seed: of where they begin.
    """

    name: ClassVar[str] = "gaussian_mixture"

    def __init__(self, *, contamination: float = 0.05, components: int = 3, seed: int = 0) -> None:
        self.contamination = contamination
        self.components = components
        self.seed = seed

    def _check(self) -> None:
        super()._check()
        if self.components < 1:
            raise ParameterError("components", self.components, "at least 1")

    def _least_rows(self) -> int:
        return max(super()._least_rows(), self.components + 1)

    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        distinct = len(np.unique(values, axis=0))
        if distinct < self.components:
            raise DetectorError(f"{distinct} different rows are too few for {self.components} components")
        model = GaussianMixture(self.components, max_iter=_ITERATIONS, random_state=self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(values)
            except ConvergenceWarning as warning:
                raise DetectorError(
                    f"{self.components} Gaussians are not settled after {_ITERATIONS} rounds; ask for fewer"
                ) from warning
        self._weights = np.array(model.weights_, np.float64)
        self._centres = np.array(model.means_, np.float64)
        self._precisions = np.array(model.precisions_cholesky_, np.float64)
        return self._score_scaled(values)

    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        logs = np.empty((len(values), self.components), np.float64)
        for k, (centre, root) in enumerate(zip(self._centres, self._precisions, strict=True)):
            whitened = (values - centre) @ root
            logs[:, k] = np.log(np.diag(root)).sum() - 0.5 * (whitened**2).sum(axis=1)
        constant = 0.5 * values.shape[1] * math.log(2.0 * math.pi)
        scores: FloatVector = constant - logsumexp(logs + np.log(self._weights), axis=1)
        return scores

    def _model_state(self) -> dict[str, Array]:
        return {"weights": self._weights, "centres": self._centres, "precisions": self._precisions}

    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        weights, centres, precisions = (
            np.asarray(arrays[name], np.float64) for name in ("weights", "centres", "precisions")
        )
        k, d = self.components, self.n_features_in_
        if (weights.shape, centres.shape, precisions.shape) != ((k,), (k, d), (k, d, d)):
            raise TypeError("the arrays do not fit components and features")
        if (weights <= 0).any() or (np.diagonal(precisions, axis1=1, axis2=2) <= 0).any():
            raise TypeError("weights or precisions that are none")
        self._weights, self._centres, self._precisions = weights, centres, precisions
