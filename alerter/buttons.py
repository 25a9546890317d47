"""The buttons under a message (pure): which there are, and the few bytes that come back when one is pressed.

Source of the limit: Telegram Bot API, InlineKeyboardButton (`callback_data`, 1 to 64 bytes).
"""

from enum import StrEnum
from typing import Final, NamedTuple

from alerter.notification import Notification
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import AlertState

SNOOZES_MIN: Final = (15, 60, 240, 1_440)

_SEPARATOR: Final = ":"
_LONGEST: Final = 64


class Verb(StrEnum):
    """What a button does."""

    ACKNOWLEDGE = "ack"
    TAKE_BACK = "back"
    SNOOZE = "snooze"
    WHY = "why"


class Press(NamedTuple):
    """A button that was pressed.

    Attributes:
        verb: what is wanted.
        incident_id: about what.
        minutes: length of a snooze; 0 for everything else.
    """

    verb: Verb
    incident_id: str
    minutes: int = 0

    @property
    def data(self) -> str:
        """What the service sends back."""
        return _SEPARATOR.join([self.verb, str(self.minutes), self.incident_id])

    @property
    def snooze_us(self) -> int:
        """Length of a snooze."""
        return self.minutes * 60 * MICROSECONDS_PER_SECOND


class Button(NamedTuple):
    """A button: what it says and what it does."""

    label: str
    press: Press


def rows(notification: Notification) -> list[list[Button]]:
    """Return the buttons of a message, row by row; what is over can only be explained."""
    incident_id = notification.incident_id
    why = Button("Why?", Press(Verb.WHY, incident_id))
    if notification.state is AlertState.RESOLVED:
        return [[why]]
    is_held = notification.state in {AlertState.ACKNOWLEDGED, AlertState.SILENCED}
    verb, label = (Verb.TAKE_BACK, "Take back") if is_held else (Verb.ACKNOWLEDGE, "Acknowledge")
    snoozes = [
        Button(_snooze_words(minutes), Press(Verb.SNOOZE, incident_id, minutes)) for minutes in SNOOZES_MIN
    ]
    return [[Button(label, Press(verb, incident_id)), why], snoozes]


def pressed(data: str) -> Press | None:
    """Return which button some data is of; None when it is of none of ours. It may come from anybody."""
    verb, _, rest = data.partition(_SEPARATOR)
    minutes, _, incident_id = rest.partition(_SEPARATOR)
    if len(data.encode()) > _LONGEST or verb not in set(Verb) or not incident_id.isalnum():
        return None
    press = Press(Verb(verb), incident_id, int(minutes) if minutes.isdecimal() else 0)
    is_sound = press.minutes in SNOOZES_MIN if press.verb is Verb.SNOOZE else press.minutes == 0
    return press if is_sound else None


def _snooze_words(minutes: int) -> str:
    return f"Snooze {minutes} min" if minutes < 60 else f"{minutes // 60} h"
