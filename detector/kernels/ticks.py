"""Which trades are told to the cross-market step, and what was traded up to each."""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector

# Columns of the arrays by slot.
TOLD_US, TRADES, MARKS = range(3)
TOLD_PRICE, NOTIONAL, FLOW, SUMS = range(4)
_BASIS_POINTS: Final = 1e4


@njit(cache=True)
def tell(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    prices: FloatVector,
    quantities: FloatVector,
    sells: IntVector,
    clock_us: IntVector,
    forced: BoolVector,
    interval_us: int,
    shortest_us: int,
    move_bps: float,
    marks: IntMatrix,
    sums: FloatMatrix,
    rows: IntVector,
    trades: IntVector,
    notionals: FloatVector,
    flows: FloatVector,
) -> int:
    """Count n trades; return how many of them are told, their rows and what was traded since the one before.

    `forced` says which are told in any case; it may be empty.
    """
    found = 0
    for run in range(slots.shape[0]):
        slot = slots[run]
        for i in range(starts[run], starts[run + 1]):
            notional = prices[i] * quantities[i]
            marks[slot, TRADES] += 1
            sums[slot, NOTIONAL] += notional
            sums[slot, FLOW] += -notional if sells[i] else notional
            elapsed = clock_us[i] - marks[slot, TOLD_US]
            is_told = sums[slot, TOLD_PRICE] == 0.0 or not 0 <= elapsed < interval_us
            if not is_told:
                moved = np.abs(prices[i] / sums[slot, TOLD_PRICE] - 1.0) * _BASIS_POINTS
                is_told = moved >= move_bps and moved * elapsed >= move_bps * shortest_us
            if is_told or (forced.shape[0] and forced[i]):
                rows[found] = i
                trades[found] = marks[slot, TRADES]
                notionals[found] = sums[slot, NOTIONAL]
                flows[found] = sums[slot, FLOW]
                found += 1
                marks[slot, TOLD_US] = clock_us[i]
                marks[slot, TRADES] = 0
                sums[slot, TOLD_PRICE] = prices[i]
                sums[slot, NOTIONAL] = sums[slot, FLOW] = 0.0
    return found
