"""Raw scores to rarity: how often does a market reach a score at least as high?

Idea: strange trades come in bursts, and a burst is one story. So episodes are counted, not trades: at every
level of the score at once, an episode begins when the level is reached and has not been for `quiet_s`. What
is usual is counted; what is beyond is extrapolated from the peaks of episodes by extreme-value theory.

Rarity: episodes that reach the score, per trade of the market. Times trades per day, it is how often a day
something at least this strange happens. Where trades do not come in bursts, it is the probability that a
trade scores at least as high. 1 below what is usual; never rises with the score; never below
`RESOLUTION`; NaN while warming up, and where the score is none.

Here an episode ends after two seconds, and not after the minute of `detector/episodes.py`: so a young market
soon has episodes to learn from. At rare levels both count the same; at usual ones this counts more, so that
what is told happens rather less often than said.

- Counts: in bins (2.2 % wide for scores of the `log` scale, 1/2048 for `unit`). A trade that exceeds all of
  the last `quiet_s` adds one to every level between that highest one and its own, and that is exact.
- Drift: older counts fade, with `horizon_trades` and with `horizon_days`.
- Refit: at the end of the warm-up, then after every 256 trades of the market, from 8,192 on after every
  1,024. Between two refits the answer to a score does not change.
- Tail: above the level that 50 episodes have reached (less while fewer are known), a generalised Pareto
  distribution fitted by probability-weighted moments, in bins, that is to the logarithm of a `log` score. The
  shape is shrunk towards 0 as if by 50 more peaks and is never negative: no sample says that anything is
  impossible. To it comes 2/n for n peaks known, so that a tail of few peaks promises little.
- One spike: the highest peak does not enter the scale, and excesses above twelve times the median excess
  count as that. What two episodes have reached is never rarer than one in all trades remembered.
- Trades: scores that more than a twentieth of all trades reach are not rare, however few bursts they form.

Warm-up: `warm_up_trades` scores.

Cost: O(1) per trade; a refit passes over the bins between the median and the highest, a few microseconds.
Memory: 19 kB per market and detector; 3 to 11 kB of it in a snapshot of a day of BTCUSDC.

Reference: A. Siffer, P.-A. Fouque, A. Termier, C. Largouet, "Anomaly Detection in Streams with Extreme Value
Theory", KDD 2017; J. R. M. Hosking, J. R. Wallis, "Parameter and quantile estimation for the generalized
Pareto distribution", Technometrics 29 (1987); R. L. Smith, I. Weissman, "Estimating the extremal index",
JRSS B 56 (1994), for episodes by runs. Counting them at all levels at once, and fading counts in place of a
buffer of peaks, are ours.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import (
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    loaded,
    loaded_float,
    resized,
)
from detector.kernels import rarity as kernel
from detector.kernels.rarity import BINS, BODY_BINS, FIT_SIZE, RESOLUTION, USUAL, Counts
from detector.kernels.vectors import borrowed, prefetch
from detector.online.protocol import Scale
from detector.runs import Runs
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.stream.step import State

__all__ = ["RESOLUTION", "Calibrated", "CalibrationParams", "Calibrator"]

_REFIT_YOUNG: Final = 256
_REFIT: Final = 1_024
_YOUNG: Final = 8_192
# The highest score of the last `quiet_s` is kept for so many parts of that time.
_PARTS: Final = 8
# Instead of fading what is old, what is new weighs more; beyond this, all is scaled down.
_UNIT_MOST: Final = 16.0
_LONGEST_FADE: Final = 50.0

# Of a market: its places and a height for every part of time; and its fit, with what grows as the past fades.
_SEEN, _PART, _TOP, _BEFORE, _HEIGHTS = range(5)
_MARKS: Final = _HEIGHTS + _PARTS
_FITS: Final = FIT_SIZE + 2
# Of so many scores ahead, what they touch is fetched from memory early.
_FETCHED: Final = 16
_UNIT, _TRADES = FIT_SIZE, FIT_SIZE + 1


@dataclass(frozen=True, kw_only=True)
class CalibrationParams:
    """How long to listen, how long to remember, and what belongs together.

    Attributes:
        warm_up_trades: scores before the first rarity, at least 200.
        horizon_trades: about so many past scores matter.
        horizon_days: about so many past days matter.
        quiet_s: event time without a score as high that ends an episode, at a precision of an eighth.
    """

    warm_up_trades: int = 1_000
    horizon_trades: int = 1_000_000
    horizon_days: float = 14.0
    quiet_s: float = 2.0

    def __post_init__(self) -> None:
        if self.warm_up_trades < 200:
            raise ValueError(f"warm_up_trades must be at least 200, not {self.warm_up_trades}")
        if self.horizon_trades < 10_000:
            raise ValueError(f"horizon_trades must be at least 10000, not {self.horizon_trades}")
        if not self.horizon_days > 0:
            raise ValueError(f"horizon_days must be positive, not {self.horizon_days}")
        if not self.quiet_s >= 0.001:
            raise ValueError(f"quiet_s must be at least 0.001, not {self.quiet_s}")

    @property
    def part_us(self) -> int:
        """The part of an episode's silence that is told apart."""
        return round(self.quiet_s * MICROSECONDS_PER_SECOND / _PARTS)


class Calibrated(NamedTuple):
    """What n scores mean.

    Attributes:
        rarities: n, episodes per trade; NaN while warming up, and where the score is none.
        usual: n, the median score so far; NaN while warming up.
    """

    rarities: FloatVector
    usual: FloatVector


@njit(cache=True)
def _move_on(part: int, step: int, marks: IntVector) -> int:
    """Forget what is older than all parts of time, and return the highest bin of what is not; -1: none."""
    # Nothing is left after a long silence; nor when the market's clock was set back, as then nothing says how
    # long it was silent.
    gone = step if 0 < step < _PARTS else _PARTS
    highest = -1
    for k in range(_PARTS):
        at = _HEIGHTS + (part - k) % _PARTS
        if k < gone:
            marks[at] = -1
        highest = max(highest, marks[at])
    return highest


@njit(cache=True)
def _reach(before: int, b: int, unit: float, reached: Counts) -> None:
    """Begin an episode at every level up to a bin that has not been reached lately."""
    # Unsigned: a place that may be negative keeps the compiler from adding to several at once.
    for level in range(np.uint64(before + 1), np.uint64(b + 1)):
        reached[level] += np.float32(unit)


@njit(cache=True)
def _next_refit(seen: int, warm_up: int) -> int:
    """Return after how many scores the next refit comes."""
    if seen < warm_up:
        return warm_up
    young = seen + _REFIT_YOUNG - (seen - warm_up) % _REFIT_YOUNG
    if young < _YOUNG:
        return young
    seen = max(seen, _YOUNG - 1)
    return seen + _REFIT - (seen - warm_up) % _REFIT


@njit(cache=True)
def _scale_down(reached: Counts, body: FloatVector, unit: float) -> None:
    """Count in other units; loops, because whole arrays would slow the caller down at every trade."""
    for level in range(reached.shape[0]):
        reached[level] /= np.float32(unit)
    for b in range(body.shape[0]):
        body[b] /= unit


@njit(cache=True)
def _locate(scores: FloatVector, is_log: bool, positions: FloatVector) -> None:  # noqa: FBT001 - numba passes by position
    """Write where scores lie, in bins; NaN where there is none."""
    for i in range(scores.shape[0]):
        positions[i] = kernel.position(scores[i], is_log) if np.isfinite(scores[i]) else np.nan


class _Flat(NamedTuple):
    """What is kept of all markets, in one dimension."""

    reached: Counts
    tables: Counts
    bodies: FloatVector
    fits: FloatVector
    marks: IntVector


@njit(cache=True)
def _fetch(flat: _Flat, slot: int, positions: FloatVector, start: int, end: int) -> None:
    """Have what a market's rows will touch fetched from memory while another one's are calibrated."""
    place = np.uint64(slot)
    for k in range(0, _FITS, 8):
        prefetch(flat.fits, place * np.uint64(_FITS) + np.uint64(k))
    for k in range(0, _MARKS, 8):
        prefetch(flat.marks, place * np.uint64(_MARKS) + np.uint64(k))
    for i in range(start, min(end, start + _FETCHED)):
        if not np.isnan(positions[i]):
            b = np.uint64(positions[i])
            prefetch(flat.reached, place * np.uint64(BINS) + b)
            prefetch(flat.tables, place * np.uint64(BINS + 1) + b)
            prefetch(flat.bodies, place * np.uint64(BODY_BINS) + b // np.uint64(BINS // BODY_BINS))


@njit(cache=True)
def _calibrate(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    scores: FloatVector,
    clock_us: IntVector,
    is_log: bool,  # noqa: FBT001 - numba passes by position
    warm_up: int,
    growth: float,
    growth_of_part: float,
    part_us: int,
    all_reached: Counts,
    tables: Counts,
    bodies: FloatMatrix,
    fits: FloatMatrix,
    all_marks: IntMatrix,
    rarities: FloatVector,
    usual: FloatVector,
) -> None:
    """Answer each score from what came before it, then count it."""
    _locate(scores, is_log, rarities)
    rarities, all_reached, tables = borrowed(rarities), borrowed(all_reached), borrowed(tables)
    bodies, fits, all_marks = borrowed(bodies), borrowed(fits), borrowed(all_marks)
    flat = _Flat(all_reached.ravel(), tables.ravel(), bodies.ravel(), fits.ravel(), all_marks.ravel())
    for run in range(slots.shape[0]):
        slot = slots[run]
        if run + 1 < slots.shape[0]:
            _fetch(flat, slots[run + 1], rarities, starts[run + 1], starts[run + 2])
        reached, table, body = all_reached[slot], tables[slot], bodies[slot]
        fit, marks = fits[slot], all_marks[slot]
        unit, trades = fit[_UNIT], fit[_TRADES]
        seen, part, before = marks[_SEEN], marks[_PART], marks[_BEFORE]
        refit_at = _next_refit(seen, warm_up)
        part_began_us, height_at = part * part_us, _HEIGHTS + part % _PARTS
        for i in range(starts[run], starts[run + 1]):
            is_warm = seen >= warm_up
            usual[i] = fit[USUAL] if is_warm else np.nan
            at = rarities[i]
            if np.isnan(at):
                continue
            if not 0 <= clock_us[i] - part_began_us < part_us:
                now = clock_us[i] // part_us
                step = now - part
                before = _move_on(now, step, marks)
                if seen > 0 and step > 0:
                    unit *= np.exp(min(step * growth_of_part, _LONGEST_FADE))
                part, part_began_us, height_at = now, now * part_us, _HEIGHTS + now % _PARTS
            rarities[i] = kernel.rarity(at, table, fit) if is_warm else np.nan
            unit *= growth
            trades += unit
            b = int(at)
            body[b // (BINS // BODY_BINS)] += unit
            if b > before:
                _reach(before, b, unit, reached)
                before = b
                marks[_TOP] = max(marks[_TOP], b)
            marks[height_at] = max(marks[height_at], b)
            if unit > _UNIT_MOST:
                _scale_down(reached, body, unit)
                trades /= unit
                unit = 1.0
            seen += 1
            if seen == refit_at:
                kernel.refit(reached, body, unit, trades, marks[_TOP], is_log, table, fit)
                refit_at = _next_refit(seen, warm_up)
        fit[_UNIT], fit[_TRADES] = unit, trades
        marks[_SEEN], marks[_PART], marks[_BEFORE] = seen, part, before


class Calibrator:
    """Learns how often the scores of one detector are reached, on all markets, by slot."""

    def __init__(self, params: CalibrationParams, *, scale: Scale) -> None:
        self._params = params
        self._is_log = scale == "log"
        self._growth = float(np.exp(1.0 / params.horizon_trades))
        self._growth_of_part = params.part_us / (params.horizon_days * MICROSECONDS_PER_DAY)
        self._reached: Counts = np.zeros((0, BINS), np.float32)
        self._tables: Counts = np.zeros((0, BINS + 1), np.float32)
        self._bodies = np.zeros((0, BODY_BINS), np.float64)
        self._fits = np.zeros((0, FIT_SIZE + 2), np.float64)
        self._marks = np.zeros((0, _MARKS), np.int64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - nothing here is random
        """Begin with nothing known."""
        self._reached = resized(self._reached, slot)
        self._tables = resized(self._tables, slot)
        self._bodies = resized(self._bodies, slot)
        self._fits = resized(self._fits, slot)
        self._marks = resized(self._marks, slot)
        self._reached[slot], self._tables[slot], self._bodies[slot], self._fits[slot] = 0.0, 0.0, 0.0, 0.0
        self._fits[slot, _UNIT] = 1.0
        self._marks[slot] = 0
        self._marks[slot, _BEFORE:] = -1

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins with nothing known."""

    def calibrate(self, runs: Runs, scores: FloatVector, clock_us: IntVector) -> Calibrated:
        """Return the rarity of each score in the state before it, and learn it.

        Args:
            runs: whose scores these are.
            scores: n raw scores; those that are not finite are passed over.
            clock_us: n event times, after the rule for late trades.
        """
        rarities = np.empty(len(scores), np.float64)
        usual = np.empty(len(scores), np.float64)
        _calibrate(
            *runs,
            scores,
            clock_us,
            self._is_log,
            self._params.warm_up_trades,
            self._growth,
            self._growth_of_part,
            self._params.part_us,
            self._reached,
            self._tables,
            self._bodies,
            self._fits,
            self._marks,
            rarities,
            usual,
        )
        return Calibrated(rarities, usual)

    def state(self, slot: int) -> State:
        """Return a copy of counts and fit, the counts as the bins after which they change."""
        body = np.flatnonzero(self._bodies[slot])
        return {
            **_steps(self._reached[slot], "reached"),
            **_steps(self._tables[slot], "table"),
            "body_bins": body.astype(np.int64),
            "body_trades": self._bodies[slot, body],
            "fit": self._fits[slot, :FIT_SIZE].copy(),
            "heights": self._marks[slot, _HEIGHTS:].copy(),
            "places": self._marks[slot, :_HEIGHTS].copy(),
            "unit": float(self._fits[slot, _UNIT]),
            "trades": float(self._fits[slot, _TRADES]),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        body = loaded(state, "body_bins", self._marks, shape=(-1,))
        _check_bins(body, "body_bins", BODY_BINS)
        body_trades = loaded(state, "body_trades", self._bodies, shape=body.shape)
        heights = loaded(state, "heights", self._marks, shape=(_PARTS,))
        places = loaded(state, "places", self._marks, shape=(_HEIGHTS,))
        if (
            max(heights.max(), places[_TOP], places[_BEFORE]) >= BINS
            or min(heights.min(), places[_BEFORE]) < -1
        ):
            raise ValueError("heights or places name a bin that does not exist")
        if places[_SEEN] < 0 or places[_TOP] < 0:
            raise ValueError("places holds a negative count")
        self._reached[slot] = _dense(state, "reached", BINS)
        self._tables[slot] = _dense(state, "table", BINS + 1)
        self._bodies[slot] = 0.0
        self._bodies[slot, body] = body_trades
        self._fits[slot, :FIT_SIZE] = loaded(state, "fit", self._fits, shape=(FIT_SIZE,))
        self._fits[slot, FIT_SIZE:] = (loaded_float(state, "unit"), loaded_float(state, "trades"))
        self._marks[slot] = (*places, *heights)


def _steps(counts: Counts, name: str) -> State:
    """Return where counts change, and the counts up to there; above the last place they are 0."""
    ends = np.flatnonzero(np.diff(counts, append=np.float32(0.0)))
    return {f"{name}_ends": ends.astype(np.int64), f"{name}_counts": counts[ends]}


def _dense(state: State, name: str, size: int) -> Counts:
    ends = loaded(state, f"{name}_ends", np.zeros(0, np.int64), shape=(-1,))
    counts = loaded(state, f"{name}_counts", np.zeros(0, np.float32), shape=ends.shape)
    _check_bins(ends, f"{name}_ends", size)
    dense = np.zeros(size, np.float32)
    lengths = np.diff(ends, prepend=-1)
    if (lengths <= 0).any():
        raise ValueError(f"{name}_ends does not rise")
    dense[: lengths.sum()] = np.repeat(counts, lengths)
    return dense


def _check_bins(bins: IntVector, name: str, size: int) -> None:
    if bins.size and (bins.min() < 0 or bins.max() >= size):
        raise ValueError(f"{name} names a bin that does not exist")
