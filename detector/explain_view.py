"""An explanation for people: tables on the terminal, and a picture as a page of HTML."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich.console import Group, RenderableType
from rich.table import Table

from detector.explain import Explanation, Verdict
from detector.wording import amount, price
from shared.clock import MICROSECONDS_PER_SECOND

_MOST_CONTRIBUTIONS: Final = 4
# Keeps the logarithmic axis finite.
_LEAST_SHOWN: Final = 1e-4


def tables(explanation: Explanation) -> RenderableType:
    """Return the judgement of every detector, the features, and what was told around the moment."""
    trade = explanation.trade
    verdicts = Table(
        title=f"{trade.symbol} on {trade.exchange}, trade {trade.trade_id} at {_utc(trade.event_time_us)}, "
        f"price {price(trade.price)}"
    )
    for column in ("detector", "conclusion", "score", "usual", "rarity", "threshold", "floors", "because of"):
        verdicts.add_column(column, overflow="fold")
    for verdict in explanation.verdicts:
        verdicts.add_row(*_cells(verdict))
    features = Table("feature", "value", title="features after the trade")
    for name, value in explanation.features.items():
        features.add_row(name, amount(value))
    told = Table(
        "time", "detector", "phase", "severity", "reason", title="told from 15 minutes before to 5 after"
    )
    for event in explanation.anomalies:
        told.add_row(
            _utc(event.event_time_us), event.detector, event.episode.phase, event.severity, event.reason
        )
    return Group(features, told, verdicts)


def write_plot(explanation: Explanation, path: Path) -> None:
    """Write a page with the price and each detector's strangeness around the moment; it needs no network."""
    course = explanation.course
    times = course.times_us.astype("datetime64[us]")
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        subplot_titles=("price", "times beyond the threshold (from 1 on, with the floors met: an anomaly)"),
    )
    figure.add_trace(go.Scattergl(x=times, y=course.prices, name="price", mode="lines"), row=1, col=1)
    for name, strangeness in course.strangeness.items():
        shown = np.maximum(strangeness, _LEAST_SHOWN)
        figure.add_trace(go.Scattergl(x=times, y=shown, name=name, mode="lines"), row=2, col=1)
    figure.update_yaxes(type="log", row=2, col=1)
    figure.add_hline(y=1.0, line_dash="dot", row=2, col=1)
    figure.add_vline(x=explanation.trade.event_time_us / 1_000, line_dash="dot")
    figure.update_layout(title=f"{explanation.trade.symbol} on {explanation.trade.exchange}", height=800)
    figure.write_html(path, include_plotlyjs=True)


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
    return "unknown" if value is None else f"{value:.4g}"


def _utc(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
