"""From an alert budget to a threshold: how rare must a trade be, so that a day stays within its budget?

A rarity counts episodes per trade (`detector/calibration.py`), so a threshold t lets t times trades per day
episodes a day pass on average. A budget is what a day should not exceed, and days differ: with half of the
budget as the average, one day in 24 exceeds a budget of five if episodes come independently (Poisson), and
one in 12 stays empty. So threshold = `AVERAGE_SHARE` budget / trades per day, at most `LARGEST_THRESHOLD`.

Trades per day are counted by event time with weights that fade within a day, and divided by the share of a
day's weight that the time since the first trade holds; that time counts as a minute at least.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatVector, IntMatrix, IntVector, loaded, resized
from detector.runs import Runs
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.stream.step import State

AVERAGE_SHARE: Final = 0.5
# On a market of a few trades a day the budget alone would call every tenth trade rare.
LARGEST_THRESHOLD: Final = 1e-3

_SHORTEST_US: Final = 60 * MICROSECONDS_PER_SECOND
_DAY_US: Final = float(MICROSECONDS_PER_DAY)
_FIRST, _LATEST = range(2)


@njit(cache=True)
def _count(
    slots: IntVector,
    starts: IntVector,
    clock_us: IntVector,
    budget: float,
    weights: FloatVector,
    times: IntMatrix,
    per_day: FloatVector,
    out: FloatVector,
) -> None:
    for run in range(slots.shape[0]):
        slot = slots[run]
        weight, first, latest = weights[slot], times[slot, _FIRST], times[slot, _LATEST]
        for i in range(starts[run], starts[run + 1]):
            now = clock_us[i]
            if weight == 0.0:
                first = now
            elif now < latest:
                # The market's clock was set back (see features.py): what was counted so far keeps its age.
                first += now - latest
            elif now > latest:
                weight *= np.exp((latest - now) / _DAY_US)
            latest = now
            weight += 1.0
            known = -np.expm1(-max(now - first, _SHORTEST_US) / _DAY_US)
            per_day[i] = weight / known
            out[i] = min(AVERAGE_SHARE * budget / per_day[i], LARGEST_THRESHOLD)
        weights[slot], times[slot, _FIRST], times[slot, _LATEST] = weight, first, latest


class Budget:
    """Turns the alert budget, the same for every market, into thresholds on rarity."""

    def __init__(self, *, per_day: float) -> None:
        self._per_day = per_day
        self._weights = np.zeros(0, np.float64)
        self._times = np.zeros((0, 2), np.int64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Begin to count a market's trades."""
        self._weights = resized(self._weights, slot)
        self._times = resized(self._times, slot)
        self._weights[slot] = 0.0
        self._times[slot] = 0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def thresholds(self, runs: Runs, clock_us: IntVector) -> tuple[FloatVector, FloatVector]:
        """Count n trades at their event times; return n thresholds and the n estimates of trades per day."""
        trades_per_day = np.empty(len(clock_us), np.float64)
        thresholds = np.empty(len(clock_us), np.float64)
        _count(*runs, clock_us, self._per_day, self._weights, self._times, trades_per_day, thresholds)
        return thresholds, trades_per_day

    def state(self, slot: int) -> State:
        """Return a copy of a market's count."""
        return {"weight": self._weights[slot : slot + 1].copy(), "times": self._times[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._weights[slot] = loaded(state, "weight", self._weights, shape=(1,))[0]
        self._times[slot] = loaded(state, "times", self._times, shape=(2,))
