"""What a venue that follows another one knows of its prices, and when."""

import numpy as np

from simulator.arrivals import Floats
from simulator.following import Follower, Leader


def follower(*, seed: int = 1, name: str = "kraken/BTCUSDT") -> Follower:
    return Follower(seed=seed, name=name, rng=np.random.default_rng(0), first_s=0.0)


def basis_bps(of: Follower, *, chunks: int, chunk_s: float) -> Floats:
    """Return where the basis is, on average over each chunk in which the leader does not move."""
    times_s = [np.linspace(n * chunk_s, (n + 1) * chunk_s, 500) for n in range(chunks)]
    still = [of.log_prices(times, Leader(times, np.zeros(500)), end_s=float(times[-1])) for times in times_s]
    means: Floats = np.array([prices.mean() for prices in still]) * 1e4
    return means


def test_a_move_is_followed_after_a_while_over_the_seam_of_chunks() -> None:
    one = follower()
    jump = np.where(np.arange(10) < 9, 0.0, 0.01)
    first = one.log_prices(np.array([0.99]), Leader(np.linspace(0.0, 0.9, 10), jump), end_s=1.0)
    second = one.log_prices(np.array([1.01, 1.15]), Leader(np.array([1.5]), np.array([0.5])), end_s=2.0)
    assert abs(first[0]) < 0.002, "0.09 s after the move it is not known"
    assert np.all(np.abs(second - 0.01) < 0.002)


def test_the_basis_is_small_wanders_slowly_and_is_each_venues_own() -> None:
    basis = basis_bps(follower(), chunks=3_000, chunk_s=600.0)
    assert 1.4 < basis.std() < 2.6
    assert 0.7 < np.corrcoef(basis[:-1], basis[1:])[0, 1] < 0.95
    other = basis_bps(follower(name="coinbase/BTCUSDT"), chunks=3_000, chunk_s=600.0)
    assert abs(np.corrcoef(basis, other)[0, 1]) < 0.3


def test_the_same_seed_follows_alike() -> None:
    assert np.array_equal(
        basis_bps(follower(), chunks=5, chunk_s=5.0), basis_bps(follower(), chunks=5, chunk_s=5.0)
    )
    assert not np.array_equal(
        basis_bps(follower(), chunks=5, chunk_s=5.0), basis_bps(follower(seed=2), chunks=5, chunk_s=5.0)
    )
