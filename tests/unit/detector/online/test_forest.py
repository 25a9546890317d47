"""Forest: finds what is isolated and says by what; one by one or in batches, from one seed."""

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.features import FEATURES
from detector.online.forest import Forest, ForestParams


def rows_of(n: int, *, seed: int = 1) -> FloatMatrix:
    return np.random.default_rng(seed).lognormal(0.0, 0.3, (n, len(FEATURES)))


def made(*, identity: str = "binance/BTC-USDT", **params: object) -> Forest:
    return Forest(
        ForestParams(min_spacing_s=0.0, **params),  # type: ignore[arg-type]
        features=FEATURES,
        identity=identity,
    )


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


def test_a_state_that_names_nodes_that_do_not_exist_is_refused() -> None:
    forest = made(window_trades=128)
    forest.score_learn(rows_of(300))
    state = forest.state()
    split_at = state["split_at"]
    assert isinstance(split_at, np.ndarray)
    split_at[0, -1] = 0
    with pytest.raises(ValueError, match="split_at"):
        made(window_trades=128).load_state(state)


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="trees"):
        ForestParams(trees=0)
    with pytest.raises(ValueError, match="max_leaf_trades"):
        ForestParams(window_trades=128, max_leaf_trades=128)
