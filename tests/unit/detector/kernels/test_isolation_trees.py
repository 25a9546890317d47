from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.kernels.isolation_trees import add_cut_shares, grow, mean_depth
from detector.kernels.random import seeds


class Grown(NamedTuple):
    points: NDArray[np.float32]
    split_at: NDArray[np.int16]
    split_value: NDArray[np.float32]
    sizes: NDArray[np.int16]
    depths: NDArray[np.float32]

    def depth(self, point: NDArray[np.float32]) -> float:
        room = np.empty(1, np.int32)
        return mean_depth(point, self.split_at, self.split_value, self.depths, room)


def _tree(points: NDArray[np.float64], seed: int = 1) -> Grown:
    rows = points.astype(np.float32)
    arrays = (
        np.zeros((1, 63), np.int16),
        np.zeros((1, 63), np.float32),
        np.zeros((1, 127), np.int16),
        np.zeros((1, 64), np.float32),
    )
    rng = seeds(seed, "tree", count=1)
    grow(rows, np.arange(len(rows)), len(rows), rng, *(array[0] for array in arrays))
    return Grown(rows, *arrays)


def test_sizes_are_those_of_the_points_that_come_by() -> None:
    tree = _tree(np.random.default_rng(0).normal(size=(64, 3)))
    counted = np.zeros(127, np.int64)
    for point in tree.points:
        node = 0
        counted[0] += 1
        while node < 63 and np.isfinite(tree.split_value[0, node]):
            node = 2 * node + 1 + int(point[tree.split_at[0, node]] > tree.split_value[0, node])
            counted[node] += 1
    np.testing.assert_array_equal(counted, tree.sizes[0])


def test_every_cut_leaves_points_on_both_sides() -> None:
    tree = _tree(np.random.default_rng(1).integers(0, 3, size=(64, 2)).astype(np.float64))
    cut = np.flatnonzero(np.isfinite(tree.split_value[0]))
    assert len(cut) > 0
    assert (tree.sizes[0, 2 * cut + 1] > 0).all()
    assert (tree.sizes[0, 2 * cut + 2] > 0).all()


def test_an_outlier_is_isolated_by_fewer_cuts() -> None:
    points = np.random.default_rng(2).normal(size=(64, 2))
    points[0] = 30.0
    depths = [
        [tree.depth(tree.points[0]), tree.depth(tree.points[9])]
        for tree in map(_tree, [points] * 9, range(9))
    ]
    outlier, usual = np.mean(depths, axis=0)
    assert outlier < 0.5 * usual


def test_duplicates_are_one_leaf() -> None:
    tree = _tree(np.full((16, 3), 5.0))
    assert tree.depth(tree.points[0]) == pytest.approx(
        2.0 * (np.log(15.0) + 0.5772156649) - 2.0 * 15.0 / 16.0
    )


def test_cuts_share_by_what_they_isolate() -> None:
    points = np.zeros((64, 3))
    points[:, 0] = np.random.default_rng(3).normal(size=64)
    tree = _tree(points)
    shares = np.zeros(3)
    add_cut_shares(tree.points[5], tree.split_at, tree.split_value, tree.sizes, shares)
    assert shares[0] > 0.0
    assert shares[1] == shares[2] == 0.0
