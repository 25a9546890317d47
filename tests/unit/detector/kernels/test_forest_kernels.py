"""A leaf that splits: the same distribution as from points that are drawn one by one, as in the paper."""

import numpy as np
import pytest

from detector.kernels.forest import Tree, _grow
from detector.kernels.random import seeds
from detector.kernels.vectors import LANES

COLUMNS, BOTTOM, MAX_LEAF, TREES = 3, 4, 8, 3_000


def drawn(count: int, limit: float) -> list[float]:
    """Return figures of a subtree that the kernel grew: points below the first split, borders, leaves."""
    places = 2**BOTTOM
    tree = Tree(
        np.full(places, np.inf, np.float32),
        np.zeros(places, np.uint8),
        np.full(2 * places, count, np.int32),
        np.zeros(places, np.int8),
        np.zeros((places, LANES), np.float32),
        drawn.rng,  # type: ignore[attr-defined]
        0,
        BOTTOM,
    )
    tree.boxes[0, COLUMNS : 2 * COLUMNS] = 1.0
    _grow(tree, 0, COLUMNS, limit, MAX_LEAF, 10**6)
    leaves = [0]
    while leaves[-1] + (places >> int(tree.depths[leaves[-1]])) < places:
        leaves.append(leaves[-1] + (places >> int(tree.depths[leaves[-1]])))
    first, last = tree.boxes[leaves[0]], tree.boxes[leaves[-1]]
    k = int(tree.columns[1])
    other = (k + 1) % COLUMNS
    borders = (first[COLUMNS + k], first[COLUMNS + other], -first[other], -last[k], -last[other])
    return [float(tree.counts[2]), float(tree.values[1]), *map(float, borders), float(len(leaves))]


def by_hand(count: int, limit: float, rng: np.random.Generator) -> list[float]:
    """Return the same figures from the paper's rule."""
    leaves: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    cuts = []
    todo = [(rng.random((count, COLUMNS)), 0)]
    while todo:
        points, depth = todo.pop()
        if len(points) < MAX_LEAF << depth or depth >= limit:
            leaves.append(points)
            continue
        k = int(rng.integers(COLUMNS))
        value = rng.uniform(points[:, k].min(), points[:, k].max())
        is_left = points[:, k] <= value
        cuts.append((k, value, int(is_left.sum())))
        todo += [(points[~is_left], depth + 1), (points[is_left], depth + 1)]
    k, value, left = cuts[0]
    other = (k + 1) % COLUMNS
    first, last = leaves[0], leaves[-1]
    borders = (first[:, k].max(), first[:, other].max(), first[:, other].min())
    far = (last[:, k].min(), last[:, other].min())
    return [float(left), value, *map(float, borders), *map(float, far), float(len(leaves))]


@pytest.mark.parametrize(("count", "limit"), [(8, 1.0), (40, 1.0), (60, 4.0)])
def test_a_split_is_distributed_as_if_points_had_been_drawn(count: int, limit: float) -> None:
    rng = np.random.default_rng(5)
    drawn.rng = seeds("split", count, count=1)  # type: ignore[attr-defined]
    ours = np.array([drawn(count, limit) for _ in range(TREES)])
    theirs = np.array([by_hand(count, limit, rng) for _ in range(TREES)])
    for moment in (1, 2):
        a, b = ours**moment, theirs**moment
        spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / TREES) + 1e-9
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.0 * spread).all()
