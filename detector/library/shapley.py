"""A score shared out among the features of a row, so that the shares add up."""

import math
from collections.abc import Callable
from itertools import permutations
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, FloatVector

# With so many features all orders are tried.
_FEW: Final = 3
# Otherwise so many orders, and the reverse of each.
_PAIRS: Final = 8


def contributions(
    score: Callable[[FloatMatrix], FloatVector], rows: FloatMatrix, start: FloatVector, *, seed: int
) -> tuple[FloatMatrix, float]:
    """Return how much each feature adds to the score on the way from an ordinary row to each row.

    A feature's share is what the score grows by when the feature takes the row's value, averaged over orders
    in which the features do: all orders up to three features, else eight random ones and their reverses.
    Source: Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009).

    Args:
        score: n scores of n x d rows.
        rows: n x d.
        start: d, the ordinary row.
        seed: of the orders.

    Returns:
        n x d shares, and the score of the ordinary row: the shares of a row and that add up to its score.
    """
    n, d = rows.shape
    orders = _orders(d, seed)
    shares = np.zeros((n, d), np.float64)
    base = float(score(start[None, :])[0])
    for order in orders:
        mixed = np.repeat(start[None, :], n, axis=0)
        before = np.full(n, base)
        for feature in order:
            mixed[:, feature] = rows[:, feature]
            after = score(mixed)
            shares[:, feature] += after - before
            before = after
    return shares / len(orders), base


def _orders(d: int, seed: int) -> list[tuple[int, ...]]:
    if d <= _FEW:
        orders = list(permutations(range(d)))
        assert len(orders) == math.factorial(d)
        return orders
    random = np.random.default_rng(seed)
    drawn = [tuple(random.permutation(d).tolist()) for _ in range(_PAIRS)]
    return [order for one in drawn for order in (one, one[::-1])]
