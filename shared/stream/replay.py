"""What of a batch is judged aloud, what in silence, and what not at all; and the bookkeeping of that.

After a restore, a partition is read again from its marker. Until it has caught up, a market's trades below
its snapshot are in its state already, and the events of all trades below the commit are on the topic already.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.stream.columns import TradeColumns
from shared.stream.eviction import EvictionPolicy, cut_where_clocks_move
from shared.stream.intake import TradeBatch
from shared.stream.restore import PartitionState
from shared.stream.timeline import Change, Configs, cut_where_settings_change


class Portion(NamedTuple):
    """What the step is to do, in this order.

    Attributes:
        changes: per partition, changes of settings to repeat.
        gone: partitions and markets to forget.
        newcomers: markets without state, and the settings to judge them by.
        silent: trades to learn, whose events were published before a restart; None when there are none.
        audible: trades whose events are new.
    """

    changes: dict[int, list[Change]]
    gone: list[tuple[int, str]]
    newcomers: list[tuple[str, Configs]]
    silent: TradeColumns | None
    audible: TradeColumns | None


def move_on(
    batch: TradeBatch, states: Mapping[int, PartitionState], policy: EvictionPolicy
) -> Iterator[Portion]:
    """Move the partitions to the end of the batch; yield what the step is to do, nearly always one portion.

    Args:
        batch: what was read.
        states: of all its partitions; updated before each portion.
        policy: when markets are forgotten.
    """
    timelines = {number: states[number].timeline for number in batch.positions}
    for part, changes in cut_where_settings_change(batch, timelines):
        if changes:
            # By themselves, while the partitions still stand where the settings change.
            yield Portion(changes, [], [], None, None)
        yield from _portions(part, states, policy)


def _portions(
    batch: TradeBatch, states: Mapping[int, PartitionState], policy: EvictionPolicy
) -> Iterator[Portion]:
    for part in cut_where_clocks_move(batch, states, policy):
        read = {number: states[number] for number in part.positions}
        if any(state.is_replaying for state in read.values()):
            is_new, is_silent = _already_known(part, read)
            silent: TradeColumns | None = part.trades.take(np.flatnonzero(is_new & is_silent))
            audible = part.trades.take(np.flatnonzero(is_new & ~is_silent))
            touched = _touched(part, read, np.flatnonzero(is_new))
        else:
            silent, audible = None, part.trades
            touched = _touched(part, read, None)
        gone, newcomers = _advance(part, read, touched, policy)
        yield Portion({}, gone, newcomers, silent, audible)


def _already_known(
    batch: TradeBatch, states: Mapping[int, PartitionState]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which trades the restored states do not contain, and which ones' events are published."""
    is_new = np.ones(len(batch.trades), np.bool_)
    is_silent = np.zeros(len(batch.trades), np.bool_)
    for number, state in states.items():
        if state.is_replaying:
            mine = batch.partitions == number
            is_new[mine] = (batch.offsets >= _contained_below(batch.trades, state))[mine]
            is_silent[mine] = (batch.offsets < state.committed)[mine]
    return is_new, is_silent


def _contained_below(trades: TradeColumns, state: PartitionState) -> NDArray[np.int64]:
    """Return, per trade, the offset below which its market's state contains the trades."""
    below = [state.contained.get(symbol, 0) for _, symbol in trades.venues]
    return np.array(below, np.int64)[trades.venue] if below else np.zeros(0, np.int64)


def _touched(
    batch: TradeBatch, states: Mapping[int, PartitionState], at: NDArray[np.int64] | None
) -> dict[int, list[str]]:
    """Return the markets per partition, of the trades at these places only."""
    venues = batch.trades.venues
    codes = batch.partitions * len(venues) + batch.trades.venue
    touched: dict[int, list[str]] = {number: [] for number in states}
    # Counting is several times as fast as np.unique.
    for code in np.flatnonzero(np.bincount(codes if at is None else codes[at])).tolist():
        number, venue = divmod(code, len(venues))
        touched[number].append(venues[venue][1])
    return touched


def _advance(
    batch: TradeBatch,
    states: Mapping[int, PartitionState],
    touched: Mapping[int, list[str]],
    policy: EvictionPolicy,
) -> tuple[list[tuple[int, str]], list[tuple[str, Configs]]]:
    """Move the partitions on; return the touched markets that had been silent for too long, and newcomers.

    These begin without state, under settings that somebody has changed.
    """
    gone: list[tuple[int, str]] = []
    newcomers: list[tuple[str, Configs]] = []
    for number, state in states.items():
        has_settings = bool(state.timeline.current)
        for symbol in touched[number]:
            if state.traded_us.get(symbol) == state.clock_us:
                # As nearly always: it was here a moment ago.
                continue
            if policy.is_gone(state, symbol):
                state.without(symbol)
                gone.append((number, symbol))
            if has_settings and symbol not in state.traded_us:
                newcomers.append((symbol, state.timeline.current))
        state.advanced(batch.positions[number], touched[number])
    return gone, newcomers
