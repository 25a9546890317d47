"""How good each contestant was, by kind of event, and how sure that is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from detector.evaluation.events import ANY_KIND, Alarm, Span, Truth, Watch
from detector.evaluation.intervals import UNKNOWN, Interval, count_interval, quantile_interval, share_interval
from detector.evaluation.judging import Judged
from detector.evaluation.matching import Outcome, Tally, match
from detector.evaluation.rules import RULES, USUAL, Rule

_DRAWS: Final = 2_000


class Measure(NamedTuple):
    """A figure with its interval of 95 %; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good one contestant was on one kind of event.

    Attributes:
        contestant: its name.
        kind: of the events.
        rule: when an alarm was right.
        outcome: each event and alarm.
    """

    contestant: str
    kind: str
    rule: Rule
    outcome: Outcome

    @property
    def tally(self) -> Tally:
        """The outcome in numbers."""
        return self.outcome.tally

    @property
    def measures(self) -> dict[str, Measure]:
        """Every figure by name, the unit in the name."""
        tally = self.tally
        alarms = tally.found + tally.false_alarms
        low, high = count_interval(tally.false_alarms)
        days = tally.watched_days or math.nan
        calls = [is_called for _, is_called in self.outcome.negatives]
        return {
            "recall": Measure(tally.recall, *share_interval(tally.found, tally.events)),
            "precision": Measure(tally.precision, *share_interval(tally.found, alarms)),
            "f1": Measure(tally.f1, *_f1_interval(tally)),
            "false_per_market_day": Measure(tally.false_per_day, low / days, high / days),
            "delay_p50_s": Measure(tally.delay_s(0.5), *quantile_interval(tally.delays_s, 0.5)),
            "delay_p90_s": Measure(tally.delay_s(0.9), *quantile_interval(tally.delays_s, 0.9)),
            "negatives_called": Measure(
                sum(calls) / len(calls) if calls else math.nan, *share_interval(sum(calls), len(calls))
            ),
        }


def scores(
    judged: Judged, truths: Sequence[Truth], *, kinds: Sequence[str], rules: Mapping[str, Rule] = RULES
) -> list[Score]:
    """Return how good every contestant was on every kind of event.

    Args:
        judged: what they said.
        truths: labelled events.
        kinds: that are judged.
        rules: when an alarm is right, by kind; `USUAL` for others.
    """
    watches = _watches(judged)
    return [
        Score(
            contestant=name,
            kind=kind,
            rule=rules.get(kind, USUAL),
            outcome=match(
                [truth for truth in truths if truth.kind == kind],
                of_kind(alarms, kind),
                watches,
                rules.get(kind, USUAL),
            ),
        )
        for kind in kinds
        for name, alarms in judged.alarms.items()
    ]


def _watches(judged: Judged) -> list[Watch]:
    """Return what is recorded; what is told of several markets together is watched as long as any of them."""
    watches = judged.watches
    spans = [span for watch in watches for span in watch.spans]
    whole = Span(min(span.start_us for span in spans), max(span.end_us for span in spans))
    known = {(watch.exchange, watch.symbol) for watch in watches}
    told = {(alarm.exchange, alarm.symbol) for alarms in judged.alarms.values() for alarm in alarms}
    return watches + [Watch(*market, (whole,)) for market in sorted(told - known)]


def of_kind(alarms: Iterable[Alarm], kind: str) -> list[Alarm]:
    """Return the alarms that may find an event of a kind."""
    return [alarm for alarm in alarms if ANY_KIND in {kind, alarm.kind} or alarm.kind == kind]


def _f1_interval(tally: Tally) -> Interval:
    """Return a bootstrap: events drawn anew, and as many false alarms as a Poisson count gives."""
    if not tally.events:
        return UNKNOWN
    rng = np.random.default_rng(1)
    found = rng.binomial(tally.events, tally.recall, _DRAWS)
    f1 = 2.0 * found / (tally.events + found + rng.poisson(tally.false_alarms, _DRAWS))
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)
