"""What the page says about alerts, losses and quarantined detectors, as one list."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Final

from dashboard import formats
from dashboard.panels import Cell, Column, Grid, Row, Tone
from dashboard.state import View
from shared.events import Alert, AlertState, Quarantine, TapeGap

NOTICE_COLUMNS: Final = (
    Column(label="Time, UTC", kind="text", align="left"),
    Column(label="Notice", kind="pill", align="left"),
    Column(label="Market", kind="text", align="left"),
    Column(label="Detail", kind="text", align="left"),
)
_NOTICES: Final = 100
ALERT_TONES: Final[Mapping[AlertState, Tone]] = {
    AlertState.FIRING: "bad",
    AlertState.ACKNOWLEDGED: "accent",
    AlertState.ESCALATED: "bad",
    AlertState.RESOLVED: "good",
    AlertState.SILENCED: "muted",
}


def notice_grid(view: View) -> Grid:
    """Return what became of alerts, what was lost and what was quarantined, latest first."""
    told = [
        *((alert.time_us, _alert_row(alert)) for alert in view.alerts),
        *((gap.detected_time_us, _gap_row(gap)) for gap in view.gaps),
        *((found.event_time_us, _quarantine_row(found)) for found in view.quarantines),
    ]
    told.sort(key=itemgetter(0), reverse=True)
    return Grid(
        caption="Notices",
        note="alerts, gaps in the tape, quarantined detectors",
        columns=NOTICE_COLUMNS,
        rows=tuple(row for _, row in told[:_NOTICES]),
        empty="No alert, gap or quarantine so far.",
    )


def _alert_row(alert: Alert) -> Row:
    return _notice_row(
        f"alert/{alert.alert_id}/{alert.anomaly_id}/{alert.state.value}/{alert.time_us}",
        time_us=alert.time_us,
        notice=Cell(text=f"alert {alert.state.value}", tone=ALERT_TONES[alert.state]),
        market=alert.symbol,
        detail=f"{formats.words(alert.kind)}: {', '.join(alert.channels) or alert.detail}",
    )


def _gap_row(gap: TapeGap) -> Row:
    missing = max(0, gap.last_missing_id - gap.first_missing_id + 1)
    return _notice_row(
        f"gap/{gap.exchange}/{gap.symbol}/{gap.first_missing_id}/{gap.detected_time_us}",
        time_us=gap.detected_time_us,
        notice=Cell(text="tape gap", tone="warn"),
        market=gap.symbol,
        detail=f"{formats.count(missing)} trades missing: {gap.reason}",
    )


def _quarantine_row(found: Quarantine) -> Row:
    is_over = found.released
    return _notice_row(
        f"quarantine/{found.symbol}/{found.detector}/{found.trade_id}",
        time_us=found.event_time_us,
        notice=Cell(text="released", tone="good") if is_over else Cell(text="quarantine", tone="bad"),
        market=found.symbol,
        detail=f"{formats.words(found.detector)}: {'tried again' if is_over else found.error}",
    )


def _notice_row(row_id: str, *, time_us: int, notice: Cell, market: str, detail: str) -> Row:
    stamp = Cell(text=formats.utc_time(time_us), order=time_us, title=formats.utc_stamp(time_us))
    return Row(row_id=row_id, cells=(stamp, notice, Cell(text=market), Cell(text=detail, title=detail)))
