"""Rows of many markets in one matrix: a detector is called once per batch, not once per market.

Calling a compiled kernel from Python costs microseconds, and a batch of 500 trades holds dozens of markets.
So rows come sorted by market, each market's rows in the order of its tape, and every market has a slot: the
place of its state in the arrays of each stage. A slot is opened before its first row, and may be used for
another market after it was closed.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np

from detector.arrays import BoolVector, IntVector


class Runs(NamedTuple):
    """Which rows of a matrix belong to which market.

    Attributes:
        slots: m, one per market in the batch; no slot comes twice.
        starts: m + 1; the rows of `slots[i]` are those from `starts[i]` to before `starts[i + 1]`.
    """

    slots: IntVector
    starts: IntVector

    @classmethod
    def single(cls, slot: int, rows: int) -> Self:
        """Return the run of one market that all rows belong to."""
        return cls(np.array([slot], np.int64), np.array([0, rows], np.int64))

    def only(self, chosen: BoolVector) -> tuple[Self, IntVector]:
        """Return some of the markets, and which rows of all are theirs.

        Args:
            chosen: m, whether a market is among them.
        """
        lengths = np.diff(self.starts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
        return type(self)(self.slots[chosen], starts), np.flatnonzero(np.repeat(chosen, lengths))

    def each(self) -> Iterator[tuple[int, slice]]:
        """Return slot and rows of every market, as Python values."""
        starts = self.starts.tolist()
        for at, slot in enumerate(self.slots.tolist()):
            yield slot, slice(starts[at], starts[at + 1])
