"""What the detectors of price moves share: the absolute floors, and the sentence a trader reads."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detector.arrays import BoolVector, FloatMatrix
from detector.online.protocol import Finding
from detector.wording import percent, recurrence


@dataclass(frozen=True, kw_only=True)
class PriceFloors:
    """What must at least have happened for a price anomaly, however rare it is.

    A trader acts on moves, so volume or rate alone never make a price anomaly; and a print or two off the
    market are no move.

    Attributes:
        min_move_pct: absolute return over the last 10 s, in percent.
        min_trades: trades in the last 10 s.
    """

    min_move_pct: float = 0.3
    min_trades: int = 3

    def bind(self, features: tuple[str, ...]) -> Callable[[FloatMatrix], BoolVector]:
        """Return a function that says which rows of features meet the floors."""
        move, count = features.index("return_10s"), features.index("count_10s")
        min_move = self.min_move_pct / 100.0

        def eligible(rows: FloatMatrix) -> BoolVector:
            return (np.abs(rows[:, move]) >= min_move) & (rows[:, count] >= self.min_trades)

        return eligible


def move_sentence(finding: Finding) -> str:
    """Return direction and size of the move, its volume and sides, and how often such a thing happens."""
    features = finding.features
    move = features["return_10s"]
    verb = "rose" if move > 0 else "fell"
    share = (1.0 + abs(features["imbalance_10s"])) / 2.0
    side = "buys" if features["imbalance_10s"] > 0 else "sells"
    volume = features["notional_10s"]
    before = (features["notional_300s"] - volume) / 29.0
    on = f" on {volume / before:,.1f} times the volume of the 5 minutes before" if before > 0 else ""
    return (
        f"{finding.symbol} {verb} {percent(abs(move))} in 10 s{on}, {share * 100:.0f} % of it {side}; "
        f"something like this happens {recurrence(finding)}."
    )
