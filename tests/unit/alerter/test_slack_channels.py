import asyncio
import io
import logging
import traceback
from collections.abc import Iterator

import msgspec
import pytest

from alerter.channels.channel import Channel
from alerter.channels.slack import SlackChannel, SlackParams, SlackWebhook, SlackWebhookParams
from alerter.notification import Notification, NotificationEvent
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRetriableError
from shared.events import AlertState
from tests.servers.slack import TOKEN, WEBHOOK_CHANNEL, WEBHOOK_PATH, SlackLimits, SlackServer, is_escaped
from tests.servers.stand_in import Fault, FaultKind
from tests.unit.alerter.notices import notification

KINDS = ["bot", "webhook"]
SECRETS = (TOKEN, WEBHOOK_PATH, WEBHOOK_PATH.rpartition("/")[2])


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(channels=["#alerts"]) as server:
        yield server


def channel(server: SlackServer, kind: str, *, name: str = "#alerts", token: str = TOKEN) -> Channel:
    if kind == "webhook":
        return SlackWebhook(SlackWebhookParams(url=server.webhook_url, timeout_s=1))
    return SlackChannel(SlackParams(token=token, channel=name, api_url=server.url, timeout_s=1))


def send(to: Channel) -> str:
    return asyncio.run(to.send(notification(), thread_ref=""))


def test_a_bots_message_arrives_and_its_timestamp_comes_back(slack: SlackServer) -> None:
    message_ref = send(channel(slack, "bot"))
    (message,) = slack.messages
    assert message.channel == "#alerts"
    assert message_ref == f"{slack.id_of('#alerts')}/{message.ts}"
    assert message.text.startswith("HIGH: whale on BTC-USDT (binance). A single trade")
    assert slack.anomaly_ids("#alerts") == ["0123456789abcdef0123"]


def test_a_webhooks_message_arrives(slack: SlackServer) -> None:
    assert send(channel(slack, "webhook")) == ""
    assert slack.anomaly_ids(WEBHOOK_CHANNEL) == ["0123456789abcdef0123"]
    assert slack.messages[0].text.startswith("HIGH: whale on BTC-USDT")


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_says_how_long_to_wait_and_is_not_retried_within(slack: SlackServer, kind: str) -> None:
    slack.fail_next(Fault(FaultKind.RATE_LIMITED, retry_after_s=30))
    with pytest.raises(DeliveryRetriableError) as caught:
        send(channel(slack, kind))
    assert caught.value.retry_after_s == 30
    assert slack.attempts == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_of_the_server_is_met_with_its_own_waiting_time(kind: str) -> None:
    with SlackServer(limits=SlackLimits(per_channel=0.1, burst=2)) as server:
        to = channel(server, kind)
        send(to)
        send(to)
        with pytest.raises(DeliveryRetriableError) as caught:
            send(to)
        assert server.refused == 1
    assert caught.value.retry_after_s == 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR, status=500),
        Fault(FaultKind.SERVER_ERROR, status=503),
        Fault(FaultKind.NO_ANSWER),
        Fault(FaultKind.LOST_ANSWER),
    ],
    ids=str,
)
def test_what_may_pass_is_worth_another_attempt(slack: SlackServer, kind: str, fault: Fault) -> None:
    slack.fail_next(fault)
    with pytest.raises(DeliveryRetriableError) as caught:
        send(channel(slack, kind))
    assert caught.value.retry_after_s is None
    assert slack.attempts == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_not_slacks_is_worth_another_attempt(slack: SlackServer, kind: str) -> None:
    slack.fail_next(Fault(FaultKind.GARBAGE))
    with pytest.raises(DeliveryRetriableError):
        send(channel(slack, kind))
    assert slack.messages == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_unreachable_server_is_worth_another_attempt(kind: str) -> None:
    with SlackServer() as server:
        pass
    with pytest.raises(DeliveryRetriableError, match="Connection refused"):
        send(channel(server, kind))


def test_an_unknown_channel_is_refused(slack: SlackServer) -> None:
    with pytest.raises(ChannelDeadError, match="slack:#nowhere: channel_not_found"):
        send(channel(slack, "bot", name="#nowhere"))


def test_a_wrong_token_is_refused(slack: SlackServer) -> None:
    with pytest.raises(ChannelDeadError, match="invalid_auth"):
        send(channel(slack, "bot", token="xoxb-wrong"))


def test_a_revoked_webhook_is_refused(slack: SlackServer) -> None:
    slack.is_token_revoked = True
    with pytest.raises(ChannelDeadError, match="slack-webhook: invalid_token"):
        send(channel(slack, "webhook"))


def test_an_unknown_webhook_is_refused(slack: SlackServer) -> None:
    unknown = SlackWebhook(SlackWebhookParams(url=f"{slack.origin}/services/T0/B0/other"))
    with pytest.raises(ChannelDeadError, match="no_service"):
        send(unknown)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SERVER_ERROR),
        Fault(FaultKind.LOST_ANSWER),
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.RATE_LIMITED),
        None,
    ],
    ids=str,
)
def test_the_secret_is_in_no_error_and_no_log(slack: SlackServer, kind: str, fault: Fault | None) -> None:
    slack.is_token_revoked = fault is None
    if fault is not None:
        slack.fail_next(fault)
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with pytest.raises(DeliveryError) as caught:
            send(channel(slack, kind))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + heard.getvalue()
    assert not any(secret in told for secret in SECRETS)


def test_secrets_are_not_in_the_parameters_representation() -> None:
    told = repr(SlackParams(token=TOKEN, channel="#alerts")) + repr(SlackWebhookParams(url=WEBHOOK_PATH))
    assert not any(secret in told for secret in SECRETS)


def tell_all(server: SlackServer, *steps: Notification) -> str:
    """Send notifications of one incident, one after the other; return the last reference."""
    params = SlackParams(token=TOKEN, channel="#alerts", api_url=server.url, timeout_s=1, has_buttons=True)
    to, reference = SlackChannel(params), ""
    for step in steps:
        reference = asyncio.run(to.send(step, thread_ref=reference))
    return reference


GROWN = notification("a2", event=NotificationEvent.UPDATED, rings=False, sequence=2)
ESCALATED = notification(
    event=NotificationEvent.ESCALATED, sequence=3, note="not acknowledged <for> 5 min", author="*alice*"
)
OVER = notification(event=NotificationEvent.RESOLVED, state=AlertState.RESOLVED, rings=False, sequence=4)


def test_an_incident_is_one_message_that_is_updated(slack: SlackServer) -> None:
    reference = tell_all(slack, notification(), GROWN, OVER)
    (message,) = slack.messages
    assert reference.endswith(message.ts)
    assert len(slack.updates) == 2
    assert "RESOLVED" in slack.shown_now(message.ts).text


def test_what_rings_later_is_an_update_and_an_answer_in_the_thread(slack: SlackServer) -> None:
    tell_all(slack, notification(), ESCALATED)
    first, answer = slack.messages
    assert len(slack.updates) == 1
    assert (answer.thread_ts, answer.is_broadcast) == (first.ts, True)
    said = answer.blocks[0]["text"]["text"]
    assert is_escaped(said)
    assert "not acknowledged &lt;for&gt; 5 min" in said


def test_a_message_that_somebody_deleted_is_not_brought_back_by_an_update(slack: SlackServer) -> None:
    reference = tell_all(slack, notification())
    slack.delete(slack.messages[0].ts)
    to = channel(slack, "bot")
    assert asyncio.run(to.send(GROWN, thread_ref=reference)) == reference
    assert len(slack.messages) == 1
    assert asyncio.run(to.send(ESCALATED, thread_ref=reference)).endswith(slack.messages[1].ts)
    assert slack.messages[1].thread_ts == ""


def test_buttons_are_those_of_the_state(slack: SlackServer) -> None:
    tell_all(slack, notification(), OVER)
    shown = [
        [element["text"]["text"] for element in version.blocks[-1]["elements"]]
        for version in (*slack.messages, *slack.updates)
    ]
    assert shown == [["Acknowledge", "Why?", "Snooze 15 min", "1 h", "4 h", "24 h"], ["Why?"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_about_the_system_arrives_escaped(slack: SlackServer, kind: str) -> None:
    asyncio.run(channel(slack, kind).tell("telegram:1 takes nothing: <chat not found>"))
    assert slack.messages[0].text == "telegram:1 takes nothing: &lt;chat not found&gt;"


def test_mentions_and_links_from_outside_stay_text(slack: SlackServer) -> None:
    tell_all(slack, notification(reason="<!channel> <https://x|click> &", symbol="<@U1>-USDT"), ESCALATED)
    assert all(is_escaped(message.text) for message in slack.messages)


def test_who_is_to_be_called_is_called_and_nobody_else(slack: SlackServer) -> None:
    names = ("U012AB", "@here", "S77GROUP", "alice", "<!channel>")
    tell_all(slack, notification(), msgspec.structs.replace(ESCALATED, mentions=names))
    blocks = slack.messages[1].blocks
    assert blocks[1]["text"] == {"type": "mrkdwn", "text": "<@U012AB> <!here> <!subteam^S77GROUP>"}
    assert "<!channel>" not in str(blocks)
