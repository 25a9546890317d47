"""Features of a market's tape: what has been traded within the last seconds, in the state after each trade.

Windows are spans of event time that end with the trade itself: a window of w seconds holds the trades that
are younger than w. Nothing is ever subtracted from a sum (`detector/kernels/windows.py`), so one trade of
10^12 leaves no trace after it has left the window, and every trade costs the same, amortised, however many a
window holds.

Two rules bound the damage of odd input:

- Late trades count as if they had happened at the latest event time seen. When a trade is more than
  `CLOCK_RESTART_US` earlier than that, the clock was wrong before, and the windows start anew.
- A market's windows hold its latest `max_trades` trades at most; when more happen, the oldest leave early.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatMatrix, FloatVector, IntVector, loaded, loaded_int, resized
from detector.kernels import windows
from detector.kernels.windows import CLOCK_RESTART_US, Markets, Pool
from detector.runs import Runs
from shared.clock import MICROSECONDS_PER_SECOND
from shared.stream.step import State

__all__ = [
    "CLOCK_RESTART_US",
    "DEFAULT_WINDOWS_S",
    "FEATURES",
    "FeatureParams",
    "Features",
    "Tape",
    "all_feature_names",
    "feature_names",
    "window_label",
]

DEFAULT_WINDOWS_S: Final = (1.0, 10.0, 60.0, 300.0)
# Of the window features, so many are computed when nothing else is asked for.
_USUAL: Final = windows.WINDOW_FEATURES.index("volatility") + 1
_USUAL_OF_TRADE: Final = windows.TRADE_FEATURES.index("rush_orders") + 1
_FIRST_SIZE: Final = 128


def window_label(window_s: float) -> str:
    """Return how a window is named in features: `10s`, `0.5s`."""
    return f"{window_s:g}s"


def feature_names(windows_s: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the feature columns that detectors look at, in their order.

    Per trade: `log_return` against the previous trade (0 for the first), `notional` in quote units,
    `log_notional`, `signed_flow` (notional, negative when the taker sold), `inter_arrival_s`, `rush_orders`
    (trades of the same taker side at this very event time, in a row). Per window: `count`, `notional`,
    `imbalance` (signed flow per notional, -1 to 1), `return` (price against the window's first trade),
    `drawdown` (price against the window's highest, 0 or below), `drawdown_age` (seconds since that high),
    `run_up` and `run_up_age` (the same against the lowest, 0 or above), `volatility` (root of the summed
    squared log returns: realised).
    """
    per_window = (f"{name}_{window_label(w)}" for w in windows_s for name in windows.WINDOW_FEATURES[:_USUAL])
    return (*windows.TRADE_FEATURES[:_USUAL_OF_TRADE], *per_window)


def all_feature_names(windows_s: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of all feature columns that can be asked for.

    Per trade, beside those of `feature_names`: `event_time_s` since the epoch, by the rule for late trades;
    `quantity` in base units.
    Per window, beside those of `feature_names`: `rate` (trades per second), `quantity` in base units,
    `signed_flow`, `vwap` (notional per quantity), `vwap_deviation` (price against it), `high`, `low`,
    `rush_orders` (trades that followed another of their side at the same instant), `mean` and `std` of the
    price over trades, `return_std` of the log returns (sample deviations; 0 for a single trade).
    """
    per_window = (f"{name}_{window_label(w)}" for w in windows_s for name in windows.WINDOW_FEATURES)
    return (*windows.TRADE_FEATURES, *per_window)


FEATURES: Final = feature_names(DEFAULT_WINDOWS_S)


@dataclass(frozen=True, kw_only=True)
class FeatureParams:
    """What is computed.

    Attributes:
        windows_s: spans of event time.
        max_trades: per market, at most so many of the latest trades are in any window.
        columns: names of the features, of those of `all_feature_names`; None: those of `feature_names`.
    """

    windows_s: tuple[float, ...] = DEFAULT_WINDOWS_S
    max_trades: int = 65_536
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.windows_s or min(self.windows_s) <= 0 or len(set(self.windows_s)) < len(self.windows_s):
            raise ValueError(f"windows must be positive and differ: {self.windows_s}")
        if self.max_trades < 2:
            raise ValueError(f"max_trades must be at least 2, not {self.max_trades}")
        unknown = set(self.columns or ()) - set(all_feature_names(self.windows_s))
        if unknown:
            raise ValueError(f"no such columns with these windows: {', '.join(sorted(unknown))}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return feature_names(self.windows_s) if self.columns is None else self.columns


class Tape(NamedTuple):
    """Trades in columns, all of the same length.

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


class Features:
    """Computes the features of all markets.

    Memory per market: 72 bytes per trade in the longest window, and 1.25 more per window (2.25 with `mean`,
    `std` or `return_std`), rounded up to a power of two of trades; 128 trades at least and `max_trades` at
    most; and 1.4 KB per window (2.4 KB). That is 16 KB and 5.1 MB with four windows.
    """

    def __init__(self, params: FeatureParams) -> None:
        self.names = params.names
        self._params = params
        self._windows_us = np.array([round(w * MICROSECONDS_PER_SECOND) for w in params.windows_s], np.int64)
        every = all_feature_names(params.windows_s)
        self._wanted = np.array([every.index(name) for name in self.names], np.int64)
        count = len(params.windows_s)
        self._asked = windows.asked_of(self._wanted, windows=count)
        moments = {f"{name}_{window_label(w)}" for name in windows.MOMENT_FEATURES for w in params.windows_s}
        sums = windows.SUMS if moments.isdisjoint(self.names) else windows.SUMS_AND_MOMENTS
        self._pool = Pool(
            times=np.empty(0, np.int64),
            trades=np.empty((0, windows.TRADE_COLUMNS), np.float64),
            joined=np.empty((0, count, sums), np.float64),
            highs=np.empty(0, np.int64),
            lows=np.empty(0, np.int64),
        )
        self._markets = Markets(
            starts=np.empty(0, np.int64),
            sizes=np.empty(0, np.int64),
            cursors=np.empty((0, windows.CURSOR + windows.PER_WINDOW * count), np.int64),
            opened=np.empty((0, count, windows.BLOCK, sums), np.float64),
            backs=np.empty((0, count, sums), np.float64),
            references=np.empty((0, count, 2), np.float64),
        )
        self._used = 0
        self._free: dict[int, list[int]] = {}

    @property
    def _max_size(self) -> int:
        return max(_power_of_two(self._params.max_trades), windows.BLOCK)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - features need no randomness
        """Give a market empty windows."""
        self._markets = Markets._make(resized(array, slot) for array in self._markets)
        for array in self._markets:
            array[slot] = 0
        size = min(_FIRST_SIZE, self._max_size)
        self._markets.starts[slot], self._markets.sizes[slot] = self._span(size), size

    def close(self, slot: int) -> None:
        """Free a market's span."""
        self._release(slot)
        self._markets.sizes[slot] = 0

    def _span(self, size: int) -> int:
        """Return the first place of a span that nobody uses."""
        if self._free.get(size):
            return self._free[size].pop()
        start, self._used = self._used, self._used + size
        last, pool = self._used - 1, self._pool
        self._pool = Pool(
            times=resized(pool.times, last),
            trades=resized(pool.trades, last),
            joined=resized(pool.joined, last // windows.BLOCK),
            highs=resized(pool.highs, last),
            lows=resized(pool.lows, last),
        )
        return start

    def _release(self, slot: int) -> None:
        start, size = int(self._markets.starts[slot]), int(self._markets.sizes[slot])
        self._free.setdefault(size, []).append(start)

    def _oldest(self, slot: int) -> int:
        """Return the sequence number of the oldest trade that is needed; the latest trade always is."""
        cursor = self._markets.cursors[slot]
        tails = cursor[windows.CURSOR + windows.TAIL :: windows.PER_WINDOW]
        return int(min(tails.min(), max(0, cursor[windows.NEXT] - 1)))

    def update(self, runs: Runs, tape: Tape) -> tuple[FloatMatrix, IntVector]:
        """Learn trades.

        Args:
            runs: whose trades these are.
            tape: n sound trades, each market's in the order of its tape.

        Returns:
            The features, n rows in the columns of `names`, and the n event times after the rule for late
            trades.
        """
        rows = np.empty((len(tape.prices), len(self.names)), np.float64)
        clock_us = np.empty(len(rows), np.int64)
        done = 0
        while True:
            done = windows.update(
                done,
                *runs,
                tape.prices,
                tape.quantities,
                tape.sells,
                tape.times_us,
                self._windows_us,
                self._params.max_trades,
                self._max_size,
                self._wanted,
                self._asked,
                self._pool,
                self._markets,
                rows,
                clock_us,
            )
            if done == len(runs.slots):
                return rows, clock_us
            slot, count = int(runs.slots[done]), int(runs.starts[done + 1] - runs.starts[done])
            self._enlarge(slot, count)

    def _enlarge(self, slot: int, count: int) -> None:
        """Give a market room for so many trades more."""
        held = int(self._markets.cursors[slot, windows.NEXT]) - self._oldest(slot)
        size = min(_power_of_two(held + count), self._max_size)
        start = self._span(size)
        self._release(slot)
        windows.move(slot, start, size, self._windows_us, self._pool, self._markets)

    def state(self, slot: int) -> State:
        """Return a copy of what is needed to go on; it does not depend on how the trades came in batches."""
        cursor = self._markets.cursors[slot]
        first, end = self._oldest(slot), int(cursor[windows.NEXT])
        at = self._places(slot, first, end)
        marks = cursor[windows.CURSOR :].reshape(-1, windows.PER_WINDOW)
        return {
            "first": first,
            "times": self._pool.times[at],
            "trades": self._pool.trades[at],
            "backs": self._markets.backs[slot].copy(),
            "references": self._markets.references[slot].copy(),
            "cursor": cursor[: windows.RUN_LENGTH + 1].copy(),
            "marks": marks[:, : windows.BORDER + 1].copy(),
        }

    def _places(self, slot: int, first: int, end: int) -> IntVector:
        start, size = int(self._markets.starts[slot]), int(self._markets.sizes[slot])
        return start + (np.arange(first, end) & (size - 1))

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        first = loaded_int(state, "first")
        pool, markets, count = self._pool, self._markets, len(self._windows_us)
        cursor = loaded(state, "cursor", markets.cursors, shape=(windows.RUN_LENGTH + 1,))
        marks = loaded(state, "marks", markets.cursors, shape=(count, windows.BORDER + 1))
        times = loaded(state, "times", pool.times, shape=(-1,))
        trades = loaded(state, "trades", pool.trades, shape=(len(times), windows.TRADE_COLUMNS))
        backs = loaded(state, "backs", markets.backs, shape=markets.backs.shape[1:])
        references = loaded(state, "references", markets.references, shape=markets.references.shape[1:])
        end = int(cursor[windows.NEXT])
        if first < 0 or first + len(times) != end or len(times) > self._max_size or (end > 0) > len(times):
            raise ValueError("the cursor does not fit the trades")
        # A market that has seen nothing yet has marks at its beginning.
        if (marks < first).any() or (marks > end).any() or (marks[:, 0] >= max(end, 1)).any():
            raise ValueError("the marks of the windows do not fit the trades")
        self._restart(slot, max(_power_of_two(len(times)), min(_FIRST_SIZE, self._max_size)))
        at = self._places(slot, first, end)
        self._pool.times[at], self._pool.trades[at] = times, trades
        markets.cursors[slot, : len(cursor)] = cursor
        markets.cursors[slot, windows.CURSOR :].reshape(count, -1)[:, : windows.BORDER + 1] = marks
        markets.backs[slot], markets.references[slot] = backs, references
        windows.rebuild(slot, first, self._pool, self._markets)

    def _restart(self, slot: int, size: int) -> None:
        """Give a market a span of a size, whatever it had."""
        self._release(slot)
        self._markets.starts[slot], self._markets.sizes[slot] = self._span(size), size


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
