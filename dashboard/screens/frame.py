"""The frame around every page: title, style, navigation."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.archive import Archive
from dashboard.desk import Desk
from dashboard.feed import Feed
from dashboard.screens.alerts import AlertsPage
from dashboard.screens.anomalies import AnomaliesPage
from dashboard.screens.faults import draw_faults
from dashboard.screens.live import LivePage
from shared.clock import SystemClock

_STYLE: Final = Path(__file__).parents[1] / "components" / "page.css"


def show_pages(feed: Feed, desk: Desk, archive: Archive) -> None:
    """Show the pages, fed by `feed` and `archive`; what people ask for goes to `desk`."""
    clock = SystemClock()
    _configure()
    pages = [
        st.Page(LivePage(feed=feed, clock=clock).draw, title="Live", url_path="live", default=True),
        st.Page(
            AnomaliesPage(feed=feed, archive=archive, clock=clock).draw,
            title="Anomalies",
            url_path="anomalies",
        ),
        st.Page(AlertsPage(feed=feed, desk=desk, clock=clock).draw, title="Alerts", url_path="alerts"),
    ]
    chosen = st.navigation(pages, position="hidden")
    with st.container(horizontal=True, gap="small", key="pages"):
        for page in pages:
            st.page_link(page)
    chosen.run()


def show_faults(faults: Sequence[str]) -> None:
    """Show what is wrong with the settings, one sentence each, instead of the pages."""
    _configure()
    st.navigation(
        [st.Page(partial(draw_faults, faults), title="Settings", url_path="settings")], position="hidden"
    ).run()


def _configure() -> None:
    st.set_page_config(page_title="Tapewatch", layout="wide", initial_sidebar_state="collapsed")
    st.html(_STYLE)
