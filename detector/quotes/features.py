"""Rows of features from quotes: what stands in the books of all markets, and what large orders did there."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, IntVector, loaded, resized
from detector.batch import Batch
from detector.quotes import kernel
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.stream.quotes import LEVELS, QuoteColumns
from shared.stream.step import State

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class QuoteFeatureParams:
    """Which orders are looked at, and for how long what they did counts.

    Attributes:
        least_share: of what usually stands on a side; what adds less to a level is not watched.
        shortest_s: orders that stood for less were hardly seen by anybody.
        longest_s: orders that stand for longer are no bait, and are not watched any further.
        fade_s: what was withdrawn counts 1/e after so long.
        horizon_s: in which what is usual is learned.
        warm_up_s: before the first row that says what was withdrawn.
    """

    least_share: float = 0.1
    shortest_s: float = 0.3
    longest_s: float = 120.0
    fade_s: float = 40.0
    horizon_s: float = 900.0
    warm_up_s: float = 300.0

    def __post_init__(self) -> None:
        if not (self.least_share > 0 and 0 <= self.shortest_s < self.longest_s):
            raise ValueError(f"least_share must be positive, shortest_s below longest_s: {self}")
        if not (self.fade_s > 0 and self.horizon_s > 0 and self.warm_up_s >= 0):
            raise ValueError(f"fade_s and horizon_s must be positive, warm_up_s not negative: {self}")


class QuoteFeatures:
    """The books of all markets, by slot.

    Memory: 3.3 kB per market.
    """

    names: tuple[str, ...] = kernel.FEATURES

    def __init__(self, params: QuoteFeatureParams) -> None:
        self.fingerprint = content_id("quote_features", _VERSION, repr(params))
        spans_s = (params.shortest_s, params.longest_s, params.fade_s, params.horizon_s, params.warm_up_s)
        self._settings = np.array(
            [params.least_share, *(span_s * MICROSECONDS_PER_SECOND for span_s in spans_s)], np.float64
        )
        self._books = np.zeros((0, 2, LEVELS, 2), np.float64)
        self._counts = np.zeros((0, 2), np.int64)
        self._orders = np.zeros((0, 2, kernel.WATCHED, kernel.ORDER), np.float64)
        self._sums = np.zeros((0, kernel.SUMS), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - nothing here is random
        """Begin with an empty book."""
        self._books, self._counts = resized(self._books, slot), resized(self._counts, slot)
        self._orders, self._sums = resized(self._orders, slot), resized(self._sums, slot)
        for array in (self._books, self._counts, self._orders, self._sums):
            array[slot] = 0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins with an empty book."""

    def read(self, batch: Batch) -> tuple[FloatMatrix, IntVector]:
        """Learn n quotes, and return n rows and n event times that never go back within a market."""
        quotes = batch.trades
        assert isinstance(quotes, QuoteColumns), "trades are no quotes"
        rows: FloatMatrix = np.empty((len(batch.order), len(self.names)), np.float64)
        clock_us: IntVector = np.empty(len(batch.order), np.int64)
        kernel.read(
            *batch.runs,
            batch.order,
            quotes.times_us,
            quotes.books,
            quotes.counts,
            quotes.trade_starts,
            quotes.traded,
            quotes.is_continuous,
            self._settings,
            self._books,
            self._counts,
            self._orders,
            self._sums,
            rows,
            clock_us,
        )
        return rows, clock_us

    def state(self, slot: int) -> State:
        """Return a copy of a market's book, and of what is known about it."""
        books = self._books[slot].copy()
        # Beyond what is known lies what was there before: no part of the state.
        books[np.arange(LEVELS) >= self._counts[slot][:, None]] = 0.0
        return {
            "book": books,
            "counts": self._counts[slot].copy(),
            "orders": self._orders[slot].copy(),
            "sums": self._sums[slot].copy(),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        counts = loaded(state, "counts", self._counts, shape=(2,))
        if counts.min() < 0 or counts.max() > LEVELS:
            raise ValueError(f"counts must be between 0 and {LEVELS}, not {counts}")
        self._books[slot] = loaded(state, "book", self._books, shape=(2, LEVELS, 2))
        self._orders[slot] = loaded(state, "orders", self._orders, shape=(2, kernel.WATCHED, kernel.ORDER))
        self._sums[slot] = loaded(state, "sums", self._sums, shape=(kernel.SUMS,))
        self._counts[slot] = counts
