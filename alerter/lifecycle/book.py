"""What the life cycle remembers: records that can be stored one by one, and when each is due.

Every record has a section and a key, and is plain data. A change is `save`d; what was saved or dropped since
the last `changes` is what a store has to write, so that a restart at any point goes on from the same memory.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from shared.codec import content_id
from shared.events import Anomaly, Severity

ALERTS: Final = "alerts"
INCIDENTS: Final = "incidents"
GROUPS: Final = "groups"
FLOODS: Final = "floods"
SILENCES: Final = "silences"
COMMANDS: Final = "commands"

_SEPARATOR: Final = "/"


class Record(msgspec.Struct, kw_only=True):
    """One thing that is remembered.

    Attributes:
        due_us: when it has to be looked at, whatever happens until then; 0: not by itself.
    """

    due_us: int = 0


class AlertRecord(Record, kw_only=True):
    """One episode of the detector.

    Attributes:
        alert_id: the episode's id.
        fingerprint: of venue, market and kind.
        anomaly: its latest event.
        severity: highest so far, by the rules.
        anomalies: how many events there were.
        seen: their ids.
        routes: names of the routes that it takes at this severity.
        taken_us: when the first event came.
        last_us: when the latest came.
        first_price: of the first event.
        move_pct: largest move so far, in percent.
        resolved_us: when it was over; 0 while it fires.
        resolution: why it is over: `closed`, `quiet` or `person`.
        is_late_news: whether its end was more severe than everything before.
        market: what other markets did, in words, if they did the same; else empty.
    """

    alert_id: str
    fingerprint: str
    anomaly: Anomaly
    severity: Severity
    anomalies: int = 0
    seen: list[str] = msgspec.field(default_factory=list)
    routes: list[str] = msgspec.field(default_factory=list)
    taken_us: int
    last_us: int
    first_price: float = 0.0
    move_pct: float | None = None
    resolved_us: int = 0
    resolution: str = ""
    is_late_news: bool = False
    market: str = ""


class IncidentRecord(Record, kw_only=True):
    """A group of alerts that people are told about together.

    Attributes:
        incident_id: of the thread.
        route: name of the route.
        group: what its alerts share.
        is_digest: whether it is about many markets at once.
        alerts: ids, in the order in which they came.
        told: severity at which each alert was told.
        channels: where people were told so far.
        opened_us: when its first alert came.
        rings: how often people were told.
        rung_us: when last.
        severity: highest that was told.
        sequence: number of the latest notification.
        shown_us: when the message was last changed.
        is_stale: whether the message that is there is behind.
        level: of escalation.
        escalates_from_us: when the time until escalation began; 0: not yet.
        author: who has acknowledged; empty: nobody.
        acknowledged: the severity that was; None: none.
        snoozed_until_us: 0 when it is not.
        digest: id of the digest that tells of it; empty: none.
    """

    incident_id: str
    route: str
    group: list[str]
    is_digest: bool = False
    alerts: list[str] = msgspec.field(default_factory=list)
    told: dict[str, Severity] = msgspec.field(default_factory=dict)
    channels: list[str] = msgspec.field(default_factory=list)
    opened_us: int
    rings: int = 0
    rung_us: int = 0
    severity: Severity = Severity.LOW
    sequence: int = 0
    shown_us: int = 0
    is_stale: bool = False
    level: int = 0
    escalates_from_us: int = 0
    author: str = ""
    acknowledged: Severity | None = None
    snoozed_until_us: int = 0
    digest: str = ""

    @property
    def open_key(self) -> str:
        """Name of the group on its route: there is one open incident for it."""
        return group_key(self.route, self.group)


class GroupRecord(Record, kw_only=True):
    """What a group remembers longer than an incident lasts.

    Attributes:
        rung_us: when people were told last.
        severity: of what they were told then.
        told: by fingerprint and severity, when it was told last.
    """

    rung_us: int = 0
    severity: Severity = Severity.LOW
    told: dict[str, dict[Severity, int]] = msgspec.field(default_factory=dict)


class FloodRecord(Record, kw_only=True):
    """How many markets were told of lately on one route.

    Attributes:
        recent: by market, the alert and when it was told.
        digest: id of the digest that takes what comes; empty: no flood.
    """

    recent: dict[str, tuple[str, int]] = msgspec.field(default_factory=dict)
    digest: str = ""


class SilenceRecord(Record, kw_only=True):
    """Somebody wants to hear nothing of some alerts for a time; see `shared.events.AlertCommand`."""

    silence_id: str
    matchers: dict[str, list[str]]
    start_us: int
    until_us: int
    author: str
    comment: str


class CommandRecord(Record, kw_only=True):
    """A command that was carried out, so that it is not again."""

    time_us: int


_TYPES: Final[dict[str, type[Record]]] = {
    ALERTS: AlertRecord,
    INCIDENTS: IncidentRecord,
    GROUPS: GroupRecord,
    FLOODS: FloodRecord,
    SILENCES: SilenceRecord,
    COMMANDS: CommandRecord,
}
R = TypeVar("R", bound=Record)


def restart(incident: IncidentRecord, escalates_from_us: int) -> None:
    """Let an incident go on as if nobody had acknowledged or snoozed it, and escalate from its beginning."""
    incident.acknowledged, incident.author, incident.snoozed_until_us = None, "", 0
    incident.level, incident.escalates_from_us = 0, escalates_from_us


def opened(
    route: str, group: Sequence[str], alert: AlertRecord, now_us: int, *, is_digest: bool = False
) -> IncidentRecord:
    """Return a new incident that begins with an alert."""
    identity = content_id("incident", route, *group, alert.alert_id, now_us)
    return IncidentRecord(
        incident_id=identity, route=route, group=list(group), is_digest=is_digest, opened_us=now_us
    )


def group_key(route: str, group: Iterable[str]) -> str:
    """Return the name of a group on a route."""
    return _SEPARATOR.join([route, *group])


class Book:
    """Every record, what has changed, and what is due."""

    def __init__(self) -> None:
        self.alerts: dict[str, AlertRecord] = {}
        self.incidents: dict[str, IncidentRecord] = {}
        self.groups: dict[str, GroupRecord] = {}
        self.floods: dict[str, FloodRecord] = {}
        self.silences: dict[str, SilenceRecord] = {}
        self.commands: dict[str, CommandRecord] = {}
        self._open: dict[str, str] = {}
        self._firing: dict[str, set[str]] = {}  # by market
        self._changed: dict[str, None] = {}
        self._due: list[tuple[int, str]] = []

    def save(self, section: str, key: str, record: Record) -> None:
        """Keep a record that is new or was changed."""
        self._shelf(section)[key] = record
        name = section + _SEPARATOR + key
        self._changed[name] = None
        self._enter(key, record, name)

    def drop(self, section: str, key: str) -> None:
        """Forget a record."""
        record = self._shelf(section).pop(key)
        self._changed[section + _SEPARATOR + key] = None
        if isinstance(record, AlertRecord):
            self._firing[record.anomaly.symbol].discard(key)
        if isinstance(record, IncidentRecord) and self._open.get(record.open_key) == key:
            del self._open[record.open_key]

    def open_incident(self, route: str, group: Iterable[str]) -> IncidentRecord | None:
        """Return the incident of a group that is going on, if there is one."""
        return self.incidents.get(self._open.get(group_key(route, group), ""))

    def firing(self, market: str | None) -> Iterator[AlertRecord]:
        """Yield the alerts that fire, of one market or of all, in the order of ids."""
        if market is not None:
            keys = sorted(self._firing.get(market, ()))
        else:
            keys = sorted(key for found in self._firing.values() for key in found)
        return (self.alerts[key] for key in keys)

    def due_us(self) -> int | None:
        """Return when the next record is due."""
        while self._due:
            due_us, name = self._due[0]
            record = self._find(name)
            if record is not None and record.due_us == due_us:
                return due_us
            heapq.heappop(self._due)
        return None

    def pop_due(self, now_us: int) -> tuple[str, str] | None:
        """Return section and key of the next record that is due by now; None when there is none."""
        due_us = self.due_us()
        if due_us is None or due_us > now_us:
            return None
        _, name = heapq.heappop(self._due)
        section, _, key = name.partition(_SEPARATOR)
        return section, key

    def changes(self) -> dict[str, bytes | None]:
        """Return what was saved since the last call, by name; None for what was dropped."""
        changed = {name: self._find(name) for name in self._changed}
        self._changed.clear()
        return {n: None if r is None else msgspec.json.encode(r) for n, r in changed.items()}

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take in stored records.

        Raises:
            msgspec.DecodeError: a record is damaged, or of another version.
        """
        for name, payload in sorted(rows):
            section, _, key = name.partition(_SEPARATOR)
            record = msgspec.json.decode(payload, type=_TYPES[section])
            self._shelf(section)[key] = record
            self._enter(key, record, name)

    def open_incidents(self) -> Iterator[IncidentRecord]:
        """Yield every incident, in the order of ids; the caller may change them."""
        for key in sorted(self.incidents):
            if key in self.incidents:
                yield self.incidents[key]

    def _enter(self, key: str, record: Record, name: str) -> None:
        if isinstance(record, IncidentRecord):
            self._open[record.open_key] = key
        elif isinstance(record, AlertRecord):
            firing = self._firing.setdefault(record.anomaly.symbol, set())
            if record.resolved_us:
                firing.discard(key)
            else:
                firing.add(key)
        if record.due_us:
            heapq.heappush(self._due, (record.due_us, name))

    def _find(self, name: str) -> Record | None:
        section, _, key = name.partition(_SEPARATOR)
        return self._shelf(section).get(key)

    def _shelf(self, section: str) -> dict[str, Record]:
        assert section in _TYPES
        shelf: dict[str, Record] = getattr(self, section)
        return shelf
