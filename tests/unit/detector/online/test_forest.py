"""Forest: finds what is isolated and says by what; one by one or in batches, from one seed."""

import math

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.features import FEATURES
from detector.online.forest import Forest, ForestParams
from detector.runs import Runs
from detector.single_market import SingleMarket


def rows_of(n: int, *, seed: int = 1) -> FloatMatrix:
    return np.random.default_rng(seed).lognormal(0.0, 0.3, (n, len(FEATURES)))


def stage(**params: object) -> Forest:
    return Forest(ForestParams(min_spacing_s=0.0, **params), features=FEATURES)  # type: ignore[arg-type]


def made(*, identity: str = "binance/BTC-USDT", **params: object) -> SingleMarket:
    return SingleMarket(stage(**params), identity=identity)


def outlier(rows: FloatMatrix, *names: str, value: float) -> FloatMatrix:
    changed = rows.copy()
    for name in names:
        changed[-1, FEATURES.index(name)] = value
    return changed


def test_an_isolated_point_scores_above_the_others() -> None:
    names = ("return_10s", "return_60s", "volatility_10s", "volatility_60s", "notional_10s", "count_10s")
    scores = made().score_learn(outlier(rows_of(4_000), *names, value=1e3)).scores
    assert scores[-1] > np.nanquantile(scores[:-1], 0.999)


def test_what_lies_outside_the_boxes_is_stranger_still_and_explained() -> None:
    rows = outlier(rows_of(4_000), "return_10s", value=1e3)
    plain, seeing = made(), made(sees_outside=True)
    expected, scored = plain.score_learn(rows), seeing.score_learn(rows)
    assert scored.scores[-1] > expected.scores[-1]
    assert scored.scores[-1] > np.nanmax(scored.scores[:-1])
    shares = dict(zip(seeing.columns, scored.contributions[-1].tolist(), strict=True))
    assert max(shares, key=lambda name: shares[name]) == "return_10s"
    assert shares["return_10s"] > 0.5


def test_markets_have_randomness_of_their_own_and_seeds_repeat_it() -> None:
    rows = rows_of(2_200)
    first = made().score_learn(rows).scores
    assert np.array_equal(first, made().score_learn(rows).scores, equal_nan=True)
    assert not np.array_equal(
        first, made(identity="binance/ETH-USDT").score_learn(rows).scores, equal_nan=True
    )
    assert not np.array_equal(first, made(seed=2).score_learn(rows).scores, equal_nan=True)


def test_scale_does_not_matter() -> None:
    rows = rows_of(2_200)
    scaled = rows.copy()
    scaled[:, FEATURES.index("return_10s")] *= 2.0**40
    assert np.array_equal(made().score_learn(rows).scores, made().score_learn(scaled).scores, equal_nan=True)


@pytest.mark.parametrize(
    ("window", "leaf", "depth"), [(2_048, 32, 4), (128, 32, 2), (2_048, 4, 5), (65_536, 32, 6)]
)
def test_depth_is_bounded_by_the_window(window: int, leaf: int, depth: int) -> None:
    assert ForestParams(window_trades=window, max_leaf_trades=leaf).max_depth == depth


def test_what_has_left_the_window_is_forgotten() -> None:
    forest = made(window_trades=128, max_leaf_trades=4, trees=50)
    low, high = rows_of(400), rows_of(400, seed=2) + 1_000.0
    forest.score_learn(low)
    first = forest.score_learn(high[:1]).scores[0]
    forest.score_learn(high)
    assert forest.score_learn(high[:1]).scores[0] < first
    assert forest.score_learn(low[:1]).scores[0] > forest.score_learn(high[5:6]).scores[0]


@pytest.mark.parametrize("damage", ["columns", "values", "depths", "window", "since_s"])
def test_a_state_of_trees_that_are_none_is_refused(damage: str) -> None:
    forest = made(window_trades=128)
    forest.score_learn(rows_of(300))
    state = forest.state()
    if damage == "since_s":
        state["since_s"] = math.nan
    else:
        array = state[damage]
        assert isinstance(array, np.ndarray)
        match damage:
            case "columns":
                array[0, 1] = len(forest.columns)
            case "values":
                array[0, 1] = np.inf
            case "depths":
                array[0, 0] += 1
            case "window":
                array[0, 0] = np.inf
    with pytest.raises(ValueError, match=damage):
        made(window_trades=128).load_state(state)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, -1e300])
def test_numbers_without_bounds_are_learned_as_very_large_ones(value: float) -> None:
    forest = made(window_trades=128, sees_outside=True)
    forest.score_learn(rows_of(200))
    scores = forest.score_learn(outlier(rows_of(300), "return_10s", value=value)).scores
    assert scores[-1] > np.quantile(scores[:-1], 0.95)
    assert np.isfinite(forest.score_learn(rows_of(300)).scores).all()


def test_what_is_no_number_has_no_score_and_leaves_no_trace() -> None:
    clean, dirty = made(window_trades=128), made(window_trades=128)
    rows = rows_of(400)
    holes = np.insert(rows, [0, 150, 150, 399], np.nan, axis=0)
    expected, scored = clean.score_learn(rows), dirty.score_learn(holes)
    is_number = ~np.isnan(holes[:, 0])
    assert np.isnan(scored.scores[~is_number]).all()
    assert np.array_equal(scored.scores[is_number], expected.scores, equal_nan=True)
    assert not scored.contributions[~is_number].any()


def test_only_rows_that_may_become_anomalies_are_explained_unless_all_are_asked_for() -> None:
    rows = rows_of(300)
    rows[:, FEATURES.index("return_10s")] *= 0.003
    rows[:, FEATURES.index("count_10s")] *= 5.0
    some, everything = stage(window_trades=128), stage(window_trades=128)
    for forest in (some, everything):
        forest.open(0, identity="x")
    scored = some.score_learn(Runs.single(0, 300), rows)
    whole = everything.score_learn(Runs.single(0, 300), rows, explain_all=True)
    assert scored.eligible.any()
    assert not scored.eligible.all()
    assert np.array_equal(scored.scores, whole.scores, equal_nan=True)
    assert np.array_equal(scored.contributions[scored.eligible], whole.contributions[scored.eligible])
    assert not scored.contributions[~scored.eligible].any()
    assert whole.contributions[~scored.eligible].any()


def test_markets_share_a_stage_without_noticing() -> None:
    rows = {slot: rows_of(300, seed=slot) for slot in (3, 0, 17)}
    forest = stage(window_trades=128)
    for slot in rows:
        forest.open(slot, identity=f"old {slot}")
    forest.score_learn(
        Runs(np.array([3, 0, 17]), np.array([0, 300, 600, 900])), np.concatenate([*rows.values()])
    )
    parts: dict[int, list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = {slot: [] for slot in rows}
    for slot in rows:
        forest.close(slot)
        forest.open(slot, identity=f"{slot}")
    for start in range(0, 300, 50):
        order = [17, 3, 0] if start % 100 else [0, 17]
        order += [] if start % 100 else [3]
        batch = np.concatenate([rows[slot][start : start + 50] for slot in order])
        scores = forest.score_learn(Runs(np.array(order), np.array([0, 50, 100, 150])), batch).scores
        for at, slot in enumerate(order):
            parts[slot].append(scores[50 * at : 50 * at + 50])
    for slot, tape in rows.items():
        alone = made(window_trades=128, identity=f"{slot}")
        expected = alone.score_learn(tape).scores
        assert np.array_equal(np.concatenate(parts[slot]), expected, equal_nan=True)
        assert forest.state(slot).keys() == alone.state().keys()
        assert all(np.array_equal(forest.state(slot)[key], value) for key, value in alone.state().items())


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="trees"):
        ForestParams(trees=0)
    with pytest.raises(ValueError, match="max_leaf_trades"):
        ForestParams(window_trades=128, max_leaf_trades=128)
