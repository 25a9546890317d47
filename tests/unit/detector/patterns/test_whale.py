"""Whale: the floor, and the sentence."""

import numpy as np
import pytest

from detector.features import FEATURES
from detector.online.protocol import Finding
from detector.patterns.whale import Whale, WhaleParams
from detector.runs import Runs


def finding(
    *, usual: float, symbol: str = "BTC-USDT", signed: float = 1.0, rarity: float = 1e-5 / 3
) -> Finding:
    return Finding(
        symbol=symbol,
        price=100.0,
        features={"signed_flow": signed},
        contributions={"notional": 1.0},
        score=1_234_567.0,
        usual_score=usual,
        rarity=rarity,
        trades_per_day=100_000.0,
    )


def test_the_floor_is_included() -> None:
    rows = np.ones((3, len(FEATURES)))
    rows[:, FEATURES.index("notional")] = [99.0, 100.0, 1e12]
    scored = Whale(WhaleParams(min_notional=100.0), features=FEATURES).score_learn(
        Runs.single(0, len(rows)), rows
    )
    assert scored.scores.tolist() == [99.0, 100.0, 1e12]
    assert scored.eligible.tolist() == [False, True, True]


def test_the_sentence_compares_and_dates() -> None:
    whale = Whale(WhaleParams(), features=FEATURES)
    assert whale.sentence(finding(usual=30_111.0)) == (
        "BTC-USDT: one buy of 1,234,567 USDT, 41 times the usual size; "
        "something this large happens about once in 3 days."
    )
    assert whale.sentence(finding(usual=float("nan"), signed=-1.0, symbol="ETH-BTC")) == (
        "ETH-BTC: one sell of 1,234,567 BTC; something this large happens about once in 3 days."
    )


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="min_notional"):
        WhaleParams(min_notional=-1.0)
