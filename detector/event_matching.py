"""Which alarms were right: labelled events against alarms, matched in time.

An alarm from `early_s` before an event's labelled start to `late_s` after it finds the event; the first one
says when it was detected. Every other alarm before the event of its market is false, once the detector has
had its warm-up; what follows an event is not counted, as aftershocks are neither.
Shares come with the interval of Wilson (95 %).

Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
(1927).

Example:
    >>> minute = 60_000_000
    >>> watch = Watch(market="FUEL-BTC", begins_us=0, start_us=3 * 1_440 * minute)
    >>> start = watch.start_us
    >>> result = match([(watch, [1_500 * minute, start + 5_000_000, start + 9_000_000])], MatchParams())
    >>> result.found, result.events, result.delays_s, result.false_alarms, round(result.watched_days, 3)
    (1, 1, (5.0,), 1, 2.0)
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND

# The normal deviate of 95 %.
_Z: Final = 1.959963984540054


class Watch(NamedTuple):
    """One market up to one labelled event.

    Attributes:
        market: its name.
        begins_us: event time of its first trade.
        start_us: labelled start of the event.
    """

    market: str
    begins_us: int
    start_us: int


@dataclass(frozen=True, kw_only=True)
class MatchParams:
    """What counts as found, and as false.

    Attributes:
        early_s: before the labelled start.
        late_s: after it.
        warm_up_s: after a market's first trade; alarms before that count for nothing.
    """

    early_s: float = 60.0
    late_s: float = 300.0
    warm_up_s: float = 86_400.0


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """How good alarms were.

    Attributes:
        events: labelled ones.
        delays_s: of those found, in the order of the events; negative before the labelled start.
        missed: markets of the others.
        false_alarms: before the events.
        watched_days: market days that these could have happened in.
    """

    events: int
    delays_s: tuple[float, ...]
    missed: tuple[str, ...]
    false_alarms: int
    watched_days: float

    @property
    def found(self) -> int:
        """Events with an alarm."""
        return len(self.delays_s)

    @property
    def recall(self) -> float:
        """Share of the events with an alarm."""
        return self.found / self.events if self.events else math.nan

    @property
    def false_per_30_days(self) -> float:
        """False alarms per market and 30 days."""
        return self.false_alarms / self.watched_days * 30.0 if self.watched_days else math.nan

    @property
    def precision(self) -> float:
        """Share of the alarms that found an event."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else math.nan

    def delay_s(self, quantile: float) -> float:
        """Return a quantile of the delays, interpolated; NaN when nothing was found."""
        if not self.delays_s:
            return math.nan
        ordered = sorted(self.delays_s)
        at = quantile * (len(ordered) - 1)
        low = math.floor(at)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def match(watches: Iterable[tuple[Watch, Sequence[int]]], params: MatchParams) -> MatchResult:
    """Return how good alarms were.

    Args:
        watches: markets with their event, and the event times of all alarms there, in order, in microseconds.
        params: what counts.
    """
    early_us = round(params.early_s * MICROSECONDS_PER_SECOND)
    late_us = round(params.late_s * MICROSECONDS_PER_SECOND)
    warm_up_us = round(params.warm_up_s * MICROSECONDS_PER_SECOND)
    delays_s: list[float] = []
    missed: list[str] = []
    false_alarms, watched_us = 0, 0
    for watch, alarms_us in watches:
        counts_from_us = watch.begins_us + warm_up_us
        false_until_us = watch.start_us - early_us
        hits = [at for at in alarms_us if false_until_us <= at <= watch.start_us + late_us]
        false_alarms += sum(counts_from_us <= at < false_until_us for at in alarms_us)
        watched_us += max(watch.start_us - counts_from_us, 0)
        if hits:
            delays_s.append((hits[0] - watch.start_us) / MICROSECONDS_PER_SECOND)
        else:
            missed.append(watch.market)
    return MatchResult(
        events=len(delays_s) + len(missed),
        delays_s=tuple(delays_s),
        missed=tuple(missed),
        false_alarms=false_alarms,
        watched_days=watched_us / MICROSECONDS_PER_DAY,
    )


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's interval of a share; NaN without trials."""
    if not trials:
        return math.nan, math.nan
    share, weight = successes / trials, _Z * _Z / trials
    centre = share + weight / 2.0
    spread = _Z * math.sqrt((share * (1.0 - share) + weight / 4.0) / trials)
    return (centre - spread) / (1.0 + weight), (centre + spread) / (1.0 + weight)
