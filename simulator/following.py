"""How a market's price on one venue follows that on another: late, and not quite."""

from typing import NamedTuple

import numpy as np

from simulator.arrivals import Floats
from simulator.seeds import generator

# It comes after a while; every order lies a little beside, around a basis that wanders.
_AFTER_S = 0.2
_WITHIN = 0.8e-4
_BASIS_SD = 2.0e-4
_BASIS_LASTS_S = 3_600.0


class Leader(NamedTuple):
    """Where a market's price was on its first venue, at n times; events apart."""

    times_s: Floats
    log_prices: Floats


class Follower:
    """One market on a venue that follows, from chunk to chunk.

    The basis is an Ornstein-Uhlenbeck process, drawn at the ends of chunks and straight between. It has
    randomness of its own, which no trade moves.

    Args:
        seed: of everything.
        name: of market and venue.
        rng: of this market.
        first_s: source time of the first chunk.
    """

    def __init__(self, *, seed: int, name: str, rng: np.random.Generator, first_s: float) -> None:
        self._rng, self._basis_rng = rng, generator(seed, f"{name}/basis")
        self._basis = _BASIS_SD * float(self._basis_rng.standard_normal())
        self._time_s, self._last_log = first_s, 0.0

    def log_prices(self, times_s: Floats, leader: Leader, *, end_s: float) -> Floats:
        """Return the logarithm of the price between buyers and sellers, as the leader has it.

        Args:
            times_s: n, in seconds of the source.
            leader: of the same chunk.
            end_s: of the chunk.
        """
        at = np.searchsorted(leader.times_s, times_s - _AFTER_S, side="right")
        known = np.concatenate(([self._last_log], leader.log_prices))
        self._last_log = float(known[-1])
        kept = float(np.exp((self._time_s - end_s) / _BASIS_LASTS_S))
        moved = _BASIS_SD * np.sqrt(1.0 - kept**2) * float(self._basis_rng.standard_normal())
        ends = self._basis, kept * self._basis + moved
        basis = np.interp(times_s, (self._time_s, end_s), ends)
        self._basis, self._time_s = ends[1], end_s
        followed: Floats = known[at] + basis + _WITHIN * self._rng.standard_normal(len(times_s))
        return followed
