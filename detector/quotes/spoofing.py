"""Spoofing and layering: large orders are shown on one side of the book, and taken back untraded.

Idea: whoever shows a wall of orders that he does not mean moves the others, trades on the other side, and
takes the wall away. Every book is full of orders that come and go; what is rare is that much of what stands
on one side goes at once, without having traded, without having moved to another price, and without the same
on the other side.

Score: the cube root of the difference between both sides' sums of cubes of what was withdrawn at once, over
what usually stands on the ten best levels (the levels that are seen, if these are fewer); older withdrawals
fade (`fade_s`). One order of twice the usual depth scores 2, three of them within seconds of each other 2.9,
eight of a quarter of it, one after the other, 0.5. From 0; its rarity decides, among what is at least
`least_depth`.

Warm-up: `warm_up_s` of quotes, and the calibrator's.

Cost: `python -m benchmarks spoofing`. Memory: 3.3 kB per market, beside the calibrator's.

Blind spots: orders below a tenth of the usual depth; those that stand for less than 0.3 s or more than two
minutes; walls beyond the levels that are published, of which `bookTicker` has one. Quotes carry no
identities: that whoever trades is whoever withdraws cannot be seen, and a market maker who leaves one side
before news looks the same. Trades that the producer got late (a hole that was filled) are no fills.

Reference: E. J. Lee, K. S. Eom, K. S. Park, "Microstructure-based manipulation: Strategic behavior and
performance of spoofing traders", Journal of Financial Markets 16 (2013): orders of at least twice the usual
size away from the best price, withdrawn before trading on the other side. The score is ours.

Example:
    >>> import numpy as np
    >>> from detector.runs import Runs
    >>> rows = np.zeros((2, len(FEATURES)))
    >>> rows[:, FEATURES.index("withdrawn_bid")] = [0.1, 27.0]
    >>> scored = Spoofing(SpoofingParams()).score_learn(Runs.single(0, 2), rows)
    >>> scored.scores.round(2).tolist(), scored.eligible.tolist()
    ([0.46, 3.0], [False, True])
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.patterns.memoryless import Memoryless
from detector.quotes.kernel import FEATURES
from detector.runs import Runs
from detector.wording import amount, duration, percent, recurrence, times
from shared.codec import content_id

_VERSION: Final = 1
NAME: Final = "spoofing"
_BID, _ASK = FEATURES.index("withdrawn_bid"), FEATURES.index("withdrawn_ask")
_NOTES: Final = (*FEATURES[FEATURES.index("spread_bps") : _BID], *FEATURES[_ASK + 1 :])
# From so many orders together on it is layering.
_LAYERS: Final = 3
_TOLD_BPS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class SpoofingParams:
    """What is too small.

    Attributes:
        least_depth: score, in depths of the levels that are seen.
    """

    least_depth: float = 1.0

    def __post_init__(self) -> None:
        if self.least_depth < 0:
            raise ValueError(f"least_depth must not be negative: {self}")


class Spoofing(Memoryless):
    """Scores a quote by what was withdrawn from one side of the book until then."""

    name = NAME
    kind = "manipulation"
    record = "quote"
    columns: tuple[str, ...] = ("withdrawn_bid", "withdrawn_ask")
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "log"
    window_s = 60.0

    def __init__(self, params: SpoofingParams, *, of: str = "") -> None:
        """Make it.

        Args:
            params: what is too small.
            of: fingerprint of what makes the rows.
        """
        self.fingerprint = content_id(self.name, _VERSION, repr(params), of)
        self._params = params

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:  # noqa: ARG002 - a stage's signature
        """Score each row; there is nothing to learn."""
        net = rows[:, _BID] - rows[:, _ASK]
        scores = np.cbrt(np.abs(net))
        eligible = scores >= self._params.least_depth
        contributions = np.stack((net > 0.0, net < 0.0), axis=1).astype(np.float64)
        if not eligible.any():
            return Scored(scores, contributions, eligible)
        notes = {name: rows[:, FEATURES.index(name)].copy() for name in _NOTES}
        return Scored(scores, contributions, eligible, notes=notes)

    def sentence(self, finding: Finding) -> str:
        """Return what went, how much that is, what traded meanwhile, and how often such a thing happens."""
        told = finding.features
        base = finding.symbol.partition("-")[0]
        layers = round(told["layers"])
        form = "layering" if layers >= _LAYERS else "spoofing"
        what = f"{layers} orders" if layers > 1 else "an order"
        side = "bid" if finding.contributions["withdrawn_bid"] > 0.0 else "offered"
        size = f"{amount(told['withdrawn'])} {base} {side} in {what}"
        usual = f"{times(told['withdrawn'] / told['depth'])} what the best levels usually hold"
        meanwhile = ""
        if told["traded_meanwhile"] > 0.0:
            meanwhile = (
                f" while {amount(told['traded_meanwhile'] * told['depth'])} {base} traded at other prices"
            )
        moved = ""
        if told["moved_bps"] >= _TOLD_BPS:
            moved = f" and the price gave way to it by {told['moved_bps']:.1f} bps"
        return (
            f"{finding.symbol} shows signs of {form}: {size}, {usual}, stood for "
            f"{duration(told['stood_s'])} and went with {percent(told['executed'])} of it traded"
            f"{meanwhile}{moved}; something like this happens {recurrence(finding)}."
        )
