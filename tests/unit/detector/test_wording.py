"""Numbers in words."""

import pytest

from detector import wording
from detector.online.protocol import Finding


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.123, "12.3 %"), (0.00451, "0.45 %"), (1.2, "120 %"), (0.0, "0.00 %")]
)
def test_percent(fraction: float, text: str) -> None:
    assert wording.percent(fraction) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1_234_567.4, "1,234,567"), (12.34, "12.3"), (0.05642, "0.0564"), (999.6, "1,000")]
)
def test_amount(value: float, text: str) -> None:
    assert wording.amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0643, "0.0643"), (122_335.79, "122335.79"), (1e-8, "0.00000001"), (20.0, "20")]
)
def test_price(value: float, text: str) -> None:
    assert wording.price(value) == text


@pytest.mark.parametrize(
    ("rarity", "text"),
    [
        (None, "at a rate not known yet"),
        (1e-3, "about 100 times a day"),
        (1.2e-5, "about once a day"),
        (1e-5 / 3, "about once in 3 days"),
        (0.9e-5, "about once a day"),
        (1e-9, "less than once a year"),
    ],
)
def test_recurrence(rarity: float | None, text: str) -> None:
    finding = Finding(
        symbol="BTC-USDT",
        price=1.0,
        features={},
        contributions={},
        score=1.0,
        usual_score=1.0,
        rarity=rarity,
        trades_per_day=100_000.0,
    )
    assert wording.recurrence(finding) == text
