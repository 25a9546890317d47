import numpy as np
import pytest

from detector.kernels.tail_rank import minus_log_tail

_ASCENDING = np.arange(100.0)


def test_within_the_references_it_is_their_share_above() -> None:
    assert minus_log_tail(89.5, _ASCENDING, 100) == pytest.approx(-np.log(10.0 / 101.0))


def test_ties_count_half() -> None:
    assert minus_log_tail(1.0, np.ones(100), 100) == pytest.approx(-np.log(50.0 / 101.0))


def test_beyond_the_largest_it_grows_by_one_per_mean_excess() -> None:
    excess = np.mean(_ASCENDING[90:] - 89.0)
    near = minus_log_tail(99.0 + float(excess), _ASCENDING, 100)
    far = minus_log_tail(99.0 + 2.0 * float(excess), _ASCENDING, 100)
    assert near == pytest.approx(np.log(101.0) + 1.0)
    assert far == pytest.approx(near + 1.0)


def test_it_never_falls() -> None:
    rng = np.random.default_rng(0)
    ascending = np.sort(np.round(rng.exponential(size=50), 1))
    ranks = [minus_log_tail(score, ascending, 50) for score in np.linspace(-1.0, 20.0, 500).tolist()]
    assert np.all(np.diff(ranks) >= 0.0)
    assert ranks[0] >= -np.log(50.0 / 51.0) - 1e-12
