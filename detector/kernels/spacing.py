"""Which trades a bounded memory takes in, so that it spans a least time however busy the market is.

Until the memory is full it takes in every trade; from then on at most one per spacing of event time. So a
burst of thousands of trades within a second is judged against the minutes before it, and not against itself.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntVector, loaded
from shared.stream.step import State


class Intake(NamedTuple):
    """Which of n rows are learned.

    Attributes:
        first: sequence number of the first learned row.
        sequence: n, sequence number of each row among the learned ones; -1 for those that are not learned.
        learned: places of the learned rows.
    """

    first: int
    sequence: IntVector
    learned: IntVector


@njit(cache=True)
def _choose(
    rows: FloatMatrix,
    column: int,
    spacing_s: float,
    capacity: int,
    taken: IntVector,
    since_s: FloatVector,
    sequence: IntVector,
    learned: IntVector,
) -> int:
    count = 0
    for i in range(rows.shape[0]):
        since_s[0] += rows[i, column]
        if taken[0] < capacity or since_s[0] >= spacing_s:
            sequence[i] = taken[0]
            learned[count] = i
            taken[0] += 1
            count += 1
            since_s[0] = 0.0
        else:
            sequence[i] = -1
    return count


class Spacing:
    """Chooses the rows that a memory of `capacity` rows learns."""

    def __init__(self, *, capacity: int, spacing_s: float, features: tuple[str, ...]) -> None:
        self._capacity = capacity
        self._spacing_s = spacing_s
        self._column = features.index("inter_arrival_s")
        self._taken = np.zeros(1, np.int64)
        self._since_s = np.zeros(1, np.float64)

    @property
    def taken(self) -> int:
        """Rows learned so far."""
        return int(self._taken[0])

    def choose(self, rows: FloatMatrix) -> Intake:
        """Say which of n rows of features are learned."""
        first = int(self._taken[0])
        sequence = np.empty(len(rows), np.int64)
        learned = np.empty(len(rows), np.int64)
        count = _choose(
            rows, self._column, self._spacing_s, self._capacity, self._taken, self._since_s, sequence, learned
        )
        return Intake(first, sequence, learned[:count])

    def state(self) -> State:
        """Return a copy of the state."""
        return {"taken": self._taken.copy(), "since_s": self._since_s.copy()}

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        taken = loaded(state, "taken", self._taken, shape=(1,))
        self._since_s = loaded(state, "since_s", self._since_s, shape=(1,))
        self._taken = taken
