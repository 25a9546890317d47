"""The live page: markets, one market's chart, anomalies and the pipeline, redrawn in place every second."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard.chart import SPANS_S, ChartParams, price_chart
from dashboard.components import draw_chart, draw_grid, draw_strip, load_plotly
from dashboard.feed import Feed
from dashboard.health import masthead, worker_grid
from dashboard.notices import notice_grid
from dashboard.palette import ThemeName
from dashboard.state import View
from dashboard.views import (
    anomaly_summary,
    anomaly_table,
    choose_market,
    latest_story,
    market_grid,
    quote,
    recent_episodes,
)
from shared.clock import Clock
from shared.events import Severity

REFRESH_S: Final = 1.0
_MARKET, _INTERVAL, _FOLLOWED, _ONLY = "market", "interval_s", "followed", "only_this_market"
_INTERVAL_LABELS: Final = {1: "1 s", 5: "5 s", 60: "1 min"}
_CHART_AREA_PX: Final = 520
_MARKETS_HEIGHT_PX: Final = 460
_WORKERS_HEIGHT_PX: Final = 320
_NOTICES_HEIGHT_PX: Final = 300
_ANOMALIES_HEIGHT_PX: Final = 284


@dataclass(frozen=True, kw_only=True)
class LivePage:
    """What the page is made from.

    Attributes:
        feed: the process's feed.
        clock: ours.
    """

    feed: Feed
    clock: Clock

    def draw(self) -> None:
        """Draw the page; from then on the browser asks for what is new every second."""
        _live(self)
        load_plotly()


@st.fragment(run_every=REFRESH_S)
def _live(page: LivePage) -> None:
    now_us = page.clock.now_us()
    feed = page.feed.view()
    view = feed.data
    head = masthead(feed, now_us=now_us)
    draw_strip(head, key="masthead", variant="masthead")
    chosen = choose_market(view, st.session_state.get(_MARKET))
    left, right = st.columns([2.1, 1], gap="small")
    with left:
        if chosen is None:
            _placeholder()
        else:
            st.session_state[_MARKET] = chosen
            _market(view, chosen, is_stale=head.stale)
        _anomalies(view, chosen)
    with right:
        markets = market_grid(view, chosen=chosen, is_stale=head.stale)
        draw_grid(markets, key="markets", max_height_px=_MARKETS_HEIGHT_PX, on_choice=_choose)
        draw_grid(worker_grid(view, now_us=now_us), key="workers", max_height_px=_WORKERS_HEIGHT_PX)
        draw_grid(notice_grid(view), key="notices", max_height_px=_NOTICES_HEIGHT_PX)


def _placeholder() -> None:
    with st.container(height=_CHART_AREA_PX, border=True, key="placeholder"):
        st.caption("The chart appears with the first trade.")


def _market(view: View, symbol: str, *, is_stale: bool) -> None:
    market = view.markets[symbol]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chart_head"):
        draw_strip(quote(market, view, is_stale=is_stale), key="quote", variant="quote")
        st.segmented_control(
            "length of a bar",
            list(SPANS_S),
            default=5,
            required=True,
            format_func=_INTERVAL_LABELS.__getitem__,
            key=_INTERVAL,
            label_visibility="collapsed",
        )
        st.button("Follow", key="follow", on_click=_follow, help="back to the newest trades")
    params = ChartParams(
        interval_s=st.session_state[_INTERVAL], theme=_theme(), view_id=st.session_state.get(_FOLLOWED, 0)
    )
    figure = price_chart(market, params)
    draw_chart(figure, key="price_chart", label=f"price, volume and anomalies of {symbol}")
    draw_strip(latest_story(market, view), key="story", variant="story")


def _anomalies(view: View, chosen: str | None) -> None:
    config = st.column_config
    recent = recent_episodes(view)
    with st.container(horizontal=True, vertical_alignment="center", key="anomalies_head"):
        draw_strip(anomaly_summary(recent), key="anomaly_summary")
        is_only = st.toggle("only this market", key=_ONLY, disabled=chosen is None)
    st.dataframe(
        anomaly_table(recent, market=chosen if is_only else None),
        key="anomalies",
        width="stretch",
        height=_ANOMALIES_HEIGHT_PX,
        hide_index=True,
        row_height=28,
        column_config={
            "time": config.DatetimeColumn("Time, UTC", format="HH:mm:ss", width=68),
            "severity": config.MultiselectColumn(
                "Severity",
                options=[severity.value for severity in Severity],
                color=["gray", "blue", "orange", "red"],
                width=72,
            ),
            "market": config.TextColumn("Market", width=78),
            "kind": config.TextColumn("Kind", width=78),
            "reason": config.TextColumn("Why", width=420),
            "rarity": config.NumberColumn("Rarity, 1 in", format="compact", width=78),
            "lasted": config.TextColumn("Lasted", width=84),
            "alert": config.TextColumn("Alert", width=72),
        },
    )


def _theme() -> ThemeName:
    return "dark" if st.context.theme.type == "dark" else "light"


def _choose(symbol: str) -> None:
    st.session_state[_MARKET] = symbol


def _follow() -> None:
    st.session_state[_FOLLOWED] = st.session_state.get(_FOLLOWED, 0) + 1
