"""What of a batch is judged aloud, what in silence, and what not at all; and the bookkeeping of that.

After a restore, a partition is read again from its marker. Until it has caught up, a market's trades below
its snapshot are in its state already, and the events of all trades below the commit are on the topic already.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared.stream.columns import TradeColumns
from shared.stream.intake import TradeBatch
from shared.stream.restore import PartitionState


def move_on(
    batch: TradeBatch, states: Mapping[int, PartitionState]
) -> tuple[TradeColumns | None, TradeColumns]:
    """Move the partitions to the end of the batch; return what is to be judged in silence, and aloud.

    Args:
        batch: what was read.
        states: of all its partitions; updated.

    Returns:
        Trades whose events are to be dropped, None when there are none, and those whose events are new.
    """
    read = {number: states[number] for number in batch.positions}
    if not any(state.is_replaying for state in read.values()):
        _advance(batch, read)
        return None, batch.trades
    is_new = np.ones(len(batch.trades), np.bool_)
    is_silent = np.zeros(len(batch.trades), np.bool_)
    for number, state in read.items():
        if state.is_replaying:
            mine = batch.partitions == number
            is_new[mine] = (batch.offsets >= _contained_below(batch.trades, state))[mine]
            is_silent[mine] = (batch.offsets < state.committed)[mine]
    silent = batch.trades.take(np.flatnonzero(is_new & is_silent))
    audible = batch.trades.take(np.flatnonzero(is_new & ~is_silent))
    at = np.flatnonzero(is_new)
    new = batch._replace(partitions=batch.partitions[at], trades=batch.trades.take(at))
    _advance(new, read)
    return silent, audible


def _contained_below(trades: TradeColumns, state: PartitionState) -> NDArray[np.int64]:
    """Return, per trade, the offset below which its market's state contains the trades."""
    below = [state.contained.get(symbol, 0) for _, symbol in trades.venues]
    return np.array(below, np.int64)[trades.venue] if below else np.zeros(0, np.int64)


def _advance(batch: TradeBatch, states: Mapping[int, PartitionState]) -> None:
    venues = batch.trades.venues
    touched: dict[int, list[str]] = {number: [] for number in states}
    for code in np.unique(batch.partitions * len(venues) + batch.trades.venue).tolist():
        number, venue = divmod(code, len(venues))
        touched[number].append(venues[venue][1])
    for number, state in states.items():
        state.advanced(batch.positions[number], touched[number])
