"""Orders behind the trades of every market: fills of one instant and equal slices put together.

Public trades name no orders. Fills of one taker come at one instant on one side. An order that is hidden in
equal slices (an iceberg, or an algorithm that works it off) shows as trades of exactly the same quantity on
the same side, each within a minute of the one before; three instants at least make one. Only trades of twice
the market's mean are looked at. The last slices are kept in a small table by a hash of their quantity, so
that a chain may be lost to another one.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector

# Columns of the input.
TIME, LOG_RETURN, NOTIONAL, SIGNED, QUANTITY = range(5)
INPUTS: Final = 5
# What a score consists of: the trade, fills of the same instant before it, slices before it.
PARTS: Final = 3

# What is remembered of a market: the order of this instant, the largest order whose wake is looked at, and
# the table of slices.
SEEN, LAST_S, SIDE, SUM, FILLS, HEIGHT, BEFORE = range(7)
WAKE, WAKE_S, WAKE_NOTIONAL, WAKE_BEFORE, WAKE_AFTER, TRADES, MEAN = range(7, 14)
_SLICES: Final = 14
_ENTRIES: Final = 16
_WIDTH: Final = 6
_QUANTITY, _LATEST_S, _TOTAL, _INSTANTS, _FIRST_S, _FROM = range(6)
MEMORY: Final = _SLICES + _ENTRIES * _WIDTH

# What is noted: about the order of this row, and about an order whose wake ends with it.
NOTE_FILLS, NOTE_AT_INSTANT, NOTE_IN_SLICES, NOTE_SLICES, NOTE_SPAN_S = range(5)
NOTE_AFTER_S, NOTE_OF, NOTE_AT_ONCE, NOTE_SINCE = range(5, 9)
NOTES: Final = 9

_LEAST_INSTANTS: Final = 3.0
_SLICE_GAP_S: Final = 60.0
# Smaller trades than so many mean ones, of the last so many, are no slices.
_SLICE_LEAST: Final = 2.0
_MEAN_TRADES: Final = 10_000.0
_WAKE_S: Final = 60.0
# When nobody trades for so long, what follows has nothing to do with the order.
_WAKE_MOST_S: Final = 600.0
_LARGEST_RETURN: Final = 50.0
_MICROSECOND: Final = 1e-6


@njit(cache=True)
def _place(memory: FloatVector, signed: float, now_s: float) -> int:
    """Return where a slice belongs in the table: to its kind, or to what can best be forgotten."""
    number = int(min(abs(signed) * 1e8, 9e18)) * 2_654_435_761
    first = (number >> 16) % _ENTRIES
    best, least = first, np.inf
    for k in range(2):
        entry = (first + k) % _ENTRIES
        at = _SLICES + entry * _WIDTH
        is_fresh = now_s - memory[at + _LATEST_S] <= _SLICE_GAP_S
        if is_fresh and memory[at + _QUANTITY] == signed:
            return at
        worth = memory[at + _INSTANTS] if is_fresh else 0.0
        if worth < least:
            best, least = entry, worth
    return int(_SLICES + best * _WIDTH)


@njit(cache=True)
def _slice(memory: FloatVector, now_s: float, notional: float, signed: float) -> int:
    """Count a trade of a signed quantity as a slice, and return the place of its kind."""
    at = _place(memory, signed, now_s)
    if memory[at + _QUANTITY] == signed and now_s - memory[at + _LATEST_S] <= _SLICE_GAP_S:
        memory[at + _TOTAL] += notional
        memory[at + _INSTANTS] += 1.0 if now_s > memory[at + _LATEST_S] else 0.0
    else:
        memory[at + _QUANTITY], memory[at + _TOTAL], memory[at + _INSTANTS] = signed, notional, 1.0
        memory[at + _FIRST_S], memory[at + _FROM] = now_s, memory[BEFORE]
    memory[at + _LATEST_S] = now_s
    return at


@njit(cache=True)
def _restart(memory: FloatVector) -> None:
    """Forget all orders; the mean size stays."""
    memory[:HEIGHT] = memory[WAKE] = memory[BEFORE] = 0.0
    memory[SEEN] = 1.0
    memory[_SLICES:] = 0.0
    memory[_SLICES + _LATEST_S :: _WIDTH] = -np.inf


@njit(cache=True)
def _end_wake(memory: FloatVector, now_s: float, floor: float, note: FloatVector) -> None:
    """Note what followed the largest order, as its time has come."""
    since_s = now_s - memory[WAKE_S]
    if since_s <= _WAKE_MOST_S and memory[WAKE_NOTIONAL] >= floor:
        note[NOTE_AFTER_S] = since_s
        note[NOTE_OF] = memory[WAKE] * memory[WAKE_NOTIONAL]
        note[NOTE_AT_ONCE] = np.expm1(min(memory[WAKE_AFTER] - memory[WAKE_BEFORE], _LARGEST_RETURN))
        note[NOTE_SINCE] = np.expm1(min(memory[HEIGHT] - memory[WAKE_BEFORE], _LARGEST_RETURN))
    memory[WAKE] = 0.0


@njit(cache=True)
def judge(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    columns: IntVector,
    floor: float,
    explain_all: bool,  # noqa: FBT001 - numba passes by position
    memories: FloatMatrix,
    scores: FloatVector,
    shares: FloatMatrix,
    eligible: BoolVector,
    notes: FloatMatrix,
) -> None:
    """Judge rows, market by market.

    Args:
        slots: m markets.
        starts: m + 1, their rows.
        rows: n rows of features.
        columns: `INPUTS`, which of their columns are the input.
        floor: notional of the smallest order that counts; nothing that is remembered depends on it.
        explain_all: whether contributions are wanted for every row.
        memories: by slot, `MEMORY` numbers; changed.
        scores: n, written: notional of the order so far.
        shares: n x `PARTS`, zeros; written where something is to be explained.
        eligible: n, written.
        notes: n x `NOTES`, zeros; written where something is to be explained, or told.
    """
    at_time, at_notional, at_signed = columns[TIME], columns[NOTIONAL], columns[SIGNED]
    for run in range(slots.shape[0]):
        s = slots[run]
        for i in range(starts[run], starts[run + 1]):
            # Arrays are handed on only where something is to be done: numba counts references to them at
            # every call, which costs more than all that most trades need.
            now_s, notional = rows[i, at_time], rows[i, at_notional]
            side = -1.0 if rows[i, at_signed] < 0.0 else 1.0
            if memories[s, SEEN] == 0.0 or now_s < memories[s, LAST_S]:
                _restart(memories[s])
            if now_s != memories[s, LAST_S] or side != memories[s, SIDE]:
                memories[s, SUM] = memories[s, FILLS] = 0.0
                memories[s, BEFORE] = memories[s, HEIGHT]
            memories[s, LAST_S], memories[s, SIDE] = now_s, side
            moved = min(max(rows[i, columns[LOG_RETURN]], -_LARGEST_RETURN), _LARGEST_RETURN)
            memories[s, HEIGHT] += moved
            memories[s, SUM] += notional
            memories[s, FILLS] += 1.0
            if memories[s, WAKE] != 0.0 and now_s - memories[s, WAKE_S] >= _WAKE_S - _MICROSECOND:
                _end_wake(memories[s], now_s, floor, notes[i])
            score, at = memories[s, SUM], 0
            if notional >= _SLICE_LEAST * memories[s, MEAN]:
                at = _slice(memories[s], now_s, notional, side * rows[i, columns[QUANTITY]])
                if memories[s, at + _INSTANTS] >= _LEAST_INSTANTS and memories[s, at + _TOTAL] > score:
                    score = memories[s, at + _TOTAL]
                else:
                    at = 0
            scores[i] = score
            eligible[i] = score >= floor
            memories[s, TRADES] = min(memories[s, TRADES] + 1.0, _MEAN_TRADES)
            memories[s, MEAN] += (notional - memories[s, MEAN]) / memories[s, TRADES]
            if memories[s, WAKE] == 0.0 or score >= memories[s, WAKE_NOTIONAL]:
                memories[s, WAKE], memories[s, WAKE_S], memories[s, WAKE_NOTIONAL] = side, now_s, score
                memories[s, WAKE_BEFORE] = memories[s, at + _FROM] if at else memories[s, BEFORE]
                memories[s, WAKE_AFTER] = memories[s, HEIGHT]
            if eligible[i] or explain_all:
                _explain(memories[s], now_s, notional, at, score, shares[i], notes[i])


@njit(cache=True)
def _explain(
    memory: FloatVector,
    now_s: float,
    notional: float,
    at: int,
    score: float,
    share: FloatVector,
    note: FloatVector,
) -> None:
    note[NOTE_FILLS] = memory[FILLS]
    rest = max(score - notional, 0.0)
    if at:
        note[NOTE_IN_SLICES] = rest
        note[NOTE_SLICES] = memory[at + _INSTANTS]
        note[NOTE_SPAN_S] = now_s - memory[at + _FIRST_S]
    else:
        note[NOTE_AT_INSTANT] = rest
    if score > 0.0:
        share[0] = min(notional / score, 1.0)
        share[2 if at else 1] = 1.0 - share[0]
