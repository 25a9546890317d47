"""What is usual at this hour: volume, rate and volatility less their rhythm of day and week.

Idea: markets have hours. Without a correction, the opening of New York is strange on every weekday, and what
is strange at four in the morning passes at noon.

- Each column is averaged over every hour of event time, one row per `SAMPLE_S` at most, so that busy minutes
  don't outvote quiet ones. At its end an hour is learned by its bin of the day (24) and of the week (168);
  bins forget, at rates of 1/14 (days) and 1/4 (weeks).
- Nothing is corrected until every hour of the day was seen thrice; then the correction grows from nothing
  to full over a day, so that it is no jump by itself.
- The correction is the hour's difference from the mean of all hours. The bin of the week is given n / (n + 2)
  of the weight after n weeks, and the bin of the day the rest: a bin of the week that was seen once says
  little, and nothing is lost while it is unknown.
- Between the middles of two hours it is interpolated, so that no hour begins with a jump.

Hours without a row are not learned. A clock that goes back by more than an hour begins a new hour; less is
taken for the running hour.

Cost: a look-up and an interpolation per row.
"""

from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatCube, FloatMatrix, FloatVector, IntMatrix, IntVector, loaded, resized
from detector.runs import Runs
from shared.stream.step import State

SAMPLE_S: Final = 5.0

_HOUR_S: Final = 3_600.0
_DAY, _WEEK = 24, 168
# The first of January 1970 was a Thursday; bins of the week begin on Monday.
_FIRST_WEEKDAY: Final = 3 * _DAY
_KNOWN_DAYS: Final = 3
_GROWS_HOURS: Final = 24.0
_DAY_RATE: Final = 1.0 / 14.0
_WEEK_RATE: Final = 1.0 / 4.0
_WEEK_PRIOR: Final = 2.0
# Places in the counters: hours since the epoch, samples in it, and hours since all bins were known.
_HOUR, _SAMPLES, _KNOWN_HOURS = range(3)


@njit(cache=True)
def _week_bin(hour: int) -> int:
    return (hour + _FIRST_WEEKDAY) % _WEEK


@njit(cache=True)
def _learn_hour(counters: IntVector, running: FloatVector, bins: FloatMatrix, seen: FloatVector) -> None:
    """Learn a finished hour; rows 0 to 23 of the bins are those of the day, the others those of the week."""
    hour = counters[_HOUR]
    for at, rate in ((hour % _DAY, _DAY_RATE), (_DAY + _week_bin(hour), _WEEK_RATE)):
        seen[at] += 1.0
        for k in range(running.shape[0]):
            bins[at, k] += max(rate, 1.0 / seen[at]) * (running[k] - bins[at, k])
    if counters[_KNOWN_HOURS] > 0 or seen[:_DAY].min() >= _KNOWN_DAYS:
        counters[_KNOWN_HOURS] += 1


@njit(cache=True)
def _offset(hour: int, k: int, bins: FloatMatrix, seen: FloatVector) -> float:
    """Return by how much column `k` differs at an hour from its mean over the day."""
    mean = 0.0
    for at in range(_DAY):
        mean += bins[at, k]
    of_day = bins[hour % _DAY, k]
    at = _DAY + _week_bin(hour)
    weight = seen[at] / (seen[at] + _WEEK_PRIOR)
    return float(of_day + weight * (bins[at, k] - of_day) - mean / _DAY)


@njit(cache=True)
def _fill_offsets(
    hour: int, counters: IntVector, bins: FloatMatrix, seen: FloatVector, offsets: FloatMatrix
) -> None:
    """Compute the offsets of the hour before, of this hour and of the next one."""
    share = min(1.0, counters[_KNOWN_HOURS] / _GROWS_HOURS)
    for k in range(bins.shape[1]):
        for near in range(3):
            offsets[near, k] = share * _offset(hour + near - 1, k, bins, seen) if share > 0.0 else 0.0


@njit(cache=True)
def _adjust(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    times_s: FloatVector,
    columns: IntVector,
    counters: IntMatrix,
    sampled_s: FloatVector,
    running: FloatMatrix,
    bins: FloatCube,
    seen: FloatMatrix,
    offsets: FloatCube,
    points: FloatMatrix,
) -> None:
    """Learn each point, after its rhythm has been taken from it."""
    for run in range(slots.shape[0]):
        slot = slots[run]
        for i in range(starts[run], starts[run + 1]):
            hour = int(times_s[i] // _HOUR_S)
            is_new = hour > counters[slot, _HOUR] or hour < counters[slot, _HOUR] - 1
            if is_new:
                if counters[slot, _SAMPLES] > 0:
                    _learn_hour(counters[slot], running[slot], bins[slot], seen[slot])
                counters[slot, _HOUR] = hour
                counters[slot, _SAMPLES] = 0
                _fill_offsets(hour, counters[slot], bins[slot], seen[slot], offsets[slot])
            is_sample = is_new or times_s[i] - sampled_s[slot] >= SAMPLE_S
            if is_sample:
                counters[slot, _SAMPLES] += 1
                sampled_s[slot] = times_s[i]
            # From the middle of this hour towards the middle of the one before or after.
            away = min(max(times_s[i] / _HOUR_S - counters[slot, _HOUR] - 0.5, -0.5), 0.5)
            near = 2 if away > 0.0 else 0
            for k in range(columns.shape[0]):
                value = points[i, columns[k]]
                if is_sample:
                    before = 0.0 if counters[slot, _SAMPLES] == 1 else running[slot, k]
                    running[slot, k] = before + (value - before) / counters[slot, _SAMPLES]
                here = offsets[slot, 1, k]
                points[i, columns[k]] = value - here - abs(away) * (offsets[slot, near, k] - here)


class Seasonal:
    """Takes the rhythm of day and week from columns of many markets, by slot."""

    def __init__(self, columns: IntVector) -> None:
        """Make the stage.

        Args:
            columns: places of the columns that have a rhythm; logarithms, as a rhythm multiplies.
        """
        self._columns = columns
        width = len(columns)
        self._counters = np.zeros((0, 3), np.int64)
        self._sampled_s = np.zeros(0, np.float64)
        self._running = np.zeros((0, width), np.float64)
        self._bins = np.zeros((0, _DAY + _WEEK, width), np.float64)
        self._seen = np.zeros((0, _DAY + _WEEK), np.float64)
        self._offsets = np.zeros((0, 3, width), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Begin with nothing known."""
        self._counters = resized(self._counters, slot)
        self._sampled_s = resized(self._sampled_s, slot)
        self._running = resized(self._running, slot)
        self._bins = resized(self._bins, slot)
        self._seen = resized(self._seen, slot)
        self._offsets = resized(self._offsets, slot)
        for array in (self._counters, self._running, self._bins, self._seen, self._offsets):
            array[slot] = 0
        self._sampled_s[slot] = 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins with nothing known."""

    def adjust(self, runs: Runs, times_s: FloatVector, points: FloatMatrix) -> None:
        """Take the rhythm from n rows in place, and learn them.

        Args:
            runs: whose rows these are.
            times_s: n event times since the epoch.
            points: n rows.
        """
        _adjust(
            *runs,
            times_s,
            self._columns,
            self._counters,
            self._sampled_s,
            self._running,
            self._bins,
            self._seen,
            self._offsets,
            points,
        )

    def state(self, slot: int) -> State:
        """Return a copy of what is known of one market."""
        return {
            "counters": self._counters[slot].copy(),
            "sampled_s": self._sampled_s[slot : slot + 1].copy(),
            "running": self._running[slot].copy(),
            "bins": self._bins[slot].copy(),
            "seen": self._seen[slot].copy(),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state, bit-identically.

        Raises:
            ValueError: it is damaged, or of other columns.
        """
        self._counters[slot] = loaded(state, "counters", self._counters, shape=self._counters.shape[1:])
        self._sampled_s[slot] = loaded(state, "sampled_s", self._sampled_s, shape=(1,))[0]
        self._running[slot] = loaded(state, "running", self._running, shape=self._running.shape[1:])
        self._bins[slot] = loaded(state, "bins", self._bins, shape=self._bins.shape[1:])
        self._seen[slot] = loaded(state, "seen", self._seen, shape=self._seen.shape[1:])
        hour = int(self._counters[slot, _HOUR])
        _fill_offsets(hour, self._counters[slot], self._bins[slot], self._seen[slot], self._offsets[slot])
