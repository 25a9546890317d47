"""The frame around every page: title, style, navigation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.feed import Feed
from dashboard.pages.faults import draw_faults
from dashboard.pages.live import LivePage
from shared.clock import SystemClock

_STYLE: Final = Path(__file__).parents[1] / "components" / "page.css"


def show_live(feed: Feed) -> None:
    """Show the pages, fed by `feed`."""
    _show(LivePage(feed=feed, clock=SystemClock()).draw, title="Live")


def show_faults(faults: list[str]) -> None:
    """Show what is wrong with the settings, one sentence each, instead of the pages."""
    _show(partial(draw_faults, faults), title="Settings")


def _show(draw: Callable[[], None], *, title: str) -> None:
    st.set_page_config(page_title="Tapewatch", layout="wide", initial_sidebar_state="collapsed")
    st.html(_STYLE)
    st.navigation([st.Page(draw, title=title, url_path=title.lower())], position="hidden").run()
