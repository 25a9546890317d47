"""What came out, as tables for the terminal and as JSON."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from detector.evaluation.events import Alarm, Truth
from detector.evaluation.judging import Judged
from detector.evaluation.scores import Measure, Score
from detector.explain_source import utc
from shared.clock import MICROSECONDS_PER_DAY

# Headings for people, by name of the measure.
HEADINGS: Final = {
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "false_per_market_day": "false alarms per market and day",
    "delay_p50_s": "time to detect, median, s",
    "delay_p90_s": "time to detect, 90 %, s",
    "negatives_called": "negatives called",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is told.

    Attributes:
        title: what was evaluated.
        judged: what the contestants said; the first one is the one that pictures show.
        scores: by kind and contestant.
        command: that repeats it.
    """

    title: str
    judged: Judged
    scores: Sequence[Score]
    command: str

    @property
    def kinds(self) -> list[str]:
        """The kinds that were judged."""
        return list(dict.fromkeys(score.kind for score in self.scores))

    @property
    def market_days(self) -> float:
        """What was recorded, in days, over all markets."""
        spans = [span for tape in self.judged.tapes for span in tape.spans]
        return sum(span.end_us - span.start_us for span in spans) / MICROSECONDS_PER_DAY

    def of_kind(self, kind: str) -> list[Score]:
        """Return the scores of one kind, contestant by contestant."""
        return [score for score in self.scores if score.kind == kind]

    def other_alarms(self) -> dict[str, int]:
        """Return the first contestant's alarms of kinds that nothing is labelled of."""
        first = next(iter(self.judged.alarms.values()))
        return dict(sorted(Counter(alarm.kind for alarm in first if alarm.kind not in self.kinds).items()))

    def summary(self) -> str:
        """Return what was evaluated, in a sentence."""
        markets = len(self.judged.tapes)
        quotes = f" and {self.judged.quotes:,} quotes" if self.judged.quotes else ""
        return (
            f"{self.judged.trades:,} trades{quotes} of {markets} market{'' if markets == 1 else 's'}, "
            f"{self.market_days:,.1f} market days."
        )


def remarks(score: Score) -> list[str]:
    """Return what else happened to events and alarms, in sentences."""
    outcome = score.outcome
    reasons = Counter(reason for _, reason in outcome.left_out)
    counted = [
        *((count, "event", f"left out: {reason}") for reason, count in sorted(reasons.items())),
        (
            len(outcome.told_before),
            "missed event",
            "began while an episode was running that opened too early",
        ),
        (len(outcome.repeats), "alarm", "repeated one about the same event"),
        (len(outcome.not_counted), "alarm", "not counted: warm-up, aftermath, or nothing labelled"),
    ]
    return [f"{count:,} {noun}{'' if count == 1 else 's'} {what}." for count, noun, what in counted if count]


def shown(measure: Measure, *, digits: int = 2) -> str:
    """Return a figure with its interval."""
    if math.isnan(measure.value):
        return "-"
    value = _number(measure.value, digits)
    if math.isnan(measure.low):
        return value
    return f"{value} ({_number(measure.low, digits)} to {_number(measure.high, digits)})"


def tables(report: Report) -> RenderableType:
    """Return the scores for the terminal."""
    parts: list[RenderableType] = [report.summary()]
    for kind in report.kinds:
        scores = report.of_kind(kind)
        table = Table(title=f"{kind} (95 % intervals)")
        for heading in (
            "",
            "events",
            "found",
            "false alarms",
            *headings_of(scores).values(),
            "CPU, us/trade",
        ):
            table.add_column(heading, justify="left" if not heading else "right", overflow="fold")
        for score in scores:
            table.add_row(*cells(report, score, headings_of(scores)))
        parts += [table, *remarks(scores[0])]
    others = report.other_alarms()
    if others:
        told = ", ".join(f"{kind} {count:,}" for kind, count in others.items())
        parts.append(f"Not judged, because nothing is labelled of these kinds: {told} alarms.")
    return Group(*parts)


def cells(report: Report, score: Score, headings: Iterable[str]) -> list[str]:
    """Return the cells of a score's line."""
    tally = score.tally
    cost = report.judged.cpu_s[score.contestant] / max(report.judged.trades, 1) * 1e6
    figures = [shown(score.measures[name], digits=digits_of(name)) for name in headings]
    return [
        score.contestant,
        f"{tally.events:,}",
        f"{tally.found:,}",
        f"{tally.false_alarms:,} in {tally.watched_days:,.1f} days",
        *figures,
        f"{cost:,.1f}",
    ]


def digits_of(name: str) -> int:
    """Return after how many decimals a measure has no more to say."""
    return 1 if name.endswith("_s") else 3


def headings_of(scores: Sequence[Score]) -> dict[str, str]:
    """Return the measures that are known of any contestant, with their headings."""
    return {
        name: heading
        for name, heading in HEADINGS.items()
        if name != "negatives_called" or any(score.outcome.negatives for score in scores)
    }


def as_json(report: Report) -> str:
    """Return everything as JSON, with each event and alarm."""
    content = {
        "title": report.title,
        "command": report.command,
        "trades": report.judged.trades,
        "quotes": report.judged.quotes,
        "market_days": report.market_days,
        "markets": [
            {
                "exchange": tape.exchange,
                "symbol": tape.symbol,
                "trades": len(tape.prices),
                "recorded": [[utc(span.start_us), utc(span.end_us)] for span in tape.spans],
            }
            for tape in report.judged.tapes
        ],
        "cpu_s": report.judged.cpu_s,
        "other_alarms": report.other_alarms(),
        "scores": [_score(score) for score in report.scores],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _score(score: Score) -> dict[str, object]:
    tally, outcome = score.tally, score.outcome
    return {
        "contestant": score.contestant,
        "kind": score.kind,
        "rule": asdict(score.rule),
        "events": tally.events,
        "found": tally.found,
        "false_alarms": tally.false_alarms,
        "watched_market_days": tally.watched_days,
        "measures": {
            name: dict(zip(("value", "low", "high"), map(_known, measure), strict=True))
            for name, measure in score.measures.items()
        },
        "hits": [
            _event(truth) | {"delay_s": delay_s, "alarm": _alarm(alarm)}
            for (truth, alarm), delay_s in zip(outcome.hits, tally.delays_s, strict=True)
        ],
        "missed": [_event(truth) | {"episode_ran": truth in outcome.told_before} for truth in outcome.missed],
        "false": [_alarm(alarm) for alarm in outcome.false_alarms],
        "repeats": len(outcome.repeats),
        "not_counted": len(outcome.not_counted),
        "left_out": dict(Counter(reason for _, reason in outcome.left_out)),
        "negatives": [_event(truth) | {"called": is_called} for truth, is_called in outcome.negatives],
    }


def _event(truth: Truth) -> dict[str, object]:
    end = None if truth.end_us is None else utc(truth.end_us)
    return {
        "symbol": truth.symbol,
        "exchange": truth.exchange,
        "start": utc(truth.start_us),
        "end": end,
        "id": truth.name,
    }


def _alarm(alarm: Alarm) -> dict[str, object]:
    return {
        "symbol": alarm.symbol,
        "exchange": alarm.exchange,
        "time": utc(alarm.time_us),
        "kind": alarm.kind,
        "reason": alarm.reason,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"
