"""Severity: from times rarer than the threshold, or from how far a score is beyond it."""

import pytest

from detector import severity
from shared.events import Severity


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (1, "low"),
        (2.9, "low"),
        (3, "medium"),
        (29, "medium"),
        (30, "high"),
        (999, "high"),
        (1_000, "critical"),
    ],
)
def test_severity_of_rarity(times: float, expected: str) -> None:
    assert severity.of_rarity("combined", rarity=1e-5, threshold=times * 1e-5 * (1 + 1e-12)) == Severity(
        expected
    )


def test_a_whale_is_never_critical() -> None:
    assert severity.of_rarity("whale", rarity=1e-9, threshold=1e-3) == Severity.HIGH


@pytest.mark.parametrize(("score", "expected"), [(10, "high"), (14.9, "high"), (15, "critical")])
def test_severity_of_score(score: float, expected: str) -> None:
    assert severity.of_score("flash_crash", score=score, threshold=10) == Severity(expected)
