"""Raw scores to rarity: the probability that a trade of this market scores at least as high.

Idea (SPOT): what is usual is counted; what is beyond is extrapolated by extreme-value theory, by which the
excesses over a high level follow a generalised Pareto distribution.

- Counts: scores are counted in fine bins (2.2 % wide for scores of the `log` scale, 1/2048 for `unit`). Older
  counts fade, so that about `horizon_trades` of the past matter, and drift is followed.
- Refit: at the end of the warm-up, then after every 256 trades, from 8,192 trades on after every 1,024.
  Between two refits the answer to a score does not change.
- Level: the tail is the highest 2 % at first; as history grows it becomes the highest 1,000 scores.
- Tail: generalised Pareto by probability-weighted moments, in bins, that is on the logarithm of a `log`
  score. The shape is shrunk towards 0 by the weight of `_SHAPE_PRIOR` peaks, and stays between -0.1
  (-0.5 for `unit`) and 0.5.
  Excesses above twelve times the median excess count as that, so one huge score moves nothing.
- Rarity: never below `RESOLUTION`; never rises with the score; NaN while warming up.

Reference: A. Siffer, P.-A. Fouque, A. Termier, C. Largouet, "Anomaly Detection in Streams with Extreme Value
Theory", KDD 2017; J. R. M. Hosking, J. R. Wallis, "Parameter and quantile estimation for the generalized
Pareto distribution", Technometrics 29 (1987). Fading counts in place of a buffer of peaks are ours.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatVector, IntVector, loaded, loaded_int
from detector.online.protocol import Scale
from shared.stream.step import State

RESOLUTION: Final = 1e-9

_BINS: Final = 2_048
_BINS_PER_OCTAVE: Final = 32.0
_LOWEST_OCTAVE: Final = -24.0
_TAIL_FRACTION: Final = 0.02
_TAIL_MIN: Final = 20.0
_TAIL_MAX: Final = 1_000.0
_SHAPE_PRIOR: Final = 50.0
# A shape below 0 means that the tail ends somewhere. Scores of the `unit` scale do end; of others, a
# sample cannot say that anything is impossible.
_SHAPE_LEAST_UNIT: Final = -0.5
_SHAPE_LEAST_LOG: Final = -0.1
_SHAPE_MOST: Final = 0.5
_EXCESS_LIMIT: Final = 12.0
_REFIT_YOUNG: Final = 256
_REFIT: Final = 1_024
_YOUNG: Final = 8_192

# The fit: edge of the tail in bins, weight of the tail, scale in bins, shape, median in bins.
_LEVEL, _WEIGHT, _SIGMA, _SHAPE, _MEDIAN = range(5)


@dataclass(frozen=True, kw_only=True)
class CalibrationParams:
    """How long to listen and how long to remember.

    Attributes:
        warm_up_trades: scores before the first rarity, at least 200.
        horizon_trades: about so many past scores matter.
    """

    warm_up_trades: int = 1_000
    horizon_trades: int = 200_000

    def __post_init__(self) -> None:
        if self.warm_up_trades < 200:
            raise ValueError(f"warm_up_trades must be at least 200, not {self.warm_up_trades}")
        if self.horizon_trades < 10_000:
            raise ValueError(f"horizon_trades must be at least 10000, not {self.horizon_trades}")


class Calibrated(NamedTuple):
    """What n scores mean.

    Attributes:
        rarities: n probabilities; NaN while warming up, and where the score is none.
        usual: n, the median score so far; NaN while warming up.
    """

    rarities: FloatVector
    usual: FloatVector


@njit(cache=True)
def _position(score: float, is_log: bool) -> float:  # noqa: FBT001 - numba passes by position
    """Return where a score lies, in bins."""
    if is_log:
        at = (np.log2(score) - _LOWEST_OCTAVE) * _BINS_PER_OCTAVE if score > 0.0 else 0.0
    else:
        at = score * _BINS
    return float(min(max(at, 0.0), _BINS - 1e-6))


@njit(cache=True)
def _survival(counts: FloatVector, survival: FloatVector) -> float:
    """Write the share of counts at or above the lower edge of each bin, and return the total."""
    total = counts.sum()
    above = 0.0
    survival[_BINS] = 0.0
    for at in range(_BINS - 1, -1, -1):
        above += counts[at]
        survival[at] = min(1.0, above / total)
    return float(total)


@njit(cache=True)
def _quantile_bin(counts: FloatVector, first: int, weight: float) -> float:
    """Return where, from the lower edge of bin `first`, `weight` of the counts has been passed, in bins."""
    passed = 0.0
    for at in range(first, _BINS):
        if passed + counts[at] >= weight and counts[at] > 0.0:
            return float(at + (weight - passed) / counts[at])
        passed += counts[at]
    return float(_BINS)


@njit(cache=True)
def _refit(counts: FloatVector, is_log: bool, survival: FloatVector, fit: FloatVector) -> None:  # noqa: FBT001 - numba passes by position
    """Choose the level and fit the tail above it."""
    least = _SHAPE_LEAST_LOG if is_log else _SHAPE_LEAST_UNIT
    total = _survival(counts, survival)
    wanted = min(max(_TAIL_FRACTION * total, _TAIL_MIN), _TAIL_MAX)
    level = _BINS - 1
    while level > 0 and survival[level] * total < wanted:
        level -= 1
    tail = survival[level] * total
    limit = _EXCESS_LIMIT * max(1.0, _quantile_bin(counts, level, 0.5 * tail) - level)
    # Weighted moments of the excesses e with survival S: a0 = E[e], a1 = E[e S].
    a0 = a1 = passed = 0.0
    for at in range(level, _BINS):
        if counts[at] > 0.0:
            excess = min(at + 0.5 - level, limit)
            a0 += counts[at] * excess
            a1 += counts[at] * excess * (1.0 - (passed + 0.5 * counts[at]) / tail)
            passed += counts[at]
    a0 /= tail
    a1 /= tail
    shape = 2.0 - a0 / (a0 - 2.0 * a1) if a0 > 2.0 * a1 else least
    shape = min(max(shape * tail / (tail + _SHAPE_PRIOR), least), _SHAPE_MOST)
    fit[_LEVEL] = level
    fit[_WEIGHT] = survival[level]
    fit[_SIGMA] = max(a0 * (1.0 - shape), 0.5)
    fit[_SHAPE] = shape
    fit[_MEDIAN] = _quantile_bin(counts, 0, 0.5 * total)


@njit(cache=True)
def _rarity(at: float, survival: FloatVector, fit: FloatVector) -> float:
    """Return the probability of a score at or beyond a position."""
    excess = at - fit[_LEVEL]
    if excess <= 0.0:
        lower = int(at)
        share = survival[lower] + (at - lower) * (survival[lower + 1] - survival[lower])
        return float(max(share, fit[_WEIGHT]))
    shape, sigma = fit[_SHAPE], fit[_SIGMA]
    if abs(shape) < 1e-6:
        beyond = np.exp(-excess / sigma)
    else:
        beyond = max(1.0 + shape * excess / sigma, 0.0) ** (-1.0 / shape)
    return float(max(fit[_WEIGHT] * beyond, RESOLUTION))


@njit(cache=True)
def _score_of(at: float, is_log: bool) -> float:  # noqa: FBT001 - numba passes by position
    """Return the score at a position."""
    if is_log:
        return float(2.0 ** (at / _BINS_PER_OCTAVE + _LOWEST_OCTAVE))
    return at / _BINS


@njit(cache=True)
def _calibrate(  # noqa: PLR0917 - compiled; buffers come by position
    scores: FloatVector,
    is_log: bool,  # noqa: FBT001 - numba passes by position
    warm_up: int,
    horizon: int,
    base: FloatVector,
    fresh: FloatVector,
    survival: FloatVector,
    fit: FloatVector,
    seen: IntVector,
    rarities: FloatVector,
    usual: FloatVector,
) -> None:
    """Answer each score from what came before it, then count it."""
    median = _score_of(fit[_MEDIAN], is_log) if seen[0] >= warm_up else np.nan
    for i in range(scores.shape[0]):
        usual[i] = median
        rarities[i] = np.nan
        if not np.isfinite(scores[i]):
            continue
        at = _position(scores[i], is_log)
        if seen[0] >= warm_up:
            rarities[i] = _rarity(at, survival, fit)
        fresh[int(at)] += 1.0
        seen[0] += 1
        since = seen[0] - warm_up
        every = _REFIT_YOUNG if seen[0] < _YOUNG else _REFIT
        if since >= 0 and since % every == 0:
            fade = np.exp(-every / horizon)
            for b in range(_BINS):
                base[b] = base[b] * fade + fresh[b]
                fresh[b] = 0.0
            _refit(base, is_log, survival, fit)
            median = _score_of(fit[_MEDIAN], is_log)


class Calibrator:
    """Learns how usual the scores of one detector on one market are."""

    def __init__(self, params: CalibrationParams, *, scale: Scale) -> None:
        self._params = params
        self._is_log = scale == "log"
        self._base = np.zeros(_BINS, np.float64)
        self._fresh = np.zeros(_BINS, np.float64)
        self._survival = np.zeros(_BINS + 1, np.float64)
        self._fit = np.zeros(5, np.float64)
        self._seen = np.zeros(1, np.int64)

    def calibrate(self, scores: FloatVector) -> Calibrated:
        """Return the rarity of each score in the state before it, and learn it.

        Args:
            scores: n raw scores; those that are not finite are passed over.
        """
        rarities = np.empty(len(scores), np.float64)
        usual = np.empty(len(scores), np.float64)
        _calibrate(
            scores,
            self._is_log,
            self._params.warm_up_trades,
            self._params.horizon_trades,
            self._base,
            self._fresh,
            self._survival,
            self._fit,
            self._seen,
            rarities,
            usual,
        )
        return Calibrated(rarities, usual)

    def state(self) -> State:
        """Return the counts, without the empty bins; the fit follows from them."""
        base, fresh = np.flatnonzero(self._base), np.flatnonzero(self._fresh)
        return {
            "base_bins": base.astype(np.int64),
            "base_counts": self._base[base],
            "fresh_bins": fresh.astype(np.int64),
            "fresh_counts": self._fresh[fresh],
            "seen": int(self._seen[0]),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        base = self._dense(state, "base")
        fresh = self._dense(state, "fresh")
        self._seen[0] = loaded_int(state, "seen")
        self._base, self._fresh = base, fresh
        if self._seen[0] >= self._params.warm_up_trades:
            _refit(self._base, self._is_log, self._survival, self._fit)

    def _dense(self, state: State, name: str) -> FloatVector:
        bins = loaded(state, f"{name}_bins", np.zeros(0, np.int64), shape=(-1,))
        counts = loaded(state, f"{name}_counts", np.zeros(0, np.float64), shape=bins.shape)
        if bins.size and (bins.min() < 0 or bins.max() >= _BINS):
            raise ValueError(f"{name}_bins names a bin that does not exist")
        dense = np.zeros(_BINS, np.float64)
        dense[bins] = counts
        return dense
