"""The page about alerts: what is open, acknowledged, silenced and resolved, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import formats
from dashboard.alerts import (
    AlertGroup,
    alert_grid,
    alert_head,
    alert_summary,
    change_grid,
    channel_grid,
    find_story,
)
from dashboard.commands import LENGTHS_S, SilenceScope, about_incident, actions, silence
from dashboard.components import draw_grid, draw_strip
from dashboard.desk import Desk
from dashboard.feed import Feed
from dashboard.health import masthead
from dashboard.panels import Strip, Tone
from dashboard.screens.author import author
from dashboard.state import View
from dashboard.stories import AlertStory
from shared.clock import Clock
from shared.errors import BrokerError
from shared.events import AlertAction, AlertCommand

REFRESH_S: Final = 2.0
_CHOSEN, _GROUP, _ANSWER = "alert", "alert_group", "alert_answer"
_SCOPE, _LENGTH, _COMMENT = "silence_scope", "silence_length", "silence_comment"
_ALERTS_HEIGHT_PX: Final = 620
_CHANGES_HEIGHT_PX: Final = 300
_CHANNELS_HEIGHT_PX: Final = 260
_COMMENT_LENGTH: Final = 200


@dataclass(frozen=True, kw_only=True)
class AlertsPage:
    """What the page is made from.

    Attributes:
        feed: the process's feed.
        desk: takes what is asked to the alerter.
        clock: ours.
    """

    feed: Feed
    desk: Desk
    clock: Clock

    def draw(self) -> None:
        """Draw the page; from then on the browser asks for what is new."""
        _alerts(self)

    def ask(self, make: Callable[[int], AlertCommand]) -> None:
        """Publish the command that `make` returns for the time, and remember what to say about it."""
        now_us = self.clock.now_us()
        try:
            self.desk.publish(make(now_us))
        except BrokerError as error:
            _answer(f"Not asked for certain: {error}. Asking again does no harm.", "bad")
        else:
            _answer(f"Asked at {formats.utc_time(now_us)} UTC; the alerter's answer appears below.", "good")


@st.fragment(run_every=REFRESH_S)
def _alerts(page: AlertsPage) -> None:
    now_us = page.clock.now_us()
    feed = page.feed.view()
    view = feed.data
    head = masthead(feed, now_us=now_us)
    draw_strip(head, key="masthead", variant="masthead")
    left, right = st.columns([1.7, 1], gap="small")
    with left:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="alerts_head"):
            draw_strip(alert_summary(view.stories), key="alert_summary")
            st.segmented_control(
                "which alerts",
                list(AlertGroup),
                default=AlertGroup.OPEN,
                required=True,
                format_func=_label,
                key=_GROUP,
                label_visibility="collapsed",
            )
        grid = alert_grid(
            view,
            st.session_state[_GROUP],
            chosen=st.session_state.get(_CHOSEN),
            now_us=now_us,
            is_stale=head.stale,
        )
        draw_grid(grid, key="alerts", max_height_px=_ALERTS_HEIGHT_PX, on_choice=_choose)
    with right:
        _chosen(page, view)
        draw_grid(channel_grid(view, now_us=now_us), key="channels", max_height_px=_CHANNELS_HEIGHT_PX)


def _chosen(page: AlertsPage, view: View) -> None:
    story = find_story(view, st.session_state.get(_CHOSEN))
    if story is None:
        hint = "Choose an alert to see what became of it, and to acknowledge, snooze or silence it."
        draw_strip(Strip(heading="", note=hint, note_tone="muted"), key="alert_story", variant="story")
        return
    draw_strip(alert_head(story), key="alert_story", variant="story")
    _buttons(page, story)
    text, tone = st.session_state.get(_ANSWER, ("", ""))
    if text:
        draw_strip(Strip(heading="", note=text, note_tone=tone), key="alert_answer")
    draw_grid(change_grid(story), key="alert_changes", max_height_px=_CHANGES_HEIGHT_PX)


def _buttons(page: AlertsPage, story: AlertStory) -> None:
    possible = actions(story)
    is_taken = AlertAction.UNACKNOWLEDGE in possible
    with st.container(horizontal=True, gap="small", key="alert_actions"):
        st.button(
            "Take back" if is_taken else "Acknowledge",
            key="acknowledge",
            type="primary",
            disabled=not possible & {AlertAction.ACKNOWLEDGE, AlertAction.UNACKNOWLEDGE},
            on_click=_ask_about,
            args=(page, story, AlertAction.UNACKNOWLEDGE if is_taken else AlertAction.ACKNOWLEDGE, 0),
            help="no reminders and no escalation, unless it gets worse",
        )
        for words, length_s in LENGTHS_S.items():
            st.button(
                f"Snooze {words}",
                key=f"snooze_{length_s}",
                disabled=AlertAction.SNOOZE not in possible,
                on_click=_ask_about,
                args=(page, story, AlertAction.SNOOZE, length_s),
                help="nothing at all until then",
            )
        with st.popover("Silence", disabled=AlertAction.SILENCE not in possible):
            _silence_form(page, story)


def _silence_form(page: AlertsPage, story: AlertStory) -> None:
    with st.form("silence", border=False):
        st.radio("nothing about", list(SilenceScope), format_func=_label, key=_SCOPE)
        st.radio("for", list(LENGTHS_S), index=1, horizontal=True, key=_LENGTH)
        st.text_input("because", max_chars=_COMMENT_LENGTH, key=_COMMENT)
        st.form_submit_button("Silence", type="primary", on_click=_ask_silence, args=(page, story))


def _ask_about(page: AlertsPage, story: AlertStory, action: AlertAction, length_s: int) -> None:
    who = author()
    page.ask(lambda now_us: about_incident(story, action, author=who, now_us=now_us, length_s=length_s))


def _ask_silence(page: AlertsPage, story: AlertStory) -> None:
    who, asked = author(), st.session_state
    page.ask(
        lambda now_us: silence(
            story,
            asked[_SCOPE],
            length_s=LENGTHS_S[asked[_LENGTH]],
            comment=asked[_COMMENT],
            author=who,
            now_us=now_us,
        )
    )


def _answer(text: str, tone: Tone) -> None:
    st.session_state[_ANSWER] = (text, tone)


def _choose(alert_id: str) -> None:
    st.session_state[_CHOSEN] = alert_id
    st.session_state.pop(_ANSWER, None)


def _label(value: AlertGroup | SilenceScope) -> str:
    return value.value
