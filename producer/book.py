"""One market's order book, kept from a snapshot and the changes since, or known not to be whole.

A venue numbers the changes of a book without a hole: a change begins where the one before it ended. The book
is whole while that holds. It is not whole before its first snapshot, after a hole, and when the levels that
are told of reach beyond those that the snapshot held; then a snapshot is wanted, and changes wait for it.

Memory is bounded: levels far from the price are forgotten, and so are the oldest of too many waiting changes.

Pure: no I/O and no clock.

Source: Binance `web-socket-streams.md`, "How to manage a local order book correctly" (July 2026).
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

Level = tuple[float, float]

_MAX_WAITING: Final = 1_000


class BookChange(NamedTuple):
    """Changes of a book, both ids included; a quantity of 0 removes its level."""

    first_id: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


class BookSnapshot(NamedTuple):
    """A whole book down to some level, best levels first.

    Attributes:
        last_id: of the last change that is in it.
        bids: price and quantity.
        asks: price and quantity.
        limit: levels per side that were asked for; as many levels on a side mean that there may be more.
    """

    last_id: int
    bids: list[Level]
    asks: list[Level]
    limit: int


class _Side:
    """The levels of one side, prices as distances so that the best is the smallest (bids are negated)."""

    def __init__(self, levels: Iterable[Level], *, sign: int, limit: int) -> None:
        self._sign = sign
        self._capacity = 2 * limit
        self._quantities = {sign * price: quantity for price, quantity in levels}
        self._prices = sorted(self._quantities)
        # What lies beyond was never told: a level there may exist without our knowing.
        self._known_until = self._prices[-1] if len(self._prices) >= limit else inf

    def set(self, price: float, quantity: float) -> None:
        key = self._sign * price
        if quantity > 0:
            is_new = key not in self._quantities
            self._quantities[key] = quantity
            if is_new:
                self._prices.insert(bisect_left(self._prices, key), key)
                if len(self._prices) > self._capacity:
                    self._forget_worst()
        elif self._quantities.pop(key, None) is not None:
            del self._prices[bisect_left(self._prices, key)]

    def best(self, count: int) -> list[Level]:
        return [(self._sign * key, self._quantities[key]) for key in self._prices[:count]]

    def knows(self, count: int) -> bool:
        """Return whether no level that we cannot know of may lie among the best."""
        if self._known_until == inf:
            return True
        return len(self._prices) >= count and self._prices[count - 1] <= self._known_until

    def _forget_worst(self) -> None:
        keep = self._capacity // 2
        for key in self._prices[keep:]:
            del self._quantities[key]
        del self._prices[keep:]
        self._known_until = min(self._known_until, self._prices[-1])


class OrderBook:
    """One market's book.

    Attributes:
        resyncs_total: snapshots that were taken in.

    Args:
        levels: per side, how many of the best are told of.
    """

    def __init__(self, levels: int) -> None:
        self.resyncs_total = 0
        self._levels = levels
        self._sides: tuple[_Side, _Side] | None = None
        self._last_id = -1
        self._waiting: deque[BookChange] = deque(maxlen=_MAX_WAITING)

    @property
    def is_whole(self) -> bool:
        """Whether the best levels are those of the venue."""
        return self._sides is not None

    @property
    def last_id(self) -> int:
        """The id of the last change that is in the book."""
        return self._last_id

    def best(self) -> tuple[list[Level], list[Level]]:
        """Return the best bids and asks, best first; the book must be whole."""
        assert self._sides is not None, "the book is not whole"
        bids, asks = self._sides
        return bids.best(self._levels), asks.best(self._levels)

    def apply(self, change: BookChange) -> bool:
        """Take a change and return whether the book is whole and new.

        A change that is had already, in whole, changes nothing.
        """
        if self._sides is None:
            self._waiting.append(change)
            return False
        if change.last_id <= self._last_id:
            return False
        if change.first_id > self._last_id + 1:
            self._break(change)
            return False
        self._set(change)
        return self.is_whole

    def load(self, snapshot: BookSnapshot) -> bool:
        """Take a snapshot and the changes that waited for it; return whether the book is whole now.

        It is not when the snapshot is older than the first change that waits, or when these have a hole: then
        another snapshot is wanted.
        """
        waiting = [change for change in self._waiting if change.last_id > snapshot.last_id]
        if waiting and waiting[0].first_id > snapshot.last_id + 1:
            return False
        self._waiting.clear()
        self._sides = (
            _Side(snapshot.bids, sign=-1, limit=snapshot.limit),
            _Side(snapshot.asks, sign=1, limit=snapshot.limit),
        )
        self._last_id = snapshot.last_id
        self.resyncs_total += 1
        for change in waiting:
            self.apply(change)
        return self.is_whole

    def _set(self, change: BookChange) -> None:
        assert self._sides is not None
        for side, levels in zip(self._sides, (change.bids, change.asks), strict=True):
            for price, quantity in levels:
                side.set(price, quantity)
        self._last_id = change.last_id
        if not all(side.knows(self._levels) for side in self._sides):
            self._sides = None

    def _break(self, change: BookChange) -> None:
        self._sides = None
        self._waiting.append(change)
