import msgspec
import pytest

from dashboard import alerts
from dashboard.alerts import AlertGroup
from dashboard.panels import Grid
from dashboard.state import Limits, State, View
from shared.events import Severity
from tests.data.dashboard_scene import alert_life, make_alert, make_anomaly, make_status

US = 1_000_000
BEGIN_US = 1_760_000_000 * US
NOW_US = BEGIN_US + 3_600 * US


def view_of(*events: msgspec.Struct) -> View:
    state = State(Limits(history_s=900))
    state.apply(events)
    return state.view()


def texts(grid: Grid) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in grid.rows]


def shown(view: View, group: AlertGroup) -> Grid:
    return alerts.alert_grid(view, group, chosen=None, now_us=NOW_US)


@pytest.fixture(scope="module")
def lives() -> View:
    return view_of(
        *(
            change
            for number in range(6)
            for change in alert_life(
                make_anomaly("BTC-USDT", event_us=BEGIN_US + number * US, price=1.0, trade_id=number), number
            )
        )
    )


@pytest.mark.parametrize(
    ("group", "details"),
    [
        (AlertGroup.OPEN, ["nobody acknowledged within 30 s", "told"]),
        (AlertGroup.ACKNOWLEDGED, ["acknowledged by ann"]),
        (AlertGroup.SILENCED, ["snoozed by <b>bob</b> until 21:00 UTC"]),
        (AlertGroup.RESOLVED, ["the episode is over"]),
        (AlertGroup.UNTOLD, ["cooldown 300 s: medium was told 100 s ago"]),
    ],
)
def test_every_alert_stands_in_one_group(lives: View, group: AlertGroup, details: list[str]) -> None:
    assert [row[-1] for row in texts(shown(lives, group))] == details


def test_open_alerts_stand_by_severity_and_then_by_time() -> None:
    found = [
        make_alert(make_anomaly(f"M{n}-USDT", event_us=BEGIN_US + n * US, price=1.0, severity=severity))
        for n, severity in enumerate((Severity.CRITICAL, Severity.LOW, Severity.HIGH, Severity.CRITICAL))
    ]
    rows = texts(shown(view_of(*found), AlertGroup.OPEN))
    assert [row[0] for row in rows] == ["M3-USDT", "M0-USDT", "M2-USDT", "M1-USDT"]


def test_a_row_says_how_old_it_is_and_where_it_was_told(lives: View) -> None:
    (row,) = texts(shown(lives, AlertGroup.ACKNOWLEDGED))
    assert row[:6] == ["BTC-USDT", "high", "whale", "60 min", "60 min", "telegram:1001"]


def test_the_summary_counts_every_group(lives: View) -> None:
    figures = alerts.alert_summary(lives.stories).figures
    assert [figure.value for figure in figures] == ["2", "1", "1", "1", "1"]


def test_ten_thousand_alerts_are_cut_and_it_is_said() -> None:
    found = [
        make_alert(make_anomaly("BTC-USDT", event_us=BEGIN_US + n, price=1.0, trade_id=n))
        for n in range(10_000)
    ]
    grid = shown(view_of(*found), AlertGroup.OPEN)
    assert len(grid.rows) == alerts.ALERT_ROWS
    assert grid.note == "the first 500 of 4,000"


def test_an_empty_group_says_what_that_means() -> None:
    one = view_of(make_alert(make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0)))
    sentences = {shown(one, group).empty for group in AlertGroup}
    assert len(sentences) == len(AlertGroup)
    assert "python -m alerter" in shown(view_of(), AlertGroup.OPEN).empty
    alive = view_of(make_status("alerter", time_us=NOW_US))
    assert "the alerter is up" in shown(alive, AlertGroup.OPEN).empty


def test_an_alert_tells_its_life_latest_first(lives: View) -> None:
    story = next(s for s in lives.stories if alerts.group_of(s) is AlertGroup.ACKNOWLEDGED)
    rows = texts(alerts.change_grid(story))
    assert [row[1:] for row in rows] == [
        ["acknowledged", "acknowledged by ann"],
        ["told", "telegram:1001 took it"],
        ["firing", "told (telegram:1001)"],
    ]
    head = alerts.alert_head(story)
    assert (head.heading, head.pill, head.note) == ("BTC-USDT", "high", "acknowledged by ann")


def test_a_chosen_alert_that_is_forgotten_is_none(lives: View) -> None:
    assert alerts.find_story(lives, None) is None
    assert alerts.find_story(lives, "gone") is None
    assert alerts.find_story(lives, lives.stories[0].latest.alert_id) is lives.stories[0]


def test_channels_that_fail_stand_first_with_what_is_wrong() -> None:
    anomaly = make_anomaly("BTC-USDT", event_us=NOW_US - 60 * US, price=1.0)
    took = make_alert(anomaly, channels=["telegram:1001"], detail="delivered")
    status = make_status(
        "alerter",
        time_us=NOW_US,
        state="degraded",
        detail="slack:#markets: refused: channel_not_found (200); webhook: timed out",
    )
    grid = alerts.channel_grid(view_of(took, status), now_us=NOW_US)
    assert texts(grid) == [
        ["slack:#markets", "refuses", "0", "\N{EN DASH}", "refused: channel_not_found (200)"],
        ["webhook", "fails", "0", "\N{EN DASH}", "timed out"],
        ["telegram:1001", "works", "1", "60 s", ""],
    ]
    assert grid.note == ""


def test_without_an_alerter_the_channels_say_that_nobody_is_told() -> None:
    silent = make_status("alerter", time_us=NOW_US - 3_600 * US, detail="slack: refused: no")
    grid = alerts.channel_grid(view_of(silent), now_us=NOW_US)
    assert "no alerter is alive" in grid.note
    assert grid.rows == ()
