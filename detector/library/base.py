"""What every detector of the library can do, whatever it thinks is usual."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from detector.arrays import FloatMatrix, FloatVector
from detector.library import storage
from detector.library.errors import NotFittedError, ParameterError, RowCountError, SavedModelError
from detector.library.storage import Array, Parameter
from detector.library.tables import Record, Table, column_names, matrix, refuse_constant, single_row

Labels: TypeAlias = NDArray[np.int8]


class Explanation(NamedTuple):
    """Why rows have their scores.

    Attributes:
        features: d names.
        contributions: n x d, what each feature adds to a row's score.
        base: the score to which they are added: a row's contributions and this add up to its score.
    """

    features: tuple[str, ...]
    contributions: FloatMatrix
    base: float


class Detector(BaseEstimator, ABC):  # type: ignore[misc] # scikit-learn publishes no types
    """Learns from a sample what is usual, and says of rows how strange they are.

    A scikit-learn estimator: parameters are the arguments of the constructor, `get_params`, `set_params` and
    `clone` work, and it may stand at the end of a Pipeline. Higher scores are stranger, a label is 1 where
    the score is above `threshold_`. Nothing but `fit`, `fit_detect`,
    `partial_fit` and `set_params` changes it.

    Attributes:
        feature_names_in_: d names of the columns it was fitted to; x0, x1 and so on if they had none.
        n_features_in_: d.
        medians_: d, of the sample; what a record does not say is taken to be that.
        threshold_: score above which a row is an anomaly.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    min_rows: ClassVar[int] = 2

    feature_names_in_: NDArray[np.object_]
    n_features_in_: int
    medians_: FloatVector
    threshold_: float

    def fit(self, rows: Table, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Learn from a sample, and forget any other.

        Args:
            rows: n x d; a data frame, or an array. In window mode in the order of time.
            y: ignored.

        Raises:
            DetectorError: which of `detector.library.errors` says what is wrong with parameters or rows.
        """
        self._fit(rows)
        return self

    def fit_detect(self, rows: Table) -> tuple[Labels, FloatVector]:
        """Learn from a sample and judge the sample's own rows, each against all of them.

        Where a detector knows the difference (tests for outliers, Local Outlier Factor), its rows count as
        members of the sample here, and as new ones in `detect`. In window mode rows before the first whole
        window have no score: NaN, label 0.

        Raises:
            DetectorError: as `fit`.
        """
        scores = self._fit(rows)
        return self._labels(scores), scores

    def score(self, rows: Table, y: object = None) -> FloatVector:  # noqa: ARG002 - scikit-learn's signature
        """Return n scores, higher is stranger.

        Raises:
            ColumnsError: they are not those of the sample.
            NotFiniteError: NaN or infinity.
            NotFittedError: `fit` comes first.
        """
        return self._scores(self._matrix(rows))

    def detect(self, rows: Table) -> tuple[Labels, FloatVector]:
        """Return n labels (int8, 1 is an anomaly) and n scores.

        Raises:
            DetectorError: as `score`.
        """
        scores = self.score(rows)
        return self._labels(scores), scores

    def detect_realtime(self, record: Record) -> tuple[bool, float]:
        """Return whether one record is an anomaly, and its score.

        A feature that is absent, or None, is taken to be the median of the sample, so that it adds nothing,
        or nearly nothing, to the score. A NaN is no missing feature, but a fault.

        Raises:
            ColumnsError: a feature is unknown, or all are missing.
            NotFiniteError: a value is NaN or infinite.
            NotFittedError: `fit` comes first.
        """
        self._require_fitted()
        row = single_row(record, self._names, self.medians_)
        score = float(self._scores(row)[0])
        return score > self.threshold_, score

    def explain(self, rows: Table) -> Explanation:
        """Return how much each feature adds to each row's score.

        Raises:
            DetectorError: as `score`.
        """
        values = self._matrix(rows)
        return Explanation(self._names, *self._explain(values))

    def predict(self, rows: Table) -> Labels:
        """Return the labels of `detect`; scikit-learn's name for it."""
        return self.detect(rows)[0]

    def decision_function(self, rows: Table) -> FloatVector:
        """Return the scores of `score`, higher is stranger as in PyOD."""
        return self.score(rows)

    def set_params(self, **parameters: Parameter) -> Self:
        """Change parameters; a detector that was fitted must be fitted anew.

        Raises:
            ValueError: there is no such parameter.
        """
        super().set_params(**parameters)
        if parameters:
            self._forget()
        return self

    def save(self, folder: Path | str) -> None:
        """Write parameters (JSON) and arrays (npz) into a folder.

        Raises:
            NotFittedError: there is nothing to save yet.
            OSError: it cannot be written to.
        """
        self._require_fitted()
        arrays = self._state() | {"medians": self.medians_, "threshold": np.array([self.threshold_])}
        storage.write(
            Path(folder),
            detector=self.name,
            version=self.version,
            parameters=self._parameters(),
            features=self._names,
            arrays=arrays,
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the detector that was saved; it scores as the one that was.

        Raises:
            SavedModelError: it is damaged, of another detector, or of a version that is not known.
            OSError: it cannot be read.
        """
        path = Path(folder)
        found = storage.describe(path)
        if (found.detector, found.detector_version) != (cls.name, cls.version):
            wanted = f"{cls.name} of version {cls.version}"
            raise SavedModelError(
                path, f"it is {found.detector} of version {found.detector_version}, not {wanted}"
            )
        try:
            detector = cls(**found.parameters)
            if found.parameters != detector._parameters():
                raise SavedModelError(path, "its parameters are not those of this version")
            arrays = storage.read_arrays(path, found)
            detector._restore(found.features, arrays)
        except (TypeError, KeyError, IndexError, ParameterError) as error:
            raise SavedModelError(path, f"{type(error).__name__}: {error}") from error
        return detector

    def _restore(self, features: list[str], arrays: Mapping[str, Array]) -> None:
        self._check()
        self._set_names(tuple(features))
        rest = dict(arrays)
        medians, threshold = rest.pop("medians"), rest.pop("threshold")
        if medians.shape != (len(features),) or threshold.shape != (1,):
            raise TypeError("arrays that do not fit the features")
        for name, array in rest.items():
            if not np.isfinite(array).all():
                raise TypeError(f"{name} holds what is no number")
        self._load_state(rest)
        if self._state().keys() != rest.keys():
            raise TypeError(f"arrays {', '.join(sorted(rest))}, wanted {', '.join(sorted(self._state()))}")
        self.medians_, self.threshold_ = np.asarray(medians, np.float64), float(threshold[0])

    def _fit(self, rows: Table) -> FloatVector:
        self._check()
        names = column_names(rows)
        values = matrix(rows, names)
        if len(values) < self._least_rows():
            raise RowCountError(len(values), f"at least {self._least_rows()} are needed")
        refuse_constant(values, names)
        self._forget()
        scores = self._learn(values)
        self._set_names(names)
        self.medians_ = np.median(values, axis=0)
        return scores

    def _forget(self) -> None:
        """Be as one that was never fitted, so that a fit that fails leaves nothing half done."""
        self.__dict__.pop("medians_", None)

    def _parameters(self) -> dict[str, Parameter]:
        parameters: dict[str, Parameter] = self.get_params(deep=False)
        return parameters

    def _set_names(self, names: tuple[str, ...]) -> None:
        self.feature_names_in_ = np.array(names, object)
        self.n_features_in_ = len(names)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.feature_names_in_)

    def _labels(self, scores: FloatVector) -> Labels:
        return (scores > self.threshold_).astype(np.int8)

    def _matrix(self, rows: Table) -> FloatMatrix:
        self._require_fitted()
        return matrix(rows, self._names)

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(type(self).__name__)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "medians_")

    def _least_rows(self) -> int:
        """Return how many rows a sample must have."""
        return self.min_rows

    @abstractmethod
    def _check(self) -> None:
        """Raise ParameterError if a parameter is out of bounds."""

    @abstractmethod
    def _learn(self, values: FloatMatrix) -> FloatVector:
        """Learn n x d rows, set `threshold_`, return the rows' own scores."""

    @abstractmethod
    def _scores(self, values: FloatMatrix) -> FloatVector:
        """Return n scores of n x d rows."""

    @abstractmethod
    def _explain(self, values: FloatMatrix) -> tuple[FloatMatrix, float]:
        """Return n x d contributions of n x d rows, and to what they add."""

    @abstractmethod
    def _state(self) -> dict[str, Array]:
        """Return what was learned, by name."""

    @abstractmethod
    def _load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take over what was learned.

        Raises:
            TypeError: it does not fit.
            KeyError: something is absent.
        """
