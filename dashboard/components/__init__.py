"""The page's own components: a strip of figures, a grid, a chart; drawn in place, so that nothing flickers.

The scripts beside this module patch the document instead of rebuilding it, keep the reader's sorting and
scroll position, and write every text with `textContent`: data never becomes markup.

The chart is Plotly's, but not `st.plotly_chart`: that one counts its figure as part of its identity
(Streamlit 1.67, whatever its `key`), so that every update would put a new chart in the place of the old one,
which flickers and forgets pan and zoom. Plotly's script comes from the `plotly` package and is sent once, by
`load_plotly`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import streamlit as st
from plotly.offline import get_plotlyjs

from dashboard.chart import PlotData
from dashboard.panels import Grid, Strip

_HERE: Final = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _plotly_module() -> str:
    # The script puts itself at `window.Plotly`; a component is a module with a default export.
    arrived = 'window.dispatchEvent(new Event("tapewatch-plotly"));'
    return f"{get_plotlyjs()}\n{arrived}\nexport default function () {{}}\n"


_PLOT_CONFIG: Final = {
    "displayModeBar": False,
    "scrollZoom": True,
    "doubleClick": False,
    "responsive": True,
}
_STYLE: Final = _text("base.css")
_strip: Final = st.components.v2.component(
    "tapewatch_strip", css=_STYLE + _text("strip.css"), js=_text("strip.js")
)
_grid: Final = st.components.v2.component(
    "tapewatch_grid", css=_STYLE + _text("grid.css"), js=_text("grid.js")
)


_chart: Final = st.components.v2.component("tapewatch_chart", js=_text("chart.js"), isolate_styles=False)
_plotly: Final = st.components.v2.component("tapewatch_plotly", js=_plotly_module(), isolate_styles=False)


def load_plotly() -> None:
    """Send Plotly's script (5 MB) to the browser; to be called outside the parts that update."""
    _plotly(key="plotly", height=1)


def draw_chart(figure: PlotData, *, key: str, label: str) -> None:
    """Put a chart on the page; it is drawn once `load_plotly` has been called as well.

    Args:
        figure: what Plotly draws.
        key: stable identity on the page.
        label: what screen readers say.
    """
    _chart(key=key, data={"figure": figure, "config": _PLOT_CONFIG, "label": label})


def draw_strip(strip: Strip, *, key: str, variant: str = "plain") -> None:
    """Put a strip on the page.

    Args:
        strip: what it says.
        key: stable identity on the page.
        variant: `masthead`, `quote`, `story` or `plain`; its look.
    """
    _strip(key=key, data={**strip.data(), "variant": variant})


def draw_grid(
    grid: Grid, *, key: str, max_height_px: int, on_choice: Callable[[str], None] | None = None
) -> None:
    """Put a grid on the page.

    Args:
        grid: what it shows.
        key: stable identity on the page.
        max_height_px: where it stops growing; more rows scroll inside it.
        on_choice: called with the id of a row that the reader chooses.
    """

    def chosen() -> None:
        row_id = st.session_state[key].choice
        if on_choice is not None and isinstance(row_id, str):
            on_choice(row_id)

    _grid(key=key, data={**grid.data(), "max_height_px": max_height_px}, on_choice_change=chosen)
