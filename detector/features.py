"""Features of one market's tape: what has been traded within the last seconds, in the state after each trade.

Windows are spans of event time that end with the trade itself: a window of w seconds holds the trades that
are younger than w. Sums, extremes and volatility are kept in a queue of two stacks: the older trades of a
window carry the aggregate from themselves to the border between old and new, the newer ones are summed as
they come, and when the old part is used up the new part becomes old in one pass. So nothing is ever
subtracted, every trade is touched a constant number of times, and one trade of 10^12 leaves no trace after it
has left the window.

Two rules bound the damage of odd input:

- Late trades count as if they had happened at the latest event time seen. When a trade is more than
  `CLOCK_RESTART_US` earlier than that, the clock was wrong before, and the windows start anew.
- A market's windows hold its latest `max_trades` trades at most; when more happen, the oldest leave early.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import (
    FloatCube,
    FloatMatrix,
    FloatVector,
    IntCube,
    IntMatrix,
    IntVector,
    loaded,
    loaded_int,
)
from shared.clock import MICROSECONDS_PER_SECOND
from shared.stream.step import State

DEFAULT_WINDOWS_S: Final = (1.0, 10.0, 60.0, 300.0)
CLOCK_RESTART_US: Final = 3_600 * MICROSECONDS_PER_SECOND

_TRADE_FEATURES: Final = (
    "log_return",
    "notional",
    "log_notional",
    "signed_flow",
    "inter_arrival_s",
    "rush_orders",
)
_WINDOW_FEATURES: Final = (
    "count",
    "notional",
    "imbalance",
    "return",
    "drawdown",
    "drawdown_age",
    "run_up",
    "run_up_age",
    "volatility",
)

_FIRST_WINDOW: Final = len(_TRADE_FEATURES)
_PER_WINDOW: Final = len(_WINDOW_FEATURES)

# Columns of the ring of trades.
_PRICE, _NOTIONAL, _SIGNED, _SQUARED = range(4)
# Aggregates over a part of a window; the extremes are kept as the sequence numbers of their trades.
_SUMS: Final = 3
_EXTREMES: Final = 2
# The cursor: next sequence number, latest time, side and length of the run of rush orders, then per window,
# the sequence numbers of its oldest trade and of the border between its two stacks.
_NEXT, _TIME, _RUN_SIDE, _RUN_LENGTH, _WINDOWS = range(5)
_FIRST_CAPACITY: Final = 128

# Beyond any market, and small enough that no sum or quotient of sound trades becomes infinite.
_LARGEST_NOTIONAL: Final = 1e200
_LARGEST_RATIO: Final = 1e200
_LARGEST_RETURN: Final = 1e12


def window_label(window_s: float) -> str:
    """Return how a window is named in features: `10s`, `0.5s`."""
    return f"{window_s:g}s"


def feature_names(windows_s: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the feature columns, in their order.

    Per trade: `log_return` against the previous trade (0 for the first), `notional` in quote units,
    `log_notional`, `signed_flow` (notional, negative when the taker sold), `inter_arrival_s`, `rush_orders`
    (trades of the same taker side at this very event time, in a row). Per window: `count`, `notional`,
    `imbalance` (signed flow per notional, -1 to 1), `return` (price against the window's first trade),
    `drawdown` (price against the window's highest, 0 or below), `drawdown_age` (seconds since that high),
    `run_up` and `run_up_age` (the same against the lowest, 0 or above), `volatility` (root of the summed
    squared log returns).
    """
    per_window = (f"{name}_{window_label(w)}" for w in windows_s for name in _WINDOW_FEATURES)
    return (*_TRADE_FEATURES, *per_window)


FEATURES: Final = feature_names(DEFAULT_WINDOWS_S)


@dataclass(frozen=True, kw_only=True)
class FeatureParams:
    """What is computed.

    Attributes:
        windows_s: spans of event time.
        max_trades: per market, at most so many of the latest trades are in any window.
    """

    windows_s: tuple[float, ...] = DEFAULT_WINDOWS_S
    max_trades: int = 65_536

    def __post_init__(self) -> None:
        if not self.windows_s or min(self.windows_s) <= 0 or len(set(self.windows_s)) < len(self.windows_s):
            raise ValueError(f"windows must be positive and differ: {self.windows_s}")
        if self.max_trades < 2:
            raise ValueError(f"max_trades must be at least 2, not {self.max_trades}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return feature_names(self.windows_s)


class Tape(NamedTuple):
    """Trades of one market in columns, all of the same length.

    Attributes:
        prices: quote units per base unit.
        quantities: base units.
        sells: 1 where the taker sold, else 0.
        times_us: event times.
    """

    prices: FloatVector
    quantities: FloatVector
    sells: IntVector
    times_us: IntVector

    def part(self, start: int, end: int) -> "Tape":
        """Return the trades from `start` to before `end`."""
        return Tape(
            self.prices[start:end],
            self.quantities[start:end],
            self.sells[start:end],
            self.times_us[start:end],
        )


@njit(cache=True)
def _age_out(  # noqa: PLR0917 - compiled; buffers come by position
    w: int,
    newest: int,
    oldest_kept: int,
    expired_us: int,
    ring_times: IntVector,
    ring: FloatMatrix,
    front: FloatCube,
    front_at: IntCube,
    back: FloatMatrix,
    back_at: IntMatrix,
    cursor: IntVector,
) -> None:
    """Let go of the trades of window `w` that are too old (at or before `expired_us`) or too many."""
    mask = ring_times.shape[0] - 1
    tail = max(cursor[_WINDOWS + 2 * w], oldest_kept)
    while tail < newest and ring_times[tail & mask] <= expired_us:
        tail += 1
    if tail > cursor[_WINDOWS + 2 * w + 1]:
        _rebuild_front(w, tail, newest, ring, front, front_at)
        cursor[_WINDOWS + 2 * w + 1] = newest
        back[w, :] = 0.0
        back_at[w, :] = -1
    cursor[_WINDOWS + 2 * w] = tail


@njit(cache=True)
def _rebuild_front(
    w: int, tail: int, border: int, ring: FloatMatrix, front: FloatCube, front_at: IntCube
) -> None:
    """Give each of the trades from `tail` to before `border` the aggregates from itself to the border."""
    mask = ring.shape[0] - 1
    notional = signed = squared = 0.0
    highest = lowest = border - 1
    for seq in range(border - 1, tail - 1, -1):
        at = seq & mask
        notional += ring[at, _NOTIONAL]
        signed += ring[at, _SIGNED]
        squared += ring[at, _SQUARED]
        # A later trade wins among equals, so going back only a better one replaces it.
        if ring[at, _PRICE] > ring[highest & mask, _PRICE]:
            highest = seq
        if ring[at, _PRICE] < ring[lowest & mask, _PRICE]:
            lowest = seq
        front[at, w, 0] = notional
        front[at, w, 1] = signed
        front[at, w, 2] = squared
        front_at[at, w, 0] = highest
        front_at[at, w, 1] = lowest


@njit(cache=True)
def _add_to_back(w: int, seq: int, ring: FloatMatrix, back: FloatMatrix, back_at: IntMatrix) -> None:
    mask = ring.shape[0] - 1
    at = seq & mask
    back[w, 0] += ring[at, _NOTIONAL]
    back[w, 1] += ring[at, _SIGNED]
    back[w, 2] += ring[at, _SQUARED]
    if back_at[w, 0] < 0 or ring[at, _PRICE] >= ring[back_at[w, 0] & mask, _PRICE]:
        back_at[w, 0] = seq
    if back_at[w, 1] < 0 or ring[at, _PRICE] <= ring[back_at[w, 1] & mask, _PRICE]:
        back_at[w, 1] = seq


@njit(cache=True)
def _write_window(  # noqa: PLR0917 - compiled; buffers come by position, and whole: slices cost time here
    w: int,
    seq: int,
    ring_times: IntVector,
    ring: FloatMatrix,
    front: FloatCube,
    front_at: IntCube,
    back: FloatMatrix,
    back_at: IntMatrix,
    cursor: IntVector,
    rows: FloatMatrix,
    i: int,
) -> None:
    """Write the features of window `w` in the state after trade `seq` into row `i`."""
    first = _FIRST_WINDOW + w * _PER_WINDOW
    mask = ring_times.shape[0] - 1
    tail = cursor[_WINDOWS + 2 * w]
    notional, signed, squared = back[w, 0], back[w, 1], back[w, 2]
    highest, lowest = back_at[w, 0], back_at[w, 1]
    if tail < cursor[_WINDOWS + 2 * w + 1]:
        old = tail & mask
        notional += front[old, w, 0]
        signed += front[old, w, 1]
        squared += front[old, w, 2]
        if ring[front_at[old, w, 0] & mask, _PRICE] > ring[highest & mask, _PRICE]:
            highest = front_at[old, w, 0]
        if ring[front_at[old, w, 1] & mask, _PRICE] < ring[lowest & mask, _PRICE]:
            lowest = front_at[old, w, 1]
    price = ring[seq & mask, _PRICE]
    now = ring_times[seq & mask]
    rows[i, first] = seq - tail + 1
    rows[i, first + 1] = notional
    rows[i, first + 2] = min(1.0, max(-1.0, signed / notional)) if notional > 0.0 else 0.0
    rows[i, first + 3] = min(price / ring[tail & mask, _PRICE] - 1.0, _LARGEST_RETURN)
    rows[i, first + 4] = price / ring[highest & mask, _PRICE] - 1.0
    rows[i, first + 5] = (now - ring_times[highest & mask]) * 1e-6
    rows[i, first + 6] = min(price / ring[lowest & mask, _PRICE] - 1.0, _LARGEST_RETURN)
    rows[i, first + 7] = (now - ring_times[lowest & mask]) * 1e-6
    rows[i, first + 8] = np.sqrt(squared)


@njit(cache=True)
def _update(  # noqa: PLR0917 - compiled; buffers come by position
    prices: FloatVector,
    quantities: FloatVector,
    sells: IntVector,
    times_us: IntVector,
    windows_us: IntVector,
    max_trades: int,
    ring_times: IntVector,
    ring: FloatMatrix,
    front: FloatCube,
    front_at: IntCube,
    back: FloatMatrix,
    back_at: IntMatrix,
    cursor: IntVector,
    rows: FloatMatrix,
    clock_us: IntVector,
) -> None:
    """Learn the trades one by one and write one row of features for each."""
    mask = ring_times.shape[0] - 1
    for i in range(prices.shape[0]):
        seq = cursor[_NEXT]
        latest = cursor[_TIME]
        is_first = seq == 0
        now = times_us[i]
        if not is_first and now < latest:
            if latest - now > CLOCK_RESTART_US:
                is_first = True
                for w in range(windows_us.shape[0]):
                    cursor[_WINDOWS + 2 * w] = seq
                    cursor[_WINDOWS + 2 * w + 1] = seq
                    back[w, :] = 0.0
                    back_at[w, :] = -1
            else:
                now = latest
        price = prices[i]
        notional = min(price * quantities[i], _LARGEST_NOTIONAL)
        side = sells[i]
        log_return = 0.0
        if not is_first:
            ratio = price / ring[(seq - 1) & mask, _PRICE]
            log_return = np.log(min(max(ratio, 1.0 / _LARGEST_RATIO), _LARGEST_RATIO))
        gap_s = 0.0 if is_first else (now - latest) * 1e-6
        if is_first or now != latest or side != cursor[_RUN_SIDE]:
            cursor[_RUN_LENGTH] = 0
        cursor[_RUN_SIDE] = side
        cursor[_RUN_LENGTH] += 1
        cursor[_TIME] = now
        cursor[_NEXT] = seq + 1
        for w in range(windows_us.shape[0]):
            _age_out(
                w,
                seq,
                seq - max_trades + 1,
                now - windows_us[w],
                ring_times,
                ring,
                front,
                front_at,
                back,
                back_at,
                cursor,
            )
        at = seq & mask
        ring_times[at] = now
        ring[at, _PRICE] = price
        ring[at, _NOTIONAL] = notional
        ring[at, _SIGNED] = -notional if side else notional
        ring[at, _SQUARED] = log_return * log_return
        rows[i, 0] = log_return
        rows[i, 1] = notional
        rows[i, 2] = np.log(max(notional, 1e-300))
        rows[i, 3] = ring[at, _SIGNED]
        rows[i, 4] = gap_s
        rows[i, 5] = cursor[_RUN_LENGTH]
        for w in range(windows_us.shape[0]):
            _add_to_back(w, seq, ring, back, back_at)
            _write_window(
                w,
                seq,
                ring_times,
                ring,
                front,
                front_at,
                back,
                back_at,
                cursor,
                rows,
                i,
            )
        clock_us[i] = now


@njit(cache=True)
def _move(
    first: int, end: int, old_times: IntVector, old: FloatMatrix, times: IntVector, new: FloatMatrix
) -> None:
    """Copy the trades of a range of sequence numbers into a ring of another size."""
    old_mask = old_times.shape[0] - 1
    mask = times.shape[0] - 1
    for seq in range(first, end):
        times[seq & mask] = old_times[seq & old_mask]
        new[seq & mask] = old[seq & old_mask]


class Features:
    """Computes the features of one market.

    Memory: 32 bytes per trade in the longest window, and 40 more per window.
    """

    def __init__(self, params: FeatureParams) -> None:
        self.names = params.names
        self._params = params
        self._windows_us = np.array([round(w * MICROSECONDS_PER_SECOND) for w in params.windows_s], np.int64)
        windows = len(params.windows_s)
        self._back = np.zeros((windows, _SUMS), np.float64)
        self._back_at = np.full((windows, _EXTREMES), -1, np.int64)
        self._cursor = np.zeros(_WINDOWS + 2 * windows, np.int64)
        self._allocate(min(_FIRST_CAPACITY, self._max_capacity))

    @property
    def _max_capacity(self) -> int:
        return _power_of_two(self._params.max_trades)

    def _allocate(self, capacity: int) -> None:
        windows = len(self._params.windows_s)
        self._times = np.zeros(capacity, np.int64)
        self._ring = np.zeros((capacity, 4), np.float64)
        self._front = np.zeros((capacity, windows, _SUMS), np.float64)
        self._front_at = np.zeros((capacity, windows, _EXTREMES), np.int64)

    def _oldest(self) -> int:
        """Return the sequence number of the oldest trade that is needed; the latest trade always is."""
        tails = self._cursor[_WINDOWS::2]
        return int(min(tails.min(), max(0, self._cursor[_NEXT] - 1)))

    def update(self, tape: Tape) -> tuple[FloatMatrix, IntVector]:
        """Learn trades.

        Args:
            tape: n sound trades in the order of the market's tape.

        Returns:
            The features, n rows in the columns of `names`, and the n event times after the rule for late
            trades.
        """
        n = len(tape.prices)
        rows = np.empty((n, len(self.names)), np.float64)
        clock_us = np.empty(n, np.int64)
        self._make_room(n)
        _update(
            *tape,
            self._windows_us,
            self._params.max_trades,
            self._times,
            self._ring,
            self._front,
            self._front_at,
            self._back,
            self._back_at,
            self._cursor,
            rows,
            clock_us,
        )
        return rows, clock_us

    def _make_room(self, n: int) -> None:
        capacity = len(self._times)
        if capacity == self._max_capacity:
            return
        first, end = self._oldest(), int(self._cursor[_NEXT])
        if end - first + n <= capacity:
            return
        old_times, old_ring = self._times, self._ring
        self._allocate(min(_power_of_two(end - first + n), self._max_capacity))
        _move(first, end, old_times, old_ring, self._times, self._ring)
        self._rebuild_fronts()

    def _rebuild_fronts(self) -> None:
        for w in range(len(self._params.windows_s)):
            tail, border = (int(c) for c in self._cursor[_WINDOWS + 2 * w : _WINDOWS + 2 * w + 2])
            _rebuild_front(w, tail, border, self._ring, self._front, self._front_at)

    def state(self) -> State:
        """Return a copy of what is needed to go on; it does not depend on how the trades came in batches."""
        first, end = self._oldest(), int(self._cursor[_NEXT])
        at = np.arange(first, end) & (len(self._times) - 1)
        return {
            "first": first,
            "times": self._times[at],
            "ring": self._ring[at],
            "back": self._back.copy(),
            "back_at": self._back_at.copy(),
            "cursor": self._cursor.copy(),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        first = loaded_int(state, "first")
        cursor = loaded(state, "cursor", self._cursor, shape=self._cursor.shape)
        times = loaded(state, "times", self._times, shape=(-1,))
        ring = loaded(state, "ring", self._ring, shape=(len(times), 4))
        back_at = loaded(state, "back_at", self._back_at, shape=self._back_at.shape)
        marks = cursor[_WINDOWS:]
        extremes = back_at[back_at >= 0]
        if (
            first < 0
            or first + len(times) != cursor[_NEXT]
            or len(times) > self._max_capacity
            or any(
                part.size and (part.min() < first or part.max() > cursor[_NEXT]) for part in (marks, extremes)
            )
        ):
            raise ValueError("the windows do not fit the trades")
        self._back = loaded(state, "back", self._back, shape=self._back.shape)
        self._back_at, self._cursor = back_at, cursor
        self._allocate(min(max(_power_of_two(len(times)), _FIRST_CAPACITY), self._max_capacity))
        at = np.arange(first, first + len(times)) & (len(self._times) - 1)
        self._times[at] = times
        self._ring[at] = ring
        self._rebuild_fronts()


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
