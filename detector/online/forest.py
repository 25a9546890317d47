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

Warm-up: until the window is full, because before that the score's spread depends on how full it is. A row
with a number that is none has no score and is not learned.

Cost: per trade and tree one descent and one box; one more descent for a trade that is learned
(`python -m benchmarks forest --speed-only` measures both). Memory per market: 4 bytes per column and trade of
the window, and per tree (L = 2^max_depth leaves, C columns) 14 L bytes of nodes and 4 L times 2 C, rounded up
to a multiple of 16, of boxes; 106 KB as configured.

Blind spots: what lasts longer than the window becomes normal; counts in split leaves are estimates; values
are told apart by 24 bits (float32).

Reference: F. Leveni, G. W. Cassales, B. Pfahringer, A. Bifet, G. Boracchi, "Online Isolation Forest", ICML
    2024.

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> from detector.runs import Runs
    >>> forest = Forest(ForestParams(window_trades=128), features=FEATURES)
    >>> forest.open(0, identity="BTC-USDT")
    >>> rows = np.random.default_rng(0).lognormal(size=(200, len(FEATURES)))
    >>> scores = forest.score_learn(Runs.single(0, 200), rows).scores
    >>> bool(np.isnan(scores[127])), bool(0.0 < scores[128] < 1.0)
    (True, True)
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, loaded, loaded_int, resized
from detector.kernels.forest import Memory, Trees, make_rules, no_trees, plant, score_learn
from detector.kernels.random import seeds
from detector.online.columns import SHAPE_COLUMNS, Gather
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.price_move import PriceFloors, move_sentence
from detector.runs import Runs
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 3


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


class Forest:
    """Scores a trade by how isolated the market's last minute is among the recent ones."""

    name = "forest"
    kind = "forest"
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "unit"
    window_s = 60.0

    def __init__(self, params: ForestParams, *, features: tuple[str, ...]) -> None:
        """Make a stage that knows no market yet.

        Args:
            params: size and memory.
            features: names of the columns of the rows that will come.
        """
        self.fingerprint = content_id(self.name, _VERSION, repr(params), repr(SHAPE_COLUMNS))
        self._gather = Gather(SHAPE_COLUMNS, features=features)
        self.columns = self._gather.names
        self._params = params
        self._eligible = params.floors.bind(features)
        columns = len(self.columns)
        self._trees = no_trees(trees=params.trees, max_depth=params.max_depth, columns=columns)
        self._memory = Memory(
            window=np.empty((0, params.window_trades, columns), np.float32),
            taken=np.empty(0, np.int64),
            since_s=np.empty(0, np.float64),
        )
        self._rules = make_rules(
            window=params.window_trades,
            max_leaf=params.max_leaf_trades,
            max_depth=params.max_depth,
            sees_outside=params.sees_outside,
            spacing_s=float(params.min_spacing_s),
            scored_from=params.window_trades,
            time_column=features.index("inter_arrival_s"),
        )

    def open(self, slot: int, *, identity: str) -> None:
        """Plant the trees of a market, with randomness of its own."""
        self._trees = Trees._make(resized(array, slot) for array in self._trees)
        self._memory = Memory._make(resized(array, slot) for array in self._memory)
        for array in self._memory:
            array[slot] = 0
        rng = seeds(self._params.seed, identity, self.name, count=self._params.trees)
        plant(self._trees, slot, columns=len(self.columns), rng=rng)

    def close(self, slot: int) -> None:
        """Do nothing: what a slot holds is overwritten when it is opened again."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row, then learn it and forget the one that leaves the window."""
        eligible = self._eligible(rows)
        scores = np.empty(len(rows), np.float64)
        shares = np.empty((len(rows), len(self.columns)), np.float64)
        score_learn(
            *runs,
            rows,
            self._gather(rows),
            np.ones(len(rows), np.bool_) if explain_all else eligible,
            self._memory,
            self._trees,
            self._rules,
            scores,
            shares,
        )
        return Scored(scores, shares, eligible)

    def state(self, slot: int) -> State:
        """Return a copy of a market's trees and of its window."""
        taken = int(self._memory.taken[slot])
        return {
            "taken": taken,
            "since_s": float(self._memory.since_s[slot]),
            "window": self._memory.window[slot, : min(taken, self._params.window_trades)].copy(),
            **{name: getattr(self._trees, name)[slot].copy() for name in Trees._fields},
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        taken, since_s = loaded_int(state, "taken"), state.get("since_s")
        if taken < 0 or not isinstance(since_s, float) or not since_s >= 0.0:
            raise ValueError("taken or since_s is missing or below 0")
        window = self._memory.window[slot]
        points = loaded(state, "window", window, shape=(min(taken, len(window)), len(self.columns)))
        trees = Trees._make(
            loaded(state, name, mine, shape=mine.shape[1:]) for name, mine in self._trees._asdict().items()
        )
        _check(trees, columns=len(self.columns))
        if not np.isfinite(points).all():
            raise ValueError("the window holds what is no number")
        window[: len(points)] = points
        self._memory.taken[slot], self._memory.since_s[slot] = taken, since_s
        for name, part in trees._asdict().items():
            getattr(self._trees, name)[slot] = part

    def sentence(self, finding: Finding) -> str:
        """Return what moved, on which volume, and how rare that is."""
        return move_sentence(finding)


def _check(trees: Trees, *, columns: int) -> None:
    """Refuse trees of one market that are none.

    Raises:
        ValueError: a split names a column that does not exist, or a leaf's depth is not where its path ends.
    """
    is_inner = trees.values < np.inf
    if (trees.columns[is_inner] >= columns).any() or np.isnan(trees.values).any():
        raise ValueError("columns or values of splits do not exist")
    places = trees.depths.shape[1]
    nodes = np.arange(is_inner.shape[1])
    is_below_leaf = (nodes > 1) & ~is_inner[:, nodes // 2]
    if (is_inner & ((nodes < 1) | (nodes >= places) | is_below_leaf)).any():
        raise ValueError("values of splits stand where no node is, or below a leaf")
    for place in range(places):
        # The path from the root; a place is used by a leaf when it is the first under it.
        path = [(place + places) >> up for up in range(places.bit_length() - 1, 0, -1)]
        depth = is_inner[:, path].sum(axis=1)
        is_first = place % (places >> depth) == 0
        if (trees.depths[is_first, place] != depth[is_first]).any():
            raise ValueError("depths of leaves are not those of the splits above them")
