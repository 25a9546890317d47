"""Evidence of a pump at every trade of every market, and the phases of the pump that is running."""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.kernels import pump_chunks
from detector.kernels.decision_trees import Trees, probability
from detector.kernels.vectors import borrowed

# Columns of the input.
TIME, LOG_RETURN, NOTIONAL, SIGNED, RUN_UP, WINDOW_NOTIONAL, WINDOW_COUNT, RUSH, IMBALANCE = range(9)
INPUTS: Final = 9
# Terms of the evidence: the columns of its contributions.
RISE, BOUGHT, TRADES, RUSHED, ONE_SIDED, ROUND = range(6)
TERMS: Final = 6
# What is remembered of a market. Sums fade; the rest is about the pump that runs, or ran last.
SEEN, LAST_S, AGE_S, SUM_NOTIONAL, SUM_TRADES, FLOW = range(6)
PHASE, ELAPSED_S, CALM_S, COOL_S, PEAK_EVIDENCE, HEIGHT, PEAK_HEIGHT, BEFORE, LOW_S = range(6, 15)
HOUR_NOTIONAL, GATHERED_S, LED_S, LED_TIMES, PROBABILITY = range(15, 20)
MEMORY: Final = 20
# What is noted about a row while a pump runs.
NOTE_PHASE, NOTE_TURNED, NOTE_ELAPSED_S, NOTE_RISE, NOTE_PEAK, NOTE_SHARE, NOTE_BEFORE, NOTE_ROUND_S = range(
    8
)
NOTE_LED_S, NOTE_LED_TIMES, NOTE_PROBABILITY = range(8, 11)
NOTES: Final = 11

QUIET, PUMP, DUMP, OVER, ACCUMULATION = range(5)

# What a scorer may be asked with, beside what it learned it from.
SCORER_FEATURES: Final = (
    *pump_chunks.FEATURES,
    "rise",
    "share_of_day",
    "share_of_trades",
    "rush_orders",
    "imbalance",
    "from_round_s",
    "hour_times_usual",
    "bought_in_hour",
)
_OWN: Final = len(pump_chunks.FEATURES)
# What a scorer decides: evidence from which on it is asked, and probabilities that begin or forbid a pump.
ASKED, CONFIRMS, FORBIDS = range(3)

# A day's volume is known from the last days; net buying is looked at within the last hour.
_USUAL_S: Final = 2.0 * 86_400.0
_FLOW_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0
# No single term may decide alone; and no input makes a logarithm infinite.
_LARGEST_TERM: Final = 8.0
_LEAST: Final = 1e-12
# Under the lower bar of an episode (`detector.episodes.HELD_SCORE`), so that a pump that is over is over.
_AFTERMATH: Final = 0.5
_MICROSECOND: Final = 1e-6
# What has been gathered for less than this may be the pump itself.
_GATHERED_S: Final = 60.0
# Gathering ends under this part of what begins it.
_STILL_GATHERS: Final = 0.7
# Most that days known can be.
_MOST_DAYS: Final = _USUAL_S / _DAY_S


@njit(cache=True)
def _log(ratio: float) -> float:
    return float(min(max(np.log(max(ratio, _LEAST)), -_LARGEST_TERM), _LARGEST_TERM))


@njit(cache=True)
def from_round_s(time_s: float) -> float:
    """Return the seconds since the nearest full or half hour; negative before it."""
    half = 0.5 * _HOUR_S
    return float((time_s + 0.5 * half) % half - 0.5 * half)


@njit(cache=True)
def _is_near_round(time_s: float, period_s: float, before_s: float, after_s: float) -> bool:
    since = (time_s + 0.5 * period_s) % period_s - 0.5 * period_s
    return bool(-before_s <= since <= after_s)


@njit(cache=True)
def _take(rows: FloatMatrix, i: int, columns: IntVector, row: FloatVector) -> None:
    for k in range(INPUTS):
        row[k] = rows[i, columns[k]]


@njit(cache=True)
def _rise(row: FloatVector, floor: float) -> float:
    """Return by which fraction the price is above its lowest within the window, or before this trade.

    Where trades are rare, the one before may be older than the window.
    """
    rise = row[RUN_UP]
    if row[LOG_RETURN] > 0.5 * floor:
        rise = max(rise, np.expm1(min(row[LOG_RETURN], 50.0)))
    return float(rise)


@njit(cache=True)
def _days_known(memory: FloatVector) -> float:
    """Return what the faded sums must be divided by to be those of a day."""
    return float(-np.expm1(-max(memory[AGE_S], _HOUR_S) / _USUAL_S) * _USUAL_S / _DAY_S)


@njit(cache=True)
def _share_of_day(row: FloatVector, memory: FloatVector) -> float:
    """Return what takers bought within the window, as a share of a usual day's volume."""
    bought = 0.5 * row[WINDOW_NOTIONAL] * (1.0 + row[IMBALANCE])
    return float(bought * _days_known(memory) / max(memory[SUM_NOTIONAL], _LEAST))


@njit(cache=True)
def _evidence(
    row: FloatVector, memory: FloatVector, rise: float, weights: FloatVector, terms: FloatVector
) -> float:
    """Write the terms of the evidence of a row in the state before it, and return their sum."""
    share_of_trades = row[WINDOW_COUNT] * _days_known(memory) / max(memory[SUM_TRADES], _LEAST)
    terms[RISE] = weights[RISE] * _log(rise / 0.02)
    terms[BOUGHT] = weights[BOUGHT] * _log(_share_of_day(row, memory) / 0.02)
    terms[TRADES] = weights[TRADES] * _log(share_of_trades / 0.01)
    terms[RUSHED] = weights[RUSHED] * _log((row[RUSH] + 1.0) / 5.0)
    terms[ONE_SIDED] = -weights[ONE_SIDED] * row[IMBALANCE]
    terms[ROUND] = 0.0
    if _is_near_round(row[TIME], _HOUR_S, 60.0, 90.0):
        terms[ROUND] = weights[ROUND]
    elif _is_near_round(row[TIME], 0.5 * _HOUR_S, 60.0, 90.0):
        terms[ROUND] = 0.5 * weights[ROUND]
    total = 0.0
    for k in range(TERMS):
        total += terms[k]
    return float(max(total, 0.0))


@njit(cache=True)
def _ask(row: FloatVector, memory: FloatVector, chunk: FloatVector, rise: float, asked: FloatVector) -> None:
    """Write what a scorer is asked with."""
    pump_chunks.write(chunk, row[TIME], asked)
    days = _days_known(memory)
    usual = max(memory[SUM_NOTIONAL], _LEAST)
    asked[_OWN] = rise
    asked[_OWN + 1] = _share_of_day(row, memory)
    asked[_OWN + 2] = row[WINDOW_COUNT] * days / max(memory[SUM_TRADES], _LEAST)
    asked[_OWN + 3] = row[RUSH]
    asked[_OWN + 4] = row[IMBALANCE]
    asked[_OWN + 5] = from_round_s(row[TIME])
    asked[_OWN + 6] = memory[HOUR_NOTIONAL] * _DAY_S / _FLOW_S * days / usual
    asked[_OWN + 7] = memory[FLOW] * days / usual


@njit(cache=True)
def _share_out(terms: FloatVector, i: int, shares: FloatMatrix) -> None:
    total = 0.0
    for k in range(TERMS):
        total += max(terms[k], 0.0)
    for k in range(TERMS):
        shares[i, k] = max(terms[k], 0.0) / total if total > 0.0 else 0.0


@njit(cache=True)
def _is_running(memory: FloatVector) -> bool:
    """Return whether a pump runs; a set of phases to look it up in would be made anew at every trade."""
    return bool(memory[PHASE] == PUMP or memory[PHASE] == DUMP)


@njit(cache=True)
def _pass_time(memory: FloatVector, now_s: float, quiet_s: float) -> None:
    """Let what fades fade until a trade, and end a pump that nobody traded on, or whose clock was reset."""
    gap = now_s - memory[LAST_S] if memory[SEEN] > 0.0 else 0.0
    if _is_running(memory) and (gap < 0.0 or gap >= quiet_s - _MICROSECOND):
        memory[PHASE] = OVER
    gap = max(gap, 0.0)
    if gap > 0.0:
        fade = np.exp(-gap / _USUAL_S)
        memory[SUM_NOTIONAL] *= fade
        memory[SUM_TRADES] *= fade
        fade = np.exp(-gap / _FLOW_S)
        memory[FLOW] *= fade
        memory[HOUR_NOTIONAL] *= fade
        memory[AGE_S] += gap
        memory[GATHERED_S] += gap
        memory[ELAPSED_S] += gap
        memory[CALM_S] += gap
        memory[LOW_S] += gap
        memory[COOL_S] += gap
    memory[SEEN], memory[LAST_S] = 1.0, now_s


@njit(cache=True)
def _gather(memory: FloatVector, least_times: float, least_bought: float) -> None:
    """Look whether takers accumulate: within the hour much more is traded than usual, and more is bought."""
    was_gathering = memory[PHASE] == ACCUMULATION
    factor = _STILL_GATHERS if was_gathering else 1.0
    per_hour = memory[HOUR_NOTIONAL] * _DAY_S / _FLOW_S
    gathers = memory[FLOW] > 0.0 and per_hour * _MOST_DAYS >= factor * least_times * memory[SUM_NOTIONAL]
    if gathers:
        # Few get here, so the exponential is not paid for at every trade.
        days = _days_known(memory)
        gathers = (
            per_hour * days >= factor * least_times * memory[SUM_NOTIONAL]
            and memory[FLOW] * days >= factor * least_bought * memory[SUM_NOTIONAL]
        )
    if gathers and not was_gathering:
        memory[GATHERED_S] = 0.0
    memory[PHASE] = ACCUMULATION if gathers else QUIET


@njit(cache=True)
def _begin(memory: FloatVector, rise: float, traded: float, bought: float) -> None:
    memory[LED_S] = memory[LED_TIMES] = 0.0
    if memory[PHASE] == ACCUMULATION and memory[GATHERED_S] >= _GATHERED_S:
        memory[LED_S] = memory[GATHERED_S]
        per_hour = max(memory[HOUR_NOTIONAL] - traded, 0.0) * _DAY_S / _FLOW_S
        memory[LED_TIMES] = per_hour * _days_known(memory) / max(memory[SUM_NOTIONAL], _LEAST)
    memory[PHASE] = PUMP
    memory[ELAPSED_S] = memory[CALM_S] = memory[LOW_S] = memory[COOL_S] = memory[PEAK_EVIDENCE] = 0.0
    memory[HEIGHT] = memory[PEAK_HEIGHT] = np.log1p(rise)
    before = max(memory[FLOW] - bought, 0.0)
    memory[BEFORE] = before * _days_known(memory) / max(memory[SUM_NOTIONAL], _LEAST)


@njit(cache=True)
def _go_on(memory: FloatVector, evidence: float, limits: FloatVector) -> bool:
    """Go on with a running pump after the evidence of a trade, and return whether the dump begins."""
    threshold, given_back, calm_s, low_s = limits[0], limits[1], limits[2], limits[6]
    if evidence >= _AFTERMATH * threshold:
        memory[CALM_S] = 0.0
    memory[PEAK_EVIDENCE] = max(memory[PEAK_EVIDENCE], evidence)
    memory[PEAK_HEIGHT] = max(memory[PEAK_HEIGHT], memory[HEIGHT])
    if memory[CALM_S] >= calm_s:
        memory[PHASE] = OVER
        return False
    # In the first seconds prices jump between both sides of an empty book: that is no dump.
    if memory[HEIGHT] > (1.0 - given_back) * memory[PEAK_HEIGHT]:
        memory[LOW_S] = 0.0
    if memory[PHASE] == PUMP and memory[LOW_S] >= low_s:
        memory[PHASE] = DUMP
        return True
    return False


@njit(cache=True)
def _note(memory: FloatVector, row: FloatVector, is_turned: bool, notes: FloatVector) -> None:  # noqa: FBT001 - numba passes by position
    """Write what is known of the pump that runs; its phase is written already."""
    notes[NOTE_TURNED] = is_turned
    notes[NOTE_ELAPSED_S] = memory[ELAPSED_S]
    notes[NOTE_RISE] = np.expm1(memory[HEIGHT])
    notes[NOTE_PEAK] = np.expm1(memory[PEAK_HEIGHT])
    notes[NOTE_SHARE] = _share_of_day(row, memory)
    notes[NOTE_BEFORE] = memory[BEFORE]
    notes[NOTE_ROUND_S] = from_round_s(row[TIME])
    notes[NOTE_LED_S] = memory[LED_S]
    notes[NOTE_LED_TIMES] = memory[LED_TIMES]
    notes[NOTE_PROBABILITY] = memory[PROBABILITY]


@njit(cache=True)
def judge(  # noqa: C901, PLR0917 - buffers come by position; parts of it as functions cost half as much again
    slots: IntVector,
    starts: IntVector,
    rows: FloatMatrix,
    columns: IntVector,
    weights: FloatVector,
    floors: FloatVector,
    limits: FloatVector,
    explain_all: bool,  # noqa: FBT001 - numba passes by position
    memories: FloatMatrix,
    trees: Trees,
    rules: FloatVector,
    chunks: FloatMatrix,
    scores: FloatVector,
    shares: FloatMatrix,
    eligible: BoolVector,
    notes: FloatMatrix,
    asked: FloatMatrix | None,
) -> None:
    """Judge rows, market by market, each before it is learned.

    Args:
        slots: m markets.
        starts: m + 1, their rows.
        rows: n rows of features.
        columns: `INPUTS`, which of their columns are the input.
        weights: `TERMS`, of the evidence.
        floors: least rise (a fraction) and least imbalance without which there is no evidence.
        limits: threshold on evidence; share of the rise given back that makes a dump; seconds without
            evidence that end a pump; silence that ends it; seconds until another may begin; seconds of
            warm-up; seconds for which it must be given back; times the usual volume of an hour, and the share
            of a day bought net in it, from which on takers accumulate.
        explain_all: whether contributions are wanted for every row.
        memories: by slot, `MEMORY` numbers; changed.
        trees: a scorer; without trees there is none.
        rules: what it decides: `ASKED`, `CONFIRMS`, `FORBIDS`.
        chunks: by slot, `pump_chunks.MEMORY` numbers; changed where a scorer is asked.
        scores: n, written.
        shares: n x `TERMS`, zeros; written where something is to be explained.
        eligible: n, written.
        notes: n x `NOTES`, zeros; the phase is always written, the others while a pump runs.
        asked: rows of `SCORER_FEATURES`: n, for all that a scorer is asked with; one, of which only the
            last stays; None: no scorer is asked, and numba compiles all of that away.
    """
    rows, columns, memories, limits = borrowed(rows), borrowed(columns), borrowed(memories), borrowed(limits)
    terms, row = np.zeros(TERMS, np.float64), np.zeros(INPUTS, np.float64)
    threshold, quiet_s, rearm_s, warm_up_s = limits[0], limits[3], limits[4], limits[5]
    for run in range(slots.shape[0]):
        memory = memories[slots[run]]
        for i in range(starts[run], starts[run + 1]):
            _take(rows, i, columns, row)
            _pass_time(memory, row[TIME], quiet_s)
            memory[HEIGHT] += row[LOG_RETURN]
            memory[FLOW] += row[SIGNED]
            memory[HOUR_NOTIONAL] += row[NOTIONAL]
            rise = _rise(row, floors[0])
            has_evidence = rise >= floors[0] and row[IMBALANCE] > floors[1]
            evidence = _evidence(row, memory, rise, weights, terms) if has_evidence else 0.0
            is_hot = evidence >= threshold
            begins, likely = is_hot, 0.0
            if asked is not None:
                chunk = chunks[slots[run]]
                pump_chunks.learn(chunk, row[TIME], row[LOG_RETURN], row[SIGNED])
                if evidence >= rules[ASKED]:
                    question = asked[i if len(asked) > 1 else 0]
                    _ask(row, memory, chunk, rise, question)
                    likely = probability(trees, question)
                    begins = likely >= rules[FORBIDS] if is_hot else likely >= rules[CONFIRMS]
            if memory[PHASE] == OVER and memory[COOL_S] >= rearm_s:
                memory[PHASE] = QUIET
            if memory[AGE_S] >= warm_up_s and (memory[PHASE] == QUIET or memory[PHASE] == ACCUMULATION):
                _gather(memory, limits[7], limits[8])
                if begins:
                    _begin(memory, rise, row[WINDOW_NOTIONAL], row[IMBALANCE] * row[WINDOW_NOTIONAL])
                    memory[PEAK_EVIDENCE] = threshold
                    memory[PROBABILITY] = likely
            is_turned = _is_running(memory) and _go_on(memory, evidence, limits)
            if is_hot:
                memory[COOL_S] = 0.0
            eligible[i] = _is_running(memory)
            notes[i, NOTE_PHASE] = memory[PHASE]
            if eligible[i]:
                scores[i] = memory[PEAK_EVIDENCE]
                _note(memory, row, is_turned, notes[i])
            elif memory[PHASE] == OVER:
                scores[i] = min(evidence, _AFTERMATH * threshold)
            else:
                scores[i] = evidence
            if has_evidence and (eligible[i] or explain_all):
                _share_out(terms, i, shares)
            memory[SUM_NOTIONAL] += row[NOTIONAL]
            memory[SUM_TRADES] += 1.0
