"""Which features make a point unusual, part by part: for explanations, not in the path of every row."""

import numpy as np
from numba import njit

from detector.arrays import FloatVector
from detector.kernels.isolation_trees import add_cut_shares
from detector.kernels.marginals import step_of
from detector.kernels.neighbours import squared_distances
from detector.online.ensemble_model import (
    COVARIANCE,
    GAPS,
    ISOLATION,
    NEIGHBOURS,
    Model,
    Workspace,
    fold,
)


@njit(cache=True)
def _neighbour_shares(model: Model, room: Workspace, shares: FloatVector) -> None:
    count, nearest = model.counts
    squared_distances(room.point, model.references, count, room.squared)
    limit = np.sort(room.squared[:count])[nearest - 1]
    for j in range(count):
        if room.squared[j] <= limit:
            for k in range(shares.shape[0]):
                shares[k] += (model.references[k, j] - room.point[k]) ** 2


@njit(cache=True)
def _covariance_shares(model: Model, room: Workspace, shares: FloatVector) -> None:
    """Share by z_k (S^-1 z)_k, the terms of the distance; those that lower it count as nothing."""
    fold(model, room)
    off = room.folded - model.middle
    pulled = np.zeros(off.shape[0])
    for i in range(off.shape[0]):
        along = 0.0
        for j in range(i + 1):
            along += model.whitening[i, j] * off[j]
        for j in range(i + 1):
            pulled[j] += model.whitening[i, j] * along
    for k in range(shares.shape[0]):
        shares[k] = max(room.point[k] * model.fold_sign[k] * pulled[model.fold_to[k]], 0.0)


@njit(cache=True)
def add_shares(model: Model, room: Workspace, weights: FloatVector, contributions: FloatVector) -> None:
    """Divide the figures that `rarity` left in `room` among the columns.

    Args:
        model: that the point was compared with.
        room: with the point and the figures in it.
        weights: of the parts.
        contributions: one per column, to which its shares are added.
    """
    columns = contributions.shape[0]
    shares = np.empty(columns, np.float64)
    for part in range(weights.shape[0]):
        if weights[part] == 0.0:
            continue
        shares[:] = 0.0
        if part == NEIGHBOURS:
            _neighbour_shares(model, room, shares)
        elif part == ISOLATION:
            add_cut_shares(room.point, model.split_at, model.split_value, model.sizes, shares)
        elif part == COVARIANCE:
            _covariance_shares(model, room, shares)
        else:
            table = model.gap if part == GAPS else model.tail
            for k in range(columns):
                shares[k] = table[k, step_of(room.point[k])]
        total = shares.sum()
        for k in range(columns):
            share = shares[k] / total if total > 0.0 else 1.0 / columns
            contributions[k] += weights[part] * room.figures[part] * share
