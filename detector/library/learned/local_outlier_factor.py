"""Local Outlier Factor.

Idea: a row is strange where it lies less densely than its own nearest neighbours do.

Score: how many times denser the neighbours lie; about 1 for ordinary rows, and up. It is scikit-learn's
`-score_samples` of a novelty detector; in `fit_detect`, that of a row among the others of its sample.

Warm-up: 10 rows, and more than `neighbours`.

Cost: a search for neighbours among all rows of the sample; memory: the sample, which is also what is saved;
the model is made from it anew.

Blind spots: many columns, in which all rows are far from each other; as many equal rows as `neighbours`.

Reference: Breunig, Kriegel, Ng and Sander, "LOF: Identifying Density-Based Local Outliers" (SIGMOD 2000).

Example:
    >>> import numpy as np
    >>> sample = np.random.default_rng(0).normal(size=(200, 2))
    >>> labels, scores = LOFDetector(contamination=0.01).fit(sample).detect([[0.0, 0.0], [8.0, 8.0]])
    >>> labels.tolist()
    [0, 1]
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from detector.arrays import FloatMatrix, FloatVector
from detector.library.errors import ParameterError
from detector.library.learned.base import Learned
from detector.library.storage import Array


class LOFDetector(Learned):
    """Scores a row by how much denser its neighbours lie.

    Args:
        contamination: share of the sample that is taken to be strange.
        neighbours: that a row is compared with.
        seed: of the orders in which `explain` goes through features; the model has no randomness.
    """

    name: ClassVar[str] = "lof"

    def __init__(self, *, contamination: float = 0.05, neighbours: int = 20, seed: int = 0) -> None:
        self.contamination = contamination
        self.neighbours = neighbours
        self.seed = seed

    def _check(self) -> None:
        super()._check()
        if self.neighbours < 1:
            raise ParameterError("neighbours", self.neighbours, "at least 1")

    def _least_rows(self) -> int:
        return max(super()._least_rows(), self.neighbours + 1)

    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        self._sample = values
        self._model = LocalOutlierFactor(n_neighbors=self.neighbours, novelty=True).fit(values)
        scores: FloatVector = -self._model.negative_outlier_factor_
        return scores

    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        scores: FloatVector = -self._model.score_samples(values)
        return scores

    def _model_state(self) -> dict[str, Array]:
        return {"sample": self._sample}

    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        sample = np.asarray(arrays["sample"], np.float64)
        if sample.ndim != 2 or len(sample) < self._least_rows() or sample.shape[1] != self.n_features_in_:
            raise TypeError("the sample does not fit the features")
        self._learn_scaled(sample)
