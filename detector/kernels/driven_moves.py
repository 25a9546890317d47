"""Moves that one side drives and that are taken back: evidence at every trade of every market."""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.kernels.vectors import borrowed

# Columns of the input.
TIME, LOG_RETURN, NOTIONAL, MOVE, WINDOW_NOTIONAL, WINDOW_COUNT, IMBALANCE, VOLATILITY = range(8)
INPUTS: Final = 8
# Terms of the evidence: the columns of its contributions.
SIZE, VOLUME, STEPS, TAKEN_BACK, CLOSE = range(5)
TERMS: Final = 5
# What is remembered of a market: what every trade touches, in one line of the cache; what is usual, learned
# with every sample; and the move that is running or was last.
LAST_S, HEIGHT, SAMPLED_S, NOTIONAL_SINCE, PHASE, OVER_S, SEEN, SAMPLED_HEIGHT = range(8)
AGE_S, SUM_NOTIONAL, SUM_SQUARES, SUM_S, NOW_SQUARES, NOW_S = range(8, 14)
SIGN, FROM, PEAK, BEGAN_S, PEAK_S, LOW_FROM_S, SIGMA, TIMES_USUAL, SHARE, OF_STEPS = range(14, 24)
MEMORY: Final = 24
# What is noted about a row while a move that was taken back is told.
(
    NOTE_MOVE,
    NOTE_DRIVEN_S,
    NOTE_TIMES,
    NOTE_SHARE,
    NOTE_BACK,
    NOTE_BACK_S,
    NOTE_PEAK_S,
    NOTE_SIGMAS,
    NOTE_STEPS,
    NOTE_CLOSE,
) = range(10)
NOTES: Final = 10
# The limits, by place.
(
    THRESHOLD,
    LEAST_MOVE,
    LEAST_CLOSE_MOVE,
    LARGEST_MOVE,
    LEAST_SIGMAS,
    LEAST_CLOSE_SIGMAS,
    LEAST_TIMES,
    LEAST_TRADES,
    LEAST_SHARE,
    BACK,
    DRIVE_S,
    RETURN_S,
    HELD_S,
    CLOSE_S,
    REARM_S,
    WARM_UP_S,
) = range(16)
LIMITS: Final = 16

QUIET, DRIVEN, OVER = range(3)

_WINDOW_S: Final = 10.0
_USUAL_S: Final = 86_400.0
_NOW_S: Final = 900.0
_HOUR_S: Final = 3_600.0
# Nothing that was seen in less than an hour is taken for a day's.
_LEAST_AGE_S: Final = 3_600.0
# One sample of a return counts for so many times the mean square at most: a burst must not become usual.
_CAP: Final = 16.0
# A price that has not moved yet is not without volatility: one hundredth of a percent within 10 s.
_LEAST_SQUARE_PER_S: Final = 1e-9
_USUAL_STEPS: Final = 4.0
_LARGEST_TERM: Final = 4.0
_LEAST: Final = 1e-12
_NOT_LOW: Final = -1.0


@njit(cache=True)
def _log(ratio: float) -> float:
    return float(min(max(np.log(max(ratio, _LEAST)), -_LARGEST_TERM), _LARGEST_TERM))


@njit(cache=True)
def _from_close_s(time_s: float) -> float:
    """Return the seconds since the nearest full hour; negative before it."""
    return float((time_s + 0.5 * _HOUR_S) % _HOUR_S - 0.5 * _HOUR_S)


@njit(cache=True)
def _sigma(memory: FloatVector) -> float:
    """Return the usual log return within the window: the last day's, or the last minutes' if more."""
    per_s = memory[SUM_SQUARES] / max(memory[SUM_S], 1.0)
    # What is known of the last minutes is filled up with the day's.
    now_per_s = (memory[NOW_SQUARES] + per_s * _NOW_S) / (memory[NOW_S] + _NOW_S)
    per_s = max(per_s, now_per_s)
    return float(np.sqrt(max(per_s, _LEAST_SQUARE_PER_S) * _WINDOW_S))


@njit(cache=True)
def _times_usual(notional: float, memory: FloatVector) -> float:
    """Return a notional of one window against the usual one."""
    known_s = -np.expm1(-max(memory[AGE_S], _LEAST_AGE_S) / _USUAL_S) * _USUAL_S
    return float(notional * known_s / max(memory[SUM_NOTIONAL] * _WINDOW_S, _LEAST))


@njit(cache=True)
def _begin_or_set_back(memory: FloatVector, now_s: float) -> None:
    """Take a market's first trade, or one before the last one: a clock that was set back ends what runs."""
    if memory[SEEN] == 1.0:
        memory[PHASE], memory[OVER_S] = OVER, now_s
    memory[SEEN], memory[SAMPLED_S] = 1.0, now_s


@njit(cache=True)
def _sample(memory: FloatVector, now_s: float) -> None:
    """Learn move and volume since the last sample, and let what is older fade."""
    gap = now_s - memory[SAMPLED_S]
    square = (memory[HEIGHT] - memory[SAMPLED_HEIGHT]) ** 2
    fade = np.exp(-gap / _NOW_S)
    memory[NOW_SQUARES] = memory[NOW_SQUARES] * fade + square
    memory[NOW_S] = memory[NOW_S] * fade + gap
    if memory[SUM_S] > _LEAST_AGE_S:
        square = min(square, _CAP * gap * max(memory[SUM_SQUARES] / memory[SUM_S], _LEAST_SQUARE_PER_S))
    fade = np.exp(-gap / _USUAL_S)
    memory[SUM_SQUARES] = memory[SUM_SQUARES] * fade + square
    memory[SUM_S] = memory[SUM_S] * fade + gap
    memory[SUM_NOTIONAL] = memory[SUM_NOTIONAL] * fade + memory[NOTIONAL_SINCE]
    memory[AGE_S] += gap
    memory[NOTIONAL_SINCE] = 0.0
    memory[SAMPLED_S], memory[SAMPLED_HEIGHT] = now_s, memory[HEIGHT]


@njit(cache=True)
def _is_at_close(time_s: float, close_s: float) -> bool:
    """Return whether it is at most so many seconds before a full hour."""
    return bool(-close_s <= _from_close_s(time_s) <= 0.0)


@njit(cache=True)
def _is_driven(row: FloatVector, memory: FloatVector, move: float, limits: FloatVector) -> bool:
    """Return whether one side has driven the price within the window, on much volume."""
    if memory[AGE_S] < limits[WARM_UP_S]:
        return False
    is_close = _is_at_close(row[TIME], limits[CLOSE_S])
    size = abs(move)
    least = limits[LEAST_CLOSE_MOVE] if is_close else limits[LEAST_MOVE]
    if not least <= size <= limits[LARGEST_MOVE]:
        return False
    share = row[IMBALANCE] if move > 0.0 else -row[IMBALANCE]
    if share < limits[LEAST_SHARE] or row[WINDOW_COUNT] < limits[LEAST_TRADES]:
        return False
    sigmas = limits[LEAST_CLOSE_SIGMAS] if is_close else limits[LEAST_SIGMAS]
    return bool(
        size >= sigmas * _sigma(memory) and _times_usual(row[WINDOW_NOTIONAL], memory) >= limits[LEAST_TIMES]
    )


@njit(cache=True)
def _steps(row: FloatVector) -> float:
    """Return how many equal steps in one direction the window's move is worth; a single jump is one."""
    move = np.log1p(max(row[MOVE], _LEAST - 1.0))
    return float((move / max(row[VOLATILITY], _LEAST)) ** 2)


@njit(cache=True)
def _begin(row: FloatVector, memory: FloatVector, move: float) -> None:
    memory[PHASE], memory[BEGAN_S] = DRIVEN, row[TIME]
    memory[SIGN] = 1.0 if move > 0.0 else -1.0
    # As it was before: a move must not make itself usual.
    memory[FROM], memory[SIGMA] = memory[HEIGHT] - move, _sigma(memory)
    memory[LOW_FROM_S] = _NOT_LOW
    memory[TIMES_USUAL] = memory[SHARE] = memory[OF_STEPS] = 0.0
    _grow(row, memory)


@njit(cache=True)
def _grow(row: FloatVector, memory: FloatVector) -> None:
    """Write down a new peak."""
    memory[PEAK], memory[PEAK_S] = memory[HEIGHT], row[TIME]
    memory[TIMES_USUAL] = max(memory[TIMES_USUAL], _times_usual(row[WINDOW_NOTIONAL], memory))
    memory[SHARE] = max(memory[SHARE], memory[SIGN] * row[IMBALANCE])
    memory[OF_STEPS] = max(memory[OF_STEPS], _steps(row))


@njit(cache=True)
def _end(memory: FloatVector) -> None:
    memory[PHASE], memory[OVER_S] = OVER, memory[LAST_S]


@njit(cache=True)
def _taken_back(memory: FloatVector) -> float:
    """Return the share of the move (of its logarithm) that is undone."""
    size = max(memory[SIGN] * (memory[PEAK] - memory[FROM]), _LEAST)
    return float(memory[SIGN] * (memory[PEAK] - memory[HEIGHT]) / size)


@njit(cache=True)
def _evidence(memory: FloatVector, weights: FloatVector, limits: FloatVector, terms: FloatVector) -> float:
    """Write the terms of the evidence, and return their sum."""
    size = memory[SIGN] * (memory[PEAK] - memory[FROM])
    is_close = _is_at_close(memory[PEAK_S], limits[CLOSE_S])
    terms[SIZE] = weights[SIZE] * _log(size / (limits[LEAST_CLOSE_SIGMAS] * memory[SIGMA]))
    terms[VOLUME] = weights[VOLUME] * _log(memory[TIMES_USUAL] / limits[LEAST_TIMES])
    terms[STEPS] = weights[STEPS] * _log(memory[OF_STEPS] / _USUAL_STEPS)
    terms[TAKEN_BACK] = weights[TAKEN_BACK] * _log(min(_taken_back(memory), 1.0) / limits[BACK])
    terms[CLOSE] = weights[CLOSE] if is_close else 0.0
    total = 0.0
    for k in range(TERMS):
        total += terms[k]
    return float(max(total, 0.0))


@njit(cache=True)
def _go_on(
    row: FloatVector, memory: FloatVector, weights: FloatVector, limits: FloatVector, terms: FloatVector
) -> float:
    """Go on with a driven move after a trade, and return the evidence that it was one to be taken back."""
    now_s = row[TIME]
    if memory[SIGN] * (memory[HEIGHT] - memory[PEAK]) > 0.0:
        _grow(row, memory)
        size = memory[SIGN] * (memory[PEAK] - memory[FROM])
        if now_s - memory[BEGAN_S] > limits[DRIVE_S] or size > limits[LARGEST_MOVE]:
            # It goes on for longer, or further, than anybody pushes.
            _end(memory)
            return 0.0
    if now_s - memory[PEAK_S] > limits[RETURN_S]:
        _end(memory)
        return 0.0
    if _taken_back(memory) < limits[BACK]:
        memory[LOW_FROM_S] = _NOT_LOW
        return 0.0
    if memory[LOW_FROM_S] == _NOT_LOW:
        memory[LOW_FROM_S] = now_s
    if now_s - memory[LOW_FROM_S] < limits[HELD_S]:
        return 0.0
    return _evidence(memory, weights, limits, terms)


@njit(cache=True)
def _share_out(terms: FloatVector, i: int, shares: FloatMatrix) -> None:
    total = 0.0
    for k in range(TERMS):
        total += max(terms[k], 0.0)
    for k in range(TERMS):
        shares[i, k] = max(terms[k], 0.0) / total if total > 0.0 else 0.0


@njit(cache=True)
def _note(memory: FloatVector, limits: FloatVector, i: int, notes: FloatMatrix) -> None:
    size = memory[PEAK] - memory[FROM]
    notes[i, NOTE_MOVE] = np.expm1(size)
    notes[i, NOTE_DRIVEN_S] = memory[PEAK_S] - memory[BEGAN_S] + _WINDOW_S
    notes[i, NOTE_TIMES] = memory[TIMES_USUAL]
    notes[i, NOTE_SHARE] = memory[SHARE]
    notes[i, NOTE_BACK] = _taken_back(memory)
    notes[i, NOTE_BACK_S] = memory[LAST_S] - memory[PEAK_S]
    notes[i, NOTE_PEAK_S] = memory[PEAK_S]
    notes[i, NOTE_STEPS] = memory[OF_STEPS]
    notes[i, NOTE_CLOSE] = 1.0 if _is_at_close(memory[PEAK_S], limits[CLOSE_S]) else 0.0
    notes[i, NOTE_SIGMAS] = abs(size) / memory[SIGMA]


@njit(cache=True)
def _step(
    row: FloatVector, memory: FloatVector, weights: FloatVector, limits: FloatVector, terms: FloatVector
) -> float:
    """Judge one trade, and return the evidence."""
    if memory[PHASE] == OVER and row[TIME] - memory[OVER_S] >= limits[REARM_S]:
        memory[PHASE] = QUIET
    if memory[PHASE] == DRIVEN:
        return _go_on(row, memory, weights, limits, terms)
    if memory[PHASE] == QUIET:
        move = np.log1p(max(row[MOVE], _LEAST - 1.0))
        if _is_driven(row, memory, move, limits):
            _begin(row, memory, move)
    return 0.0


@njit(cache=True)
def judge(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    columns: IntVector,
    weights: FloatVector,
    limits: FloatVector,
    memories: FloatMatrix,
    scores: FloatVector,
    shares: FloatMatrix,
    eligible: BoolVector,
    notes: FloatMatrix,
    terms: FloatVector,
    row: FloatVector,
) -> None:
    """Judge rows, market by market, each before it is learned.

    Args:
        slots: m markets.
        starts: m + 1, their rows.
        rows: n rows of features.
        columns: `INPUTS`, which of their columns are the input.
        weights: `TERMS`, of the evidence.
        limits: `LIMITS`, as in `detector.patterns.manipulation.ManipulationParams`.
        memories: by slot, `MEMORY` numbers; changed.
        scores: n, written.
        shares: n x `TERMS`, zeros; written where something is found.
        eligible: n, written.
        notes: n x `NOTES`; written where something is found.
        terms: `TERMS`, overwritten.
        row: `INPUTS`, overwritten.
    """
    memories, terms, row = borrowed(memories), borrowed(terms), borrowed(row)
    weights, limits, shares, notes = borrowed(weights), borrowed(limits), borrowed(shares), borrowed(notes)
    # Nearly every trade ends here: nothing is running, and the price has not moved far enough.
    least = -np.expm1(-limits[LEAST_CLOSE_MOVE])
    for run in range(slots.shape[0]):
        memory = memories[slots[run]]
        for i in range(starts[run], starts[run + 1]):
            now_s = rows[i, columns[TIME]]
            if memory[SEEN] == 0.0 or now_s < memory[LAST_S]:
                _begin_or_set_back(memory, now_s)
            memory[LAST_S] = now_s
            memory[HEIGHT] += rows[i, columns[LOG_RETURN]]
            scores[i], eligible[i] = 0.0, False
            if memory[PHASE] == DRIVEN or abs(rows[i, columns[MOVE]]) >= least:
                for k in range(INPUTS):
                    row[k] = rows[i, columns[k]]
                scores[i] = _step(row, memory, weights, limits, terms)
                eligible[i] = scores[i] >= limits[THRESHOLD]
                if eligible[i]:
                    _end(memory)
                    _share_out(terms, i, shares)
                    _note(memory, limits, i, notes)
            if now_s - memory[SAMPLED_S] >= _WINDOW_S:
                _sample(memory, now_s)
            memory[NOTIONAL_SINCE] += rows[i, columns[NOTIONAL]]
