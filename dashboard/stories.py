"""Every alert's life as far as the topic tells it, in bounded memory.

The alerter writes one event per change and one per delivery. A delivery says only that a channel has taken a
notification, perhaps of a state that is over by then, so it never decides where an alert stands.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from shared.events import Alert

DELIVERED: Final = "delivered"
CHANGES_KEPT: Final = 24


@dataclass(frozen=True, kw_only=True)
class AlertStory:
    """One alert.

    Attributes:
        first: the earliest event seen.
        latest: the latest change; a delivery only as long as there is nothing else.
        changes: the latest events in order of time, deliveries among them.
    """

    first: Alert
    latest: Alert
    changes: tuple[Alert, ...]

    @property
    def incident_id(self) -> str:
        """Return the incident that people are told about, which commands are about; empty for none."""
        return next((change.incident_id for change in reversed(self.changes) if change.incident_id), "")

    @property
    def channels(self) -> tuple[str, ...]:
        """Return where it was told, in order of the alphabet."""
        return tuple(sorted({channel for change in self.changes for channel in change.channels}))


class AlertStories:
    """The alerts that changed last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_id: OrderedDict[str, AlertStory] = OrderedDict()  # the longest unchanged first

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, change: Alert) -> None:
        """Take in an event; one that is read twice counts once."""
        self._by_id[change.alert_id] = _grown(self._by_id.get(change.alert_id), change)
        self._by_id.move_to_end(change.alert_id)
        if len(self._by_id) > self._limit:
            self._by_id.popitem(last=False)

    def latest_first(self) -> tuple[AlertStory, ...]:
        """Return all, the one that changed last first."""
        return tuple(reversed(self._by_id.values()))


def is_delivery(change: Alert) -> bool:
    """Return whether it says only that a channel took a notification."""
    return change.detail == DELIVERED


def _grown(known: AlertStory | None, change: Alert) -> AlertStory:
    if known is None:
        return AlertStory(first=change, latest=change, changes=(change,))
    if change in known.changes:
        return known
    changes = tuple(sorted((*known.changes, change), key=_time_us)[-CHANGES_KEPT:])
    decided = [each for each in (known.latest, *changes) if not is_delivery(each)]
    return AlertStory(
        first=min(known.first, change, key=_time_us),
        # Of two at one time the one that was written later.
        latest=max(reversed(decided), key=_time_us) if decided else changes[-1],
        changes=changes,
    )


def _time_us(change: Alert) -> int:
    return change.time_us
