"""One-second bars of a market's trades in bounded memory, and coarser bars made from them.

Seconds without a trade have no bar. Bars are kept in order of time in one array that doubles while the
process's budget of bars lasts; after that, and beyond the history, the oldest go.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _NOTIONAL, _COUNT, _FIELDS = range(8)
_FIRST_CAPACITY: Final = 64
# So many trades in a row that lie before the whole history are no stragglers: the venue's clock was set back,
# as when a simulation starts anew on the same broker.
_NEW_RUN_TRADES: Final = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Bars in order of time; every array has one element per bar.

    Attributes:
        start_s: first second of the bar, since the Unix epoch, UTC.
        open: first price, quote units; likewise `high`, `low` and `close`.
        volume: base units.
        notional: quote units.
        count: trades.
    """

    start_s: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    notional: Floats
    count: Floats

    def __len__(self) -> int:
        return len(self.start_s)

    def since(self, second: int) -> "Bars":
        """Return the bars that start at `second` or later."""
        first = int(np.searchsorted(self.start_s, second))
        return _bars(self.start_s[first:], _matrix(self)[:, first:])

    def every(self, interval_s: int) -> "Bars":
        """Return bars of `interval_s` seconds, aligned to the Unix epoch."""
        if len(self) == 0 or interval_s == 1:
            return self
        starts = self.start_s - self.start_s % interval_s
        first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
        last = np.append(first[1:], len(starts)) - 1
        matrix = np.empty((_FIELDS, len(first)))
        matrix[_OPEN] = self.open[first]
        matrix[_HIGH] = np.maximum.reduceat(self.high, first)
        matrix[_LOW] = np.minimum.reduceat(self.low, first)
        matrix[_CLOSE] = self.close[last]
        for row, values in ((_VOLUME, self.volume), (_NOTIONAL, self.notional), (_COUNT, self.count)):
            matrix[row] = np.add.reduceat(values, first)
        return _bars(starts[first], matrix)


class Budget:
    """How many bars all markets of the process may hold together."""

    def __init__(self, bars: int) -> None:
        self._left = bars

    def take(self, bars: int) -> bool:
        """Reserve room for bars; false when there is not enough."""
        if bars > self._left:
            return False
        self._left -= bars
        return True

    def give_back(self, bars: int) -> None:
        """Release room."""
        self._left += bars


class BarHistory:
    """The one-second bars of one market, over the last `history_s` seconds of its event time."""

    def __init__(self, *, history_s: int, budget: Budget) -> None:
        self._history_s = history_s
        self._budget = budget
        self._reserved = 0
        self._seconds: Ints = np.empty(_FIRST_CAPACITY, np.int64)
        self._values: Floats = np.empty((_FIELDS, _FIRST_CAPACITY))
        self._start = 0
        self._end = 0
        self._latest = -1
        self._too_old_in_row = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def capacity(self) -> int:
        """Bars that fit into the memory held now."""
        return len(self._seconds)

    def add(self, second: int, price: float, quantity: float) -> None:
        """Count a trade in; one from before the history is left out, unless the clock was set back."""
        if second == self._latest:
            self._update(self._end - 1, price, quantity, is_last=True)
        elif second > self._latest:
            self._append(second, price, quantity)
            self._latest = second
            self._forget(second - self._history_s)
        elif second > self._latest - self._history_s:
            self._straggle(second, price, quantity)
        else:
            self._too_old_in_row += 1
            if self._too_old_in_row >= _NEW_RUN_TRADES:
                self._start = self._end = 0
                self._latest = -1
                self.add(second, price, quantity)
            return
        self._too_old_in_row = 0

    def bars(self) -> Bars:
        """Return a copy."""
        kept = slice(self._start, self._end)
        return _bars(self._seconds[kept].copy(), self._values[:, kept].copy())

    def release(self) -> None:
        """Give the memory back to the budget; the history is not used afterwards."""
        self._budget.give_back(self._reserved)
        self._reserved = 0

    def _update(self, at: int, price: float, quantity: float, *, is_last: bool) -> None:
        values = self._values
        values[_HIGH, at] = max(values[_HIGH, at], price)
        values[_LOW, at] = min(values[_LOW, at], price)
        if is_last:
            values[_CLOSE, at] = price
        values[_VOLUME, at] += quantity
        values[_NOTIONAL, at] += price * quantity
        values[_COUNT, at] += 1

    def _append(self, second: int, price: float, quantity: float) -> None:
        if self._end == len(self._seconds):
            self._make_room()
        self._seconds[self._end] = second
        self._values[:, self._end] = (price, price, price, price, quantity, price * quantity, 1)
        self._end += 1

    def _straggle(self, second: int, price: float, quantity: float) -> None:
        at = self._start + int(np.searchsorted(self._seconds[self._start : self._end], second))
        if self._seconds[at] == second:
            self._update(at, price, quantity, is_last=False)
            return
        last_second = int(self._seconds[self._end - 1])
        self._append(last_second, price, quantity)
        # Making room may have moved the bars, and dropped the oldest.
        at = self._start + int(np.searchsorted(self._seconds[self._start : self._end - 1], second))
        inserted = self._values[:, self._end - 1].copy()
        self._seconds[at + 1 : self._end] = self._seconds[at : self._end - 1].copy()
        self._values[:, at + 1 : self._end] = self._values[:, at : self._end - 1].copy()
        self._seconds[at] = second
        self._values[:, at] = inserted

    def _forget(self, oldest_second: int) -> None:
        while self._start < self._end and self._seconds[self._start] <= oldest_second:
            self._start += 1

    def _make_room(self) -> None:
        capacity = len(self._seconds)
        if self._start < capacity // 2:
            if self._budget.take(capacity):
                self._reserved += capacity
                capacity *= 2
            else:
                # Half at once, so that moving the rest costs little per bar.
                self._start = capacity // 2
        kept = slice(self._start, self._end)
        seconds: Ints = np.empty(capacity, np.int64)
        values: Floats = np.empty((_FIELDS, capacity))
        size = self._end - self._start
        seconds[:size] = self._seconds[kept]
        values[:, :size] = self._values[:, kept]
        self._seconds, self._values = seconds, values
        self._start, self._end = 0, size


def _bars(start_s: Ints, matrix: Floats) -> Bars:
    matrix.flags.writeable = False
    start_s.flags.writeable = False
    return Bars(
        start_s=start_s,
        open=matrix[_OPEN],
        high=matrix[_HIGH],
        low=matrix[_LOW],
        close=matrix[_CLOSE],
        volume=matrix[_VOLUME],
        notional=matrix[_NOTIONAL],
        count=matrix[_COUNT],
    )


def _matrix(bars: Bars) -> Floats:
    return np.stack(
        [bars.open, bars.high, bars.low, bars.close, bars.volume, bars.notional, bars.count],
    )
