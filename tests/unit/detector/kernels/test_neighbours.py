import numpy as np
import pytest

from detector.kernels.neighbours import mean_nearest, squared_distances


@pytest.mark.parametrize("neighbours", [1, 7, 64])
def test_mean_of_the_nearest_is_that_of_sorted_distances(neighbours: int) -> None:
    rng = np.random.default_rng(neighbours)
    references = rng.normal(size=(5, 64)).astype(np.float32)
    point = rng.normal(size=5).astype(np.float32)
    out = np.empty(64, np.float32)
    squared_distances(point, references, 64, out)
    distances = np.sort(np.sqrt(((references - point[:, None]).astype(np.float64) ** 2).sum(axis=0)))
    assert mean_nearest(out, 64, neighbours) == pytest.approx(distances[:neighbours].mean(), rel=1e-5)


def test_equal_distances_at_the_limit_count_once_each() -> None:
    squared = np.array([4.0, 0.0, 4.0, 4.0, 9.0], np.float32)
    assert mean_nearest(squared, 5, 3) == pytest.approx(4.0 / 3.0)


def test_only_the_first_count() -> None:
    squared = np.array([4.0, 16.0, 0.0], np.float32)
    assert mean_nearest(squared, 2, 1) == pytest.approx(2.0)
