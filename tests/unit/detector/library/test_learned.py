"""The learned detectors score as scikit-learn's own models do, and refuse what makes no model."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from detector.library import storage
from detector.library.errors import (
    DetectorError,
    NotFittedError,
    ParameterError,
    RowCountError,
    SavedModelError,
)
from detector.library.learned.base import Learned
from detector.library.learned.gaussian_mixture import GaussianMixtureDetector
from detector.library.learned.isolation_forest import (
    IsolationForestDetector,
    create_crypto_isolation_forest,
)
from detector.library.learned.kmeans import KMeansDetector
from detector.library.learned.local_outlier_factor import LOFDetector
from detector.library.learned.one_class_svm import OneClassSVMDetector

Matrix = NDArray[np.float64]

RANDOM = np.random.default_rng(3)
SAMPLE: Matrix = RANDOM.normal(size=(300, 4)) * (1.0, 1e6, 1e-4, 50.0) + (0.0, 5e6, 0.0, 1e3)
ROWS: Matrix = RANDOM.normal(size=(50, 4)) * (3.0, 3e6, 3e-4, 150.0) + (0.0, 5e6, 0.0, 1e3)


def scaled(rows: Matrix) -> Matrix:
    result: Matrix = (rows - SAMPLE.mean(axis=0)) / SAMPLE.std(axis=0)
    return result


@pytest.mark.parametrize(
    ("detector", "peer", "scores"),
    [
        pytest.param(
            IsolationForestDetector(seed=5),
            IsolationForest(max_samples=256, random_state=5),
            lambda model, rows: -model.score_samples(rows),
            id="isolation_forest",
        ),
        pytest.param(
            LOFDetector(),
            LocalOutlierFactor(novelty=True),
            lambda model, rows: -model.score_samples(rows),
            id="lof",
        ),
        pytest.param(
            OneClassSVMDetector(),
            OneClassSVM(nu=0.1, gamma=0.25),
            lambda model, rows: -model.decision_function(rows),
            id="one_class_svm",
        ),
        pytest.param(
            KMeansDetector(seed=5),
            KMeans(8, n_init=10, random_state=5),
            lambda model, rows: model.transform(rows).min(axis=1),
            id="kmeans",
        ),
        pytest.param(
            GaussianMixtureDetector(seed=5),
            GaussianMixture(3, max_iter=500, random_state=5),
            lambda model, rows: -model.score_samples(rows),
            id="gaussian_mixture",
        ),
    ],
)
def test_scores_are_scikit_learns(
    detector: Learned,
    peer: Any,  # noqa: ANN401 - scikit-learn has no types
    scores: Callable[[Any, Matrix], Matrix],
) -> None:
    expected = scores(peer.fit(scaled(SAMPLE)), scaled(ROWS))
    np.testing.assert_allclose(detector.fit(SAMPLE).score(ROWS), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.5])
def test_so_much_of_the_sample_is_an_anomaly(contamination: float) -> None:
    labels, _ = IsolationForestDetector(contamination=contamination).fit_detect(SAMPLE)
    assert labels.mean() == pytest.approx(contamination, abs=0.005)


def test_lof_does_not_take_a_row_of_the_sample_for_its_own_neighbour() -> None:
    _, scores = LOFDetector().fit_detect(SAMPLE)
    expected = -LocalOutlierFactor().fit(scaled(SAMPLE)).negative_outlier_factor_
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_units_do_not_matter() -> None:
    other = (SAMPLE - 7.0) * (2.0, 1e-6, 1e4, 0.25)
    for detector in (KMeansDetector(), LOFDetector(), GaussianMixtureDetector(), OneClassSVMDetector()):
        before = detector.fit(SAMPLE).score(SAMPLE[:20])
        np.testing.assert_allclose(detector.fit(other).score(other[:20]), before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "detector",
    [
        IsolationForestDetector(contamination=0.0),
        IsolationForestDetector(contamination=0.6),
        IsolationForestDetector(contamination=math.nan),
        IsolationForestDetector(trees=0),
        IsolationForestDetector(rows_per_tree=1),
        IsolationForestDetector(seed=-1),
        LOFDetector(neighbours=0),
        OneClassSVMDetector(nu=0.0),
        OneClassSVMDetector(gamma=0.0),
        KMeansDetector(clusters=0),
        GaussianMixtureDetector(components=0),
    ],
)
def test_parameters_out_of_bounds_are_refused(detector: Learned) -> None:
    with pytest.raises(ParameterError):
        detector.fit(SAMPLE)


def test_samples_that_make_no_model_are_refused() -> None:
    with pytest.raises(RowCountError, match="at least 41"):
        LOFDetector(neighbours=40).fit(SAMPLE[:40])
    twice = np.tile([[0.0], [1.0]], (20, 1))
    for detector in (KMeansDetector(), GaussianMixtureDetector()):
        with pytest.raises(DetectorError, match="2 different rows are too few"):
            detector.fit(twice)


def test_a_fit_that_fails_leaves_no_half_of_a_model() -> None:
    detector = KMeansDetector().fit(SAMPLE[:, :1])
    with pytest.raises(DetectorError, match="too few"):
        detector.fit(np.tile([[0.0], [1.0]], (20, 1)))
    with pytest.raises(NotFittedError):
        detector.score(SAMPLE[:, :1])


def test_saved_parameters_out_of_bounds_are_refused(tmp_path: Path) -> None:
    KMeansDetector().fit(SAMPLE).save(tmp_path)
    path = tmp_path / "detector.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"clusters": 8', '"clusters": 0'), encoding="utf-8"
    )
    with pytest.raises(SavedModelError, match="clusters must be at least 1"):
        KMeansDetector.load(tmp_path)


def test_a_forest_whose_walks_do_not_end_is_not_loaded(tmp_path: Path) -> None:
    IsolationForestDetector(trees=3).fit(SAMPLE).save(tmp_path)
    found = storage.describe(tmp_path)
    arrays = storage.read_arrays(tmp_path, found)
    arrays["trees_lefts"][0] = 0
    storage.write(
        tmp_path,
        detector=found.detector,
        version=found.detector_version,
        parameters=found.parameters,
        features=tuple(found.features),
        arrays=arrays,
    )
    with pytest.raises(SavedModelError, match="do not end"):
        IsolationForestDetector.load(tmp_path)


def test_another_detector_is_not_loaded(tmp_path: Path) -> None:
    KMeansDetector().fit(SAMPLE).save(tmp_path)
    with pytest.raises(SavedModelError, match="it is kmeans of version 1, not lof"):
        LOFDetector.load(tmp_path)
    assert json.loads((tmp_path / "detector.json").read_text(encoding="utf-8"))["detector"] == "kmeans"


def test_the_quick_start_names_the_columns_that_are_missing() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(DetectorError, match="missing: volume, returns"):
        create_crypto_isolation_forest(pd.DataFrame({"close": [1.0, 2.0]}))
