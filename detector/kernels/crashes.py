"""How deep a price has fallen at every trade of every market, against what is usual there, and what follows.

A fall is measured from the highest price of the last minute, five minutes and half hour. Highs are kept in
parts of 10 s and of a minute, so that a window is longer by up to one part. Prices are medians of three
trades, so that a single print off the market neither falls nor is fallen from. All is in logarithms, times
the direction: a rise is the fall of the mirrored price.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.kernels.vectors import borrowed

# Columns of the input; the last two in the window of the fixed rule.
TIME, LOG_RETURN, MOVE, MOVE_AGE, COUNT = range(5)
INPUTS: Final = 5
WINDOWS_S: Final = (60.0, 300.0, 1_800.0)
# Rules, and columns of the contributions: the fixed one, and one per window.
RULES: Final = 1 + len(WINDOWS_S)

# What is remembered of a market: the last prices, the highs of the parts that run, the highest of the parts
# before by window, what is usual within a minute and where the price has been, the fall that runs or ran
# last, and the highs of older parts.
SEEN, LAST_S, HEIGHT, BEFORE, TWICE_BEFORE = range(5)
SHORT, SHORT_TOP, SHORT_TOP_S, LONG, LONG_TOP, LONG_TOP_S = range(5, 11)
TOPS: Final = 11
WEIGHT, MOVED, SAMPLES, SAMPLED, USUAL, LEVEL = range(14, 20)
PHASE, START, START_S, LOWEST, LOWEST_S, BACK_S, PEAK, TIMES_USUAL, RULE, TOLD, MILD_S = range(20, 31)
_RINGS: Final = 31
_PARTS: Final = 30
MEMORY: Final = _RINGS + 4 * _PARTS

# What is noted about a row while a fall runs; the depths by window always.
NOTE_PHASE, NOTE_TURNED, NOTE_DEPTH, NOTE_ELAPSED_S, NOTE_LOWEST, NOTE_TO_LOWEST_S = range(6)
NOTE_SINCE_LOWEST_S, NOTE_RECOVERED, NOTE_USUAL, NOTE_WINDOW_S, NOTE_DEPTHS = range(6, 11)
NOTES: Final = 10 + len(WINDOWS_S)

QUIET, FALLING, FOLLOWED, OVER = range(4)

_SHORT_S: Final = 10.0
# Parts of 10 s in a minute, the first window; the second has `_PARTS` of them, the third as many minutes.
_FEW: Final = 6
_SHORT_HIGHS: Final = _RINGS
_SHORT_TIMES: Final = _RINGS + _PARTS
_LONG_HIGHS: Final = _RINGS + 2 * _PARTS
_LONG_TIMES: Final = _RINGS + 3 * _PARTS

_DAY_MINUTES: Final = 1_440.0
_LEVEL_MINUTES: Final = 15.0
# A fall must end below where the price has been, by this share of it: a return from a rise is none.
_BELOW: Final = 0.25
_YOUNG_SAMPLES: Final = 30.0
# No minute counts for more than so many usual ones: a crash must not become what is usual.
_WILDEST: Final = 4.0
# Of a normal distribution, the deviation is this much larger than the mean distance from zero.
_DEVIATION: Final = 1.2533141373155003
# Roots of the windows in minutes; a market that stands still moves at least so much.
_ROOTS: Final = (1.0, 2.23606797749979, 5.477225575051661)
_STILL: Final = 1e-6
_NONE: Final = -1e300
# Beyond the year 9999, and small enough that its parts can be counted.
_LATEST_S: Final = 1e12
_LARGEST_RETURN: Final = 50.0
_LEAST_MOVE: Final = -1.0 + 1e-12
_LARGEST_MOVE: Final = 1e20
# Below this share of what is required, a fall is nothing to count.
_LEAST_SCORE: Final = 0.25
# A fall that is over must have left this before another begins; below `detector.episodes.HELD_SCORE`.
_AGAIN: Final = 0.7
_AFTERMATH: Final = 0.5
_MUCH_DEEPER: Final = 1.25
_SETTLED_S: Final = 60.0
_NEARLY: Final = 0.9
_AT_ONCE: Final = 1.5
_MICROSECOND: Final = 1e-6


@njit(cache=True)
def restart(memory: FloatVector) -> None:
    """Forget all prices, and the fall that runs; what is usual stays."""
    memory[SEEN] = memory[LAST_S] = memory[HEIGHT] = memory[BEFORE] = memory[TWICE_BEFORE] = 0.0
    memory[SHORT] = memory[LONG] = memory[PHASE] = 0.0
    memory[SHORT_TOP] = memory[LONG_TOP] = _NONE
    memory[TOPS:WEIGHT] = _NONE
    memory[_RINGS:] = _NONE


@njit(cache=True)
def _is_running(memory: FloatVector) -> bool:
    """Return whether a fall runs; a set of phases to look it up in would be made anew at every trade."""
    return bool(memory[PHASE] == FALLING or memory[PHASE] == FOLLOWED)


@njit(cache=True)
def _median(a: float, b: float, c: float) -> float:
    return float(max(min(a, b), min(max(a, b), c)))


@njit(cache=True)
def _part(now_s: float) -> int:
    """Return the number of the part of 10 s; by a cast, as a floor division of floats is much dearer."""
    return int(min(max(now_s, 0.0), _LATEST_S) / _SHORT_S)


@njit(cache=True)
def _bounded(log_return: float) -> float:
    return float(min(max(log_return, -_LARGEST_RETURN), _LARGEST_RETURN))


@njit(cache=True)
def _fixed_depth(move: float, near: float) -> float:
    """Return the fall that the fixed rule looks at; 0 far below what it asks for."""
    return float(abs(np.log1p(min(max(move, _LEAST_MOVE), _LARGEST_MOVE)))) if abs(move) > near else 0.0


@njit(cache=True)
def _highest(memory: FloatVector, highs: int, part: int, parts: int) -> float:
    """Return the highest of so many parts before a part."""
    found = _NONE
    for k in range(part - parts, part):
        found = max(found, memory[highs + k % _PARTS])
    return found


@njit(cache=True)
def _shift(memory: FloatVector, part: int, now: int, highs: int, times: int, top: int) -> None:
    """Put the high of the part that ran into its place, and make those that were skipped empty."""
    if now - part < _PARTS:
        for k in range(part + 1, now):
            memory[highs + k % _PARTS] = _NONE
    else:
        memory[highs : highs + _PARTS] = _NONE
    if now - part <= _PARTS:
        memory[highs + part % _PARTS] = memory[top]
        memory[times + part % _PARTS] = memory[top + 1]
    memory[top] = _NONE


@njit(cache=True)
def _sample(memory: FloatVector, minutes: int, known_after: float) -> None:
    """Learn what the price moves within a minute, and where it has been."""
    if memory[SAMPLES] > 0.0:
        moved = abs(memory[BEFORE] - memory[SAMPLED]) / np.sqrt(max(minutes, 1))
        if memory[SAMPLES] > _YOUNG_SAMPLES:
            moved = min(moved, _WILDEST * _DEVIATION * memory[MOVED] / memory[WEIGHT])
        fade = np.exp(-max(minutes, 1) / _DAY_MINUTES)
        memory[WEIGHT] = memory[WEIGHT] * fade + 1.0
        memory[MOVED] = memory[MOVED] * fade + moved
    follow = 1.0 if memory[SAMPLES] == 0.0 else -np.expm1(-max(minutes, 1) / _LEVEL_MINUTES)
    memory[LEVEL] += follow * (memory[BEFORE] - memory[LEVEL])
    memory[SAMPLED] = memory[BEFORE]
    memory[SAMPLES] += 1.0
    if memory[SAMPLES] > known_after:
        memory[USUAL] = max(_DEVIATION * memory[MOVED] / memory[WEIGHT], _STILL)


@njit(cache=True)
def _pass_time(memory: FloatVector, now_s: float, known_after: float) -> None:
    """Turn to the parts that a trade falls into."""
    short = _part(now_s)
    long = short // _FEW
    if memory[SEEN] == 0.0:
        memory[SEEN], memory[SHORT], memory[LONG] = 1.0, short, long
        memory[SAMPLED] = memory[LEVEL] = 0.0
        return
    was = int(memory[SHORT])
    if short == was:
        return
    _shift(memory, was, short, _SHORT_HIGHS, _SHORT_TIMES, SHORT_TOP)
    memory[SHORT] = short
    memory[TOPS] = _highest(memory, _SHORT_HIGHS, short, _FEW)
    memory[TOPS + 1] = _highest(memory, _SHORT_HIGHS, short, _PARTS)
    was = int(memory[LONG])
    if long != was:
        _shift(memory, was, long, _LONG_HIGHS, _LONG_TIMES, LONG_TOP)
        memory[LONG] = long
        memory[TOPS + 2] = _highest(memory, _LONG_HIGHS, long, _PARTS)
        _sample(memory, long - was, known_after)


@njit(cache=True)
def _begin(memory: FloatVector, row: FloatVector, rule: int, height: float, depths: FloatVector) -> None:
    """Begin a fall at the high that it is measured from."""
    now_s = row[TIME]
    memory[PHASE] = FALLING
    memory[RULE] = rule
    memory[PEAK] = memory[TIMES_USUAL] = 0.0
    memory[BACK_S] = now_s
    memory[LOWEST], memory[LOWEST_S] = height, now_s
    memory[START] = height + depths[rule]
    if rule == 0:
        memory[START_S] = now_s - row[MOVE_AGE]
        return
    top, highs, times = SHORT_TOP, _SHORT_HIGHS, _SHORT_TIMES
    if rule == RULES - 1:
        top, highs, times = LONG_TOP, _LONG_HIGHS, _LONG_TIMES
    memory[START_S] = memory[top + 1]
    if memory[top] < memory[START] - 1e-12:
        for k in range(_PARTS):
            if memory[highs + k] >= memory[START] - 1e-12:
                memory[START_S] = memory[times + k]


@njit(cache=True)
def _go_on(memory: FloatVector, now_s: float, height: float, limits: FloatVector) -> bool:
    """Go on with a fall, and return whether there is something to tell: what followed."""
    back_s, calm_s, over_s = limits[8], limits[9], limits[10]
    if height < memory[LOWEST]:
        memory[LOWEST], memory[LOWEST_S] = height, now_s
        deepest = memory[START] - height
        if memory[PHASE] == FOLLOWED and deepest > _MUCH_DEEPER * memory[TOLD]:
            memory[PHASE] = FALLING
    depth = memory[START] - memory[LOWEST]
    back = height - memory[LOWEST]
    if back < 0.5 * depth:
        memory[BACK_S] = now_s
    since_s = now_s - memory[LOWEST_S]
    if since_s >= over_s or (back >= 0.9 * depth and since_s >= _SETTLED_S and memory[PHASE] == FOLLOWED):
        memory[PHASE] = OVER
        return False
    if memory[PHASE] == FALLING and (now_s - memory[BACK_S] >= back_s or since_s >= calm_s):
        memory[PHASE] = FOLLOWED
        memory[TOLD] = depth
        return True
    return False


@njit(cache=True)
def _take(memory: FloatVector, row: FloatVector, direction: float, limits: FloatVector) -> float:
    """Learn a price, and return the median of the last three."""
    now_s = row[TIME]
    if now_s < memory[LAST_S]:
        restart(memory)
    if _is_running(memory) and now_s - memory[LAST_S] >= limits[11] - _MICROSECOND:
        memory[PHASE] = OVER
    _pass_time(memory, now_s, limits[7])
    latest = memory[HEIGHT] + direction * _bounded(row[LOG_RETURN])
    height = _median(latest, memory[HEIGHT], memory[TWICE_BEFORE])
    memory[LAST_S] = now_s
    memory[TWICE_BEFORE], memory[HEIGHT], memory[BEFORE] = memory[HEIGHT], latest, height
    if height > memory[SHORT_TOP]:
        memory[SHORT_TOP], memory[SHORT_TOP_S] = height, now_s
    if height > memory[LONG_TOP]:
        memory[LONG_TOP], memory[LONG_TOP_S] = height, now_s
    return height


@njit(cache=True)
def _measure(
    memory: FloatVector, row: FloatVector, height: float, limits: FloatVector, measured: FloatMatrix
) -> int:
    """Write how deep the fall is by each rule, and against what it requires; return the one met most."""
    depths, ratios = measured[0], measured[1]
    depths[0] = _fixed_depth(row[MOVE], limits[5])
    ratios[0] = depths[0] / limits[0]
    depths[1] = max(memory[TOPS], memory[SHORT_TOP]) - height
    depths[2] = max(memory[TOPS + 1], memory[SHORT_TOP]) - height
    depths[3] = max(memory[TOPS + 2], memory[LONG_TOP]) - height
    most = 0
    for k in range(1, RULES):
        required = max(limits[k], limits[4] * memory[USUAL] * _ROOTS[k - 1])
        ratios[k] = depths[k] / required if memory[USUAL] > 0.0 else 0.0
        if ratios[k] > ratios[most]:
            most = k
    return most


@njit(cache=True)
def _may_begin(
    memory: FloatVector,
    row: FloatVector,
    height: float,
    measured: FloatMatrix,
    rule: int,
    limits: FloatVector,
) -> bool:
    """Return whether a fall is one now, if none runs."""
    score = measured[1, rule]
    if score < _NEARLY:
        memory[MILD_S] = row[TIME]
    if memory[PHASE] == OVER and score < _AGAIN:
        memory[PHASE] = QUIET
    if memory[PHASE] != QUIET or score < 1.0 or row[COUNT] < limits[6]:
        return False
    if memory[LEVEL] - height < _BELOW * measured[0, rule]:
        return False
    return bool(score >= _AT_ONCE or row[TIME] - memory[MILD_S] >= limits[12])


@njit(cache=True)
def _peak(memory: FloatVector, measured: FloatMatrix, rule: int) -> None:
    """Keep the highest score of a fall, and what it was by."""
    score = measured[1, rule]
    if score > memory[PEAK]:
        memory[PEAK], memory[RULE], memory[TIMES_USUAL] = score, rule, 0.0
        if rule > 0:
            memory[TIMES_USUAL] = measured[0, rule] / (memory[USUAL] * _ROOTS[rule - 1])


@njit(cache=True)
def judge(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    columns: IntVector,
    direction: float,
    limits: FloatVector,
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
        direction: 1 for falls, -1 for rises.
        limits: what the fixed rule asks for; least by window (3); times the usual; a share of the first below
            which no logarithm is taken; trades in the window; samples before the usual is known; seconds for
            which half must have come back; seconds without a new low after which that is told, or it is over;
            seconds after which it is over in any case; silence that ends it; seconds for which nine tenths
            must have been there.
        explain_all: whether contributions are wanted for every row.
        memories: by slot, `MEMORY` numbers; changed.
        scores: n, written.
        shares: n x `RULES`, zeros; written where something is to be explained.
        eligible: n, written.
        notes: n x `NOTES`, zeros; written while a fall runs, and where all is explained.
    """
    memories, shares, notes = borrowed(memories), borrowed(shares), borrowed(notes)
    row, measured = np.zeros(INPUTS), np.zeros((2, RULES))
    for run in range(slots.shape[0]):
        s = slots[run]
        for i in range(starts[run], starts[run + 1]):
            # What most trades need, by scalars alone: numba counts references to arrays at every call that
            # takes them, which costs several times as much. Nothing is written before all is known.
            now_s = rows[i, columns[TIME]]
            needs_a_look = (
                explain_all
                or memories[s, PHASE] != QUIET
                or memories[s, SEEN] == 0.0
                or now_s < memories[s, LAST_S]
                or _part(now_s) != memories[s, SHORT]
            )
            was, usual = memories[s, HEIGHT], memories[s, USUAL]
            latest = was + direction * _bounded(rows[i, columns[LOG_RETURN]])
            height = _median(latest, was, memories[s, TWICE_BEFORE])
            score = _fixed_depth(rows[i, columns[MOVE]], limits[5]) / limits[0]
            if usual > 0.0:
                high = max(memories[s, SHORT_TOP], height)
                usual *= limits[4]
                one = (max(memories[s, TOPS], high) - height) / max(limits[1], usual * _ROOTS[0])
                two = (max(memories[s, TOPS + 1], high) - height) / max(limits[2], usual * _ROOTS[1])
                high = max(memories[s, LONG_TOP], height)
                three = (max(memories[s, TOPS + 2], high) - height) / max(limits[3], usual * _ROOTS[2])
                score = max(score, one, two, three)
            if needs_a_look or not score < 1.0:
                for k in range(INPUTS):
                    row[k] = rows[i, columns[k]]
                scores[i], eligible[i] = _look(
                    memories[s], row, direction, limits, explain_all, measured, shares[i], notes[i]
                )
                continue
            memories[s, LAST_S], memories[s, TWICE_BEFORE] = now_s, was
            memories[s, HEIGHT], memories[s, BEFORE] = latest, height
            if height > memories[s, SHORT_TOP]:
                memories[s, SHORT_TOP], memories[s, SHORT_TOP_S] = height, now_s
            if height > memories[s, LONG_TOP]:
                memories[s, LONG_TOP], memories[s, LONG_TOP_S] = height, now_s
            if score < _NEARLY:
                memories[s, MILD_S] = now_s
            scores[i] = score if score >= _LEAST_SCORE else 0.0
            eligible[i] = False


@njit(cache=True)
def _look(
    memory: FloatVector,
    row: FloatVector,
    direction: float,
    limits: FloatVector,
    explain_all: bool,  # noqa: FBT001 - numba passes by position
    measured: FloatMatrix,
    share: FloatVector,
    note: FloatVector,
) -> tuple[float, bool]:
    """Learn and judge a trade, whatever it needs; return its score, and whether a fall runs."""
    height = _take(memory, row, direction, limits)
    rule = _measure(memory, row, height, limits, measured)
    score = measured[1, rule]
    if _may_begin(memory, row, height, measured, rule, limits):
        _begin(memory, row, rule, height, measured[0])
    is_turned = _is_running(memory) and _go_on(memory, row[TIME], height, limits)
    is_running = _is_running(memory)
    if is_running:
        _peak(memory, measured, rule)
        score = memory[PEAK]
        _note(memory, row[TIME], is_turned, note)
    elif memory[PHASE] == OVER:
        score = min(score, _AFTERMATH)
    elif score < _LEAST_SCORE:
        score = 0.0
    if is_running or explain_all:
        _explain(measured, share, note)
    return score, is_running


@njit(cache=True)
def _note(memory: FloatVector, now_s: float, is_turned: bool, note: FloatVector) -> None:  # noqa: FBT001 - numba passes by position
    depth = memory[START] - memory[LOWEST]
    note[NOTE_PHASE] = memory[PHASE]
    note[NOTE_TURNED] = is_turned
    note[NOTE_DEPTH] = memory[START] - memory[HEIGHT]
    note[NOTE_ELAPSED_S] = now_s - memory[START_S]
    note[NOTE_LOWEST] = depth
    note[NOTE_TO_LOWEST_S] = memory[LOWEST_S] - memory[START_S]
    note[NOTE_SINCE_LOWEST_S] = now_s - memory[LOWEST_S]
    if depth > 0.0:
        note[NOTE_RECOVERED] = (memory[BEFORE] - memory[LOWEST]) / depth
    note[NOTE_USUAL] = memory[TIMES_USUAL]
    if memory[RULE] > 0.0:
        note[NOTE_WINDOW_S] = WINDOWS_S[int(memory[RULE]) - 1]


@njit(cache=True)
def _explain(measured: FloatMatrix, share: FloatVector, note: FloatVector) -> None:
    """Share the score out to the rules, by how far each is met."""
    depths, ratios = measured[0], measured[1]
    total = 0.0
    for k in range(RULES):
        total += ratios[k]
    for k in range(RULES):
        share[k] = ratios[k] / total if total > 0.0 else 0.0
    for k in range(1, RULES):
        note[NOTE_DEPTHS + k - 1] = depths[k]
