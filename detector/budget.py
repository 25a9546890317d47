"""A market's usual day, and the threshold that an alert budget makes of it.

How rare must a trade be, so that a day stays within its budget? A rarity counts episodes per trade
(`detector/calibration.py`), so a threshold t lets t times trades per day episodes a day pass on average. A
budget is what a day should not exceed, and days differ: with half of the budget as the average, one day in 24
exceeds a budget of five if episodes come independently (Poisson), and one in 12 stays empty. So threshold =
`AVERAGE_SHARE` budget / trades per day, at most `LARGEST_THRESHOLD`.

Trades per day, and their notional, are summed by event time with weights that fade within a day, and divided
by the share of a day's weight that the time since the first trade holds; that time counts as a minute at
least. The notional is not known in the first `KNOWN_AFTER_US`.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntMatrix, IntVector, loaded, resized
from detector.runs import Runs
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.stream.step import State

AVERAGE_SHARE: Final = 0.5
# On a market of a few trades a day the budget alone would call every tenth trade rare.
LARGEST_THRESHOLD: Final = 1e-3
KNOWN_AFTER_US: Final = 300 * MICROSECONDS_PER_SECOND

_SHORTEST_US: Final = 60 * MICROSECONDS_PER_SECOND
_DAY_US: Final = float(MICROSECONDS_PER_DAY)
_FIRST, _LATEST = range(2)
_TRADES, _NOTIONAL = range(2)


class Daily(NamedTuple):
    """A market's usual day, after each of n trades.

    Attributes:
        thresholds: n, on rarity.
        trades: n, per day.
        notional: n, in quote units per day; NaN while that is unknown.
    """

    thresholds: FloatVector
    trades: FloatVector
    notional: FloatVector


@njit(cache=True)
def _count(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    clock_us: IntVector,
    notionals: FloatVector,
    budget: float,
    sums: FloatMatrix,
    times: IntMatrix,
    thresholds: FloatVector,
    trades: FloatVector,
    notional: FloatVector,
) -> None:
    for run in range(slots.shape[0]):
        slot = slots[run]
        weight, volume = sums[slot, _TRADES], sums[slot, _NOTIONAL]
        first, latest = times[slot, _FIRST], times[slot, _LATEST]
        for i in range(starts[run], starts[run + 1]):
            now = clock_us[i]
            if weight == 0.0:
                first = now
            elif now < latest:
                # The market's clock was set back (see features.py): what was counted so far keeps its age.
                first += now - latest
            elif now > latest:
                fade = np.exp((latest - now) / _DAY_US)
                weight *= fade
                volume *= fade
            latest = now
            weight += 1.0
            volume += notionals[i]
            known = -np.expm1(-max(now - first, _SHORTEST_US) / _DAY_US)
            trades[i] = weight / known
            notional[i] = volume / known if now - first >= KNOWN_AFTER_US else np.nan
            thresholds[i] = min(AVERAGE_SHARE * budget / trades[i], LARGEST_THRESHOLD)
        sums[slot, _TRADES], sums[slot, _NOTIONAL] = weight, volume
        times[slot, _FIRST], times[slot, _LATEST] = first, latest


class Budget:
    """Counts every market's days, and turns the alert budget, the same for all, into thresholds on rarity.

    Memory: 32 bytes per market.
    """

    def __init__(self, *, per_day: float) -> None:
        self._per_day = per_day
        self._sums = np.zeros((0, 2), np.float64)
        self._times = np.zeros((0, 2), np.int64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Begin to count a market's trades."""
        self._sums = resized(self._sums, slot)
        self._times = resized(self._times, slot)
        self._sums[slot] = 0.0
        self._times[slot] = 0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def count(self, runs: Runs, clock_us: IntVector, notionals: FloatVector) -> Daily:
        """Count n trades at their event times, and return what is usual after each."""
        n = len(clock_us)
        daily = Daily(np.empty(n, np.float64), np.empty(n, np.float64), np.empty(n, np.float64))
        _count(*runs, clock_us, notionals, self._per_day, self._sums, self._times, *daily)
        return daily

    def state(self, slot: int) -> State:
        """Return a copy of a market's count."""
        return {"sums": self._sums[slot].copy(), "times": self._times[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._sums[slot] = loaded(state, "sums", self._sums, shape=(2,))
        self._times[slot] = loaded(state, "times", self._times, shape=(2,))
