"""A batch of trades, sorted by market: where every stage begins.

Trades come in the order of their partitions. Sorting them by market, each market's in the order of its tape,
lets every stage be called once per batch. What makes no sense is left out here, once and for all detectors.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatVector, IntVector
from detector.features import Tape
from detector.runs import Runs
from shared.events import Trade
from shared.stream.columns import TradeColumns

# The end of the year 9999: a later time is no time, and would not fit the arithmetic of windows.
TIME_END_US: Final = 253_402_300_800_000_000


class Batch(NamedTuple):
    """Sound trades, sorted by market.

    Attributes:
        trades: all trades, as they came.
        order: n, where in `trades` each row comes from.
        runs: which rows belong to which market.
        tape: n rows.
    """

    trades: TradeColumns
    order: IntVector
    runs: Runs
    tape: Tape

    def trade(self, row: int) -> Trade:
        """Return the trade of a row."""
        return self.trades[int(self.order[row])]


@njit(cache=True)
def _sort(  # noqa: PLR0917 - compiled; buffers come by position
    venue: IntVector,
    trade_ids: IntVector,
    prices: FloatVector,
    quantities: FloatVector,
    times_us: IntVector,
    counts: IntVector,
    order: IntVector,
    venues: IntVector,
    starts: IntVector,
) -> int:
    """Sort the places of sound trades by venue (counting sort, stable), and return how many venues there are.

    Sound is what `shared.codec.trade_fault` lets pass; and a time beyond all times is none.
    """
    n = venue.shape[0]
    sound = np.empty(n, np.bool_)
    for i in range(n):
        notional = prices[i] * quantities[i]
        sound[i] = (
            prices[i] > 0.0
            and quantities[i] > 0.0
            and np.isfinite(prices[i])
            and np.isfinite(quantities[i])
            and np.isfinite(notional)
            and trade_ids[i] >= 0
            and 0 <= times_us[i] < TIME_END_US
        )
        counts[venue[i]] += sound[i]
    found = 0
    starts[0] = 0
    for v in range(counts.shape[0]):
        if counts[v] > 0:
            venues[found] = v
            starts[found + 1] = starts[found] + counts[v]
            counts[v] = starts[found]
            found += 1
    for i in range(n):
        if sound[i]:
            order[counts[venue[i]]] = i
            counts[venue[i]] += 1
    return found


def sort_by_market(trades: Sequence[Trade], slot_of: Callable[[tuple[str, str]], int]) -> Batch:
    """Return the sound ones among the trades, sorted by market.

    Args:
        trades: decoded trades, or columns of them.
        slot_of: returns the slot of an exchange's symbol.

    Raises:
        OverflowError: a number of a trade does not fit 64 bits.
    """
    columns = TradeColumns.of(trades)
    n, most = len(columns), len(columns.venues)
    order, starts, venues = np.empty(n, np.int64), np.empty(most + 1, np.int64), np.empty(most, np.int64)
    found = _sort(
        columns.venue,
        columns.trade_ids,
        columns.prices,
        columns.quantities,
        columns.times_us,
        np.zeros(most, np.int64),
        order,
        venues,
        starts,
    )
    starts = starts[: found + 1]
    order = order[: starts[-1]]
    slots = [slot_of(columns.venues[number]) for number in venues[:found].tolist()]
    tape = Tape(
        columns.prices[order], columns.quantities[order], columns.sells[order], columns.times_us[order]
    )
    return Batch(columns, order, Runs(np.array(slots, np.int64), starts), tape)
