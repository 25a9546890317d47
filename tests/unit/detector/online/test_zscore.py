"""Z-score: warm-up, what it explains, floors, thinning."""

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.features import FEATURES
from detector.online.zscore import ZScore, ZScoreParams
from detector.price_move import PriceFloors
from detector.single_market import SingleMarket

RETURN = FEATURES.index("return_10s")


def rows_of(n: int, *, seed: int = 1) -> FloatMatrix:
    rows = np.random.default_rng(seed).lognormal(0.0, 0.3, (n, len(FEATURES)))
    rows[:, RETURN] = np.random.default_rng(seed + 1).normal(0.0, 0.01, n)
    return rows


def made(**params: object) -> SingleMarket:
    stage = ZScore(ZScoreParams(window_trades=100, **params), features=FEATURES)  # type: ignore[arg-type]
    return SingleMarket(stage, identity="")


def test_the_first_score_comes_after_a_full_window() -> None:
    scores = made().score_learn(rows_of(102)).scores
    assert np.isnan(scores[:100]).all()
    assert np.isfinite(scores[100:]).all()


def test_the_column_that_moved_has_the_contribution() -> None:
    rows = rows_of(201)
    rows[200, RETURN] = 0.5
    zscore = made()
    scored = zscore.score_learn(rows)
    assert scored.scores[200] == pytest.approx(50, rel=0.2)
    assert scored.contributions[200][zscore.columns.index("return_10s")] > 0.95


def test_a_still_market_does_not_make_a_tick_infinitely_strange() -> None:
    rows = np.ones((201, len(FEATURES)))
    rows[:, RETURN] = 0.0
    rows[200, RETURN] = 3e-4
    assert made().score_learn(rows).scores[200] == pytest.approx(1.0)


def test_a_spike_leaves_no_trace() -> None:
    rows = rows_of(400)
    spiked = rows.copy()
    spiked[50] = 1e12
    clean = made(min_spacing_s=0.0).score_learn(rows).scores
    assert np.array_equal(made(min_spacing_s=0.0).score_learn(spiked).scores[251:], clean[251:])


def test_a_burst_is_judged_against_the_minutes_before() -> None:
    rows = rows_of(600)
    rows[:, FEATURES.index("inter_arrival_s")] = 1.0
    burst = rows_of(500, seed=9)
    burst[:, FEATURES.index("inter_arrival_s")] = 0.0001
    burst[:, RETURN] += 0.2
    zscore = made()
    zscore.score_learn(rows)
    assert zscore.score_learn(burst).scores.min() > 10


def test_floors_ask_for_a_move_and_for_trades() -> None:
    rows = rows_of(4)
    rows[:, RETURN] = [0.01, -0.01, 0.001, 0.01]
    rows[:, FEATURES.index("count_10s")] = [5, 5, 5, 2]
    floors = PriceFloors(min_move_pct=0.3, min_trades=3)
    assert made(floors=floors).score_learn(rows).eligible.tolist() == [True, True, False, False]


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="window_trades"):
        ZScoreParams(window_trades=10)
