"""What the page about alerts says: pure functions from a snapshot to rows and figures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from dashboard import formats
from dashboard.health import WORKER_STALE_AFTER_S
from dashboard.notices import ALERT_TONES
from dashboard.panels import Cell, Column, Figure, Grid, Row, Strip, Tone
from dashboard.state import View
from dashboard.stories import AlertStory, is_delivery
from dashboard.views import SEVERITY_TONES
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Alert, AlertState, WorkerStatus

ALERT_ROWS: Final = 500
_ALERTER: Final = "alerter"
# How the alerter's status joins what is wrong with its channels, and a channel with its fault.
_BETWEEN_FAULTS: Final = "; "
_AFTER_NAME: Final = ": "
_REFUSED: Final = "refused"


class AlertGroup(StrEnum):
    """What a person may still have to do about an alert."""

    OPEN = "Open"
    ACKNOWLEDGED = "Acknowledged"
    SILENCED = "Silenced"
    RESOLVED = "Resolved"
    UNTOLD = "Not told"


ALERT_COLUMNS: Final = (
    Column(label="Market", kind="text", align="left"),
    Column(label="Severity", kind="pill", align="left"),
    Column(label="Kind", kind="text", align="left"),
    Column(label="Began", title="how long ago the first change was told, by the alerter's clock"),
    Column(label="Changed", title="how long ago it changed last"),
    Column(label="Told on", kind="text", align="left", minor=True),
    Column(label="Latest", kind="text", align="left"),
)
CHANGE_COLUMNS: Final = (
    Column(label="Time, UTC", kind="text", align="left"),
    Column(label="State", kind="pill", align="left"),
    Column(label="Why", kind="text", align="left"),
)
CHANNEL_COLUMNS: Final = (
    Column(label="Channel", kind="text", align="left"),
    Column(label="State", kind="pill", align="left"),
    Column(label="Took", title="notifications that it took, of the alerts remembered here"),
    Column(label="Last", title="how long ago it took one"),
    Column(label="Detail", kind="text", align="left"),
)
_EMPTY: Final[Mapping[AlertGroup, str]] = {
    AlertGroup.OPEN: "Nothing is open: nobody has to do anything.",
    AlertGroup.ACKNOWLEDGED: "Nothing is acknowledged. Whoever takes an open alert on acknowledges it.",
    AlertGroup.SILENCED: "Nothing is silenced, snoozed or inhibited.",
    AlertGroup.RESOLVED: "Nothing has been resolved in the time that is remembered.",
    AlertGroup.UNTOLD: "The rules have kept nothing back.",
}
_STATE_GROUPS: Final[Mapping[AlertState, AlertGroup]] = {
    AlertState.FIRING: AlertGroup.OPEN,
    AlertState.ESCALATED: AlertGroup.OPEN,
    AlertState.ACKNOWLEDGED: AlertGroup.ACKNOWLEDGED,
    AlertState.SILENCED: AlertGroup.SILENCED,
    AlertState.RESOLVED: AlertGroup.RESOLVED,
}
_GROUP_TONES: Final[Mapping[AlertGroup, Tone]] = {
    AlertGroup.OPEN: "bad",
    AlertGroup.ACKNOWLEDGED: "accent",
    AlertGroup.SILENCED: "",
    AlertGroup.RESOLVED: "good",
    AlertGroup.UNTOLD: "muted",
}


def group_of(story: AlertStory) -> AlertGroup:
    """Return the group of an alert: one that goes on and was told nowhere needs nobody."""
    group = _STATE_GROUPS[story.latest.state]
    is_told = bool(story.incident_id or story.channels)
    return AlertGroup.UNTOLD if group is AlertGroup.OPEN and not is_told else group


def find_story(view: View, alert_id: str | None) -> AlertStory | None:
    """Return the alert of this id; None when it is not remembered."""
    return next((story for story in view.stories if story.latest.alert_id == alert_id), None)


def alert_summary(stories: Sequence[AlertStory]) -> Strip:
    """Return the heading of the list: how many alerts each group has."""
    by_group = Counter(group_of(story) for story in stories)
    return Strip(
        heading="Alerts",
        figures=tuple(
            Figure(
                label=group.value.lower(),
                value=formats.count(by_group[group]),
                tone=_GROUP_TONES[group] if by_group[group] else "muted",
            )
            for group in AlertGroup
        ),
    )


def alert_grid(
    view: View, group: AlertGroup, *, chosen: str | None, now_us: int, is_stale: bool = False
) -> Grid:
    """Return the alerts of a group: open ones by severity, and by time; the others by time.

    Args:
        view: the snapshot.
        group: the group.
        chosen: id of the alert that is shown beside the list.
        now_us: our clock.
        is_stale: whether all of the snapshot is old.
    """
    found = [story for story in view.stories if group_of(story) is group]
    found.sort(key=lambda story: story.latest.time_us, reverse=True)
    if group is AlertGroup.OPEN:
        found.sort(key=lambda story: story.latest.severity.rank, reverse=True)
    is_cut = len(found) > ALERT_ROWS
    return Grid(
        caption=group.value,
        note=f"the first {ALERT_ROWS} of {formats.count(len(found))}"
        if is_cut
        else "choose one to act on it",
        columns=ALERT_COLUMNS,
        rows=tuple(
            _alert_row(story, chosen=chosen, now_us=now_us, is_stale=is_stale) for story in found[:ALERT_ROWS]
        ),
        empty=_EMPTY[group] if view.stories else _no_alert(view, now_us=now_us),
        is_choice=True,
    )


def alert_head(story: AlertStory) -> Strip:
    """Return what an alert is about and what was said of it last."""
    latest = story.latest
    return Strip(
        heading=latest.symbol,
        pill=latest.severity.value,
        pill_tone=SEVERITY_TONES[latest.severity],
        figures=(
            Figure(label="", value=formats.words(latest.kind)),
            Figure(label="", value=latest.state.value, tone=ALERT_TONES[latest.state]),
            Figure(label="on", value=latest.exchange or formats.MISSING),
            Figure(label="told on", value=", ".join(story.channels) or "no channel"),
        ),
        note=latest.detail,
    )


def change_grid(story: AlertStory) -> Grid:
    """Return an alert's life, the latest change first."""
    return Grid(
        caption="What became of it",
        note="latest first",
        columns=CHANGE_COLUMNS,
        rows=tuple(_change_row(number, change) for number, change in enumerate(story.changes))[::-1],
    )


def channel_grid(view: View, *, now_us: int) -> Grid:
    """Return every channel that took something or of which the alerter says what is wrong, the bad first."""
    taken = _taken(view.stories)
    alerters = [worker.latest for worker in view.workers if worker.latest.worker == _ALERTER]
    alive = [status for status in alerters if _age_s(status.time_us, now_us) <= WORKER_STALE_AFTER_S]
    faults = {name: fault for status in alive for name, fault in _faults(status)}
    names = sorted({*taken, *faults}, key=lambda name: (name not in faults, name))
    return Grid(
        caption="Channels",
        note="" if alive else "no alerter is alive: nobody is told, and what is asked here waits",
        columns=CHANNEL_COLUMNS,
        rows=tuple(
            _channel_row(name, fault=faults.get(name), taken=taken.get(name, ()), now_us=now_us)
            for name in names
        ),
        empty="No channel has taken a notification yet. docs/channels.md says how to set one up.",
    )


def _no_alert(view: View, *, now_us: int) -> str:
    is_alive = any(
        worker.latest.worker == _ALERTER and _age_s(worker.latest.time_us, now_us) <= WORKER_STALE_AFTER_S
        for worker in view.workers
    )
    if is_alive:
        return "No alert so far: the alerter is up, and no anomaly has reached it."
    return "No alert so far, and no alerter has given a sign of life. Start it with: python -m alerter"


def _alert_row(story: AlertStory, *, chosen: str | None, now_us: int, is_stale: bool) -> Row:
    latest = story.latest
    began_s = _age_s(story.first.time_us, now_us)
    changed_s = _age_s(latest.time_us, now_us)
    return Row(
        row_id=latest.alert_id,
        selected=latest.alert_id == chosen,
        stale=is_stale,
        cells=(
            Cell(text=latest.symbol, title=latest.exchange),
            Cell(
                text=latest.severity.value, order=latest.severity.rank, tone=SEVERITY_TONES[latest.severity]
            ),
            Cell(text=formats.words(latest.kind)),
            Cell(text=formats.duration(began_s), order=began_s, title=formats.utc_stamp(story.first.time_us)),
            Cell(text=formats.duration(changed_s), order=changed_s, title=formats.utc_stamp(latest.time_us)),
            Cell(text=", ".join(story.channels) or formats.MISSING),
            Cell(text=latest.detail, title=latest.detail),
        ),
    )


def _change_row(number: int, change: Alert) -> Row:
    where = ", ".join(change.channels)
    why = f"{where} took it" if is_delivery(change) else f"{change.detail} {where and f'({where})'}".strip()
    notice = Cell(text="told", tone="muted") if is_delivery(change) else _state_cell(change)
    stamp = Cell(
        text=formats.utc_time(change.time_us), order=change.time_us, title=formats.utc_stamp(change.time_us)
    )
    return Row(row_id=f"{number}/{change.time_us}", cells=(stamp, notice, Cell(text=why, title=why)))


def _state_cell(change: Alert) -> Cell:
    return Cell(text=change.state.value, tone=ALERT_TONES[change.state])


def _channel_row(name: str, *, fault: str | None, taken: Sequence[int], now_us: int) -> Row:
    if fault is None:
        state = Cell(text="works", tone="good")
    else:
        is_dead = fault.startswith(_REFUSED)
        state = Cell(text="refuses" if is_dead else "fails", tone="bad" if is_dead else "warn")
    last_s = _age_s(max(taken), now_us) if taken else None
    return Row(
        row_id=name,
        cells=(
            Cell(text=name, title=name),
            state,
            Cell(text=formats.count(len(taken)), order=len(taken)),
            Cell(text=formats.duration(last_s), order=last_s),
            Cell(text=fault or "", title=fault or ""),
        ),
    )


def _taken(stories: Sequence[AlertStory]) -> dict[str, list[int]]:
    """Return per channel when it took notifications."""
    taken: dict[str, list[int]] = {}
    for story in stories:
        for change in story.changes:
            if is_delivery(change):
                for channel in change.channels:
                    taken.setdefault(channel, []).append(change.time_us)
    return taken


def _faults(status: WorkerStatus) -> Iterator[tuple[str, str]]:
    """Yield channels and what is wrong with them, as the alerter's status says it in one line."""
    if not status.detail:
        return
    for part in status.detail.split(_BETWEEN_FAULTS):
        name, _, fault = part.partition(_AFTER_NAME)
        yield name, fault or "degraded"


def _age_s(time_us: int, now_us: int) -> float:
    return max(0.0, (now_us - time_us) / MICROSECONDS_PER_SECOND)
