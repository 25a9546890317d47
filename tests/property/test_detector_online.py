"""The online detectors against plain references: exact windows, and a forest whose books always balance."""

import math
from collections import deque
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.features import FEATURES
from detector.online.columns import PRICE_COLUMNS, SHAPE_COLUMNS, Gather
from detector.online.forest import Forest, ForestParams
from detector.online.zscore import ZScore, ZScoreParams
from detector.runs import Runs
from detector.single_market import SingleMarket

WINDOW = 50
SPIKES = st.lists(st.tuples(st.integers(0, 299), st.sampled_from([1e6, 1e12])), max_size=5)


def rows_of(
    seed: int, n: int, spikes: list[tuple[int, float]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(0.0, 1.0, (n, len(FEATURES)))
    rows[:, FEATURES.index("return_10s")] = rng.normal(100.0, 1.0, n)
    for at, value in spikes:
        rows[at % n] = value
    return rows


@given(st.integers(0, 10), SPIKES)
def test_zscore_agrees_with_exact_moments_through_spikes(seed: int, spikes: list[tuple[int, float]]) -> None:
    rows = rows_of(seed, 300, spikes)
    params = ZScoreParams(window_trades=WINDOW, min_spacing_s=0.0)
    zscore = SingleMarket(ZScore(params, features=FEATURES), identity="")
    gather = Gather(PRICE_COLUMNS, features=FEATURES)
    points = gather(rows)
    scores = zscore.score_learn(rows).scores
    for i in range(WINDOW, len(rows)):
        window = points[i - WINDOW : i]
        squares = []
        for k in range(points.shape[1]):
            mean = math.fsum(window[:, k]) / WINDOW
            variance = math.fsum((window[:, k] - mean) ** 2) / (WINDOW - 1)
            squares.append(((points[i, k] - mean) / max(math.sqrt(variance), gather.floors[k])) ** 2)
        assert math.isclose(scores[i], math.sqrt(math.fsum(squares)), rel_tol=1e-9, abs_tol=1e-9)


def leaves_of(forest: Forest, tree: int) -> list[tuple[int, int, int]]:
    """Return place, depth and count of each leaf of a tree, and check all nodes on the way."""
    values, counts = forest._trees.values[0, tree], forest._trees.counts[0, tree]
    places = forest._trees.depths.shape[2]
    leaves, todo = [], [(1, 0)]
    while todo:
        node, depth = todo.pop()
        count = int(counts[node])
        below = [2 * node, 2 * node + 1]
        if node < places and values[node] < np.inf:
            assert count == sum(int(counts[child]) for child in below)
            assert count >= forest._params.max_leaf_trades << depth
            todo += [(child, depth + 1) for child in below]
            continue
        leaves.append(((node << (places.bit_length() - 1 - depth)) - places, depth, count))
        assert forest._trees.depths[0, tree, leaves[-1][0]] == depth
        while node < places:
            assert values[node] == np.inf
            node = 2 * node
            assert counts[node] == count, "what is passed through has the leaf's count"
    return leaves


def depth_of(count: int, max_leaf: int) -> float:
    return math.log(count / max_leaf, 4) if count > max_leaf else 0.0


def score_by_hand(forest: Forest, point: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Return the paper's score of a point: two to the minus mean depth over the usual one."""
    trees, params, total = forest._trees, forest._params, 0.0
    for tree in range(params.trees):
        node, depth = 1, 0
        while node < trees.depths.shape[2] and trees.values[0, tree, node] < np.inf:
            above = point[trees.columns[0, tree, node]] > trees.values[0, tree, node]
            node, depth = 2 * node + int(above), depth + 1
        total += depth + depth_of(int(trees.counts[0, tree, node]), params.max_leaf_trades)
    usual = depth_of(params.window_trades, params.max_leaf_trades)
    return float(2 ** (-total / params.trees / usual))


@settings(max_examples=30)
@given(
    st.integers(0, 1_000), st.lists(st.integers(1, 60), min_size=5, max_size=30), st.sampled_from([1, 4, 32])
)
def test_forest_keeps_its_books(seed: int, batches: list[int], max_leaf: int) -> None:
    params = ForestParams(trees=3, window_trades=128, max_leaf_trades=max_leaf, min_spacing_s=0.0)
    forest = Forest(params, features=FEATURES)
    forest.open(0, identity="x")
    gather = Gather(SHAPE_COLUMNS, features=FEATURES)
    recent: deque[bytes] = deque(maxlen=params.window_trades)
    rng = np.random.default_rng(seed)
    seen = 0
    for n in batches:
        rows = rows_of(seed + seen, n, []) * rng.choice([1.0, 1.0, 1e6])
        if rng.random() < 0.3:
            rows[:] = rows[0]
        points = gather(rows).astype(np.float32)
        expected = score_by_hand(forest, points[0])
        scores = forest.score_learn(Runs.single(0, n), rows).scores
        recent.extend(point.tobytes() for point in points)
        warm = np.arange(seen, seen + n) >= params.window_trades
        assert np.isnan(scores[~warm]).all()
        assert ((scores[warm] > 0.0) & (scores[warm] <= 1.0)).all()
        assert not warm[0] or math.isclose(scores[0], expected, rel_tol=1e-12)
        seen += n
        held = forest._memory.window[0, : min(seen, params.window_trades)]
        assert sorted(recent) == sorted(point.tobytes() for point in held)
        for tree in range(params.trees):
            leaves = leaves_of(forest, tree)
            assert sum(count for _, _, count in leaves) == min(seen, params.window_trades)
            assert max(depth for _, depth, _ in leaves) <= params.max_depth


@settings(max_examples=20)
@given(st.integers(0, 100), st.lists(st.integers(0, 500), max_size=6), st.sampled_from([0.0, 1.5]))
def test_forest_does_not_depend_on_splits_restarts_or_slots(
    seed: int, cuts: list[int], spacing_s: float
) -> None:
    params = ForestParams(
        trees=3, window_trades=64, max_leaf_trades=4, min_spacing_s=spacing_s, sees_outside=True
    )
    rows = rows_of(seed, 500, [(3, 1e12), (70, math.nan), (200, math.inf), (201, 0.0)])
    whole = Forest(params, features=FEATURES)
    whole.open(0, identity="x")
    expected = whole.score_learn(Runs.single(0, 500), rows, explain_all=True)
    edges = [0, *sorted(cuts), 500]
    parts, state = [], None
    for slot, (a, b) in enumerate(pairwise(edges)):
        part = Forest(params, features=FEATURES)
        part.open(slot, identity="x")
        if state is not None:
            part.load_state(slot, state)
        parts.append(part.score_learn(Runs.single(slot, b - a), rows[a:b], explain_all=True))
        state = part.state(slot)
    for k in range(3):
        assert np.array_equal(
            np.concatenate([part[:3][k] for part in parts]), expected[:3][k], equal_nan=True
        )
    assert state is not None
    assert all(np.array_equal(state[key], value) for key, value in whole.state(0).items())
