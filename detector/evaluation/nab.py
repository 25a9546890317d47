"""How good a detector is on labelled data: the score of the Numenta Anomaly Benchmark.

The benchmark asks for early alarms and few false ones. Each anomaly is a window of rows. The first alarm in
a window earns up to `tp_weight`, the earlier the more; a window without any costs `fn_weight`; an alarm
outside costs up to `fp_weight`, less when it comes just after a window. The first 15 % of a series, 750 rows
at most, are for learning and never count. The sum over all series is scaled so that a detector without alarms
has 0, and one with a single alarm at the start of every window 100. A detector has one threshold for all
series, the one that is best for it.

Reference: A. Lavin, S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly
Benchmark", ICMLA 2015; positions, weights and probation as in version 1.1 of the benchmark.

Example:
    >>> import numpy as np
    >>> series = NabSeries(np.zeros(1_000), ((500, 599),))
    >>> series.scores[500] = 1.0
    >>> result = nab_score([series], NAB_STANDARD)
    >>> round(result.score, 6), result.threshold, result.found, result.false_alarms
    (100.0, 1.0, 1, 0)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatVector, IntVector

_PROBATION_FRACTION: Final = 0.15
_PROBATION_ROWS_MAX: Final = 750
# From here on, in widths of the window, a false alarm owes nothing to the window before it.
_FAR: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class NabProfile:
    """What an application values.

    Attributes:
        name: as in the benchmark.
        tp_weight: most that a window's first alarm earns.
        fp_weight: most that a false alarm costs.
        fn_weight: cost of a window without an alarm.
    """

    name: str
    tp_weight: float
    fp_weight: float
    fn_weight: float


NAB_STANDARD: Final = NabProfile(name="standard", tp_weight=1.0, fp_weight=0.11, fn_weight=1.0)
NAB_LOW_FP: Final = NabProfile(name="reward low FP rate", tp_weight=1.0, fp_weight=0.22, fn_weight=1.0)
NAB_LOW_FN: Final = NabProfile(name="reward low FN rate", tp_weight=1.0, fp_weight=0.11, fn_weight=2.0)
NAB_PROFILES: Final = (NAB_STANDARD, NAB_LOW_FP, NAB_LOW_FN)


class NabSeries(NamedTuple):
    """What a detector said about one series.

    Attributes:
        scores: n, one a row; higher is stranger, and NaN never an alarm.
        windows: first and last row of every anomaly, in order and apart from one another.
    """

    scores: FloatVector
    windows: tuple[tuple[int, int], ...]


class NabResult(NamedTuple):
    """The score at one threshold.

    Attributes:
        score: 0 without alarms, 100 at best, below 0 where false alarms outweigh what was found.
        threshold: scores from here on are alarms; infinite: none is.
        found: windows with an alarm.
        windows: windows in all.
        false_alarms: rows outside of windows with an alarm.
    """

    score: float
    threshold: float
    found: int
    windows: int
    false_alarms: int


def probation_rows(rows: int) -> int:
    """Return how many rows at the start of a series are for learning only."""
    return min(int(_PROBATION_FRACTION * rows), _PROBATION_ROWS_MAX)


def scaled_sigmoid(position: FloatVector) -> FloatVector:
    """Return the worth of alarms, from 1 to -1.

    Args:
        position: n, relative to a window: -1 at its start, 0 just after its end, 1 a width later.
    """
    worth: FloatVector = 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, _FAR))) - 1.0
    worth[position >= _FAR] = -1.0
    return worth


class _Events(NamedTuple):
    """What changes when the threshold sinks to a score: one entry per row that changes anything."""

    scores: FloatVector
    gains: FloatVector
    found: IntVector
    false_alarms: IntVector


def _false_alarms(series: NabSeries, profile: NabProfile) -> _Events:
    """Return what alarms outside of windows cost."""
    rows = len(series.scores)
    is_outside = np.ones(rows, np.bool_)
    position = np.full(rows, _FAR)
    for first, last in series.windows:
        is_outside[first : last + 1] = False
        width = max(last - first, 1)
        position[last + 1 :] = np.arange(1, rows - last) / width
    at = np.flatnonzero(is_outside & ~np.isnan(series.scores))
    at = at[at >= probation_rows(rows)]
    gains = scaled_sigmoid(position[at]) * profile.fp_weight
    return _Events(series.scores[at], gains, np.zeros(len(at), np.int64), np.ones(len(at), np.int64))


def _window(series: NabSeries, first: int, last: int, profile: NabProfile) -> _Events:
    """Return what alarms in a window earn: each only as far as it is earlier than those at a higher score."""
    at = np.arange(max(first, probation_rows(len(series.scores))), last + 1)
    at = at[~np.isnan(series.scores[at])]
    at = at[np.argsort(-series.scores[at], kind="stable")]
    position = (at - last - 1) / (last - first + 1)
    worth = profile.tp_weight * scaled_sigmoid(position) / scaled_sigmoid(np.array([-1.0]))[0]
    best = np.maximum.accumulate(worth)
    gains = np.diff(best, prepend=-profile.fn_weight)
    is_first = np.zeros(len(at), np.int64)
    is_first[:1] = 1
    return _Events(series.scores[at], gains, is_first, np.zeros(len(at), np.int64))


def _all_windows(series: Sequence[NabSeries]) -> list[tuple[NabSeries, int, int]]:
    return [
        (one, first, last)
        for one in series
        for first, last in one.windows
        if last >= probation_rows(len(one.scores))
    ]


def nab_score(
    series: Sequence[NabSeries], profile: NabProfile, *, threshold: float | None = None
) -> NabResult:
    """Return a detector's score over all series.

    Args:
        series: what it said, series by series.
        profile: what is valued.
        threshold: from which on a score is an alarm; None: the one with the best result.

    Raises:
        ValueError: no series has a window.
    """
    windows = _all_windows(series)
    if not windows:
        raise ValueError("without a labelled window there is nothing to score")
    parts = [_false_alarms(one, profile) for one in series]
    parts += [_window(one, first, last, profile) for one, first, last in windows]
    events = _Events(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.argsort(-events.scores, kind="stable")
    scores = np.concatenate([[np.inf], events.scores[order]])
    # Equal scores become alarms together, so only the last of them is a threshold.
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    null = -profile.fn_weight * len(windows)
    totals = null + np.concatenate([[0.0], np.cumsum(events.gains[order])])[ends]
    if threshold is None:
        best = int(np.argmax(totals))
    else:
        best = int(np.searchsorted(-scores[ends], -threshold, side="right")) - 1
    count = int(ends[best])
    chosen = order[:count]
    return NabResult(
        score=float(100.0 * (totals[best] - null) / (profile.tp_weight * len(windows) - null)),
        threshold=float(scores[ends[best]]) if threshold is None else threshold,
        found=int(events.found[chosen].sum()),
        windows=len(windows),
        false_alarms=int(events.false_alarms[chosen].sum()),
    )
