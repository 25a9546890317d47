"""A backtest for people: tables for the terminal and one picture of the whole time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich.table import Table

from alerter.backtest.figures import MANY, Figures
from alerter.backtest.replay import Replay
from alerter.notification import Notification, NotificationEvent
from shared import pictures
from shared.clock import MICROSECONDS_PER_SECOND

_LISTED: Final = 20
_BAR_US: Final = 900 * MICROSECONDS_PER_SECOND
_GREY: Final = "#BBBBBB"
_EVENTS: Final = {
    NotificationEvent.OPENED: ("told", pictures.BLUE, "triangle-up"),
    NotificationEvent.UPDATED: ("told: worse, or more", pictures.ORANGE, "triangle-up"),
    NotificationEvent.REMINDED: ("reminder", pictures.GREEN, "circle-open"),
    NotificationEvent.ESCALATED: ("escalated", pictures.RED, "star"),
}
_COMPARED: Final = (
    "anomalies",
    "alerts",
    "notifications",
    "changes_of_messages",
    "by_event",
    "by_channel",
    "by_kind",
    "by_severity",
    "longest_burst",
    "first_notification_s",
    "in_a_digest",
    "not_told",
)


def tables(found: Sequence[Figures], difference: Figures | None) -> list[Table]:
    """Return the figures of one or two sets of rules as tables."""
    shown = [_summary(found), *(_markets(each) for each in found), *(_digests(each) for each in found)]
    if difference is not None:
        shown.append(_difference(difference))
    return shown


def figure(heard: Sequence[Replay]) -> go.Figure:
    """Return the picture: what happened and what was told by market, and how often people were called."""
    rows = len(heard)
    titles = [f"{each.name}: {len(each.rung)} notifications" for each in heard]
    drawn = make_subplots(
        rows=rows + 1, cols=1, shared_xaxes=True, vertical_spacing=0.07, subplot_titles=[*titles, ""]
    )
    colours = (pictures.BLUE, pictures.ORANGE)
    for row, each in enumerate(heard, start=1):
        _draw_markets(drawn, each, row=row, has_legend=row == 1)
        times = [_time(n.time_us - n.time_us % _BAR_US) for n in each.rung]
        drawn.add_trace(
            go.Histogram(
                x=times,
                xbins={"size": _BAR_US / 1_000},
                name=f"notifications, {each.name}",
                marker_color=colours[row - 1],
                showlegend=rows > 1,
            ),
            row=rows + 1,
            col=1,
        )
    drawn.update_yaxes(title_text="notifications<br>in 15 min", row=rows + 1, col=1)
    markets = max((len({a.symbol for a in each.anomalies}) for each in heard), default=1)
    pictures.style(drawn, title="Would it have fired?", height_px=330 + rows * (120 + 28 * markets))
    drawn.update_layout(
        barmode="group",
        legend={"orientation": "h", "y": -0.12, "x": 0},
        margin={"l": 130, "r": 30, "t": 90, "b": 90},
    )
    return drawn


def _draw_markets(drawn: go.Figure, heard: Replay, *, row: int, has_legend: bool) -> None:
    drawn.add_trace(
        go.Scatter(
            x=[_time(anomaly.event_time_us) for anomaly in heard.anomalies],
            y=[anomaly.symbol for anomaly in heard.anomalies],
            mode="markers",
            name="anomaly",
            marker={"color": _GREY, "size": 8, "symbol": "line-ns-open"},
            showlegend=has_legend,
        ),
        row=row,
        col=1,
    )
    for event, (name, colour, symbol) in _EVENTS.items():
        told = [n for n in heard.rung if n.event is event]
        drawn.add_trace(
            go.Scatter(
                x=[_time(n.time_us) for n in told],
                y=[_market(n) for n in told],
                text=[n.digest.title if n.digest else n.anomaly.reason for n in told],
                mode="markers",
                name=name,
                marker={"color": colour, "size": 12, "symbol": symbol},
                showlegend=has_legend,
            ),
            row=row,
            col=1,
        )


def _summary(found: Sequence[Figures]) -> Table:
    table = Table(title="Would it have fired?")
    table.add_column("")
    for each in found:
        table.add_column(str(each["rules"]), overflow="fold")
    for name in _COMPARED:
        table.add_row(name.replace("_", " "), *(_words(each[name]) for each in found))
    return table


def _markets(found: Figures) -> Table:
    days = found["by_day_and_market"]
    assert isinstance(days, dict)
    table = Table(title=f"Notifications per day and market, {found['rules']}")
    table.add_column("market")
    for day in days:
        table.add_column(day, justify="right")
    for market in sorted({market for markets in days.values() for market in markets}):
        table.add_row(market, *(str(markets.get(market, 0)) for markets in days.values()))
    return table


def _digests(found: Figures) -> Table:
    digests = found["digests"]
    assert isinstance(digests, list)
    table = Table(title=f"Digests, {found['rules']}")
    for name in (
        "at",
        "after the first alert",
        "escalated after",
        "markets",
        "what it said first",
        "and last",
    ):
        table.add_column(name, overflow="fold")
    for digest in digests:
        escalated = ", ".join(f"{seconds:g} s" for seconds in digest["escalated_after_the_first_alert_s"])
        table.add_row(
            digest["at"],
            f"{digest['after_the_first_alert_s']:g} s",
            escalated or "never",
            str(digest["markets"]),
            digest["title_at_first"],
            digest["title_at_last"],
        )
    return table


def _difference(difference: Figures) -> Table:
    table = Table(title=f"Difference; alerts that both told: {difference['told_by_both']}")
    table.add_column("only the first would have told", overflow="fold")
    table.add_column("only the second would have told", overflow="fold")
    columns = []
    for name in ("told_only_by_the_first", "told_only_by_the_second"):
        lines = difference[name]
        assert isinstance(lines, list)
        more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
        columns.append("\n".join([*lines[:_LISTED], *more]) or "nothing")
    table.add_row(*columns)
    return table


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {part}" for name, part in value.items()) or "none"
    return str(value)


def _market(notification: Notification) -> str:
    return MANY if notification.digest else notification.anomaly.symbol


def _time(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC)
