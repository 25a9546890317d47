"""How often episodes reach a level, and how often they would reach one that none has reached yet.

Scores live on a scale of `BINS` bins: positive ones by their logarithm (`log`, 32 bins per octave), those
between 0 and 1 as they are (`unit`). What has been counted so far is `reached[b]`: how many episodes reached
the lower edge of bin b. A tail is fitted to the highest of them and extended beyond.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatVector

BINS: Final = 2_048
# Trades are counted by coarser bins: what is usual needs no more.
BODY_BINS: Final = 256
RESOLUTION: Final = 1e-9

_PER_BODY_BIN: Final = BINS // BODY_BINS
_BINS_PER_OCTAVE: Final = 32.0
_LOWEST_OCTAVE: Final = -24.0

# The tail: at most this many of the highest episodes, and no more than this share of those at the level that
# most episodes reach, because at lower levels episodes run into one another.
_TAIL_MOST: Final = 50.0
_TAIL_SHARE: Final = 0.25
_TAIL_LEAST: Final = 5.0
# Levels that fewer episodes reach say nothing about the scale: the highest one never does.
_CENSORED: Final = 1.5
_EXCESS_LIMIT: Final = 12.0
_SHAPE_PRIOR: Final = 50.0
_SHAPE_MOST: Final = 0.5
# With n episodes known, the shape that predicts the next one is higher by this over n than the one that fits.
_PREDICTION: Final = 2.0
_PREDICTIVE_MOST: Final = 1.0
# Scores that more than this share of all trades reach are no news, however few episodes they make.
_BODY_SHARE: Final = 0.05

# A fit: lower edge of the coarse bin of the median, in bins; edge of the tail, in bins; rate of episodes at
# that edge, per trade; scale in bins; shape; remembered trades; median score.
MEDIAN, LEVEL, RATE, SIGMA, SHAPE, TRADES, USUAL = range(7)
FIT_SIZE: Final = 7

Counts = NDArray[np.float32]


@njit(cache=True)
def position(score: float, is_log: bool) -> float:  # noqa: FBT001 - numba passes by position
    """Return where a score lies, in bins."""
    if is_log:
        at = (np.log2(score) - _LOWEST_OCTAVE) * _BINS_PER_OCTAVE if score > 0.0 else 0.0
    else:
        at = score * BINS
    return float(min(max(at, 0.0), BINS - 1e-6))


@njit(cache=True)
def _score_at(at: float, is_log: bool) -> float:  # noqa: FBT001 - numba passes by position
    """Return the score at a position."""
    if is_log:
        return float(2.0 ** (at / _BINS_PER_OCTAVE + _LOWEST_OCTAVE))
    return at / BINS


@njit(cache=True)
def _median(body: FloatVector, trades: float, top: int) -> float:
    """Return the position that half of the trades reach."""
    above = 0.0
    for b in range(top // _PER_BODY_BIN, -1, -1):
        if above + body[b] >= 0.5 * trades and body[b] > 0.0:
            # Not quite b: where all of the upper half is in this bin, its lower edge still belongs to it.
            return float((b + 1 - min((0.5 * trades - above) / body[b], 0.999)) * _PER_BODY_BIN)
        above += body[b]
    return 0.0


@njit(cache=True)
def _tail(table: Counts, top: int, fit: FloatVector) -> None:
    """Choose the level and fit the episodes above it, by probability-weighted moments."""
    low = int(fit[MEDIAN])
    most = table[low]
    wanted = min(_TAIL_MOST, max(_TAIL_SHARE * most, min(most, _TAIL_LEAST)))
    level = top
    while level > low and table[level] < wanted:
        level -= 1
    n = float(table[level])
    middle = level
    while middle <= top and table[middle] > 0.5 * n:
        middle += 1
    limit = level + _EXCESS_LIMIT * max(1.0, middle - level)
    # With survival S of the excesses e: E[e] is the integral of S, E[e S] that of S squared, halved.
    a0 = a1 = 0.0
    for b in range(level, top + 1):
        if b > level and (table[b + 1] < _CENSORED or b >= limit):
            break
        survival = 0.5 * (table[b] + table[b + 1]) / n
        a0 += survival
        a1 += 0.5 * survival * survival
    a0 *= n / max(n - 1.0, 1.0)
    a1 *= n / max(n - 1.0, 1.0)
    shape = 2.0 - a0 / (a0 - 2.0 * a1) if a0 > 2.0 * a1 else 0.0
    shape = min(max(shape * n / (n + _SHAPE_PRIOR), 0.0), _SHAPE_MOST)
    fit[LEVEL] = level
    fit[RATE] = n / fit[TRADES]
    fit[SIGMA] = max(a0 * (1.0 - shape), 0.5)
    fit[SHAPE] = min(shape + _PREDICTION / n, _PREDICTIVE_MOST)


@njit(cache=True)
def refit(
    reached: Counts,
    body: FloatVector,
    unit: float,
    trades: float,
    top: int,
    is_log: bool,  # noqa: FBT001 - numba passes by position
    table: Counts,
    fit: FloatVector,
) -> None:
    """Make the table and the fit that answer until the next refit.

    Args:
        reached: episodes by level, in units.
        body: trades by coarse bin, in units.
        unit: what an episode or trade of this moment counts.
        trades: remembered trades, in units.
        top: highest bin that an episode has ever reached.
        is_log: the scale.
        table: episodes that reach a level or a higher one, never rising with the level; from the median up,
            and 0 above the highest bin.
        fit: as above.
    """
    fit[TRADES] = trades / unit
    median = _median(body, trades, top)
    low = int(median) // _PER_BODY_BIN * _PER_BODY_BIN
    fit[MEDIAN] = low
    fit[USUAL] = _score_at(median, is_log)
    # Levels are mostly as high as the one above, and a division takes longer than all else.
    most = known = np.float32(0.0)
    table[top + 1] = known
    for b in range(top, low - 1, -1):
        if reached[b] > most:
            most = reached[b]
            known = np.float32(most / unit)
        table[b] = known
    _tail(table, top, fit)
    above = 0.0
    for coarse in range(top // _PER_BODY_BIN, low // _PER_BODY_BIN - 1, -1):
        is_news = (above + body[coarse]) / trades - _BODY_SHARE > 0.0
        for fine in range(_PER_BODY_BIN - 1 if is_news else -1, -1, -1):
            b = coarse * _PER_BODY_BIN + fine
            share = (above + body[coarse] * (1.0 - fine / _PER_BODY_BIN)) / trades - _BODY_SHARE
            if low <= b <= top and share > 0.0:
                table[b] = max(table[b], np.float32(share * share * fit[TRADES]))
        above += body[coarse]


@njit(cache=True)
def rarity(at: float, table: Counts, fit: FloatVector) -> float:
    """Return how many episodes per trade reach a position; 1 below what is usual."""
    if at < fit[MEDIAN]:
        return 1.0
    b = int(at)
    excess = at - fit[LEVEL]
    if excess <= 0.0:
        between = table[b] + (at - b) * (table[b + 1] - table[b])
        return float(min(between / fit[TRADES], 1.0))
    beyond = fit[RATE] * (1.0 + fit[SHAPE] * excess / fit[SIGMA]) ** (-1.0 / fit[SHAPE])
    # What two episodes have reached is not rarer than one in all trades that are remembered.
    known = (table[b] - 1.0) / fit[TRADES]
    return float(min(max(beyond, known, RESOLUTION), 1.0))
