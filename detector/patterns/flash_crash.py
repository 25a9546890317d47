"""Flash crash: the price is far below its highest within a short time.

Idea: the fall from the highest price of the last seconds, against a fixed percentage.

Score: that fall, in percent (0 to 100). It decides by itself; the calibrator's rarity is reported beside it.

Warm-up: none, but the window must hold `min_trades` trades.

Cost: one multiplication.

Blind spots: a fall that is usual for a wild market is one all the same; a fall on a market that hardly
trades.

Reference: none.

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> rows = np.full((1, len(FEATURES)), 50.0)
    >>> rows[0, FEATURES.index("drawdown_300s")] = -0.123
    >>> crash = FlashCrash(FlashCrashParams(), features=FEATURES)
    >>> crash.score_learn(Runs.single(0, 1), rows).scores.round(1).tolist()
    [12.3]
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix
from detector.features import window_label
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.patterns.memoryless import Memoryless
from detector.runs import Runs
from detector.wording import duration, percent, price
from shared.codec import content_id

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class FlashCrashParams:
    """What is a crash.

    Attributes:
        drop_pct: fall from the window's highest price, in percent.
        window_s: within which it must happen; one of the feature windows.
        min_trades: in the window, so that no first prints of a market make a crash.
    """

    drop_pct: float = 10.0
    window_s: float = 300.0
    min_trades: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.drop_pct < 100:
            raise ValueError(f"drop_pct must be between 0 and 100, not {self.drop_pct}")


class FlashCrash(Memoryless):
    """Scores a trade by how far the price has fallen."""

    name = "flash_crash"
    kind = "flash_crash"
    decides_on: DecidesOn = "score"
    scale: Scale = "log"

    def __init__(self, params: FlashCrashParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        self.threshold = params.drop_pct
        self.window_s = params.window_s
        self._label = window_label(params.window_s)
        self.columns: tuple[str, ...] = (f"drawdown_{self._label}",)
        self._params = params
        self._drawdown = features.index(f"drawdown_{self._label}")
        self._count = features.index(f"count_{self._label}")

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:  # noqa: ARG002 - a stage's signature
        """Score each row; there is nothing to learn."""
        scores = rows[:, self._drawdown] * -100.0
        return Scored(scores, np.ones((len(rows), 1)), rows[:, self._count] >= self._params.min_trades)

    def sentence(self, finding: Finding) -> str:
        """Return how far it fell, within which time, from where to where."""
        fall = -finding.features[f"drawdown_{self._label}"]
        seconds = finding.features[f"drawdown_age_{self._label}"]
        highest = finding.price / (1.0 - fall)
        return (
            f"{finding.symbol} fell {percent(fall)} within {duration(seconds)} "
            f"(from {price(float(f'{highest:.10g}'))} to {price(finding.price)})."
        )
