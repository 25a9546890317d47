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


def seeds(*parts: str | int, count: int) -> NDArray[np.uint64]:
    """Return `count` seeds that depend on the parts and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    digests = (blake2b(f"{text}\x1f{i}".encode(), digest_size=8).digest() for i in range(count))
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)


@njit(cache=True)
def uniform(states: NDArray[np.uint64], at: int) -> float:
    """Return the next number of generator `at`, in [0, 1)."""
    states[at] += _GAMMA
    mixed = states[at]
    mixed = (mixed ^ (mixed >> _S30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
    return float((mixed ^ (mixed >> _S31)) >> _S11) * (1.0 / 9007199254740992.0)
