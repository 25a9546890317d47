"""Which alarms were right: labelled events against alarms of the same kind, matched in time.

An alarm is the opening of an episode; its updates are none. It can find an event of its market (and of its
venue, where the label names one) from `early_s` before the labelled start to `late_s` after it; where the
rule says so, to the labelled end if that is later. An event is found by one alarm at most, and an alarm
finds one event at most: alarms in order of time, each the open event that is the first to become too late
for. That finds as many events as any assignment could.

Every other alarm is
- a *repeat* within the time of an event that is found already: neither right nor wrong;
- *not counted* while the market warms up, within `after_s` after an event's start (what follows an event is
  not labelled, and aftershocks are neither), and where the labels say that nothing is known;
- *false* anywhere else. The time in which an alarm would be false is what rates of false alarms refer to.

A market warms up for a day, or for 15 % of what is recorded of it, if that is less (as in the Numenta Anomaly
Benchmark), each time that it begins anew. Events that start then, or outside of what is recorded, are left
out: neither found nor missed; so are those that show in quotes alone where there are none.

Example:
    >>> minute = 60_000_000
    >>> start = 3 * 1_440 * minute
    >>> times_us = (1_500 * minute, start + 5_000_000, start + 9_000_000)
    >>> alarms = [Alarm("pump_dump", "binance", "FUEL-BTC", time_us) for time_us in times_us]
    >>> event = Truth("pump_dump", "FUEL-BTC", start)
    >>> watch = Watch("binance", "FUEL-BTC", (Span(0, start + 1_440 * minute),))
    >>> outcome = match([event], alarms, [watch], Rule(early_s=60, late_s=300, after_s=86_400))
    >>> [alarm.time_us - event.start_us for event, alarm in outcome.hits], len(outcome.repeats)
    ([5000000], 1)
    >>> [alarm.time_us // minute for alarm in outcome.false_alarms], round(outcome.watched_us / start, 3)
    ([1500], 0.8)
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from detector.evaluation.events import Alarm, Label, Span, Truth, Watch
from detector.evaluation.rules import Rule
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND

_T = TypeVar("_T", Truth, Alarm, Watch)


@dataclass(kw_only=True)
class Outcome:
    """What became of events and alarms of one kind.

    Attributes:
        hits: events with the alarm that found each.
        missed: events without.
        told_before: of those, the events that began while an episode was running that had opened too early.
        false_alarms: alarms without an event.
        repeats: alarms about an event that was found already.
        not_counted: alarms while warming up, in an aftermath, or where nothing is known.
        left_out: events, each with the reason.
        negatives: what must not be taken for an event, with whether it was.
        watched_us: market time in which an alarm would be false.
    """

    hits: list[tuple[Truth, Alarm]] = field(default_factory=list)
    missed: list[Truth] = field(default_factory=list)
    told_before: list[Truth] = field(default_factory=list)
    false_alarms: list[Alarm] = field(default_factory=list)
    repeats: list[Alarm] = field(default_factory=list)
    not_counted: list[Alarm] = field(default_factory=list)
    left_out: list[tuple[Truth, str]] = field(default_factory=list)
    negatives: list[tuple[Truth, bool]] = field(default_factory=list)
    watched_us: int = 0

    @property
    def tally(self) -> "Tally":
        """The same in numbers."""
        delays_s = [(alarm.time_us - truth.start_us) / MICROSECONDS_PER_SECOND for truth, alarm in self.hits]
        return Tally(
            events=len(self.hits) + len(self.missed),
            delays_s=tuple(delays_s),
            false_alarms=len(self.false_alarms),
            watched_days=self.watched_us / MICROSECONDS_PER_DAY,
        )


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How good alarms were, in numbers.

    Attributes:
        events: labelled ones.
        delays_s: of those found, from the labelled start to the alarm; negative before it.
        false_alarms: alarms without an event.
        watched_days: market days that these could have happened in.
    """

    events: int = 0
    delays_s: tuple[float, ...] = ()
    false_alarms: int = 0
    watched_days: float = 0.0

    @classmethod
    def of_all(cls, tallies: Collection["Tally"]) -> "Tally":
        """Return several as one."""
        return cls(
            events=sum(tally.events for tally in tallies),
            delays_s=tuple(delay_s for tally in tallies for delay_s in tally.delays_s),
            false_alarms=sum(tally.false_alarms for tally in tallies),
            watched_days=sum(tally.watched_days for tally in tallies),
        )

    @property
    def found(self) -> int:
        """Events with an alarm."""
        return len(self.delays_s)

    @property
    def recall(self) -> float:
        """Share of the events with an alarm."""
        return self.found / self.events if self.events else math.nan

    @property
    def precision(self) -> float:
        """Share of the alarms that found an event."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of both: events found, over the mean of events and alarms."""
        both = self.events + self.found + self.false_alarms
        return 2.0 * self.found / both if self.events else math.nan

    @property
    def false_per_day(self) -> float:
        """False alarms per market and day."""
        return self.false_alarms / self.watched_days if self.watched_days else math.nan

    @property
    def false_per_30_days(self) -> float:
        """False alarms per market and 30 days."""
        return self.false_per_day * 30.0

    def delay_s(self, quantile: float) -> float:
        """Return a quantile of the delays, interpolated; NaN when nothing was found."""
        if not self.delays_s:
            return math.nan
        ordered = sorted(self.delays_s)
        at = quantile * (len(ordered) - 1)
        low = math.floor(at)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def match(truths: Iterable[Truth], alarms: Iterable[Alarm], watches: Iterable[Watch], rule: Rule) -> Outcome:
    """Return what became of events and alarms, all of one kind.

    Args:
        truths: of the kind.
        alarms: of the kind.
        watches: what is recorded; alarms elsewhere are not counted.
        rule: of the kind.
    """
    of_market = _by_symbol(truths)
    alarmed = _by_symbol(alarms)
    watched = _by_symbol(watches)
    outcome = Outcome()
    for symbol in sorted(of_market.keys() | alarmed.keys() | watched.keys()):
        market = _Market(of_market[symbol], watched[symbol], rule)
        market.settle(sorted(alarmed[symbol], key=lambda alarm: alarm.time_us), outcome)
    return outcome


class _Market:
    """The labels of one market, on all its venues."""

    def __init__(self, truths: Sequence[Truth], watches: Sequence[Watch], rule: Rule) -> None:
        self._rule = rule
        self._truths = sorted(truths, key=lambda truth: truth.start_us)
        self._judged: dict[str, list[Span]] = {}
        recorded = {watch.exchange: watch.spans for watch in watches}
        for exchange, spans in recorded.items():
            self._judged[exchange] = [
                Span(min(span.start_us + rule.warm_up_us(span), span.end_us), span.end_us) for span in spans
            ]
        self._recorded = recorded
        self._quoted = {watch.exchange: watch.quoted for watch in watches}
        self._silent = {exchange: self._not_counted_on(exchange) for exchange in recorded}

    def settle(self, alarms: Sequence[Alarm], outcome: Outcome) -> None:
        events: list[Truth] = []
        for truth in self._truths:
            if truth.label is Label.EVENT:
                reason = self._why_left_out(truth)
                if reason:
                    outcome.left_out.append((truth, reason))
                else:
                    events.append(truth)
        found: dict[int, Alarm] = {}
        first_false = len(outcome.false_alarms)
        for alarm in alarms:
            self._place(alarm, events, found, outcome)
        outcome.hits += [(events[at], found[at]) for at in sorted(found)]
        missed = [truth for at, truth in enumerate(events) if at not in found]
        outcome.missed += missed
        outcome.told_before += [truth for truth in missed if self._is_running(truth, alarms)]
        called = outcome.false_alarms[first_false:]
        outcome.negatives += [
            (truth, any(self._is_right(truth, alarm) for alarm in called))
            for truth in self._truths
            if truth.label is Label.NEGATIVE and not self._why_left_out(truth)
        ]
        outcome.watched_us += sum(
            _overlap(self._judged[exchange], self._silent[exchange]) for exchange in self._recorded
        )

    def _place(
        self, alarm: Alarm, events: Sequence[Truth], found: dict[int, Alarm], outcome: Outcome
    ) -> None:
        right = [at for at, truth in enumerate(events) if self._is_right(truth, alarm)]
        free = [at for at in right if at not in found]
        if free:
            found[min(free, key=lambda at: self._rule.window(events[at]).end_us)] = alarm
        elif right:
            outcome.repeats.append(alarm)
        elif self._counts(alarm):
            outcome.false_alarms.append(alarm)
        else:
            outcome.not_counted.append(alarm)

    def _is_right(self, truth: Truth, alarm: Alarm) -> bool:
        to_end = truth.label is Label.NEGATIVE and truth.end_us is not None
        window = self._rule.window(truth)
        end_us = max(window.end_us, truth.end_us or 0) if to_end else window.end_us
        return truth.exchange in {"", alarm.exchange} and window.start_us <= alarm.time_us < end_us

    def _counts(self, alarm: Alarm) -> bool:
        judged = self._judged.get(alarm.exchange, ())
        if not any(span.start_us <= alarm.time_us < span.end_us for span in judged):
            return False
        return not any(span.start_us <= alarm.time_us < span.end_us for span in self._silent[alarm.exchange])

    def _not_counted_on(self, exchange: str) -> list[Span]:
        """Return when no alarm is false: around events, and where nothing is known."""
        spans = []
        for truth in self._truths:
            if truth.exchange not in {"", exchange}:
                continue
            if truth.label is Label.EVENT:
                spans.append(self._rule.aftermath(truth))
            elif truth.label is Label.UNLABELLED:
                spans.append(Span(truth.start_us, truth.end_us or truth.start_us))
        return spans

    def _why_left_out(self, truth: Truth) -> str:
        """Return why a truth says nothing about the alarms; empty when it does."""
        venues = [exchange for exchange in self._recorded if truth.exchange in {"", exchange}]
        if not any(_holds(self._recorded[exchange], truth.start_us) for exchange in venues):
            return "not recorded"
        if truth.needs_quotes and not any(
            (quoted := self._quoted[exchange]) and _holds((quoted,), truth.start_us) for exchange in venues
        ):
            return "seen in quotes alone, and none are given"
        if not any(_holds(self._judged[exchange], truth.start_us) for exchange in venues):
            return "warming up"
        return ""

    def _is_running(self, truth: Truth, alarms: Sequence[Alarm]) -> bool:
        return any(
            alarm.time_us < truth.start_us <= alarm.until_us and truth.exchange in {"", alarm.exchange}
            for alarm in alarms
        )


def _by_symbol(things: Iterable[_T]) -> defaultdict[str, list[_T]]:
    found: defaultdict[str, list[_T]] = defaultdict(list)
    for thing in things:
        found[thing.symbol].append(thing)
    return found


def _holds(spans: Iterable[Span], time_us: int) -> bool:
    return any(span.start_us <= time_us < span.end_us for span in spans)


def _overlap(spans: Sequence[Span], without: Sequence[Span]) -> int:
    """Return the length of spans without what is cut out of them, in microseconds."""
    total = 0
    for span in spans:
        at_us = span.start_us
        for start_us, end_us in sorted(without):
            total += max(min(start_us, span.end_us) - at_us, 0)
            at_us = max(at_us, end_us)
        total += max(span.end_us - at_us, 0)
    return total
