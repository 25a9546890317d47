"""The online detectors against plain references: exact windows, and a forest whose books always balance."""

import math
from collections import deque
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration import RESOLUTION, CalibrationParams, Calibrator
from detector.features import FEATURES
from detector.online.columns import PRICE_COLUMNS, Gather
from detector.online.forest import Forest, ForestParams
from detector.online.zscore import ZScore, ZScoreParams
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
    """Return node, depth and count of each leaf of a tree, and check the inner nodes on the way."""
    leaves, todo = [], [(0, 0)]
    while todo:
        node, depth = todo.pop()
        count = int(forest._counts[tree, node])
        if forest._split_at[tree, node] < 0:
            leaves.append((node, depth, count))
        else:
            below = [2 * node + 1, 2 * node + 2]
            assert count == sum(int(forest._counts[tree, child]) for child in below)
            assert count >= forest._params.max_leaf_trades << depth
            todo += [(child, depth + 1) for child in below]
    return leaves


@settings(max_examples=30)
@given(
    st.integers(0, 1_000), st.lists(st.integers(1, 60), min_size=5, max_size=30), st.sampled_from([1, 4, 32])
)
def test_forest_keeps_its_books(seed: int, batches: list[int], max_leaf: int) -> None:
    params = ForestParams(trees=3, window_trades=128, max_leaf_trades=max_leaf, min_spacing_s=0.0)
    forest = Forest(params, features=FEATURES, identity="x")
    gather = Gather(PRICE_COLUMNS, features=FEATURES)
    recent: deque[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = deque(maxlen=params.window_trades)
    rng = np.random.default_rng(seed)
    seen = 0
    for n in batches:
        rows = rows_of(seed + seen, n, []) * rng.choice([1.0, 1.0, 1e6])
        if rng.random() < 0.3:
            rows[:] = rows[0]
        scores = forest.score_learn(rows).scores
        recent.extend(gather(rows))
        warm = np.arange(seen, seen + n) >= params.window_trades
        assert np.isnan(scores[~warm]).all()
        assert ((scores[warm] > 0.0) & (scores[warm] <= 1.0)).all()
        seen += n
        for tree in range(params.trees):
            leaves = leaves_of(forest, tree)
            assert sum(count for _, _, count in leaves) == min(seen, params.window_trades)
            assert max(depth for _, depth, _ in leaves) <= params.max_depth
    held = {point.tobytes() for point in forest._window[:, : len(PRICE_COLUMNS)]}
    assert {point.tobytes() for point in recent} <= held


scores_of = st.lists(st.one_of(st.floats(0, 1e6), st.just(math.nan)), min_size=0, max_size=400)


@given(scores_of, st.sampled_from(["log", "unit"]), st.integers(0, 5))
def test_a_higher_score_is_never_less_rare(noise: list[float], scale: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    quiet = rng.lognormal(0, 1, 500) if scale == "log" else rng.beta(2, 8, 500)
    stream = np.concatenate([quiet, np.array(noise), quiet])
    ladder = np.geomspace(1e-6, 1e9, 200) if scale == "log" else np.linspace(0, 1, 200)
    params = CalibrationParams(warm_up_trades=200)
    calibrator = Calibrator(params, scale=scale)  # type: ignore[arg-type]
    calibrator.calibrate(stream)
    rarities = []
    for score in ladder:
        one = Calibrator(params, scale=scale)  # type: ignore[arg-type]
        one.load_state(calibrator.state())
        rarities.append(one.calibrate(np.array([score])).rarities[0])
    assert all(later <= earlier for earlier, later in pairwise(rarities))
    assert RESOLUTION <= rarities[-1] <= rarities[0] <= 1.0


@given(scores_of, st.lists(st.integers(0, 1_400), max_size=5))
def test_calibration_does_not_depend_on_splits(noise: list[float], cuts: list[int]) -> None:
    stream = np.concatenate([np.random.default_rng(3).lognormal(0, 1, 1_000), np.array(noise)])
    params = CalibrationParams(warm_up_trades=200)
    whole = Calibrator(params, scale="log")
    expected = whole.calibrate(stream)
    part = Calibrator(params, scale="log")
    rarities = []
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    for a, b in pairwise(edges):
        rarities.append(part.calibrate(stream[a:b]).rarities)
        state = part.state()
        part = Calibrator(params, scale="log")
        part.load_state(state)
    assert np.array_equal(np.concatenate(rarities), expected.rarities, equal_nan=True)
