"""What the ensemble knows about a stream, rebuilt now and then from a sample of it, and how a point compares.

All five parts look at the same sample in the same standardised form. A part's raw figure becomes comparable
with the others' as its rank among the figures of the sample's own points, so that no part needs a scale.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatMatrix, FloatVector, IntVector
from detector.kernels.covariance import concentrate, squared_mahalanobis
from detector.kernels.isolation_trees import grow, mean_depth
from detector.kernels.marginals import STEPS, fill_tables, step_of
from detector.kernels.neighbours import FAR, mean_nearest, squared_distances
from detector.kernels.random import uniform
from detector.kernels.tail_rank import minus_log_tail

PARTS: Final = ("neighbours", "isolation", "gaps", "tails", "covariance")
NEIGHBOURS, ISOLATION, GAPS, TAILS, COVARIANCE = range(len(PARTS))

# Beyond so many scales a value is as far as it can be; squares of it still fit into 32 bits.
_FARTHEST: Final = 1e4
_NEIGHBOURS_SHARE: Final = 0.1
# Rows that quartiles are taken of.
_QUARTILE_ROWS: Final = 256
_KEPT_SHARE: Final = 0.5
_CONCENTRATION_STEPS: Final = 2
# A column folded into a few dozen keeps the covariance's cost bounded whatever comes.
_COVARIANCE_COLUMNS: Final = 32
# Multiplications that the distances of one point may take, and bounds of what follows for references.
_DISTANCE_BUDGET: Final = 8_192
_LEAST_REFERENCES: Final = 64
_MOST_REFERENCES: Final = 256


class Model(NamedTuple):
    """What is known of a stream of d columns; arrays only, changed in place.

    Attributes:
        centre: d, of each column.
        scale: d, of each column.
        references: d rows, one column per reference point, standardised.
        counts: how many references there are, and how many neighbours are averaged.
        split_at, split_value, sizes, depths: the trees, see `detector.kernels.isolation_trees`.
        gap, tail: the tables, see `detector.kernels.marginals`.
        fold_to, fold_sign: d, the column of the covariance that each column is added to, and its sign.
        middle, whitening: see `detector.kernels.covariance`.
        ranks: one row per part, its figures at the references, ascending.
    """

    centre: FloatVector
    scale: FloatVector
    references: NDArray[np.float32]
    counts: IntVector
    split_at: NDArray[np.int16]
    split_value: NDArray[np.float32]
    sizes: NDArray[np.int16]
    depths: NDArray[np.float32]
    gap: NDArray[np.float32]
    tail: NDArray[np.float32]
    fold_to: IntVector
    fold_sign: NDArray[np.float32]
    middle: NDArray[np.float32]
    whitening: NDArray[np.float32]
    ranks: FloatMatrix


class Workspace(NamedTuple):
    """Room for one point; its content means nothing between calls.

    Attributes:
        point: d, standardised.
        folded: as the covariance sees it.
        squared: one distance per reference.
        nodes: one place per tree.
        figures: one per part.
    """

    point: NDArray[np.float32]
    folded: NDArray[np.float32]
    squared: NDArray[np.float32]
    nodes: NDArray[np.int32]
    figures: FloatVector


def empty_model(columns: int, *, trees: int, sample: int, rng: NDArray[np.uint64]) -> Model:
    """Return a model of nothing.

    Args:
        columns: of the stream.
        trees: of the forest.
        sample: points per tree.
        rng: generator that folds columns.
    """
    leaves = 1 << math.ceil(math.log2(sample))
    references = min(max(_DISTANCE_BUDGET // columns, _LEAST_REFERENCES), _MOST_REFERENCES)
    folded = min(columns, _COVARIANCE_COLUMNS)
    fold_to = np.arange(columns, dtype=np.int64) % folded
    fold_sign = np.array(
        [1.0 if columns == folded or uniform(rng, 0) < 0.5 else -1.0 for _ in range(columns)], np.float32
    )
    return Model(
        centre=np.zeros(columns),
        scale=np.ones(columns),
        references=np.zeros((columns, references), np.float32),
        counts=np.zeros(2, np.int64),
        split_at=np.zeros((trees, leaves - 1), np.int16),
        split_value=np.full((trees, leaves - 1), np.inf, np.float32),
        sizes=np.zeros((trees, 2 * leaves - 1), np.int16),
        depths=np.zeros((trees, leaves), np.float32),
        gap=np.zeros((columns, STEPS), np.float32),
        tail=np.zeros((columns, STEPS), np.float32),
        fold_to=fold_to,
        fold_sign=fold_sign,
        middle=np.zeros(folded, np.float32),
        whitening=np.zeros((folded, folded), np.float32),
        ranks=np.zeros((len(PARTS), references)),
    )


def workspace(model: Model) -> Workspace:
    """Return room for one point of a model."""
    columns, references = model.references.shape
    return Workspace(
        np.zeros(columns, np.float32),
        np.zeros(model.middle.shape[0], np.float32),
        np.zeros(references, np.float32),
        np.zeros(model.depths.shape[0], np.int32),
        np.zeros(len(PARTS)),
    )


@njit(cache=True)
def standardise(row: FloatVector, model: Model, out: NDArray[np.float32]) -> None:
    """Put a row in scales from the centre into `out`; a missing value is at the centre."""
    for k in range(row.shape[0]):
        value = (row[k] - model.centre[k]) / model.scale[k]
        if math.isnan(value):
            value = 0.0
        out[k] = min(max(value, -_FARTHEST), _FARTHEST)


@njit(cache=True)
def fold(model: Model, room: Workspace) -> None:
    """Put the standardised point into the covariance's columns."""
    room.folded[:] = 0.0
    for k in range(room.point.shape[0]):
        room.folded[model.fold_to[k]] += model.fold_sign[k] * room.point[k]


@njit(cache=True)
def _look(model: Model, room: Workspace, weights: FloatVector, itself: int) -> None:
    """Put the raw figure of each part that has a weight at `room.point` into `room.figures`.

    Args:
        model: to compare with.
        room: holds the point.
        weights: of the parts.
        itself: the reference that the point is, and must not be compared with; -1 for none.
    """
    if weights[NEIGHBOURS] > 0.0:
        count = model.counts[0]
        squared_distances(room.point, model.references, count, room.squared)
        if itself >= 0:
            room.squared[itself] = FAR
        room.figures[NEIGHBOURS] = mean_nearest(room.squared, count, model.counts[1])
    if weights[ISOLATION] > 0.0:
        room.figures[ISOLATION] = -mean_depth(
            room.point, model.split_at, model.split_value, model.depths, room.nodes
        )
    gaps, tails = 0.0, 0.0
    if weights[GAPS] + weights[TAILS] > 0.0:
        for k in range(room.point.shape[0]):
            step = step_of(room.point[k])
            gaps += model.gap[k, step]
            tails += model.tail[k, step]
    room.figures[GAPS] = gaps
    room.figures[TAILS] = tails
    if weights[COVARIANCE] > 0.0:
        fold(model, room)
        room.figures[COVARIANCE] = squared_mahalanobis(room.folded, model.middle, model.whitening)


@njit(cache=True)
def rarity(row: FloatVector, model: Model, room: Workspace, weights: FloatVector) -> float:
    """Return the weighted mean of the parts' -log of their tails; each part's is left in `room.figures`."""
    standardise(row, model, room.point)
    _look(model, room, weights, -1)
    total = 0.0
    for part in range(weights.shape[0]):
        if weights[part] > 0.0:
            room.figures[part] = minus_log_tail(room.figures[part], model.ranks[part], model.counts[0])
            total += weights[part] * room.figures[part]
    return total


@njit(cache=True)
def _measure_columns(memory: FloatMatrix, held: int, model: Model) -> None:
    """Take each column's median, and as its scale the geometric mean of a robust and of a plain deviation.

    The quartiles alone call every rare but ordinary value of a skewed column far; the plain deviation alone
    lets one value hide all others.
    """
    every = 1 + (held - 1) // _QUARTILE_ROWS
    for k in range(memory.shape[1]):
        ascending = np.sort(memory[:held:every, k])
        ranked = ascending.shape[0]
        centre = ascending[ranked // 2]
        mean = 0.0
        for i in range(held):
            mean += memory[i, k] / held
        variance = 0.0
        for i in range(held):
            variance += (memory[i, k] - mean) ** 2 / held
        plain = math.sqrt(variance)
        robust = (ascending[(3 * ranked) // 4] - ascending[ranked // 4]) / 1.349
        model.centre[k] = centre
        # A column that never moved has no scale: whatever is not the constant is far.
        model.scale[k] = max(math.sqrt(max(robust, 0.1 * plain) * plain), 1e-9 * abs(centre), 1e-12)


@njit(cache=True)
def _shuffle(order: IntVector, first: int, rng: NDArray[np.uint64]) -> None:
    """Bring a random sample of places to the first places."""
    n = order.shape[0]
    for i in range(min(first, n)):
        j = i + int(uniform(rng, 0) * (n - i))
        order[i], order[j] = order[j], order[i]


@njit(cache=True)
def rebuild(
    memory: FloatMatrix,
    held: int,
    rng: NDArray[np.uint64],
    weights: FloatVector,
    model: Model,
    room: Workspace,
) -> None:
    """Build the model anew.

    Args:
        memory: rows of the stream.
        held: how many of them are filled; at least 4.
        rng: one generator.
        weights: of the parts.
        model: is changed.
        room: for one point.
    """
    columns = memory.shape[1]
    _measure_columns(memory, held, model)
    points = np.empty((held, columns), np.float32)
    folded = np.empty((held, model.middle.shape[0]), np.float32)
    for i in range(held):
        standardise(memory[i], model, points[i])
        room.point[:] = points[i]
        fold(model, room)
        folded[i] = room.folded
    order = np.arange(held)
    # At most half of the points grow a tree, so that most trees have not seen the point that they rank.
    sample = min(model.depths.shape[1], held // 2)
    for tree in range(model.split_at.shape[0]):
        _shuffle(order, sample, rng)
        grow(
            points,
            order,
            sample,
            rng,
            model.split_at[tree],
            model.split_value[tree],
            model.sizes[tree],
            model.depths[tree],
        )
    fill_tables(points, held, model.gap, model.tail)
    concentrate(folded, _KEPT_SHARE, _CONCENTRATION_STEPS, model.middle, model.whitening)
    count = min(model.references.shape[1], held)
    model.counts[0] = count
    model.counts[1] = max(1, min(int(_NEIGHBOURS_SHARE * count + 0.5), count - 1))
    _shuffle(order, count, rng)
    for j in range(count):
        model.references[:, j] = points[order[j]]
    for j in range(count):
        room.point[:] = points[order[j]]
        _look(model, room, weights, j)
        model.ranks[:, j] = room.figures
    for part in range(len(PARTS)):
        model.ranks[part, :count] = np.sort(model.ranks[part, :count])
