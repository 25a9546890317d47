"""Detection curves as one picture: a panel per pattern, recall against strength, each with its interval."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from shared import pictures

_COLUMNS: Final = 2
_PANEL_PX: Final = 290
_TITLE_PX: Final = 15
_COLOURS: Final = (pictures.BLUE, pictures.RED, pictures.GREEN, pictures.PURPLE)
_MARKS: Final = ("circle", "square", "diamond", "cross")
_TICKS: Final = tuple(part * 10.0**power for power in range(-3, 4) for part in (1, 2, 5))


class Point(NamedTuple):
    """A point of a curve: what share is found at a strength, with its interval of 95 %."""

    strength: float
    recall: float
    low: float
    high: float


class Panel(NamedTuple):
    """The curves of a pattern.

    Attributes:
        pattern: its name.
        unit: of the strength.
        curves: by name, points in order of strength.
    """

    pattern: str
    unit: str
    curves: Mapping[str, Sequence[Point]]


def draw(path: Path, panels: Iterable[Panel]) -> None:
    """Write the picture, as a page or a PNG.

    Raises:
        TapewatchError: see `shared.pictures.check_path`.
    """
    shown = list(panels)
    rows = -(-len(shown) // _COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=_COLUMNS,
        subplot_titles=[_title(panel) for panel in shown],
        vertical_spacing=0.36 / rows,
        horizontal_spacing=0.09,
    )
    title = "What is found of events hidden in simulated markets"
    pictures.style(figure, title=title, height_px=100 + _PANEL_PX * rows)
    figure.update_annotations(font_size=_TITLE_PX)
    for number, panel in enumerate(shown):
        _panel(figure, panel, row=number // _COLUMNS + 1, column=number % _COLUMNS + 1)
    pictures.write(figure, path)


def _title(panel: Panel) -> str:
    """Return the name of a pattern, and those of its curves in their colours where it has several."""
    names = [f'<span style="color:{colour}">{name}</span>' for name, colour in zip(panel.curves, _COLOURS)]  # noqa: B905 - there are more colours
    return f"<b>{panel.pattern}</b>" + (f": {', '.join(names)}" if len(names) > 1 else "")


def _panel(figure: go.Figure, panel: Panel, *, row: int, column: int) -> None:
    for points, colour, mark in zip(panel.curves.values(), _COLOURS, _MARKS):  # noqa: B905 - as above
        strengths = [point.strength for point in points]
        figure.add_scatter(
            x=strengths + strengths[::-1],
            y=[point.low for point in points] + [point.high for point in reversed(points)],
            mode="lines",
            fill="toself",
            fillcolor=_pale(colour),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            row=row,
            col=column,
        )
        figure.add_scatter(
            x=strengths,
            y=[point.recall for point in points],
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"size": 7, "symbol": mark},
            showlegend=False,
            row=row,
            col=column,
        )
    figure.update_xaxes(type="log", title=panel.unit, tickvals=_TICKS, row=row, col=column)
    title = "found" if column == 1 else None
    figure.update_yaxes(range=[-0.03, 1.03], dtick=0.25, title=title, row=row, col=column)


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"
