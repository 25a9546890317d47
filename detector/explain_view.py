"""An explanation for people: tables on the terminal."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from detector.explain import Explanation, Verdict
from detector.explain_source import utc
from detector.wording import amount, duration, price
from shared.clock import MICROSECONDS_PER_SECOND

_MOST_CONTRIBUTIONS: Final = 4


def tables(explanation: Explanation, *, at_us: int) -> RenderableType:
    """Return the judgement of every detector, the features, and what was told around the moment.

    Args:
        explanation: of the last trade until the moment.
        at_us: the moment.
    """
    trade = explanation.trade
    before = duration((at_us - trade.event_time_us) / MICROSECONDS_PER_SECOND)
    verdicts = Table(
        title=f"{trade.symbol} on {trade.exchange}, price {price(trade.price)}, trade {trade.trade_id} at "
        f"{utc(trade.event_time_us)}, the last one until the moment asked for, {before} before it"
    )
    for column in ("detector", "conclusion", "score", "usual", "rarity", "threshold", "floors", "because of"):
        verdicts.add_column(column, overflow="fold")
    for verdict in explanation.verdicts:
        verdicts.add_row(*_cells(verdict))
    features = Table("feature", "value", title="features after the trade")
    for name, value in explanation.features.items():
        features.add_row(name, amount(value))
    told = Table(
        "time", "detector", "phase", "severity", "reason", title="told from 30 minutes before to 10 after"
    )
    for event in explanation.anomalies:
        told.add_row(
            utc(event.event_time_us), event.detector, event.episode.phase, event.severity, event.reason
        )
    return Group(features, told, verdicts)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    parts = sorted(verdict.contributions.items(), key=lambda item: -item[1])[:_MOST_CONTRIBUTIONS]
    return (
        verdict.detector,
        verdict.conclusion,
        _number(verdict.score),
        _number(verdict.usual_score),
        _number(verdict.rarity),
        f"{verdict.threshold:.3g} ({verdict.decides_on})",
        "met" if verdict.meets_floors else "not met",
        ", ".join(f"{name} {share * 100:.0f} %" for name, share in parts if share > 0.005),
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value + 0.0:.4g}"
