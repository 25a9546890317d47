"""A random generator whose whole state is one integer, so that each tree can own one and a snapshot hold it.

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
def count_up_to(states: NDArray[np.uint64], at: int, count: int, bound: float) -> int:
    """Return how many of the next `count` numbers of generator `at` are not above a bound."""
    state, most, found = states[at], np.uint64(bound / _UNIT), 0
    # Of integers, because a compiler makes vectors of it then.
    for _ in range(count):
        state += _GAMMA
        found += int(_bits(state) <= most)
    states[at] = state
    return found


@njit(cache=True)
def greatest(states: NDArray[np.uint64], at: int, count: int) -> float:
    """Return a number that is spread as the greatest of `count` uniform ones in [0, 1); count is positive."""
    return float(np.exp(np.log(uniform(states, at)) / count))


@njit(cache=True)
def extremes(states: NDArray[np.uint64], at: int, count: int) -> tuple[float, float]:
    """Return numbers that are spread as the least and the greatest of `count` uniform ones in [0, 1).

    Below the greatest the others are uniform, so it takes two numbers, however many there are.
    """
    most = greatest(states, at, count)
    least = most * (1.0 - greatest(states, at, count - 1)) if count > 1 else most
    return least, most
