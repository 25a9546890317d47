"""Numbers in words."""

import pytest

from detector import wording
from detector.online.protocol import Finding


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.123, "12.3 %"),
        (0.018, "1.8 %"),
        (0.00451, "0.45 %"),
        (0.00999, "1.0 %"),
        (1.2, "120 %"),
        (0.9996, "100 %"),
        (0.00012, "0.012 %"),
        (0.0, "0.00 %"),
    ],
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
    ("ratio", "text"),
    [
        (1_234.5, "1,234 times"),
        (41.2, "41 times"),
        (9.96, "10 times"),
        (1.93, "1.9 times"),
        (0.95, "0.9 times"),
        (0.5, "half"),
        (0.2, "a fifth of"),
        (0.01, "a small part of"),
    ],
)
def test_times(ratio: float, text: str) -> None:
    assert wording.times(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "less than 1 ms"),
        (0.014, "14 ms"),
        (0.9999, "1.0 s"),
        (2.59, "2.6 s"),
        (41.4, "41 s"),
        (546.0, "9.1 min"),
        (11_520.0, "3.2 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


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
