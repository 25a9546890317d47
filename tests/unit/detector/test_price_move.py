"""The sentence about a move: direction, volume, sides, and how often."""

import math

import pytest

from detector.online.protocol import Finding
from detector.price_move import move_sentence


def finding(*, usual_10s: float = 10.0, **features: float) -> Finding:
    quiet = {"return_10s": -0.018, "imbalance_10s": -0.86, "notional_10s": 410.0}
    return Finding(
        symbol="BTC-USDT",
        price=100.0,
        features=quiet | features,
        contributions={},
        score=9.0,
        usual_score=2.0,
        rarity=1e-5 / 40,
        trades_per_day=100_000.0,
        notional_per_day=usual_10s * 8_640,
    )


def test_a_fall_on_sells() -> None:
    assert move_sentence(finding()) == (
        "BTC-USDT fell 1.8 % in 10 s on 41 times the usual volume, 93 % of it sells; "
        "something like this happens about once in 40 days."
    )


def test_a_rise_on_buys_where_nobody_knows_what_is_usual() -> None:
    rise = finding(return_10s=0.2, imbalance_10s=1.0, usual_10s=math.nan)
    assert move_sentence(rise).startswith("BTC-USDT rose 20.0 % in 10 s, all of it buys; ")


@pytest.mark.parametrize("imbalance", [0.0, -0.0, 0.004])
def test_an_even_flow_is_half(imbalance: float) -> None:
    assert ", half of it sells;" in move_sentence(finding(imbalance_10s=imbalance))


@pytest.mark.parametrize(
    ("move", "text"),
    [(0.0, "stood still in 10 s"), (1e-6, "rose 0.0001 % in 10 s"), (3.5, "rose 350 % in 10 s")],
)
def test_moves_of_all_sizes(move: float, text: str) -> None:
    assert move_sentence(finding(return_10s=move)).startswith(f"BTC-USDT {text} on ")


def test_a_move_on_little_volume() -> None:
    assert " on half the usual volume, " in move_sentence(finding(notional_10s=5.0))
