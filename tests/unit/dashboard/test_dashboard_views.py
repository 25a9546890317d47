import tomllib
from pathlib import Path

import msgspec
import plotly.graph_objects as go
import pytest

from dashboard import views
from dashboard.chart import ChartParams, hover_text, price_chart
from dashboard.palette import PALETTES, ThemeName, mark
from dashboard.state import Limits, State, View
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.events import Alert, AlertState, EpisodePhase, Severity
from tests.data.dashboard_scene import HOSTILE_REASON, make_anomaly, make_trade

BEGIN_US = 1_760_000_000 * US
ROOT = Path(__file__).resolve().parents[3]


def view_of(*events: msgspec.Struct) -> View:
    state = State(Limits(history_s=900))
    state.apply(events)
    return state.view()


def trades(
    symbol: str, prices: list[float], *, begin_us: int = BEGIN_US, quantity: float = 1.0
) -> list[msgspec.Struct]:
    return [
        make_trade(symbol, price, event_us=begin_us + at * US, quantity=quantity, trade_id=at)
        for at, price in enumerate(prices)
    ]


def cell_texts(view: View, *, chosen: str | None = None) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in views.market_grid(view, chosen=chosen).rows]


def test_markets_stand_still_in_the_order_of_the_alphabet() -> None:
    view = view_of(*trades("XRP-USDT", [0.5, 0.6]), *trades("BTC-USDT", [67_000.0, 66_330.0]))
    rows = cell_texts(view, chosen="XRP-USDT")
    assert [row[0] for row in rows] == ["BTC-USDT", "XRP-USDT"]
    assert rows[0][1:3] == ["66,330.00", "\N{MINUS SIGN}1.00 %"]
    assert rows[1][1:4] == ["0.60000", "+20.00 %", "1.10"]


def test_everything_looks_stale_when_the_snapshot_is() -> None:
    view = view_of(*trades("BTC-USDT", [67_000.0]))
    assert views.market_grid(view, chosen=None, is_stale=True).rows[0].stale
    assert views.quote(view.markets["BTC-USDT"], view, is_stale=True).stale
    assert not views.quote(view.markets["BTC-USDT"], view).stale


def test_the_chosen_market_is_marked_and_survives() -> None:
    view = view_of(*trades("XRP-USDT", [0.5]), *trades("BTC-USDT", [67_000.0]))
    assert views.choose_market(view, "XRP-USDT") == "XRP-USDT"
    assert views.choose_market(view, "GONE-USDT") == "BTC-USDT"
    assert views.choose_market(view_of(), "XRP-USDT") is None
    selected = [row.row_id for row in views.market_grid(view, chosen="XRP-USDT").rows if row.selected]
    assert selected == ["XRP-USDT"]


def test_a_silent_market_looks_stale_by_event_time() -> None:
    view = view_of(*trades("OLD-USDT", [1.0]), *trades("NEW-USDT", [1.0], begin_us=BEGIN_US + 40 * US))
    stale = {row.row_id: row.stale for row in views.market_grid(view, chosen=None).rows}
    assert stale == {"OLD-USDT": True, "NEW-USDT": False}
    strip = views.quote(view.markets["OLD-USDT"], view)
    assert strip.stale
    assert strip.pill == "silent 40 s"


def test_the_rate_counts_whole_seconds_of_event_time() -> None:
    view = view_of(*trades("BTC-USDT", [1.0] * 31))
    assert cell_texts(view)[0][4] == "1.00"


def test_a_sparkline_follows_the_price_in_even_steps_of_time() -> None:
    view = view_of(*trades("BTC-USDT", [1.0, 3.0, 2.0]))
    assert views.sparkline(view.markets["BTC-USDT"].bars) == (0.0, 1.0, 0.5)
    assert views.sparkline(view_of(*trades("BTC-USDT", [1.0])).markets["BTC-USDT"].bars) == ()
    assert set(views.sparkline(view_of(*trades("BTC-USDT", [2.0, 2.0])).markets["BTC-USDT"].bars)) == {0.5}


def test_the_table_of_anomalies_has_one_row_per_episode_latest_first() -> None:
    first = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0, reason="first", severity=Severity.LOW)
    second = make_anomaly(
        "ETH-USDT",
        event_us=BEGIN_US + US,
        price=1.0,
        kind="flash_crash",
        reason="second",
        rarity=1e-6,
        trade_id=2,
    )
    sent = Alert(
        alert_id="a",
        anomaly_id=second.anomaly_id,
        symbol="ETH-USDT",
        kind="flash_crash",
        severity=Severity.HIGH,
        state=AlertState.FIRING,
        channels=["telegram", "slack"],
        detail="delivered",
        time_us=BEGIN_US,
    )
    table = views.anomaly_table(view_of(first, second, sent).episodes)
    assert table["reason"].tolist() == ["second", "first"]
    assert table["kind"].tolist() == ["flash crash", "whale"]
    assert table["severity"].tolist() == [["high"], ["low"]]
    assert table["rarity"].tolist() == pytest.approx([1e6, 1e6])
    assert table["alert"].tolist()[0] == "telegram, slack"
    assert str(table["time"].dt.tz) == "UTC"
    only = views.anomaly_table(view_of(first, second).episodes, market="BTC-USDT")
    assert only["reason"].tolist() == ["first"]


def test_an_empty_table_has_the_same_columns() -> None:
    some = views.anomaly_table(view_of(make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0)).episodes)
    none = views.anomaly_table([])
    assert list(none.columns) == list(some.columns)
    assert none.dtypes[["time", "rarity"]].equals(some.dtypes[["time", "rarity"]])


def test_ten_thousand_anomalies_make_a_short_table() -> None:
    found = [make_anomaly("BTC-USDT", event_us=BEGIN_US + at, price=1.0, trade_id=at) for at in range(10_000)]
    assert len(views.anomaly_table(view_of(*found).episodes)) == views.ANOMALY_ROWS


def test_an_open_episode_says_so() -> None:
    opened = make_anomaly("A-USDT", event_us=BEGIN_US + 9 * US, opened_us=BEGIN_US, price=1.0)
    closed = msgspec.structs.replace(
        opened, episode=msgspec.structs.replace(opened.episode, phase=EpisodePhase.CLOSED)
    )
    assert views.anomaly_table(view_of(opened).episodes)["lasted"].tolist() == ["9.0 s, open"]
    assert views.anomaly_table(view_of(closed).episodes)["lasted"].tolist() == ["9.0 s"]


def test_anomalies_older_than_the_history_are_not_recent() -> None:
    old = make_anomaly("BTC-USDT", event_us=BEGIN_US - 901 * US, price=1.0)
    new = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0, trade_id=2)
    view = view_of(*trades("BTC-USDT", [1.0]), old, new)
    assert [episode.first for episode in views.recent_episodes(view)] == [new]
    assert [
        (figure.label, figure.value) for figure in views.anomaly_summary(views.recent_episodes(view)).figures
    ] == [
        ("critical", "0"),
        ("high", "1"),
        ("medium", "0"),
        ("low", "0"),
    ]


def test_the_story_is_the_latest_reason_of_the_market() -> None:
    found = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0, reason=HOSTILE_REASON)
    view = view_of(*trades("BTC-USDT", [1.0]), *trades("ETH-USDT", [1.0]), found)
    assert views.latest_story(view.markets["BTC-USDT"], view).note == HOSTILE_REASON
    assert views.latest_story(view.markets["ETH-USDT"], view).note.startswith("No anomaly on ETH-USDT")


def chart(
    view: View, *, symbol: str = "BTC-USDT", interval_s: int = 5, theme: ThemeName = "dark"
) -> go.Figure:
    # Plotly itself checks every name and value of the figure.
    return go.Figure(price_chart(view.markets[symbol], ChartParams(interval_s=interval_s, theme=theme)))


@pytest.mark.parametrize("interval_s", [1, 5, 60])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chart_has_candles_volume_and_a_trace_per_kind(interval_s: int, theme: ThemeName) -> None:
    found = [
        make_anomaly("BTC-USDT", event_us=BEGIN_US + 5 * US, price=3.0, kind=kind, trade_id=5)
        for kind in ("whale", "flash_crash", "new_kind")
    ]
    figure = chart(
        view_of(*trades("BTC-USDT", [float(at + 1) for at in range(100)]), *found),
        interval_s=interval_s,
        theme=theme,
    )
    assert [trace.type for trace in figure.data] == ["candlestick", "bar", "scatter", "scatter", "scatter"]
    assert sum(figure.data[1].y) == 100
    marks = figure.data[2:]
    assert [trace.name for trace in marks] == ["flash crash", "new kind", "whale"]
    assert len({trace.marker.symbol for trace in marks}) == 3
    assert list(marks[0].x) == [(BEGIN_US + 5 * US) / 1_000]


def test_what_is_on_trial_says_so_in_the_table_and_over_its_mark() -> None:
    found = msgspec.structs.replace(make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0), shadow=True)
    [episode] = view_of(found).episodes
    assert views.anomaly_table([episode])["alert"].tolist() == ["on trial"]
    assert "whale (on trial)" in hover_text(episode)


def test_hovers_escape_what_comes_from_outside() -> None:
    found = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0, kind="<b>kind", reason=HOSTILE_REASON)
    [episode] = view_of(found).episodes
    text = hover_text(episode)
    assert "<img" not in text
    assert "&lt;img" in text
    assert "<b>kind" not in text


def test_pan_and_zoom_are_kept_until_something_else_is_shown() -> None:
    before = view_of(*trades("BTC-USDT", [1.0, 2.0]))
    after = view_of(*trades("BTC-USDT", [1.0, 2.0, 3.0]))
    assert chart(before).layout.uirevision == chart(after).layout.uirevision
    assert chart(after).layout.uirevision != chart(after, interval_s=1).layout.uirevision
    followed = go.Figure(price_chart(after.markets["BTC-USDT"], ChartParams(view_id=1)))
    assert followed.layout.uirevision != chart(after).layout.uirevision


def test_a_market_that_stands_still_has_an_axis() -> None:
    low, high = chart(view_of(*trades("BTC-USDT", [5.0] * 3))).layout.yaxis.range
    assert low < 5.0 < high


def test_the_colours_of_streamlit_and_of_the_charts_are_the_same() -> None:
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    for name, palette in PALETTES.items():
        configured = theme[name]
        assert configured["backgroundColor"] == palette.background
        assert configured["secondaryBackgroundColor"] == palette.panel
        assert configured["borderColor"] == palette.border
        assert configured["textColor"] == palette.text
        assert configured["grayTextColor"] == palette.muted
        assert configured["greenTextColor"] == palette.up
        assert configured["redTextColor"] == palette.down
        assert configured["primaryColor"] == palette.accent


def test_text_stands_out_from_its_background() -> None:
    for palette in PALETTES.values():
        for color in (palette.text, palette.muted, palette.up, palette.down, palette.accent):
            for behind in (palette.background, palette.panel):
                # 4.5 is what WCAG 2.2 asks of small text (success criterion 1.4.3).
                assert _contrast(color, behind) >= 4.5, (color, behind)


def test_kinds_look_different() -> None:
    kinds = ("combined", "whale", "flash_crash", "zscore", "forest")
    assert len({mark(kind).symbol for kind in kinds}) == len(kinds)
    assert len({mark(kind).dark for kind in kinds}) == len(kinds)


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
