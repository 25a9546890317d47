"""Random numbers that depend on a seed and on what they are for, so that one use does not move another."""

import hashlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """Return random numbers that depend on the seed and on what they are for."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])
