import asyncio
from collections.abc import Iterator

import pytest

from alerter.channels.pagerduty import PagerDuty, PagerDutyParams
from alerter.notification import Notification, NotificationEvent
from shared.errors import ChannelDeadError, DeliveryRetriableError
from shared.events import AlertState, Severity
from tests.servers.receiver import ROUTING_KEY, PagerDutyServer
from tests.servers.stand_in import Fault, FaultKind
from tests.unit.alerter.notices import INCIDENT, notification


@pytest.fixture
def pagerduty() -> Iterator[PagerDutyServer]:
    with PagerDutyServer() as server:
        yield server


def send(server: PagerDutyServer, *steps: Notification, key: str = ROUTING_KEY) -> None:
    async def all_of_them() -> None:
        channel = PagerDuty(PagerDutyParams(routing_key=key, api_url=server.origin, timeout_s=1.0))
        try:
            for step in steps:
                assert await channel.send(step, thread_ref="") == INCIDENT
        finally:
            await channel.close()

    asyncio.run(all_of_them())


HELD = notification(event=NotificationEvent.ACKNOWLEDGED, state=AlertState.ACKNOWLEDGED, rings=False)
SNOOZED = notification(event=NotificationEvent.SNOOZED, state=AlertState.SILENCED, rings=False)
OVER = notification(event=NotificationEvent.RESOLVED, state=AlertState.RESOLVED, rings=False)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ((notification(),), "triggered"),
        ((notification(), HELD), "acknowledged"),
        ((notification(), SNOOZED), "acknowledged"),
        ((notification(), HELD, notification(event=NotificationEvent.UPDATED)), "triggered"),
        ((notification(), OVER), "resolved"),
        ((notification(), notification()), "triggered"),
    ],
)
def test_an_incident_is_one_alert_there_through_its_life(
    pagerduty: PagerDutyServer, steps: tuple[Notification, ...], state: str
) -> None:
    send(pagerduty, *steps)
    assert pagerduty.alerts == {INCIDENT: state}


def test_what_is_sent_says_what_and_where(pagerduty: PagerDutyServer) -> None:
    send(pagerduty, notification(severity=Severity.CRITICAL, reason="x" * 3_000))
    payload = pagerduty.events[0]["payload"]
    assert payload["summary"].startswith("CRITICAL: whale on BTC-USDT (binance). xxx")
    assert (payload["severity"], payload["source"]) == ("critical", "binance:BTC-USDT")
    assert (payload["component"], payload["class"]) == ("BTC-USDT", "whale")
    assert payload["timestamp"].endswith("+00:00")


def test_a_wrong_key_is_the_end_of_the_channel_and_is_not_shown(pagerduty: PagerDutyServer) -> None:
    wrong = "f" * 32
    with pytest.raises(ChannelDeadError) as caught:
        send(pagerduty, notification(), key=wrong)
    assert wrong not in str(caught.value)


def test_a_limit_says_how_long_to_wait(pagerduty: PagerDutyServer) -> None:
    pagerduty.fail_next(Fault(FaultKind.RATE_LIMITED, retry_after_s=3))
    with pytest.raises(DeliveryRetriableError) as caught:
        send(pagerduty, notification())
    assert caught.value.retry_after_s == 3


def test_a_lost_answer_makes_no_second_alert(pagerduty: PagerDutyServer) -> None:
    pagerduty.fail_next(Fault(FaultKind.LOST_ANSWER))
    with pytest.raises(DeliveryRetriableError):
        send(pagerduty, notification())
    send(pagerduty, notification())
    assert (len(pagerduty.events), pagerduty.alerts) == (2, {INCIDENT: "triggered"})


def test_a_word_about_the_system_is_an_alert_of_its_own(pagerduty: PagerDutyServer) -> None:
    async def tell() -> None:
        channel = PagerDuty(PagerDutyParams(routing_key=ROUTING_KEY, api_url=pagerduty.origin))
        await channel.tell("telegram:1 takes nothing")
        await channel.close()

    asyncio.run(tell())
    assert pagerduty.events[0]["payload"]["summary"] == "telegram:1 takes nothing"
