"""From an alert budget to a threshold: how rare must a trade be, so that about so many a day are rare enough?

Threshold = budget per day / trades per day of the market, at most `LARGEST_THRESHOLD`. As anomalous trades
come in bursts, and a burst is one episode, a calm market stays below its budget of episodes.

Trades per day are counted by event time with weights that fade within a day, and divided by the share of a
day's weight that the time since the first trade holds; that time counts as a minute at least.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatVector, IntVector, loaded
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.stream.step import State

# On a market of a few trades a day the budget alone would call every tenth trade rare.
LARGEST_THRESHOLD: Final = 1e-3

_SHORTEST_US: Final = 60 * MICROSECONDS_PER_SECOND
_DAY_US: Final = float(MICROSECONDS_PER_DAY)
_FIRST, _LATEST = range(2)


@njit(cache=True)
def _count(
    clock_us: IntVector,
    budget: float,
    weight: FloatVector,
    times: IntVector,
    per_day: FloatVector,
    out: FloatVector,
) -> None:
    for i in range(clock_us.shape[0]):
        now = clock_us[i]
        if weight[0] == 0.0:
            times[:] = now
        elif now < times[_LATEST]:
            # The market's clock was set back (see features.py): what was counted so far keeps its age.
            times[_FIRST] += now - times[_LATEST]
        elif now > times[_LATEST]:
            weight[0] *= np.exp((times[_LATEST] - now) / _DAY_US)
        times[_LATEST] = now
        weight[0] += 1.0
        known = -np.expm1(-max(now - times[_FIRST], _SHORTEST_US) / _DAY_US)
        per_day[i] = weight[0] / known
        out[i] = min(budget / per_day[i], LARGEST_THRESHOLD)


class Budget:
    """Turns the alert budget of one market into thresholds on rarity."""

    def __init__(self, *, per_day: float) -> None:
        self._per_day = per_day
        self._weight = np.zeros(1, np.float64)
        self._times = np.zeros(2, np.int64)

    def thresholds(self, clock_us: IntVector) -> tuple[FloatVector, FloatVector]:
        """Count n trades at their event times; return n thresholds and the n estimates of trades per day."""
        trades_per_day = np.empty(len(clock_us), np.float64)
        thresholds = np.empty(len(clock_us), np.float64)
        _count(clock_us, self._per_day, self._weight, self._times, trades_per_day, thresholds)
        return thresholds, trades_per_day

    def state(self) -> State:
        """Return a copy of the count."""
        return {"weight": self._weight.copy(), "times": self._times.copy()}

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        weight = loaded(state, "weight", self._weight, shape=(1,))
        self._times = loaded(state, "times", self._times, shape=(2,))
        self._weight = weight
