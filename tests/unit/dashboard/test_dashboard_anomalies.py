import msgspec
import pytest

from dashboard import anomalies
from dashboard.anomalies import Wanted
from dashboard.panels import Grid
from dashboard.state import Limits, State, View
from shared.events import Anomaly, Severity
from shared.store.labels import Verdict
from tests.data.dashboard_scene import HOSTILE_REASON, make_anomaly, make_trade

US = 1_000_000
BEGIN_US = 1_760_000_000 * US


def found(number: int, symbol: str = "BTC-USDT", *, kind: str = "whale", severity: str = "high") -> Anomaly:
    return make_anomaly(
        symbol,
        event_us=BEGIN_US + number * 600 * US,
        price=1.0,
        kind=kind,
        severity=Severity(severity),
        trade_id=number,
        reason=HOSTILE_REASON,
    )


FOUND = (
    found(0),
    found(1, "ETH-USDT", severity="low"),
    found(2, kind="flash_crash", severity="critical"),
    found(3),
)


def view_of(*events: msgspec.Struct) -> View:
    state = State(Limits(history_s=900))
    state.apply(events)
    return state.view()


def column(grid: Grid, label: str) -> list[str]:
    at = [each.label for each in grid.columns].index(label)
    return [row.cells[at].text for row in grid.rows]


@pytest.fixture(scope="module")
def view() -> View:
    return view_of(*FOUND, make_trade("BTC-USDT", 1.0, event_us=BEGIN_US + 2_000 * US))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [3, 2, 1, 0]),
        (Wanted(markets=["ETH-USDT"]), [1]),
        (Wanted(kinds=["whale"], markets=["BTC-USDT"]), [3, 0]),
        (Wanted(detectors=["flash_crash"]), [2]),
        (Wanted(severities=["low", "critical"]), [2, 1]),
        (Wanted(within_s=900), [3, 2]),
        (Wanted(markets=["GONE-USDT"]), []),
    ],
)
def test_the_list_can_be_filtered(view: View, wanted: Wanted, numbers: list[int]) -> None:
    grid = anomalies.anomaly_list(view, wanted, ())
    assert [row.row_id for row in grid.rows] == [FOUND[number].anomaly_id for number in numbers]


def test_an_empty_list_says_whether_it_is_the_filter(view: View) -> None:
    assert "None of the 4" in anomalies.anomaly_list(view, Wanted(kinds=["none"]), ()).empty
    assert "No anomaly so far" in anomalies.anomaly_list(view_of(), Wanted(), ()).empty


def test_many_anomalies_are_cut_and_it_is_said() -> None:
    many = [found(number, f"M{number % 50}-USDT") for number in range(1_000)]
    grid = anomalies.anomaly_list(view_of(*many), Wanted(), ())
    assert len(grid.rows) == anomalies.ROWS
    assert grid.note == "the latest 300 of 1,000"


def test_choices_are_what_there_is(view: View) -> None:
    possible = anomalies.choices(view)
    assert possible.markets == ["BTC-USDT", "ETH-USDT"]
    assert possible.kinds == possible.detectors == ["flash_crash", "whale"]


def test_one_anomaly_says_why_and_how_rare(view: View) -> None:
    episode = anomalies.find_episode(view, FOUND[0].anomaly_id)
    assert episode is not None
    assert anomalies.anomaly_head(episode).note == HOSTILE_REASON
    figures = {figure.label: figure.value for figure in anomalies.rarity_strip(episode).figures}
    assert figures["rarity"] == "1 in 1.00M"
    assert figures["told beyond"] == "1 in 100,000"


def test_shares_stand_in_order_and_what_is_no_number_is_a_dash() -> None:
    odd = msgspec.structs.replace(
        FOUND[0],
        features={"a": 1.5, "b": float("nan"), "c": 3e6},
        contributions={"a": 0.25, "b": float("nan"), "c": 0.75},
    )
    grid = anomalies.share_grid(anomalies.stored_episode(odd))
    assert column(grid, "Feature") == ["c", "a", "b"]
    assert column(grid, "Share") == ["75 %", "25 %", "\N{EN DASH}"]
    assert column(grid, "Value") == ["3.00M", "1.5", "\N{EN DASH}"]
    assert [len(text) for text in column(grid, "")] == [15, 5, 0]


def test_history_is_the_same_kind_on_the_same_market_without_itself(view: View) -> None:
    episode = anomalies.find_episode(view, FOUND[0].anomaly_id)
    assert episode is not None
    history = anomalies.history_grid(view, episode, ())
    assert [row.row_id for row in history.rows] == [FOUND[3].anomaly_id]


def test_the_moment_shows_what_overlaps() -> None:
    near = make_anomaly("SOL-USDT", event_us=BEGIN_US + 59 * US, price=1.0)
    far = make_anomaly("XRP-USDT", event_us=BEGIN_US + 61 * US, price=1.0)
    both = view_of(FOUND[0], near, far)
    episode = anomalies.find_episode(both, FOUND[0].anomaly_id)
    assert episode is not None
    assert column(anomalies.moment_grid(both, episode, ()), "Market") == ["SOL-USDT"]


def test_labels_are_shown_with_who_said_so_the_latest_word_first(view: View) -> None:
    episode = anomalies.find_episode(view, FOUND[0].anomaly_id)
    assert episode is not None
    early = anomalies.label_of(episode, Verdict.REAL, note="sure", author="ann", now_us=1)
    late = anomalies.label_of(episode, Verdict.FALSE, note="", author="bob", now_us=2)
    strip = anomalies.label_strip([late, early], episode.latest.episode.episode_id)
    assert (strip.pill, strip.figures[0].value, strip.note) == ("false", "bob", "ann: real (sure)")
    assert "Nobody" in anomalies.label_strip([late], "other").note
    grid = anomalies.anomaly_list(view, Wanted(), [late, early])
    assert column(grid, "Label") == ["\N{EN DASH}"] * 3 + ["false"]
