"""The pages as Streamlit runs them, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.feed import Connection, ConnectionState, FeedView
from dashboard.state import Limits, State
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.clock import SystemClock
from tests.data.dashboard_scene import HOSTILE_REASON, Scene, history

FAULT = "MARKETS: 'btc' is no market; write **BASE-QUOTE** in capitals"


class FixedFeed:
    """A feed that always gives the same."""

    def __init__(self, *, seconds: int, state: ConnectionState = ConnectionState.LIVE) -> None:
        now_us = SystemClock().now_us()
        memory = State(Limits(history_s=900))
        if seconds:
            memory.apply(history(Scene(begin_us=now_us - seconds * US), seconds=seconds))
        connection = Connection(state=state, since_us=now_us, answered_us=now_us, detail="refused")
        self._view = FeedView(data=memory.view(), connection=connection)

    def view(self) -> FeedView:
        return self._view


def _live_script(feed: "FixedFeed") -> None:
    # AppTest runs this function's text on its own.
    from dashboard.archive import StoreArchive  # noqa: PLC0415 - see above
    from dashboard.desk import TopicDesk  # noqa: PLC0415 - see above
    from dashboard.screens.frame import show_pages  # noqa: PLC0415 - see above
    from shared.clock import SystemClock  # noqa: PLC0415 - see above
    from shared.store.database import Database  # noqa: PLC0415 - see above
    from shared.stream.memory import MemoryBroker  # noqa: PLC0415 - see above

    # The live page does not open the store.
    archive = StoreArchive(Database("sqlite:///never/opened.db"), SystemClock())
    show_pages(feed, TopicDesk(MemoryBroker()), archive)


def _faults_script(fault: str) -> None:
    from dashboard.screens.frame import show_faults  # noqa: PLC0415 - AppTest runs this function's text on its own

    show_faults([fault])


def live(feed: FixedFeed) -> AppTest:
    return AppTest.from_function(_live_script, kwargs={"feed": feed}, default_timeout=30)


@pytest.fixture(scope="module")
def full_feed() -> FixedFeed:
    return FixedFeed(seconds=120)


def test_the_page_shows_anomalies_with_their_reasons(full_feed: FixedFeed) -> None:
    at = live(full_feed).run()
    assert not at.exception
    table = at.dataframe[0].value
    assert len(table) == 8
    assert HOSTILE_REASON in table["reason"].tolist()


def test_the_table_can_be_narrowed_to_the_market_shown(full_feed: FixedFeed) -> None:
    at = live(full_feed)
    at.session_state["market"] = "ETH-USDT"
    at.run()
    at.toggle[0].set_value(True).run()
    assert set(at.dataframe[0].value["market"]) == {"ETH-USDT"}


def test_the_length_of_a_bar_can_be_chosen(full_feed: FixedFeed) -> None:
    at = live(full_feed).run()
    assert at.session_state["interval_s"] == 5
    at.session_state["interval_s"] = 60
    at.run()
    assert not at.exception


def test_a_market_that_vanished_gives_way_to_another(full_feed: FixedFeed) -> None:
    at = live(full_feed)
    at.session_state["market"] = "GONE-USDT"
    at.run()
    assert not at.exception
    assert at.session_state["market"] != "GONE-USDT"


@pytest.mark.parametrize("state", list(ConnectionState))
def test_a_first_visit_without_data_is_no_error(state: ConnectionState) -> None:
    at = live(FixedFeed(seconds=0, state=state)).run()
    assert not at.exception
    assert "first trade" in at.caption[0].value


def test_faults_of_the_settings_are_shown_as_they_are() -> None:
    at = AppTest.from_function(_faults_script, kwargs={"fault": FAULT}).run()
    assert not at.exception
    assert [text.value for text in at.text] == [FAULT]
