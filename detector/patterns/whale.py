"""Whale: one trade that is huge for its market, and huge in money.

Idea: the market's own tail of trade sizes says how rare a size is; an absolute floor says what is worth a
    look.

Score: notional of the trade, in quote units.

Warm-up: none of its own; the calibrator's.

Cost: a copy of one column.

Blind spots: an order that the venue reports in many pieces.

Reference: none; the rarity is that of `detector/calibration.py`.

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> rows = np.ones((2, len(FEATURES)))
    >>> rows[:, FEATURES.index("notional")] = [50.0, 250_000.0]
    >>> whale = Whale(WhaleParams(), features=FEATURES)
    >>> whale.score_learn(Runs.single(0, 2), rows).eligible.tolist()
    [False, True]
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.patterns.memoryless import Memoryless
from detector.runs import Runs
from detector.wording import amount, recurrence
from shared.codec import content_id

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class WhaleParams:
    """What is too small.

    Attributes:
        min_notional: in quote units.
    """

    min_notional: float = 100_000.0

    def __post_init__(self) -> None:
        if self.min_notional < 0:
            raise ValueError(f"min_notional must not be negative: {self.min_notional}")


class Whale(Memoryless):
    """Scores a trade by its notional."""

    name = "whale"
    kind = "whale"
    columns: tuple[str, ...] = ("notional",)
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "log"
    window_s = 0.0

    def __init__(self, params: WhaleParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        self._params = params
        self._notional = features.index("notional")

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:  # noqa: ARG002 - a stage's signature
        """Score each row; there is nothing to learn."""
        notional = rows[:, self._notional].copy()
        return Scored(notional, np.ones((len(rows), 1)), notional >= self._params.min_notional)

    def sentence(self, finding: Finding) -> str:
        """Return size, size against the usual, and how often such a thing happens."""
        quote = finding.symbol.partition("-")[2] or "quote units"
        side = "sell" if finding.features["signed_flow"] < 0 else "buy"
        times = (
            f", {amount(finding.score / finding.usual_score)} times the usual size"
            if finding.usual_score > 0
            else ""
        )
        return (
            f"{finding.symbol}: one {side} of {amount(finding.score)} {quote}{times}; "
            f"something this large happens {recurrence(finding)}."
        )
