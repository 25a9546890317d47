"""Online Isolation Forest: how quickly do random axis-parallel cuts separate a trade from the recent ones?

Idea: each tree is a histogram of the last W points whose bins refine themselves where there is mass. A leaf
that has collected eta * 2^depth points splits at a random place, on points drawn uniformly in its box (no
point is kept in a tree); an inner node that falls below that count again merges. A point that ends in a
shallow leaf, or in one with few points, is strange.

Score: 2^(-E / c(n)), where E is the mean over trees of depth + c(points in the leaf), and c(n) = log4(n /
eta), 0 below eta: between 0 and 1, about 0.5 for a usual point. A cut that leaves half of the points on each
side adds 1/2 to E; one that leaves fewer than a quarter on the point's side lowers it. The contribution of a
feature is its share of log2(points above / points on the point's side) - 1, where positive, over all cuts on
the point's paths: what these cuts isolate beyond an even one.

Learning: once the window is full, at most one trade per `min_spacing_s` is learned, so that the window spans
five minutes at least, and a burst of thousands of trades is not compared with itself.

Beyond the paper, and only with `sees_outside`: a point outside the box of its leaf needs fewer cuts than one
inside it; a single cut, uniform over box and point, may do. Without that, the outermost leaf gives a crash
the score of the edge of the window.

Warm-up: until the window is full, because before that the score's spread depends on how full it is.

Cost: about 2 us per trade for 32 trees of 8 columns, scored, learned and forgotten. Trees are gone through
one after the other, each with all rows; as each has its own generator, that gives the same as row by row.

Blind spots: what lasts longer than the window becomes normal; counts in split leaves are estimates.

Reference: F. Leveni, G. W. Cassales, B. Pfahringer, A. Bifet, G. Boracchi, "Online Isolation Forest", ICML
    2024.

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> forest = Forest(ForestParams(window_trades=128), features=FEATURES, identity="BTC-USDT")
    >>> rows = np.random.default_rng(0).lognormal(size=(200, len(FEATURES)))
    >>> scores = forest.score_learn(rows).scores
    >>> bool(np.isnan(scores[127])), bool(0.0 < scores[128] < 1.0)
    (True, True)
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatCube, FloatMatrix, FloatVector, IntVector, loaded, nested, under
from detector.kernels.random import seeds, uniform
from detector.kernels.spacing import Spacing
from detector.online.columns import SHAPE_COLUMNS, Gather
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.price_move import PriceFloors, move_sentence
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class ForestParams:
    """Size and memory of the forest.

    Attributes:
        trees: number of trees.
        window_trades: trades that are remembered.
        min_spacing_s: event time between two trades that are learned, once the window is full.
        max_leaf_trades: points in a leaf at depth 0 from which it splits (eta in the paper).
        sees_outside: whether a point outside its leaf's box is stranger than one inside; not the paper's.
        seed: of all its randomness, together with the market.
        floors: without which nothing is eligible.
    """

    trees: int = 32
    window_trades: int = 2_048
    min_spacing_s: float = 0.15
    max_leaf_trades: int = 32
    sees_outside: bool = False
    seed: int = 1
    floors: PriceFloors = field(default_factory=PriceFloors)

    def __post_init__(self) -> None:
        if self.trees < 1:
            raise ValueError(f"trees must be at least 1, not {self.trees}")
        if not 1 <= self.max_leaf_trades < self.window_trades:
            raise ValueError(
                f"max_leaf_trades must be between 1 and the window of {self.window_trades}, "
                f"not {self.max_leaf_trades}"
            )

    @property
    def max_depth(self) -> int:
        """Depth that no node exceeds; learning precedes forgetting, so one point over the window counts."""
        return math.ceil(math.log((self.window_trades + 1) / self.max_leaf_trades, 4))


@njit(cache=True)
def _log2(count: int, log2_table: FloatVector) -> float:
    """Return log2 of a count; synthetic counts may be below 1 or above the window, and are clamped."""
    return float(log2_table[min(max(count, 1), log2_table.shape[0] - 1)])


@njit(cache=True)
def _depth_of(count: int, max_leaf: int, log2_table: FloatVector) -> float:
    """Return c(count) = log4(count / eta), 0 below eta."""
    if count <= max_leaf:
        return 0.0
    return 0.5 * float(_log2(count, log2_table) - log2_table[max_leaf])


@njit(cache=True)
def _make_leaf(
    node: int,
    count: int,
    points: FloatMatrix,
    split_at: NDArray[np.int32],
    counts: NDArray[np.int32],
    lows: FloatMatrix,
    highs: FloatMatrix,
) -> None:
    """Make a leaf whose box holds exactly the points."""
    split_at[node] = -1
    counts[node] = count
    lows[node, :] = np.inf
    highs[node, :] = -np.inf
    for i in range(points.shape[0]):
        for k in range(points.shape[1]):
            lows[node, k] = min(lows[node, k], points[i, k])
            highs[node, k] = max(highs[node, k], points[i, k])


@njit(cache=True)
def _cut(
    tree: int,
    node: int,
    points: FloatMatrix,
    rng: NDArray[np.uint64],
    split_at: NDArray[np.int32],
    split_value: FloatVector,
) -> int:
    """Cut the points at random, order them by side, and return how many are on the lower side."""
    n, columns = points.shape
    k = int(uniform(rng, tree) * columns)
    low = high = points[0, k]
    for i in range(1, n):
        low = min(low, points[i, k])
        high = max(high, points[i, k])
    value = low + uniform(rng, tree) * (high - low)
    split_at[node] = k
    split_value[node] = value
    left, right = 0, n - 1
    while left <= right:
        if points[left, k] <= value:
            left += 1
        else:
            for j in range(columns):
                points[left, j], points[right, j] = points[right, j], points[left, j]
            right -= 1
    return left


@njit(cache=True)
def _split(  # noqa: PLR0917 - compiled; buffers come by position
    tree: int,
    node: int,
    depth: int,
    depth_limit: float,
    max_leaf: int,
    buffer: FloatMatrix,
    rng: NDArray[np.uint64],
    split_at: NDArray[np.int32],
    split_value: FloatVector,
    counts: NDArray[np.int32],
    lows: FloatMatrix,
    highs: FloatMatrix,
) -> None:
    """Grow a subtree in place of a leaf, from points drawn uniformly in its box."""
    n = min(counts[node], buffer.shape[0])
    for i in range(n):
        for k in range(buffer.shape[1]):
            buffer[i, k] = lows[node, k] + uniform(rng, tree) * (highs[node, k] - lows[node, k])
    # Node, depth and span of the points of the subtrees that are still to be grown.
    todo = np.empty((split_at.shape[0], 4), np.int64)
    todo[0, :] = node, depth, 0, n
    waiting = 1
    while waiting > 0:
        waiting -= 1
        at, level, start, end = todo[waiting]
        points = buffer[start:end]
        if end - start < max_leaf << level or level >= depth_limit:
            _make_leaf(at, end - start, points, split_at, counts, lows, highs)
            continue
        counts[at] = end - start
        lower = _cut(tree, at, points, rng, split_at, split_value)
        todo[waiting, :] = 2 * at + 2, level + 1, start + lower, end
        todo[waiting + 1, :] = 2 * at + 1, level + 1, start, start + lower
        waiting += 2


@njit(cache=True)
def _merge(node: int, split_at: NDArray[np.int32], lows: FloatMatrix, highs: FloatMatrix) -> None:
    """Make an inner node a leaf whose box spans the boxes of the leaves below it; its count stays."""
    lows[node, :] = np.inf
    highs[node, :] = -np.inf
    todo = np.empty(split_at.shape[0], np.int64)
    todo[0] = node
    waiting = 1
    while waiting > 0:
        waiting -= 1
        at = todo[waiting]
        if split_at[at] >= 0:
            todo[waiting] = 2 * at + 2
            todo[waiting + 1] = 2 * at + 1
            waiting += 2
        else:
            for k in range(lows.shape[1]):
                lows[node, k] = min(lows[node, k], lows[at, k])
                highs[node, k] = max(highs[node, k], highs[at, k])
    split_at[node] = -1


@njit(cache=True)
def _forget(
    point: FloatVector,
    max_leaf: int,
    split_at: NDArray[np.int32],
    split_value: FloatVector,
    counts: NDArray[np.int32],
    lows: FloatMatrix,
    highs: FloatMatrix,
) -> None:
    """Take a point out of one tree."""
    node, depth = 0, 0
    while True:
        counts[node] -= 1
        column = split_at[node]
        if column < 0:
            return
        if counts[node] < max_leaf << depth:
            _merge(node, split_at, lows, highs)
            return
        node = 2 * node + 1 + int(point[column] > split_value[node])
        depth += 1


@njit(cache=True)
def _grow_leaf(
    node: int,
    points: FloatMatrix,
    i: int,
    counts: NDArray[np.int32],
    lows: FloatMatrix,
    highs: FloatMatrix,
) -> int:
    """Put point `i` into a leaf, and return how many are in it now."""
    counts[node] += 1
    for k in range(points.shape[1]):
        lows[node, k] = min(lows[node, k], points[i, k])
        highs[node, k] = max(highs[node, k], points[i, k])
    return int(counts[node])


@njit(cache=True)
def _is_outside(node: int, points: FloatMatrix, i: int, lows: FloatMatrix, highs: FloatMatrix) -> bool:
    """Return whether point `i` lies outside a leaf's box; no branch, so that it is compiled to vectors."""
    outside = 0
    for k in range(points.shape[1]):
        outside |= int(points[i, k] < lows[node, k]) | int(points[i, k] > highs[node, k])
    return outside != 0


@njit(cache=True)
def _spared(
    node: int,
    points: FloatMatrix,
    i: int,
    below: float,
    lows: FloatMatrix,
    highs: FloatMatrix,
    isolated: FloatMatrix,
) -> float:
    """Return by how much less deep a point is in a leaf because it lies outside the leaf's box.

    One cut in column k, uniform over the box and the point, separates them with probability p_k. The cuts
    that the leaf would still need are spared with the probability that one column's cut does.
    """
    kept = 1.0
    total = 0.0
    for k in range(points.shape[1]):
        beyond = max(lows[node, k] - points[i, k], points[i, k] - highs[node, k])
        if beyond > 0.0:
            p = beyond / (beyond + highs[node, k] - lows[node, k])
            kept *= 1.0 - p
            total += p
    spared = below * (1.0 - kept)
    for k in range(points.shape[1]):
        beyond = max(lows[node, k] - points[i, k], points[i, k] - highs[node, k])
        if beyond > 0.0:
            isolated[i, k] += 2.0 * spared * beyond / (beyond + highs[node, k] - lows[node, k]) / total
    return spared


@njit(cache=True)
def _score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    points: FloatMatrix,
    first: int,
    sequence: IntVector,
    learned: IntVector,
    sees_outside: bool,  # noqa: FBT001 - compiled
    max_leaf: int,
    log2_table: FloatVector,
    window: FloatMatrix,
    split_at: NDArray[np.int32],
    split_value: FloatMatrix,
    counts: NDArray[np.int32],
    lows: FloatCube,
    highs: FloatCube,
    rng: NDArray[np.uint64],
    buffer: FloatMatrix,
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Score, learn and forget: tree by tree, and within each tree row by row."""
    size = window.shape[0]
    depths = np.zeros(points.shape[0], np.float64)
    shares[:] = 0.0
    for tree in range(split_at.shape[0]):
        tree_split_at, tree_split_value, tree_counts = split_at[tree], split_value[tree], counts[tree]
        tree_lows, tree_highs = lows[tree], highs[tree]
        for i in range(points.shape[0]):
            is_learned = int(sequence[i] >= 0)
            node, depth = 0, 0
            column = tree_split_at[0]
            count = tree_counts[0]
            while column >= 0:
                tree_counts[node] = count + is_learned
                node = 2 * node + 1 + int(points[i, column] > tree_split_value[node])
                depth += 1
                above, count = count, tree_counts[node]
                isolated = _log2(above, log2_table) - _log2(count, log2_table) - 1.0
                if isolated > 0.0:
                    shares[i, column] += isolated
                column = tree_split_at[node]
            below = _depth_of(count, max_leaf, log2_table)
            if sees_outside and below > 0.0 and _is_outside(node, points, i, tree_lows, tree_highs):
                below -= _spared(node, points, i, below, tree_lows, tree_highs, shares)
            depths[i] += depth + below
            if not is_learned:
                continue
            if _grow_leaf(node, points, i, tree_counts, tree_lows, tree_highs) >= max_leaf << depth:
                depth_limit = _depth_of(min(sequence[i], size) + 1, max_leaf, log2_table)
                if depth < depth_limit:
                    _split(
                        tree,
                        node,
                        depth,
                        depth_limit,
                        max_leaf,
                        buffer,
                        rng,
                        tree_split_at,
                        tree_split_value,
                        tree_counts,
                        tree_lows,
                        tree_highs,
                    )
            oldest = sequence[i] - size
            if oldest >= 0:
                # Rows that are learned in this very batch are not in the window's ring yet.
                point = points[learned[oldest - first]] if oldest >= first else window[oldest % size]
                _forget(point, max_leaf, tree_split_at, tree_split_value, tree_counts, tree_lows, tree_highs)
    _finish(points, sequence, max_leaf, log2_table, window, split_at.shape[0], depths, scores, shares)


@njit(cache=True)
def _finish(  # noqa: PLR0917 - compiled; buffers come by position
    points: FloatMatrix,
    sequence: IntVector,
    max_leaf: int,
    log2_table: FloatVector,
    window: FloatMatrix,
    trees: int,
    depths: FloatVector,
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Turn depths into scores and isolation into shares, and put the points into the window."""
    size = window.shape[0]
    full = _depth_of(size, max_leaf, log2_table)
    for i in range(points.shape[0]):
        if 0 <= sequence[i] < size:
            scores[i] = np.nan
            shares[i, :] = 0.0
        else:
            scores[i] = 2.0 ** (-depths[i] / trees / full)
            isolated = shares[i].sum()
            if isolated > 0.0:
                shares[i] /= isolated
        if sequence[i] >= 0:
            window[sequence[i] % size] = points[i]


class Forest:
    """Scores a trade by how isolated the market's last minute is among the recent ones."""

    name = "forest"
    kind = "forest"
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "unit"
    window_s = 60.0

    def __init__(self, params: ForestParams, *, features: tuple[str, ...], identity: str) -> None:
        """Make an empty forest.

        Args:
            params: size and memory.
            features: names of the columns of the rows that will come.
            identity: of the market, so that each has randomness of its own.
        """
        self.fingerprint = content_id(self.name, _VERSION, repr(params), repr(SHAPE_COLUMNS))
        self._gather = Gather(SHAPE_COLUMNS, features=features)
        self.columns = self._gather.names
        self._params = params
        self._eligible = params.floors.bind(features)
        nodes = 2 ** (params.max_depth + 1) - 1
        self._split_at = np.full((params.trees, nodes), -1, np.int32)
        self._split_value = np.zeros((params.trees, nodes), np.float64)
        self._counts = np.zeros((params.trees, nodes), np.int32)
        self._lows = np.full((params.trees, nodes, len(self.columns)), np.inf, np.float64)
        self._highs = np.full((params.trees, nodes, len(self.columns)), -np.inf, np.float64)
        self._rng = seeds(params.seed, identity, self.name, count=params.trees)
        self._window = np.zeros((params.window_trades, len(self.columns)), np.float64)
        self._spacing = Spacing(
            capacity=params.window_trades, spacing_s=params.min_spacing_s, features=features
        )
        self._log2 = np.log2(np.maximum(np.arange(2 * params.window_trades + 1), 1.0))
        self._buffer = np.empty((2 * params.window_trades, len(self.columns)), np.float64)

    def score_learn(self, rows: FloatMatrix) -> Scored:
        """Score each row, then learn it and forget the one that leaves the window."""
        points = self._gather(rows)
        scores = np.empty(len(rows), np.float64)
        shares = np.empty(points.shape, np.float64)
        _score_learn(
            points,
            *self._spacing.choose(rows),
            self._params.sees_outside,
            self._params.max_leaf_trades,
            self._log2,
            self._window,
            self._split_at,
            self._split_value,
            self._counts,
            self._lows,
            self._highs,
            self._rng,
            self._buffer,
            scores,
            shares,
        )
        return Scored(scores, shares, self._eligible(rows))

    def state(self) -> State:
        """Return a copy of all trees and of the window."""
        return {
            "split_at": self._split_at.copy(),
            "split_value": self._split_value.copy(),
            "counts": self._counts.copy(),
            "lows": self._lows.copy(),
            "highs": self._highs.copy(),
            "rng": self._rng.copy(),
            "window": self._window.copy(),
            **nested("spacing", self._spacing.state()),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        split_at = loaded(state, "split_at", self._split_at, shape=self._split_at.shape)
        last_inner = self._split_at.shape[1] // 2
        if (
            split_at.min() < -1
            or split_at.max() >= len(self.columns)
            or (split_at[:, last_inner:] >= 0).any()
        ):
            raise ValueError("split_at names a column or a node that does not exist")
        split_value = loaded(state, "split_value", self._split_value, shape=self._split_value.shape)
        counts = loaded(state, "counts", self._counts, shape=self._counts.shape)
        lows = loaded(state, "lows", self._lows, shape=self._lows.shape)
        highs = loaded(state, "highs", self._highs, shape=self._highs.shape)
        rng = loaded(state, "rng", self._rng, shape=self._rng.shape)
        window = loaded(state, "window", self._window, shape=self._window.shape)
        self._spacing.load_state(under("spacing", state))
        self._split_at, self._split_value, self._counts = split_at, split_value, counts
        self._lows, self._highs, self._rng, self._window = lows, highs, rng, window

    def sentence(self, finding: Finding) -> str:
        """Return what moved, on which volume, and how rare that is."""
        return move_sentence(finding)
