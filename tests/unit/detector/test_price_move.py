"""The sentence about a move: direction, volume, sides, and how often."""

import pytest

from detector.online.protocol import Finding
from detector.price_move import move_sentence


def finding(**features: float) -> Finding:
    quiet = {"return_10s": -0.018, "imbalance_10s": -0.86, "notional_10s": 410.0, "notional_300s": 700.0}
    return Finding(
        symbol="BTC-USDT",
        price=100.0,
        features=quiet | features,
        contributions={},
        score=9.0,
        usual_score=2.0,
        rarity=1e-5 / 40,
        trades_per_day=100_000.0,
    )


def test_a_fall_on_sells() -> None:
    assert move_sentence(finding()) == (
        "BTC-USDT fell 1.80 % in 10 s on 41.0 times the volume of the 5 minutes before, 93 % of it sells; "
        "something like this happens about once in 40 days."
    )


def test_a_rise_on_buys_without_a_before() -> None:
    assert move_sentence(finding(return_10s=0.2, imbalance_10s=1.0, notional_300s=410.0)).startswith(
        "BTC-USDT rose 20.0 % in 10 s, 100 % of it buys; "
    )


@pytest.mark.parametrize("imbalance", [0.0, -0.0])
def test_an_even_flow_is_half(imbalance: float) -> None:
    assert "50 % of it" in move_sentence(finding(imbalance_10s=imbalance))
