"""The page about anomalies: a list to filter; with `?id=` in the address, one anomaly and why it is one."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import formats
from dashboard.alerts import change_grid, find_story
from dashboard.anomalies import (
    Wanted,
    anomaly_head,
    anomaly_list,
    choices,
    find_episode,
    history_grid,
    label_of,
    label_strip,
    moment_grid,
    rarity_strip,
    share_grid,
    stored_episode,
)
from dashboard.archive import Archive, Labels
from dashboard.components import draw_grid, draw_strip
from dashboard.feed import Feed
from dashboard.health import masthead
from dashboard.panels import Strip
from dashboard.screens.author import author
from dashboard.state import EpisodeView, View
from shared.clock import Clock
from shared.errors import ConfigError, StoreError
from shared.events import Severity
from shared.store.labels import Verdict

REFRESH_S: Final = 2.0
_ID: Final = "id"
_MARKETS, _KINDS, _DETECTORS, _SEVERITIES = "of_markets", "of_kinds", "of_detectors", "of_severities"
_WITHIN, _VERDICT, _NOTE, _ANSWER = "within", "verdict", "label_note", "label_answer"
_WITHIN_S: Final = {"15 min": 900, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400, "all": None}
_LIST_HEIGHT_PX: Final = 680
_GRID_HEIGHT_PX: Final = 260


@dataclass(frozen=True, kw_only=True)
class AnomaliesPage:
    """What the page is made from.

    Attributes:
        feed: the process's feed.
        archive: the store.
        clock: ours.
    """

    feed: Feed
    archive: Archive
    clock: Clock

    def draw(self) -> None:
        """Draw the page; from then on the browser asks for what is new."""
        _anomalies(self)


@st.fragment(run_every=REFRESH_S)
def _anomalies(page: AnomaliesPage) -> None:
    feed = page.feed.view()
    head = masthead(feed, now_us=page.clock.now_us())
    draw_strip(head, key="masthead", variant="masthead")
    labels = page.archive.labels()
    if labels.fault:
        fault = f"Labels are not up to date: {labels.fault}"
        draw_strip(Strip(heading="", note=fault, note_tone="warn"), key="label_fault")
    episode_id = st.query_params.get(_ID)
    if episode_id is None:
        _list(feed.data, labels, is_stale=head.stale)
    else:
        _one(page, feed.data, labels, episode_id)


def _list(view: View, labels: Labels, *, is_stale: bool) -> None:
    possible = choices(view)
    for column, label, options, key in zip(
        st.columns(4, gap="small"),
        ("Market", "Kind", "Detector", "Severity"),
        (possible.markets, possible.kinds, possible.detectors, [s.value for s in reversed(Severity)]),
        (_MARKETS, _KINDS, _DETECTORS, _SEVERITIES),
        strict=True,
    ):
        # What was chosen stays to be taken away, though its last anomaly is forgotten.
        kept = sorted({*options, *st.session_state.get(key, ())}) if key != _SEVERITIES else options
        column.multiselect(
            label, kept, key=key, placeholder=f"any {label.lower()}", label_visibility="collapsed"
        )
    st.segmented_control(
        "how far back",
        list(_WITHIN_S),
        default="all",
        required=True,
        key=_WITHIN,
        label_visibility="collapsed",
    )
    chosen = st.session_state
    wanted = Wanted(
        markets=chosen[_MARKETS],
        kinds=chosen[_KINDS],
        detectors=chosen[_DETECTORS],
        severities=chosen[_SEVERITIES],
        within_s=_WITHIN_S[chosen[_WITHIN]],
    )
    grid = anomaly_list(view, wanted, labels.latest_first, is_stale=is_stale)
    draw_grid(grid, key="anomaly_list", max_height_px=_LIST_HEIGHT_PX, on_choice=_open)


def _one(page: AnomaliesPage, view: View, labels: Labels, episode_id: str) -> None:
    st.button("All anomalies", key="back", icon=":material/arrow_back:", on_click=_close)
    episode = find_episode(view, episode_id)
    if episode is None:
        stored = page.archive.anomaly(episode_id)
        if stored is None:
            gone = (
                "This anomaly is neither among those remembered here (24 h, 2,000 at most) nor in the store."
            )
            draw_strip(Strip(heading="", note=gone, note_tone="muted"), key="anomaly_gone", variant="story")
            return
        episode = stored_episode(stored)
    said = labels.latest_first
    left, right = st.columns([1.7, 1], gap="small")
    with left:
        draw_strip(anomaly_head(episode), key="anomaly_head", variant="story")
        draw_strip(rarity_strip(episode), key="anomaly_rarity")
        draw_grid(share_grid(episode), key="shares", max_height_px=_GRID_HEIGHT_PX)
        history = history_grid(view, episode, said)
        draw_grid(history, key="history", max_height_px=_GRID_HEIGHT_PX, on_choice=_open)
        moment = moment_grid(view, episode, said)
        draw_grid(moment, key="moment", max_height_px=_GRID_HEIGHT_PX, on_choice=_open)
    with right:
        _label(page, episode, labels)
        story = find_story(view, episode_id)
        if story is None:
            nothing = (
                "No alert is known of it: the alerter has said nothing, or longer ago than is remembered."
            )
            draw_strip(Strip(heading="Alert", note=nothing, note_tone="muted"), key="no_alert")
        else:
            draw_grid(change_grid(story), key="anomaly_alert", max_height_px=_GRID_HEIGHT_PX)


def _label(page: AnomaliesPage, episode: EpisodeView, labels: Labels) -> None:
    episode_id = episode.latest.episode.episode_id
    strip = label_strip(labels.latest_first, episode_id)
    draw_strip(strip, key="label", variant="story")
    with st.form(f"label_{episode_id}", clear_on_submit=True):
        # Nothing is chosen beforehand: a label that nobody meant would spoil the evaluation.
        st.radio("Is it one?", list(Verdict), index=None, horizontal=True, key=_VERDICT, format_func=_words)
        st.text_input("because", max_chars=500, key=_NOTE)
        st.form_submit_button("Label", type="primary", on_click=_save, args=(page, episode))
    text = st.session_state.get(_ANSWER, "")
    if text:
        draw_strip(Strip(heading="", note=text, note_tone="muted"), key="label_answer")


def _save(page: AnomaliesPage, episode: EpisodeView) -> None:
    said, now_us = st.session_state, page.clock.now_us()
    if said[_VERDICT] is None:
        said[_ANSWER] = "Not stored: choose real, false or unsure first."
        return
    label = label_of(episode, said[_VERDICT], note=said[_NOTE], author=author(), now_us=now_us)
    try:
        page.archive.save(label)
    except (StoreError, ConfigError) as error:
        said[_ANSWER] = f"Not stored: {error}"
    else:
        said[_ANSWER] = f"Stored at {formats.utc_time(now_us)} UTC; your next label takes its place."


def _open(episode_id: str) -> None:
    st.query_params[_ID] = episode_id
    st.session_state.pop(_ANSWER, None)


def _close() -> None:
    st.query_params.clear()
    st.session_state.pop(_ANSWER, None)


def _words(verdict: Verdict) -> str:
    return verdict.value
