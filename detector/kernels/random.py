"""A random generator whose whole state is one integer, so that each tree can own one and a snapshot hold it.

The n-th number after a state does not need the numbers between, so a compiler can make several at once.

Source: splitmix64, S. Vigna, https://prng.di.unimi.it/splitmix64.c (public domain).
"""

from hashlib import blake2b
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(shift) for shift in (30, 27, 31, 11))
_MOST: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO: Final = np.uint64(0)
# Numbers have 53 bits.
_UNIT: Final = 1.0 / 9007199254740992.0


def seeds(*parts: str | int, count: int) -> NDArray[np.uint64]:
    """Return `count` seeds that depend on the parts and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    digests = (blake2b(f"{text}\x1f{i}".encode(), digest_size=8).digest() for i in range(count))
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)


@njit(cache=True)
def _bits(state: np.uint64) -> np.uint64:
    """Return the 53 random bits that belong to a state."""
    mixed = (state ^ (state >> _S30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
    return np.uint64((mixed ^ (mixed >> _S31)) >> _S11)


@njit(cache=True)
def uniform(states: NDArray[np.uint64], at: int) -> float:
    """Return the next number of generator `at`, in [0, 1)."""
    states[at] += _GAMMA
    return float(_bits(states[at])) * _UNIT


@njit(cache=True)
def ahead(states: NDArray[np.uint64], at: int, steps: int) -> float:
    """Return the number of generator `at` that is `steps` after the latest, and leave the generator there."""
    return float(_bits(states[at] + np.uint64(steps) * _GAMMA)) * _UNIT


@njit(cache=True)
def skip(states: NDArray[np.uint64], at: int, steps: int) -> None:
    """Pass over the next numbers of generator `at`."""
    states[at] += np.uint64(steps) * _GAMMA


@njit(cache=True)
def extremes(states: NDArray[np.uint64], at: int, count: int) -> tuple[float, float]:
    """Return the least and the greatest of the next `count` numbers of generator `at`; count is positive."""
    state = states[at]
    least, most = _MOST, _ZERO
    # Of integers, because a compiler may reorder their minimum, and so make vectors of the loop.
    for _ in range(count):
        state += _GAMMA
        bits = _bits(state)
        least = min(least, bits)
        most = max(most, bits)
    states[at] = state
    return float(least) * _UNIT, float(most) * _UNIT
