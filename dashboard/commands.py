"""What a person asks for on the page about alerts, as commands for the alerter: pure functions."""

import glob
from enum import StrEnum
from typing import Final

from dashboard.alerts import AlertGroup, group_of
from dashboard.stories import AlertStory
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.events import AlertAction, AlertCommand

CHANNEL: Final = "dashboard"
# Who asks while nobody has to sign in.
ANYBODY: Final = "dashboard"
# As on the channels' buttons.
LENGTHS_S: Final = {"15 min": 900, "1 h": 3_600, "4 h": 14_400, "24 h": 86_400}
_NAME_LENGTH: Final = 64
_COMMENT_LENGTH: Final = 200


class SilenceScope(StrEnum):
    """What a silence is about, told by the alert that it was asked on."""

    KIND_ON_MARKET = "this kind on this market"
    MARKET = "everything on this market"
    KIND = "this kind on every market"


def actions(story: AlertStory | None) -> frozenset[AlertAction]:
    """Return what can be asked about an alert: nothing about one that is over, or that nobody was told."""
    group = group_of(story) if story is not None else AlertGroup.RESOLVED
    if story is None or group is AlertGroup.RESOLVED:
        return frozenset()
    possible = {AlertAction.SILENCE}
    if story.incident_id:
        possible |= {AlertAction.SNOOZE}
        is_taken = group is AlertGroup.ACKNOWLEDGED
        possible |= {AlertAction.UNACKNOWLEDGE if is_taken else AlertAction.ACKNOWLEDGE}
    return frozenset(possible)


def about_incident(
    story: AlertStory, action: AlertAction, *, author: str, now_us: int, length_s: int = 0
) -> AlertCommand:
    """Return the command to acknowledge, take back or snooze the alert's incident.

    Args:
        story: the alert.
        action: what is wanted.
        author: who wants it.
        now_us: our clock.
        length_s: of a snooze; 0 for the others.
    """
    return AlertCommand(
        command_id=content_id(CHANNEL, author, action.value, story.incident_id, now_us),
        action=action,
        target=story.incident_id,
        until_us=now_us + length_s * MICROSECONDS_PER_SECOND if length_s else 0,
        author=_plain(author, _NAME_LENGTH),
        channel=CHANNEL,
        time_us=now_us,
    )


def silence(
    story: AlertStory, scope: SilenceScope, *, length_s: int, comment: str, author: str, now_us: int
) -> AlertCommand:
    """Return the command that keeps everything quiet that is like the alert.

    Args:
        story: the alert.
        scope: how like.
        length_s: how long.
        comment: why, in the author's words.
        author: who wants it.
        now_us: our clock.
    """
    alert = story.latest
    matchers = {}
    if scope is not SilenceScope.KIND:
        matchers["market"] = [_pattern(alert.symbol)]
    if scope is not SilenceScope.MARKET:
        matchers["kind"] = [_pattern(alert.kind)]
    return AlertCommand(
        command_id=content_id(CHANNEL, author, AlertAction.SILENCE.value, alert.alert_id, now_us),
        action=AlertAction.SILENCE,
        matchers=matchers,
        start_us=now_us,
        until_us=now_us + length_s * MICROSECONDS_PER_SECOND,
        author=_plain(author, _NAME_LENGTH),
        channel=CHANNEL,
        comment=_plain(comment, _COMMENT_LENGTH),
        time_us=now_us,
    )


def _pattern(name: str) -> str:
    """Return a pattern that fits this name alone: `*` and a leading `!` would mean something else."""
    escaped = glob.escape(name)
    return f"?{escaped[1:]}" if escaped.startswith("!") else escaped


def _plain(text: str, length: int) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()[:length]
