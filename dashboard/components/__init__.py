"""The page's own components: a strip of figures and a grid, drawn in place so that nothing flickers.

The scripts beside this module patch the document instead of rebuilding it, keep the reader's sorting and
scroll position, and write every text with `textContent`: data never becomes markup.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.panels import Grid, Strip

_HERE: Final = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


_STYLE: Final = _text("base.css")
_strip: Final = st.components.v2.component(
    "tapewatch_strip", css=_STYLE + _text("strip.css"), js=_text("strip.js")
)
_grid: Final = st.components.v2.component(
    "tapewatch_grid", css=_STYLE + _text("grid.css"), js=_text("grid.js")
)


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
