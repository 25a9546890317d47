import msgspec
import pytest

from dashboard import health
from dashboard.feed import Connection, ConnectionState, FeedView
from dashboard.panels import Grid, Strip
from dashboard.state import Limits, State, View
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.events import Quarantine, TapeGap
from tests.data.dashboard_scene import make_status, make_trade

NOW_US = 1_760_000_000 * US


def view_of(*events: msgspec.Struct) -> View:
    state = State(Limits(history_s=900))
    state.apply(events)
    return state.view()


def feed_view(
    *events: msgspec.Struct,
    state: ConnectionState = ConnectionState.LIVE,
    detail: str = "",
    answered_us: int = NOW_US,
) -> FeedView:
    connection = Connection(
        state=state, since_us=NOW_US, answered_us=answered_us, detail=detail, retry_us=NOW_US + 4 * US
    )
    return FeedView(data=view_of(*events), connection=connection)


def figures(strip: Strip) -> dict[str, str]:
    return {figure.label: figure.value for figure in strip.figures}


def row_texts(grid: Grid) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in grid.rows]


def test_a_live_feed_is_live() -> None:
    feed = feed_view(make_trade("BTC-USDT", 1.0, event_us=NOW_US - US))
    strip = health.masthead(feed, now_us=NOW_US)
    assert (strip.pill, strip.pill_tone, strip.note, strip.stale) == ("Live", "good", "", False)


def test_an_unreachable_broker_is_said_with_its_error_the_next_attempt_and_the_age() -> None:
    feed = feed_view(
        make_trade("BTC-USDT", 1.0, event_us=NOW_US - 40 * US),
        state=ConnectionState.UNREACHABLE,
        detail="Kafka consume: refused",
        answered_us=NOW_US - 34 * US,
    )
    strip = health.masthead(feed, now_us=NOW_US)
    assert strip.pill == "Kafka unreachable"
    assert strip.stale
    assert strip.note == "Kafka consume: refused; trying again in 4.0 s. What is shown is 34 s old."


@pytest.mark.parametrize("state", list(ConnectionState))
def test_every_state_of_the_connection_has_words(state: ConnectionState) -> None:
    pill, _, _ = health.freshness(feed_view(state=state), now_us=NOW_US)
    assert pill


def test_without_trades_the_page_says_what_is_awaited() -> None:
    assert "make demo" in health.freshness(feed_view(), now_us=NOW_US)[2]
    _, _, note = health.freshness(feed_view(make_status("producer", time_us=NOW_US)), now_us=NOW_US)
    assert "first trade" in note


def test_trades_that_stopped_coming_look_stale() -> None:
    feed = feed_view(make_trade("BTC-USDT", 1.0, event_us=NOW_US - 34 * US))
    strip = health.masthead(feed, now_us=NOW_US)
    assert strip.pill == "No trades"
    assert strip.stale
    assert "34 s" in strip.note


def test_throughput_counts_by_our_clock_and_falls_to_nothing() -> None:
    trades = [
        make_trade("BTC-USDT", 1.0, event_us=0, received_us=NOW_US - (1 + at // 5) * US) for at in range(50)
    ]
    view = view_of(*trades)
    assert health.throughput(view.pace, now_us=NOW_US) == 5.0
    assert health.throughput(view.pace, now_us=NOW_US + 60 * US) == 0.0


@pytest.mark.parametrize(
    ("skew_s", "label", "shown"),
    [
        (0.08, "clock skew", "80 ms"),
        (-0.08, "clock skew", "\N{MINUS SIGN}80 ms"),
        (86_400 * 396, "event clock", "396 d behind"),
        (-86_400 * 3, "event clock", "3 d ahead"),
    ],
)
def test_the_clock_figure_tells_skew_from_another_clock(skew_s: float, label: str, shown: str) -> None:
    trade = make_trade("BTC-USDT", 1.0, event_us=NOW_US - round(skew_s * US), received_us=NOW_US)
    assert figures(health.masthead(feed_view(trade), now_us=NOW_US))[label] == shown


def test_a_sped_up_market_says_how_fast_and_shows_no_negative_age() -> None:
    trades = [
        make_trade("BTC-USDT", 1.0, event_us=NOW_US + 10 * at * US, received_us=NOW_US + at * US)
        for at in range(20)
    ]
    shown = figures(health.masthead(feed_view(*trades), now_us=NOW_US + 19 * US))
    assert shown["event clock"] == "10 x real time"
    assert not any("\N{MINUS SIGN}" in value for value in shown.values())


def test_a_worker_shows_its_figures() -> None:
    before = make_status("detector", time_us=NOW_US - 3 * US, trades_total=1_000)
    latest = make_status(
        "detector",
        time_us=NOW_US - US,
        trades_total=1_400,
        lag_records=42,
        latency_p99_ms=18.44,
        dead_letters_total=3,
    )
    [row] = row_texts(health.worker_grid(view_of(before, latest), now_us=NOW_US))
    dash = "\N{EN DASH}"
    assert row == ["detector", "running", "1.0 s", "200", "42", "18.4", dash, "3"]


def test_frames_that_the_producer_could_not_read_count_as_dead() -> None:
    status = make_status("producer", time_us=NOW_US, invalid_total=2)
    [row] = row_texts(health.worker_grid(view_of(status), now_us=NOW_US))
    assert row[7] == "2"


def test_a_worker_that_fell_silent_looks_stale() -> None:
    status = make_status("detector", time_us=NOW_US - 34 * US, trades_total=10)
    [row] = health.worker_grid(view_of(status), now_us=NOW_US).rows
    assert row.stale
    assert (row.cells[1].text, row.cells[1].tone) == ("silent", "bad")
    assert row.cells[2].text == "34 s"


def test_a_worker_that_stopped_in_order_is_no_alarm() -> None:
    status = make_status("detector", time_us=NOW_US - 34 * US, state="stopping")
    [row] = health.worker_grid(view_of(status), now_us=NOW_US).rows
    assert (row.cells[1].text, row.cells[1].tone) == ("stopped", "muted")


def test_a_worker_whose_clock_is_ahead_has_no_negative_age() -> None:
    [row] = health.worker_grid(view_of(make_status("detector", time_us=NOW_US + 9 * US)), now_us=NOW_US).rows
    assert (row.cells[2].text, row.cells[2].order) == ("0.0 s", 0.0)


def test_a_replaced_worker_is_forgotten_and_a_dead_one_is_not() -> None:
    dead = make_status("recorder", time_us=NOW_US - 400 * US, instance="1")
    old = make_status("detector", time_us=NOW_US - 400 * US, instance="1")
    young = make_status("detector", time_us=NOW_US, instance="2")
    rows = [row.row_id for row in health.worker_grid(view_of(dead, old, young), now_us=NOW_US).rows]
    assert rows == ["detector/2", "recorder/1"]


def test_gaps_told_per_market_are_added_up() -> None:
    status = make_status("producer", time_us=NOW_US)
    status = msgspec.structs.replace(
        status, markets={"A-USDT": {"gaps_total": 2}, "B-USDT": {"gaps_total": 1}}
    )
    [row] = row_texts(health.worker_grid(view_of(status), now_us=NOW_US))
    assert row[6] == "3"


def test_what_was_lost_is_counted_at_the_top() -> None:
    gap = TapeGap(
        exchange="binance",
        symbol="SOL-USDT",
        first_missing_id=1,
        last_missing_id=1_200,
        reason="HTTP 418",
        detected_time_us=NOW_US - US,
    )
    assert figures(health.masthead(feed_view(gap), now_us=NOW_US))["missing trades"] == "1,200"


def test_a_quarantined_detector_is_told_beside_the_workers() -> None:
    stopped = Quarantine(
        symbol="ETH-USDT", detector="z", fingerprint="f", error="e", event_time_us=NOW_US, trade_id=1
    )
    assert health.worker_grid(view_of(stopped), now_us=NOW_US).note == "1 detector quarantined"
