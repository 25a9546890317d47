"""The report as one page that needs nothing else: figures, and pictures of hits, misses and false alarms."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from detector.evaluation.drawing import Moment, found_by_time, moment
from detector.evaluation.events import Alarm, Span, Truth
from detector.evaluation.report import Report, digits_of, headings_of, remarks
from detector.evaluation.rules import Rule
from detector.evaluation.scores import Measure, Score, of_kind
from detector.evaluation.tapes import MarketTape
from detector.explain_source import utc
from detector.wording import duration
from shared.clock import MICROSECONDS_PER_SECOND

_STYLE: Final = Path(__file__).with_name("page.css")
_AROUND_US: Final = 600 * MICROSECONDS_PER_SECOND


class _Case(NamedTuple):
    """One hit, miss or false alarm."""

    symbol: str
    exchange: str
    at_us: int
    words: str
    truth: Truth | None
    alarm: Alarm | None


def page(report: Report, *, pictures: int) -> str:
    """Return the page.

    Args:
        report: what came out.
        pictures: of hits, misses and false alarms at most, each, by kind.
    """
    body = "".join(_kind(report, kind, pictures) for kind in report.kinds)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<h1>{escape(report.title)}</h1>
<p>{escape(report.summary())} The same figures with every event and alarm are in
<a href="report.json">report.json</a>.</p>
<details><summary>Command</summary><code>{escape(report.command)}</code></details>
{_other_alarms(report)}
{body}
</body>
</html>
"""


def _other_alarms(report: Report) -> str:
    others = report.other_alarms()
    if not others:
        return ""
    told = ", ".join(f"{escape(kind)} {count:,}" for kind, count in others.items())
    return f'<p class="muted">Not judged, because nothing is labelled of these kinds: {told} alarms.</p>'


def _kind(report: Report, kind: str, pictures: int) -> str:
    scores = report.of_kind(kind)
    first = scores[0]
    cases = _cases(first)
    sections = "".join(
        _pictures(report, first, heading, of_heading, pictures) for heading, of_heading in cases.items()
    )
    notes = "".join(f"<p>{escape(remark)}</p>" for remark in remarks(first))
    return (
        f"<h2>{escape(kind)}</h2><p class='muted'>{escape(_rule_in_words(first.rule))}</p>"
        f"{_table(report, scores)}{notes}{_chart(scores)}"
        f'<p class="muted">Pictures show {escape(first.contestant)}.</p>{_legend()}{sections}'
    )


def _table(report: Report, scores: Sequence[Score]) -> str:
    head = "".join(f"<th>{escape(score.contestant)}</th>" for score in scores)
    rows = [
        _row("events", [f"{score.tally.events:,}" for score in scores]),
        _row("found", [f"{score.tally.found:,}" for score in scores]),
        _row("false alarms", [f"{score.tally.false_alarms:,}" for score in scores]),
        _row("market days watched", [f"{score.tally.watched_days:,.1f}" for score in scores]),
    ]
    for name, heading in headings_of(scores).items():
        rows.append(_row(heading, [_figure(score.measures[name], digits_of(name)) for score in scores]))
    trades = max(report.judged.trades, 1)
    costs = [f"{report.judged.cpu_s[score.contestant] / trades * 1e6:,.1f}" for score in scores]
    rows.append(_row("CPU per trade, µs", costs))
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        '</table></div><p class="muted">In small print: 95 % intervals (Wilson for shares, Poisson for '
        "rates, bootstrap for times and F1).</p>"
    )


def _row(heading: str, cells: Iterable[str]) -> str:
    return f"<tr><td>{escape(heading)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _figure(measure: Measure, digits: int) -> str:
    if math.isnan(measure.value):
        return "-"
    if math.isnan(measure.low):
        return f"{measure.value:,.{digits}f}"
    interval = f"{measure.low:,.{digits}f} to {measure.high:,.{digits}f}"
    return f'{measure.value:,.{digits}f}<span class="interval">{interval}</span>'


def _chart(scores: Sequence[Score]) -> str:
    if not any(score.tally.found for score in scores):
        return ""
    keys = "".join(
        f'<span class="key"><i style="color: var(--c{number % 6})"></i>{escape(score.contestant)}</span>'
        for number, score in enumerate(scores)
    )
    return (
        '<figure class="chart"><figcaption><b>Events found, by time from their labelled start</b><br>'
        f"{keys}</figcaption>{found_by_time(scores)}</figure>"
    )


def _legend() -> str:
    keys = (("alarm", "alarm"), ("truth", "labelled start"), ("other", "alarm of another kind"))
    lines = "".join(
        f'<span class="key"><i style="color: var(--{colour})"></i>{words}</span>' for colour, words in keys
    )
    return (
        f'<p class="muted">{lines}<span class="key">shaded: when an alarm is right</span>'
        '<span class="key">bars: volume in quote units, sold below bought</span></p>'
    )


def _pictures(report: Report, score: Score, heading: str, cases: Sequence[_Case], most: int) -> str:
    if not cases:
        return f"<h3>{heading}: none</h3>"
    drawn = "".join(_picture(report, score, case) for case in cases[:most])
    left = len(cases) - most
    more = f'<p class="muted">{left:,} more without a picture; they are in the list.</p>' if left > 0 else ""
    rows = "".join(
        f"<tr><td>{utc(case.at_us)[:19]}</td><td>{escape(case.symbol)}</td><td>{escape(case.words)}</td></tr>"
        for case in cases
    )
    return (
        f'<h3>{heading}: {len(cases):,}</h3><div class="grid-of-moments">{drawn}</div>{more}'
        f'<details><summary>List of all {len(cases):,}</summary><div class="scroll">'
        f'<table class="list"><tbody>{rows}</tbody></table></div></details>'
    )


def _picture(report: Report, score: Score, case: _Case) -> str:
    tape = _tape_of(report.judged.tapes, case)
    drawn = "" if tape is None else moment(tape, _moment(report, score, case, tape))
    venue = f" on {case.exchange}" if case.exchange else ""
    return (
        f"<figure><figcaption><b>{escape(case.symbol)}{escape(venue)}</b> "
        f'<span class="minor">{utc(case.at_us)[:19]}</span><br>{escape(case.words)}</figcaption>'
        f"{drawn}</figure>"
    )


def _moment(report: Report, score: Score, case: _Case, tape: MarketTape) -> Moment:
    times_us = [case.at_us, *([case.alarm.time_us] if case.alarm else [])]
    span = Span(min(times_us) - _AROUND_US, max(times_us) + _AROUND_US)
    told = [
        alarm
        for alarm in report.judged.alarms[score.contestant]
        if (alarm.exchange, alarm.symbol) == (tape.exchange, tape.symbol)
        and span.start_us <= alarm.time_us < span.end_us
    ]
    own = {alarm.time_us for alarm in of_kind(told, score.kind)}
    return Moment(
        span=span,
        right=score.rule.window(case.truth) if case.truth else None,
        start_us=case.truth.start_us if case.truth else None,
        alarms_us=sorted(own),
        others_us=sorted({alarm.time_us for alarm in told} - own),
    )


def _tape_of(tapes: Iterable[MarketTape], case: _Case) -> MarketTape | None:
    """Return the tape of the market; where the label names no venue, the one that trades most."""
    of_market = [
        tape for tape in tapes if tape.symbol == case.symbol and case.exchange in {"", tape.exchange}
    ]
    return max(of_market, key=lambda tape: len(tape.prices), default=None)


def _cases(score: Score) -> Mapping[str, list[_Case]]:
    outcome = score.outcome
    hits = [
        _Case(
            truth.symbol,
            alarm.exchange,
            truth.start_us,
            f"found {_after((alarm.time_us - truth.start_us) / MICROSECONDS_PER_SECOND)}. {alarm.reason}",
            truth,
            alarm,
        )
        for truth, alarm in outcome.hits
    ]
    missed = [
        _Case(truth.symbol, truth.exchange, truth.start_us, _missed(truth, outcome.told_before), truth, None)
        for truth in outcome.missed
    ]
    false = [
        _Case(alarm.symbol, alarm.exchange, alarm.time_us, alarm.reason, None, alarm)
        for alarm in outcome.false_alarms
    ]
    return {"Hits": hits, "Missed": missed, "False alarms": false}


def _missed(truth: Truth, told_before: Sequence[Truth]) -> str:
    name = f"{truth.name}: " if truth.name else ""
    return f"{name}{'an episode that opened too early was running' if truth in told_before else 'not found'}"


def _after(delay_s: float) -> str:
    if delay_s < 0:
        return f"{duration(-delay_s)} before the labelled start"
    return f"{duration(delay_s)} after the labelled start"


def _rule_in_words(rule: Rule) -> str:
    end = " or up to the labelled end" if rule.to_end else ""
    warm_up = (
        "for a day, or 15 % of what is recorded if that is less"
        if rule.warm_up_s is None
        else f"for {_time(rule.warm_up_s)}"
    )
    return (
        f"An alarm finds an event from {_time(rule.early_s)} before its start to {_time(rule.late_s)} "
        f"after it{end}; one alarm, one event. Alarms until {_time(rule.after_s)} after a start count for "
        f"nothing else, nor does anything while a market warms up ({warm_up})."
    )


def _time(seconds: float) -> str:
    """Return a time that a rule has set, without decimals where there are none."""
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds and seconds % length == 0:
            count = seconds / length
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} s"
