"""Distance from the nearest of k cluster centres.

Idea: markets have a few usual states; what is far from all of them is strange.

Score: the distance from the nearest centre in scaled columns; 0 and up.

Warm-up: 10 rows, and at least one per cluster.

Cost: k distances per row; memory: k centres.

Blind spots: wide and narrow clusters count the same; a group of strange rows may get a centre of its own.

Reference: MacQueen, "Some Methods for Classification and Analysis of Multivariate Observations" (1967);
centres begin as of Arthur and Vassilvitskii, "k-means++" (SODA 2007).

Example:
    >>> import numpy as np
    >>> sample = np.random.default_rng(0).normal(size=(200, 2))
    >>> labels, scores = KMeansDetector(contamination=0.01).fit(sample).detect([[0.0, 0.0], [8.0, 8.0]])
    >>> labels.tolist()
    [0, 1]
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from sklearn.cluster import KMeans

from detector.arrays import FloatMatrix, FloatVector
from detector.library.errors import DetectorError, ParameterError
from detector.library.learned.base import Learned
from detector.library.storage import Array

# Of the best of so many beginnings.
_BEGINNINGS = 10


class KMeansDetector(Learned):
    """Scores a row by its distance from the nearest cluster centre.

    Args:
        contamination: share of the sample that is taken to be strange.
        clusters: how many.
        seed: of where the centres begin.
    """

    name: ClassVar[str] = "kmeans"

    def __init__(self, *, contamination: float = 0.05, clusters: int = 8, seed: int = 0) -> None:
        self.contamination = contamination
        self.clusters = clusters
        self.seed = seed

    def _check(self) -> None:
        super()._check()
        if self.clusters < 1:
            raise ParameterError("clusters", self.clusters, "at least 1")

    def _least_rows(self) -> int:
        return max(super()._least_rows(), self.clusters)

    def _learn_scaled(self, values: FloatMatrix) -> FloatVector:
        distinct = len(np.unique(values, axis=0))
        if distinct < self.clusters:
            raise DetectorError(f"{distinct} different rows are too few for {self.clusters} clusters")
        model = KMeans(n_clusters=self.clusters, n_init=_BEGINNINGS, random_state=self.seed).fit(values)
        self._centres = np.array(model.cluster_centers_, np.float64)
        return self._score_scaled(values)

    def _score_scaled(self, values: FloatMatrix) -> FloatVector:
        nearest = np.full(len(values), np.inf)
        for centre in self._centres:
            nearest = np.minimum(nearest, ((values - centre) ** 2).sum(axis=1))
        scores: FloatVector = np.sqrt(nearest)
        return scores

    def _model_state(self) -> dict[str, Array]:
        return {"centres": self._centres}

    def _load_model(self, arrays: Mapping[str, Array]) -> None:
        centres = np.asarray(arrays["centres"], np.float64)
        if centres.shape != (self.clusters, self.n_features_in_):
            raise TypeError("the centres do not fit clusters and features")
        self._centres = centres
