"""Alarms on one series of numbers: is this unlike its level, its time of day, or any shape seen before?

Idea: five views of a series, each a distance that is large when something is strange:

- `season`: the mean of the last 4 rows against what is usual at this time of day (288 slots of 5 minutes,
  smoothed over 20 minutes to both sides, forgotten within a week; silent for the first two days);
- `level` and `drift`: the means of the last 4 and of the last 48 rows, each against mean and deviation of its
  own past (horizon `history_rows`);
- `motif` and `shape`: distance of the last 24 and 96 rows to the most similar earlier ones (left discord), in
  means of 4 and 8 rows.

Each view learns its own distances: what share of them was higher, with a Pareto tail for the highest 1 %, so
that views with different units can be added. The strangeness is the root of the sum of their squared
-log10(share): two views that agree count for more than one.

Score: the strangeness, where it begins or worsens an alarm; 0 elsewhere. An alarm begins at `alarm_from`, and
is repeated only when it worsens by `worsens_by` beyond everything in the last `quiet_rows`: one burst is one
alarm. Any threshold from `alarm_from` on may be applied to it.

Warm-up: `warm_up_rows`, of each view by itself (0 until then); rows that are not finite are passed over, with
a score of 0.

Cost: the search for similar shapes; it gives up on a candidate as soon as it is farther than the best, and
begins with the follower of what was most similar last time. See `python -m benchmarks nab`.

Blind spots: slow drifts, which are learned; missing rows, as time matters to the time of day alone; what is
strange only together with another series.

Reference: E. Keogh, J. Lin, A. Fu, "HOT SAX: efficiently finding the most unusual time series subsequence",
ICDM 2005, for discords; S. Ahmad, A. Lavin, S. Purdy, Z. Agha, "Unsupervised real-time anomaly detection for
streaming data", Neurocomputing 262 (2017), for the rareness of errors rather than the errors themselves.

Example:
    >>> import numpy as np
    >>> minutes = np.arange(4_000, dtype=np.int64) * 5
    >>> values = np.sin(minutes / 1_440 * 2 * np.pi) + np.random.default_rng(1).normal(0, 0.05, 4_000)
    >>> values[3_000:3_010] += 1.5
    >>> scores = Univariate(UnivariateParams()).score_learn(minutes * 60_000_000, values).scores
    >>> int(scores.argmax()) in range(3_000, 3_010)
    True
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntVector, loaded
from shared.clock import MICROSECONDS_PER_DAY
from shared.stream.step import State

VIEWS: Final = ("season", "level", "drift", "motif", "shape")
_SEASON, _LEVEL, _DRIFT, _MOTIF, _SHAPE = range(5)

_SLOTS: Final = 288
_SLOT_US: Final = MICROSECONDS_PER_DAY // _SLOTS
_SMOOTH_SLOTS: Final = 4
_SEASON_RATE: Final = 0.15
_KNOWN_US: Final = 2 * MICROSECONDS_PER_DAY
# Rows of the short mean and of the long one, and those before either means anything.
_SHORT, _LONG = 4, 48
_LEVEL_LEAST: Final = 100
# Differences below this share of a value are rounding.
_NEGLIGIBLE: Final = 1e-9
# Segments of a shape, rows in a segment, rows between two candidates.
_MOTIF_FORM: Final = (6, _SHORT, 2)
_SHAPE_FORM: Final = (12, 8, 4)

_BINS: Final = 2_048
_BINS_PER_OCTAVE: Final = 16.0
_LOWEST_OCTAVE: Final = -64.0
_TAIL_FRACTION: Final = 0.01
_TAIL_LEAST: Final = 10.0
# Half an octave of excess, with the weight of four distances: what a tail is before it is known.
_PRIOR_EXCESS: Final = 8.0
_PRIOR_WEIGHT: Final = 4.0
_REFIT: Final = 16
# What a sample of thousands can say about rareness ends long before this many decades.
_MOST_DECADES: Final = 100.0
_TAIL_AT, _TAIL_SHARE, _TAIL_MEAN = range(3)

# Places in `counters` (two for the nearest shapes, then one per view) and in a row of `moments`.
_ROWS, _FIRST_US, _NEAREST, _COUNTED = 0, 1, 2, 4
_WEIGHT, _MEAN, _VARIANCE = range(3)


@dataclass(frozen=True, kw_only=True)
class UnivariateParams:
    """How long it listens and remembers, and what an alarm is.

    Attributes:
        history_rows: rows that shapes are looked for in, and horizon of the level.
        warm_up_rows: distances of a view before it has a say.
        alarm_from: strangeness from which on there is an alarm.
        worsens_by: strangeness by which an alarm must worsen to be repeated.
        quiet_rows: rows without anything as strange, after which an alarm is a new one.
    """

    history_rows: int = 4_000
    warm_up_rows: int = 300
    alarm_from: float = 3.7
    worsens_by: float = 3.0
    quiet_rows: int = 200

    def __post_init__(self) -> None:
        if self.history_rows < 400:
            raise ValueError(f"history_rows must be at least 400, not {self.history_rows}")
        if self.warm_up_rows < 20:
            raise ValueError(f"warm_up_rows must be at least 20, not {self.warm_up_rows}")
        if self.quiet_rows < 1:
            raise ValueError(f"quiet_rows must be at least 1, not {self.quiet_rows}")
        if not (self.alarm_from > 0 and self.worsens_by > 0):
            raise ValueError("alarm_from and worsens_by must be above 0")


class UnivariateScored(NamedTuple):
    """The judgement of n rows.

    Attributes:
        scores: n, above 0 where an alarm begins or worsens.
        strangeness: n, 0 where all is usual; what the scores are made of.
        views: n rows, one column per name in `VIEWS`: -log10 of the share of distances as large.
    """

    scores: FloatVector
    strangeness: FloatVector
    views: FloatMatrix


@njit(cache=True)
def _refit(counts: FloatVector, total: float, tail: FloatVector) -> None:
    """Choose where the tail begins, and fit its mean excess, in bins."""
    wanted = max(_TAIL_FRACTION * total, _TAIL_LEAST)
    above = excess = 0.0
    at = _BINS - 1
    while at > 0 and above + counts[at] < wanted:
        above += counts[at]
        at -= 1
    above += counts[at]
    for b in range(at, _BINS):
        excess += counts[b] * (b + 0.5 - at)
    tail[_TAIL_AT] = at
    tail[_TAIL_SHARE] = above / total
    tail[_TAIL_MEAN] = max((excess + _PRIOR_EXCESS * _PRIOR_WEIGHT) / (above + _PRIOR_WEIGHT), 1.0)


@njit(cache=True)
def _rareness(
    distance: float, view: int, warm_up: int, counts: FloatMatrix, tails: FloatMatrix, counters: IntVector
) -> float:
    """Return -log10 of the share of distances as large, 0 below the tail; then count this one."""
    known = counters[_COUNTED + view]
    octave = np.log2(distance) if distance > 0.0 else _LOWEST_OCTAVE
    at = min(max((octave - _LOWEST_OCTAVE) * _BINS_PER_OCTAVE, 0.0), _BINS - 1.0)
    decades = 0.0
    if known >= warm_up and at > tails[view, _TAIL_AT]:
        beyond = (at - tails[view, _TAIL_AT]) / tails[view, _TAIL_MEAN]
        decades = min(beyond / np.log(10.0) - np.log10(tails[view, _TAIL_SHARE]), _MOST_DECADES)
    counts[view, int(at)] += 1.0
    known += 1
    counters[_COUNTED + view] = known
    if known >= warm_up and (known - warm_up) % _REFIT == 0:
        _refit(counts[view], float(known), tails[view])
    return float(decades)


@njit(cache=True)
def _season_distance(value: float, slot: int, season: FloatMatrix) -> float:
    """Return the distance from what is usual around a time of day, NaN while nothing is known; then learn."""
    total = known = 0.0
    for k in range(-_SMOOTH_SLOTS, _SMOOTH_SLOTS + 1):
        near = (slot + k) % _SLOTS
        if season[1, near] > 0.0:
            total += season[0, near]
            known += 1.0
    season[1, slot] += 1.0
    season[0, slot] += max(_SEASON_RATE, 1.0 / season[1, slot]) * (value - season[0, slot])
    return abs(value - total / known) if known > 0.0 else np.nan


@njit(cache=True)
def _level_distance(value: float, seq: int, horizon: int, moments: FloatVector) -> float:
    """Return the distance from the mean, in deviations, NaN while nothing is known; then learn."""
    distance = np.nan
    if seq >= _LEVEL_LEAST:
        least = _NEGLIGIBLE * abs(moments[_MEAN]) + 1e-300
        distance = abs(value - moments[_MEAN]) / max(np.sqrt(moments[_VARIANCE]), least)
    moments[_WEIGHT] = moments[_WEIGHT] * (1.0 - 1.0 / horizon) + 1.0
    share = 1.0 / moments[_WEIGHT]
    delta = value - moments[_MEAN]
    moments[_MEAN] += share * delta
    moments[_VARIANCE] = (1.0 - share) * (moments[_VARIANCE] + share * delta * delta)
    return distance


@njit(cache=True)
def _put(ring: FloatVector, seq: int, value: float) -> None:
    """Write row `seq` into a ring that holds all rows twice, so that no stretch of it is cut in two."""
    room = ring.shape[0] >> 1
    ring[seq % room] = value
    ring[seq % room + room] = value


@njit(cache=True)
def _mean(ring: FloatVector, seq: int, rows: int) -> float:
    """Return the mean of the last rows up to row `seq`."""
    room = ring.shape[0] >> 1
    now = seq % room + room
    count = min(rows, seq + 1)
    total = 0.0
    for k in range(count):
        total += ring[now - k]
    return total / count


@njit(cache=True)
def _squared(means: FloatVector, now: int, then: int, segments: int, rows: int, limit: float) -> float:
    """Return the squared distance of two shapes by where they end, or something above the limit."""
    total = 0.0
    for k in range(0, segments * rows, rows):
        delta = means[now - k] - means[then - k]
        total += delta * delta
        if total >= limit:
            break
    return total


@njit(cache=True)
def _shape_distance(
    means: FloatVector, seq: int, history: int, form: tuple[int, int, int], nearest: IntVector, which: int
) -> float:
    """Return the distance of the shape that ends at row `seq` to the most similar earlier one, or NaN."""
    segments, rows, stride = form
    span = segments * rows
    if seq < 2 * span:
        return np.nan
    now = seq % (means.shape[0] >> 1) + (means.shape[0] >> 1)
    farthest = min(history, seq - span)
    # What was most similar to the row before is likely followed by what is most similar to this one.
    best, back = np.inf, nearest[which]
    if span <= back <= farthest:
        best = _squared(means, now, now - back, segments, rows, np.inf)
    for ago in range(span, farthest + 1, stride):
        squared = _squared(means, now, now - ago, segments, rows, best)
        if squared < best:
            best, back = squared, ago
    nearest[which] = back
    return float(np.sqrt(best / segments))


@njit(cache=True)
def _score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    times_us: IntVector,
    values: FloatVector,
    history: int,
    warm_up: int,
    alarm_from: float,
    worsens_by: float,
    recent: FloatVector,
    short: FloatVector,
    long: FloatVector,
    season: FloatMatrix,
    moments: FloatMatrix,
    counts: FloatMatrix,
    tails: FloatMatrix,
    lately: FloatVector,
    counters: IntVector,
    scores: FloatVector,
    strangeness: FloatVector,
    views: FloatMatrix,
) -> None:
    """Judge each row by what came before it, then learn it."""
    distances = np.empty(len(VIEWS))
    nearest = counters[_NEAREST : _NEAREST + 2]
    for i in range(values.shape[0]):
        if not np.isfinite(values[i]):
            continue
        seq = counters[_ROWS]
        if seq == 0:
            counters[_FIRST_US] = times_us[i]
        _put(recent, seq, values[i])
        value = _mean(recent, seq, _SHORT)
        _put(short, seq, value)
        _put(long, seq, _mean(recent, seq, _SHAPE_FORM[1]))
        negligible = _NEGLIGIBLE * abs(values[i])
        slot = (times_us[i] % MICROSECONDS_PER_DAY) // _SLOT_US
        distances[_SEASON] = _season_distance(value, slot, season)
        if times_us[i] - counters[_FIRST_US] < _KNOWN_US:
            distances[_SEASON] = np.nan
        distances[_LEVEL] = _level_distance(value, seq, history, moments[0])
        distances[_DRIFT] = _level_distance(_mean(recent, seq, _LONG), seq, history, moments[1])
        distances[_MOTIF] = _shape_distance(short, seq, history, _MOTIF_FORM, nearest, 0)
        distances[_SHAPE] = _shape_distance(long, seq, history, _SHAPE_FORM, nearest, 1)
        squares = 0.0
        for view in range(len(VIEWS)):
            distance = distances[view]
            if np.isnan(distance):
                continue
            if view not in (_LEVEL, _DRIFT) and distance <= negligible:
                distance = 0.0
            views[i, view] = _rareness(distance, view, warm_up, counts, tails, counters)
            squares += views[i, view] ** 2
        strange = np.sqrt(squares)
        strangeness[i] = strange
        if strange >= alarm_from:
            before = lately.max()
            if (
                before < alarm_from
                or (strange - alarm_from) // worsens_by > (before - alarm_from) // worsens_by
            ):
                scores[i] = strange
        lately[seq % lately.shape[0]] = strange
        counters[_ROWS] = seq + 1


class _Memory(NamedTuple):
    """All that is known of a series.

    Attributes:
        recent: rows, twice (`_put`).
        short: means of 4 rows, twice.
        long: means of 8 rows, twice.
        season: per slot of the day the usual value, and below it how often it was seen.
        moments: of the means of 4 and of 48 rows.
        counts: of distances, by view and bin.
        tails: by view.
        lately: the last strangenesses, in a ring.
        counters: see `_ROWS` and its neighbours.
    """

    recent: FloatVector
    short: FloatVector
    long: FloatVector
    season: FloatMatrix
    moments: FloatMatrix
    counts: FloatMatrix
    tails: FloatMatrix
    lately: FloatVector
    counters: IntVector


class Univariate:
    """Finds anomalies in one series, row by row, without looking ahead."""

    def __init__(self, params: UnivariateParams) -> None:
        self._params = params
        room = 2 * (params.history_rows + _SHAPE_FORM[0] * _SHAPE_FORM[1])
        self._memory = _Memory(
            recent=np.zeros(room, np.float64),
            short=np.zeros(room, np.float64),
            long=np.zeros(room, np.float64),
            season=np.zeros((2, _SLOTS), np.float64),
            moments=np.zeros((2, 3), np.float64),
            counts=np.zeros((len(VIEWS), _BINS), np.float64),
            tails=np.zeros((len(VIEWS), 3), np.float64),
            lately=np.zeros(params.quiet_rows, np.float64),
            counters=np.zeros(_COUNTED + len(VIEWS), np.int64),
        )

    def score_learn(self, times_us: IntVector, values: FloatVector) -> UnivariateScored:
        """Score each row, then learn it; any split of the rows gives bit-identical results.

        Args:
            times_us: n times since the epoch, which only tell the time of day.
            values: n numbers.

        Raises:
            ValueError: there are not as many times as values.
        """
        if len(times_us) != len(values):
            raise ValueError(f"{len(times_us)} times for {len(values)} values")
        scored = UnivariateScored(
            np.zeros(len(values), np.float64),
            np.zeros(len(values), np.float64),
            np.zeros((len(values), len(VIEWS)), np.float64),
        )
        _score_learn(
            times_us,
            values,
            self._params.history_rows,
            self._params.warm_up_rows,
            self._params.alarm_from,
            self._params.worsens_by,
            *self._memory,
            *scored,
        )
        return scored

    def state(self) -> State:
        """Return a copy of the whole state."""
        return {name: array.copy() for name, array in self._memory._asdict().items()}

    def load_state(self, state: State) -> None:
        """Go on from a state, bit-identically.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        memory = _Memory(
            **{
                name: loaded(state, name, array, shape=array.shape)
                for name, array in self._memory._asdict().items()
            }
        )
        if memory.counters[_ROWS] < 0 or (memory.counters[_COUNTED:] < 0).any():
            raise ValueError("counters must not be negative")
        self._memory = memory
