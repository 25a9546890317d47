"""Markets that vanish are forgotten, by a rule that depends on the records of a partition alone.

A partition's clock is the latest event time among its records so far, rounded down to a 64th of the time
after which markets are forgotten. A market whose latest trade came at a clock of more than that time ago has
no state any more: should it trade again, it begins anew. When its memory is given back, before that trade or
never, changes no result; so neither do batches, restarts or hand-overs.

The clock never goes back, and takes no event time that lies more than an hour after the time of receipt: one
trade from the far future must not make everybody forget everything. A recording of the past that is played
into the topic does not move it, and so nothing is forgotten meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.clock import MICROSECONDS_PER_SECOND
from shared.stream.intake import TradeBatch, rows_of
from shared.stream.restore import PartitionState

_STEPS: Final = 64
_FURTHEST_AHEAD_US: Final = 3_600 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class EvictionPolicy:
    """When a market is forgotten.

    Attributes:
        forget_after_s: of silence, in event time of its partition.
    """

    forget_after_s: float = 24 * 3_600.0

    @property
    def forget_after_us(self) -> int:
        """The same in microseconds."""
        return round(self.forget_after_s * MICROSECONDS_PER_SECOND)

    def clocks_us(self, times_us: NDArray[np.int64], received_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what each of n trades alone would set the clock to."""
        step_us = self.forget_after_us // _STEPS
        clocks: NDArray[np.int64] = (
            np.minimum(times_us, received_us + _FURTHEST_AHEAD_US) // step_us * step_us
        )
        return clocks

    def is_gone(self, state: PartitionState, symbol: str) -> bool:
        """Return whether a market that trades now had been silent for so long that it begins anew."""
        clock_us = state.clock_us
        return clock_us - state.traded_us.get(symbol, clock_us) > self.forget_after_us

    def gone(self, state: PartitionState) -> list[str]:
        """Return the markets whose memory can be given back, whatever becomes of the current transaction.

        That is: those that were already forgotten when the last commit was made.
        """
        clock_us = state.committed_clock_us
        if clock_us is None:
            return []
        before_us = clock_us - self.forget_after_us
        return [symbol for symbol, traded_us in state.traded_us.items() if traded_us < before_us]


def cut_where_clocks_move(
    batch: TradeBatch, states: Mapping[int, PartitionState], policy: EvictionPolicy
) -> Iterator[TradeBatch]:
    """Yield the batch in parts within which no clock moves; set the clocks before each part.

    Nearly always that is the batch itself: a clock moves 64 times in the time that makes a market forgotten.

    Args:
        batch: what was read.
        states: of all its partitions; their clocks are updated.
        policy: says how coarse clocks are.
    """
    clocks_us = policy.clocks_us(batch.trades.times_us, batch.trades.received_us)
    current_us = np.zeros(max(states, default=0) + 1, np.int64)
    for number in batch.positions:
        current_us[number] = states[number].clock_us
    ahead = np.flatnonzero(clocks_us > current_us[batch.partitions])
    start = 0
    for row in ahead.tolist():
        state, clock_us = states[int(batch.partitions[row])], int(clocks_us[row])
        if clock_us <= state.clock_us:
            continue
        if row > start:
            yield rows_of(batch, start, row)
            start = row
        state.clock_us = clock_us
    yield rows_of(batch, start, len(batch.trades)) if start else batch
