"""How much a person should care about an anomaly."""

from typing import Final

from shared.events import Severity

# One trade, however large, is news and no emergency; a difference of prices neither; washing lasts for hours;
# and a move that was taken back is over.
_AT_MOST: Final = {
    "whale": Severity.HIGH,
    "arbitrage": Severity.HIGH,
    "wash_trading": Severity.MEDIUM,
    "manipulation": Severity.MEDIUM,
}


def of_rarity(kind: str, *, rarity: float, threshold: float) -> Severity:
    """Return the severity of an anomaly that was found by its rarity.

    Times rarer than the threshold: below 3 low, below 30 medium, below 1,000 high, else critical; a whale is
    high at most.
    """
    times = threshold / rarity
    if times < 3:
        severity = Severity.LOW
    elif times < 30:
        severity = Severity.MEDIUM
    else:
        severity = Severity.HIGH if times < 1_000 else Severity.CRITICAL
    return min(severity, _AT_MOST.get(kind, Severity.CRITICAL), key=lambda s: s.rank)


def of_score(kind: str, *, score: float, threshold: float) -> Severity:
    """Return the severity of an anomaly that was found by an absolute threshold on its score.

    Such thresholds mark what is serious in itself: high, and critical from one and a half times the threshold
    on; wash trading and manipulation are medium at most.
    """
    severity = Severity.HIGH if score < 1.5 * threshold else Severity.CRITICAL
    return min(severity, _AT_MOST.get(kind, Severity.CRITICAL), key=lambda s: s.rank)
