"""What the detectors of price moves share: the absolute floors, and the sentence a trader reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import BoolVector, FloatMatrix
from detector.online.protocol import Finding
from detector.wording import percent, recurrence, times

_MOVE_S: Final = 10.0
_DAY_S: Final = 86_400.0


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
    """Return direction and size of the move, its volume and sides, and how often such a thing happens.

    The usual volume is that of 10 s at the market's rate of the last day; in the first minutes of a market it
    is unknown, and left out.
    """
    features = finding.features
    move = features["return_10s"]
    moved = f"{'rose' if move > 0 else 'fell'} {percent(abs(move))}" if move else "stood still"
    usual = finding.notional_per_day * _MOVE_S / _DAY_S
    volume = f" on {times(features['notional_10s'] / usual)} the usual volume" if usual > 0 else ""
    return (
        f"{finding.symbol} {moved} in 10 s{volume}, {_sides(features['imbalance_10s'])}; "
        f"something like this happens {recurrence(finding)}."
    )


def _sides(imbalance: float) -> str:
    """Return which share of the volume was bought or sold: `93 % of it sells`."""
    share = round((1.0 + abs(imbalance)) * 50.0)
    if share == 50:
        return "half of it sells"
    side = "buys" if imbalance > 0 else "sells"
    return f"all of it {side}" if share == 100 else f"{share} % of it {side}"
