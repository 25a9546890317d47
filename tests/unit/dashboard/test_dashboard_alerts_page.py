"""The page about alerts as Streamlit runs it, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.alerts import AlertGroup
from dashboard.feed import Connection, ConnectionState, FeedView
from dashboard.state import Limits, State
from shared.clock import SystemClock
from shared.errors import BrokerRetriableError
from shared.events import AlertAction, AlertCommand
from tests.data.dashboard_scene import alert_life, make_anomaly

US = 1_000_000
OPEN, UNTOLD = 4, 0


class FixedFeed:
    """A feed that always gives the same: one alert of each life, or nothing."""

    def __init__(self, *, has_alerts: bool = True, state: ConnectionState = ConnectionState.LIVE) -> None:
        now_us = SystemClock().now_us()
        memory = State(Limits(history_s=900))
        found = [
            make_anomaly("BTC-USDT", event_us=now_us - 60 * US, price=1.0, trade_id=number)
            for number in range(6)
        ]
        self.alert_ids = [anomaly.anomaly_id for anomaly in found]
        if has_alerts:
            memory.apply(change for number, each in enumerate(found) for change in alert_life(each, number))
        connection = Connection(state=state, since_us=now_us, answered_us=now_us)
        self._view = FeedView(data=memory.view(), connection=connection)

    def view(self) -> FeedView:
        return self._view


class ListDesk:
    """Keeps what is asked, or refuses it."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.asked: list[AlertCommand] = []
        self._refuses = refuses

    def publish(self, command: AlertCommand) -> None:
        if self._refuses:
            raise BrokerRetriableError("flush", detail="refused")
        self.asked.append(command)


def _script(feed: "FixedFeed", desk: "ListDesk") -> None:
    from dashboard.screens.alerts import AlertsPage  # noqa: PLC0415 - AppTest runs this function's text on its own
    from shared.clock import SystemClock  # noqa: PLC0415 - the same

    AlertsPage(feed=feed, desk=desk, clock=SystemClock()).draw()


def page(feed: FixedFeed, desk: ListDesk, *, chosen: int | None = None) -> AppTest:
    at = AppTest.from_function(_script, kwargs={"feed": feed, "desk": desk}, default_timeout=30)
    if chosen is not None:
        at.session_state["alert"] = feed.alert_ids[chosen]
    return at.run()


@pytest.mark.parametrize("state", list(ConnectionState))
def test_a_first_visit_without_alerts_is_no_error(state: ConnectionState) -> None:
    at = page(FixedFeed(has_alerts=False, state=state), ListDesk())
    assert not at.exception
    assert not at.button


@pytest.mark.parametrize("group", list(AlertGroup))
def test_every_group_is_drawn(group: AlertGroup) -> None:
    at = page(FixedFeed(), ListDesk())
    at.session_state["alert_group"] = group
    at.run()
    assert not at.exception


@pytest.mark.parametrize("number", range(6))
def test_every_state_of_an_alert_is_drawn(number: int) -> None:
    assert not page(FixedFeed(), ListDesk(), chosen=number).exception


def test_a_chosen_alert_is_acknowledged_and_snoozed() -> None:
    desk = ListDesk()
    at = page(FixedFeed(), desk, chosen=OPEN)
    at.button(key="acknowledge").click().run()
    at.button(key="snooze_3600").click().run()
    assert not at.exception
    assert [command.action for command in desk.asked] == [AlertAction.ACKNOWLEDGE, AlertAction.SNOOZE]
    assert [command.author for command in desk.asked] == ["dashboard"] * 2
    assert desk.asked[1].until_us - desk.asked[1].time_us == 3_600 * US


def test_a_silence_takes_scope_length_and_reason_from_the_form() -> None:
    desk = ListDesk()
    at = page(FixedFeed(), desk, chosen=OPEN)
    at.text_input(key="silence_comment").set_value("listing day")
    next(button for button in at.button if button.label == "Silence").click().run()
    assert not at.exception
    (command,) = desk.asked
    assert command.action is AlertAction.SILENCE
    assert command.matchers == {"market": ["BTC-USDT"], "kind": ["whale"]}
    assert command.comment == "listing day"


def test_what_was_not_told_cannot_be_acknowledged() -> None:
    at = page(FixedFeed(), ListDesk(), chosen=UNTOLD)
    assert at.button(key="acknowledge").disabled
    assert at.button(key="snooze_900").disabled


def test_a_broker_that_does_not_answer_is_said() -> None:
    at = page(FixedFeed(), ListDesk(refuses=True), chosen=OPEN)
    at.button(key="acknowledge").click().run()
    assert not at.exception
    text, tone = at.session_state["alert_answer"]
    assert "refused" in text
    assert tone == "bad"
