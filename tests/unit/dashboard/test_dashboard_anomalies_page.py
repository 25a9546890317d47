"""The page about anomalies as Streamlit runs it, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.archive import Labels
from dashboard.feed import Connection, ConnectionState, FeedView
from dashboard.state import Limits, State
from shared.clock import SystemClock
from shared.errors import StoreUnavailableError
from shared.events import Anomaly
from shared.store.labels import Label, Verdict
from tests.data.dashboard_scene import alert_life, make_anomaly

US = 1_000_000


class FixedFeed:
    """A feed that always gives the same: six anomalies with alerts, or nothing."""

    def __init__(self, *, has_anomalies: bool = True, state: ConnectionState = ConnectionState.LIVE) -> None:
        now_us = SystemClock().now_us()
        memory = State(Limits(history_s=900))
        self.found = [
            make_anomaly("BTC-USDT", event_us=now_us - 60 * US, price=1.0, trade_id=number)
            for number in range(6)
        ]
        if has_anomalies:
            memory.apply(self.found)
            memory.apply(change for n, each in enumerate(self.found) for change in alert_life(each, n))
        self._view = FeedView(
            data=memory.view(), connection=Connection(state=state, since_us=now_us, answered_us=now_us)
        )

    def view(self) -> FeedView:
        return self._view


class ListArchive:
    """Keeps labels in a list, or has a store that cannot be had."""

    def __init__(self, *stored: Anomaly, fault: str = "") -> None:
        self.said: list[Label] = []
        self._stored = {anomaly.anomaly_id: anomaly for anomaly in stored}
        self._fault = fault

    def labels(self) -> Labels:
        return Labels(latest_first=self.said[::-1], fault=self._fault)

    def save(self, label: Label) -> None:
        if self._fault:
            raise StoreUnavailableError("session", detail=self._fault)
        self.said.append(label)

    def anomaly(self, anomaly_id: str) -> Anomaly | None:
        return self._stored.get(anomaly_id)


def _script(feed: "FixedFeed", archive: "ListArchive") -> None:
    # AppTest runs this function's text on its own.
    from dashboard.screens.anomalies import AnomaliesPage  # noqa: PLC0415 - see above
    from shared.clock import SystemClock  # noqa: PLC0415 - see above

    AnomaliesPage(feed=feed, archive=archive, clock=SystemClock()).draw()


def page(feed: FixedFeed, archive: ListArchive, *, shown: str | None = None) -> AppTest:
    at = AppTest.from_function(_script, kwargs={"feed": feed, "archive": archive}, default_timeout=30)
    if shown is not None:
        at.query_params["id"] = shown
    return at.run()


@pytest.mark.parametrize("state", list(ConnectionState))
def test_a_first_visit_without_anomalies_is_no_error(state: ConnectionState) -> None:
    assert not page(FixedFeed(has_anomalies=False, state=state), ListArchive()).exception


def test_the_list_can_be_filtered_and_keeps_a_choice_that_vanished() -> None:
    at = page(FixedFeed(), ListArchive())
    at.multiselect(key="of_markets").select("BTC-USDT").run()
    at.session_state["of_kinds"] = ["gone"]
    at.run()
    assert not at.exception
    assert at.multiselect(key="of_kinds").value == ["gone"]


def test_a_shared_address_opens_the_anomaly_and_leads_back_to_the_list() -> None:
    feed = FixedFeed()
    at = page(feed, ListArchive(), shown=feed.found[0].anomaly_id)
    assert not at.exception
    assert at.radio(key="verdict").options == list(Verdict)
    at.button(key="back").click().run()
    assert not at.exception
    assert at.multiselect(key="of_markets")


def test_an_anomaly_is_labelled_with_a_note() -> None:
    feed, archive = FixedFeed(), ListArchive()
    at = page(feed, archive, shown=feed.found[0].anomaly_id)
    at.radio(key="verdict").set_value(Verdict.FALSE)
    at.text_input(key="label_note").set_value("a listing")
    next(button for button in at.button if button.label == "Label").click().run()
    assert not at.exception
    (label,) = archive.said
    assert (label.verdict, label.note, label.author) == (Verdict.FALSE, "a listing", "dashboard")
    assert label.episode_id == feed.found[0].anomaly_id


def test_a_label_without_a_verdict_is_not_stored() -> None:
    feed, archive = FixedFeed(), ListArchive()
    at = page(feed, archive, shown=feed.found[0].anomaly_id)
    next(button for button in at.button if button.label == "Label").click().run()
    assert not at.exception
    assert archive.said == []
    assert "choose" in at.session_state["label_answer"]


def test_a_store_that_is_away_is_said_and_the_page_goes_on() -> None:
    feed = FixedFeed()
    at = page(feed, ListArchive(fault="locked"), shown=feed.found[0].anomaly_id)
    at.radio(key="verdict").set_value(Verdict.REAL)
    next(button for button in at.button if button.label == "Label").click().run()
    assert not at.exception
    assert "locked" in at.session_state["label_answer"]


def test_an_old_anomaly_comes_from_the_store_and_an_unknown_one_is_explained() -> None:
    feed = FixedFeed(has_anomalies=False)
    old = feed.found[0]
    assert page(feed, ListArchive(old), shown=old.anomaly_id).radio(key="verdict")
    at = page(feed, ListArchive(), shown="<script>")
    assert not at.exception
    assert not at.radio
