"""Pictures of benchmarks, drawn on request (`--plot`) from what was measured in the same run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import plotly.graph_objects as go
import typer

from benchmarks.report import Row
from detector.arrays import FloatVector
from shared import pictures

PlotOption: TypeAlias = Annotated[
    Path | None, typer.Option("--plot", help="picture to write as well: .html or .png")
]

_BAR_PX = 34
# Where errors are alike, lines lie upon one another.
_DASHES = ("solid", "dash", "solid", "solid", "solid", "dot")
_MARKS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")


def bars(path: Path, rows: Sequence[Row], *, figure: str, title: str, unit: str) -> None:
    """Draw one figure of each row as a bar.

    Args:
        path: to write.
        rows: in the order from top to bottom.
        figure: name of it; rows without it are left out.
        title: what is compared.
        unit: title of the axis.
    """
    shown = [row for row in rows if np.isfinite(row.values.get(figure, np.nan))]
    drawn = go.Figure(
        go.Bar(
            x=[row.values[figure] for row in shown],
            y=[row.name for row in shown],
            orientation="h",
            text=[f"{row.values[figure]:.3g}" for row in shown],
            textposition="outside",
            cliponaxis=False,
            marker={"color": pictures.BLUE},
        )
    )
    pictures.style(drawn, title=title, height_px=140 + _BAR_PX * len(shown))
    drawn.update_yaxes(autorange="reversed", automargin=True)
    drawn.update_xaxes(title=unit)
    pictures.write(drawn, path)


def scatter(
    path: Path, rows: Sequence[Row], *, across: tuple[str, str], up: tuple[str, str], title: str
) -> None:
    """Draw each row as a point; what is across is on a logarithmic axis.

    Args:
        path: to write.
        rows: one point each.
        across: name of the figure, and title of the axis.
        up: the same.
        title: what is compared.
    """
    drawn = go.Figure()
    for place, row in enumerate(rows):
        drawn.add_scatter(
            x=[row.values[across[0]]],
            y=[row.values[up[0]]],
            name=row.name,
            mode="markers",
            marker={"size": 13, "symbol": _MARKS[place // len(pictures.COLOURS) % len(_MARKS)]},
        )
    pictures.style(drawn, title=title, height_px=480 + 20 * len(rows))
    drawn.update_xaxes(type="log", title=across[1], exponentformat="none")
    drawn.update_yaxes(title=up[1])
    drawn.update_layout(
        legend={"orientation": "h", "y": -0.2, "entrywidth": 0.48, "entrywidthmode": "fraction"}
    )
    pictures.write(drawn, path)


def errors_after_spike(path: Path, errors: Mapping[str, FloatVector], trades: FloatVector) -> None:
    """Draw how wrong a deviation stays after one huge value has left the window.

    Args:
        path: to write.
        errors: relative error by library, one per place.
        trades: since the huge value, one per place.
    """
    drawn = go.Figure()
    for place, (name, error) in enumerate(errors.items()):
        # An exact figure has no place on a logarithmic axis; it is drawn where doubles end.
        drawn.add_scatter(
            x=trades,
            y=np.maximum(error, 1e-17),
            name=name,
            line={"width": 3.5 if place == 0 else 2.0, "dash": _DASHES[place % len(_DASHES)]},
        )
    title = "BTCUSDC with one price of 10<sup>12</sup>: deviation over 300 trades, after the spike has left"
    pictures.style(drawn, title=title, height_px=520)
    drawn.update_xaxes(title="trades since the spike")
    drawn.update_yaxes(type="log", title="relative error of the standard deviation", exponentformat="power")
    drawn.update_layout(legend={"y": 0.5})
    pictures.write(drawn, path)


def rates(path: Path, nominal: FloatVector, observed: Mapping[str, FloatVector], *, title: str) -> None:
    """Draw observed against nominal rates.

    Args:
        path: to write.
        nominal: episodes per trade.
        observed: by rule, one per nominal rate; NaN where there are too few to tell.
        title: on what.
    """
    drawn = go.Figure()
    drawn.add_scatter(
        x=np.concatenate([nominal, nominal[::-1]]),
        y=np.concatenate([2.0 * nominal, nominal[::-1] / 2.0]),
        fill="toself",
        fillcolor="rgba(0, 0, 0, 0.12)",
        line={"width": 0},
        hoverinfo="skip",
        name="honest, within a factor of 2",
    )
    for place, (name, rate) in enumerate(observed.items()):
        drawn.add_scatter(
            x=nominal,
            y=rate,
            name=name,
            mode="lines+markers",
            line={"width": 3.5 if place == 0 else 1.8, "color": pictures.COLOURS[place]},
            marker={"symbol": _MARKS[place], "size": 7},
        )
    pictures.style(drawn, title=title, height_px=560)
    drawn.update_xaxes(
        type="log",
        autorange="reversed",
        exponentformat="power",
        dtick=1,
        title="nominal rate, episodes per trade",
    )
    drawn.update_yaxes(type="log", exponentformat="power", dtick=1, title="observed rate, episodes per trade")
    pictures.write(drawn, path)


def tail(
    path: Path,
    scores: FloatVector,
    curves: Mapping[str, FloatVector],
    *,
    level: float,
    title: str,
) -> None:
    """Draw how often scores are reached: counted, and as the fitted tail continues.

    Args:
        path: to write.
        scores: m scores, ascending.
        curves: by name, per trade, m each; NaN where there is nothing.
        level: score from which the tail is fitted.
        title: on what.
    """
    drawn = go.Figure()
    lines: tuple[dict[str, str | float], ...] = (
        {"color": pictures.ORANGE, "width": 2, "dash": "dot"},
        {"color": pictures.SKY, "width": 6},
        {"color": pictures.BLACK, "width": 2.5, "dash": "dash"},
    )
    for (name, curve), line in zip(curves.items(), lines, strict=True):
        drawn.add_scatter(x=scores, y=curve, name=name, line=line)
    pictures.style(drawn, title=title, height_px=520)
    drawn.add_vline(x=level, line={"color": pictures.BLACK, "width": 1})
    # Unlike lines, notes want the logarithm of what is on a logarithmic axis.
    note = {
        "text": " the fitted tail begins",
        "xanchor": "left",
        "yref": "paper",
        "y": 0.02,
        "showarrow": False,
    }
    drawn.add_annotation(x=float(np.log10(level)), **note)
    ticks = [3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100]
    limits = np.log10([scores[0], scores[-1]]).tolist()
    drawn.update_xaxes(type="log", title="z-score", tickvals=ticks, range=limits)
    drawn.update_yaxes(type="log", exponentformat="power", dtick=1, title="reached so often, per trade")
    drawn.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.98})
    pictures.write(drawn, path)


def scores_by_market(path: Path, scores: Mapping[str, FloatVector], *, threshold: float, title: str) -> None:
    """Draw the scores of each market as a column of points, the highest market first.

    Args:
        path: to write.
        scores: by market.
        threshold: from which an anomaly is told.
        title: what is compared.
    """
    drawn = go.Figure()
    order = sorted(scores, key=lambda name: -float(scores[name].max()))
    for place, name in enumerate(order):
        drawn.add_scatter(
            x=np.full(len(scores[name]), place),
            y=scores[name],
            name=name,
            mode="markers",
            marker={"size": 5, "color": pictures.COLOURS[place % len(pictures.COLOURS)], "opacity": 0.6},
            showlegend=False,
        )
    pictures.style(drawn, title=title, height_px=620)
    drawn.add_hline(y=threshold, line={"color": pictures.BLACK, "width": 1, "dash": "dash"})
    drawn.update_xaxes(tickvals=list(range(len(order))), ticktext=order, tickangle=-90, tickfont={"size": 8})
    drawn.update_yaxes(title="score: -log<sub>10</sub> of the p-value of all tests")
    pictures.write(drawn, path)
