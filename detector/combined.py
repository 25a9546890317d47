"""Combined filter: a price anomaly is what two detectors find strange, or one finds extreme.

Idea: z-score and forest err differently. Where both are below the threshold, or one of them below a hundredth
of it, a trader should look.

Rarity: min(max(a, b), 100 min(a, b), 1) of the two rarities a and b. It is at most the threshold exactly when
the rule above holds, and it errs on the safe side: what is at most t happens about 1.02 t times per trade at
most, whatever the dependence between the two.

Score: -log10 of that rarity. Contributions: those of the two, weighted with -log10 of their own rarities.

Warm-up: until both are warm. When one of them is in quarantine, nothing is combined.

Cost: a few vectorised operations per batch.

Blind spots: what one of the two finds rare, and not extreme, while the other finds it usual.
"""

from typing import Final

import numpy as np

from detector.arrays import FloatVector
from detector.online.protocol import DecidesOn, Finding
from detector.price_move import move_sentence
from shared.codec import content_id

_VERSION: Final = 1
_EXTREME: Final = 100.0


class Combined:
    """Combines two calibrated detectors of the same market; it has no memory of its own."""

    name = "combined"
    kind = "combined"
    members = ("zscore", "forest")
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    window_s = 60.0

    def __init__(
        self, *, member_columns: tuple[tuple[str, ...], tuple[str, ...]], member_fingerprints: str
    ) -> None:
        """Make the filter.

        Args:
            member_columns: names of the columns of the members' contributions.
            member_fingerprints: of the members, in their order, joined.
        """
        self.fingerprint = content_id(self.name, _VERSION, member_fingerprints)
        self.columns = tuple(dict.fromkeys(name for names in member_columns for name in names))
        self._columns_of = tuple(
            np.array([self.columns.index(name) for name in names], np.int64) for names in member_columns
        )

    @staticmethod
    def rarities(first: FloatVector, second: FloatVector) -> FloatVector:
        """Return n combined rarities; NaN where either is."""
        combined: FloatVector = np.minimum(
            np.minimum(np.maximum(first, second), _EXTREME * np.minimum(first, second)), 1.0
        )
        return combined

    @staticmethod
    def scores(rarities: FloatVector) -> FloatVector:
        """Return n scores: -log10 of the rarities."""
        scores: FloatVector = -np.log10(rarities)
        return scores

    def contributions(
        self, members: tuple[FloatVector, FloatVector], rarities: tuple[float, float]
    ) -> FloatVector:
        """Return the contributions to one row's score, one per name in `columns`.

        Args:
            members: the contributions to the two members' scores of the row.
            rarities: of the two members' scores.
        """
        shares = np.zeros(len(self.columns), np.float64)
        for at, contributions, rarity in zip(self._columns_of, members, rarities, strict=True):
            shares[at] += contributions * -np.log10(rarity)
        total = shares.sum()
        return shares / total if total > 0 else shares

    @staticmethod
    def sentence(finding: Finding) -> str:
        """Return what moved, on which volume, and how rare that is."""
        return move_sentence(finding)
