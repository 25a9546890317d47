import numpy as np
import pytest

from detector.kernels.covariance import concentrate, squared_mahalanobis


def _fit(points: np.ndarray, *, kept_share: float = 0.5, steps: int = 2) -> tuple[np.ndarray, np.ndarray]:
    columns = points.shape[1]
    centre, whitening = np.empty(columns, np.float32), np.empty((columns, columns), np.float32)
    concentrate(points.astype(np.float32), kept_share, steps, centre, whitening)
    return centre, whitening


def test_without_concentration_it_is_the_shrunk_covariance() -> None:
    points = np.random.default_rng(0).normal(size=(400, 3)) @ np.array(
        [[1, 0.8, 0], [0, 0.6, 0], [0, 0, 2.0]]
    )
    points = points.astype(np.float32).astype(np.float64)
    centre, whitening = _fit(points, steps=0)
    covariance = np.cov(points.T, bias=True)
    shrinkage = 0.5 * 3 / 401 + 0.01
    shrunk = (1 - shrinkage) * covariance + (shrinkage * np.trace(covariance) / 3 + 1e-6) * np.eye(3)
    off = np.array([1.0, -2.0, 0.5]) - points.mean(axis=0)
    found = squared_mahalanobis(np.array([1.0, -2.0, 0.5], np.float32), centre, whitening)
    assert found == pytest.approx(off @ np.linalg.inv(shrunk) @ off, rel=1e-4)


def test_concentration_leaves_a_cluster_of_outliers_out() -> None:
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(size=(160, 2)), rng.normal(8.0, 0.2, size=(40, 2))])
    centre, whitening = _fit(points)
    assert np.abs(centre).max() < 0.5
    at_outliers = squared_mahalanobis(np.array([8.0, 8.0], np.float32), centre, whitening)
    plain = squared_mahalanobis(np.array([8.0, 8.0], np.float32), *_fit(points, steps=0))
    assert at_outliers > 10.0 * plain


@pytest.mark.parametrize("rows", [2, 5])
def test_fewer_rows_than_columns_and_constant_columns_stay_finite(rows: int) -> None:
    points = np.zeros((rows, 8))
    points[:, 0] = np.arange(rows)
    centre, whitening = _fit(points)
    assert np.isfinite(squared_mahalanobis(np.ones(8, np.float32), centre, whitening))
