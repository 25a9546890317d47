"""The whole way on Slack: by Socket Mode and by the signed endpoint."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from alerter.app import AlerterParams
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.slack import SlackParams
from alerter.inbound.endpoint import PATH, SlackEndpoint
from alerter.inbound.service import InboundParams
from alerter.inbound.slack import SlackAnswers, SlackInboundParams, payload_of
from alerter.sender import SenderParams
from shared import topics
from shared.clock import SystemClock
from shared.codec import encode
from shared.errors import PortInUseError
from shared.events import AlertAction, Trade
from shared.store.database import Database
from shared.stream.memory import MemoryBroker
from tests.servers.slack import APP_TOKEN, SlackLimits, SlackServer, signed
from tests.unit.alerter.examples import plain_rules
from tests.unit.alerter.test_app import publish, running, wait_for
from tests.unit.alerter.test_inbound_telegram import commands, recent

CHANNEL = "#alerts"
SECRET = "signing-secret"
Deliver = Callable[[str, dict[str, object]], None]


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(partitions=2)
    made.ensure_topics()
    return made


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(channels=[CHANNEL, "#other"], limits=SlackLimits(per_channel=0)) as server:
        yield server


@contextmanager
def listening(
    broker: MemoryBroker, database: Database, slack: SlackServer, *, users: tuple[str, ...] = ()
) -> Iterator[Deliver]:
    """Run an alerter that tells a channel and listens by Socket Mode; yield what delivers a payload."""
    params = SlackParams(
        token=slack.token, channel=CHANNEL, api_url=slack.url, min_interval_s=0, has_buttons=True
    )
    alerter = AlerterParams(
        rules=plain_rules(cooldown_s=0).file,
        sender=SenderParams(send_timeout_s=11, lease_s=12, idle_poll_s=0.05),
        inbound=InboundParams(slack=SlackInboundParams(slack=params, users=users, app_token=APP_TOKEN)),
    )
    socket = slack.open_socket()
    try:
        with running(broker, database, build_channels(ChannelsParams(slack=params)), alerter):
            wait_for(lambda: socket.is_connected)
            yield lambda kind, payload: _delivered(slack, socket.send(kind, payload))
    finally:
        socket.close()


def _delivered(slack: SlackServer, envelope_id: str) -> None:
    wait_for(lambda: envelope_id in slack.acknowledged)


def tell(broker: MemoryBroker, slack: SlackServer) -> None:
    publish(broker, [recent()])
    wait_for(lambda: len(slack.messages) == 1)


def test_an_acknowledgement_is_a_command_and_the_message_says_who(
    broker: MemoryBroker, database: Database, slack: SlackServer
) -> None:
    with listening(broker, database, slack) as deliver:
        tell(broker, slack)
        deliver("interactive", slack.pressed(slack.messages[0], "Acknowledge", user="alice"))
        wait_for(lambda: bool(slack.updates))
    (command,) = commands(broker)
    assert (command.action, command.author, command.channel) == (
        AlertAction.ACKNOWLEDGE,
        "alice",
        f"slack:{CHANNEL}",
    )
    labels = [element["text"]["text"] for element in slack.updates[0].blocks[-1]["elements"]]
    assert labels[0] == "Take back"
    assert "alice" in str(slack.updates[0].blocks)
    assert len(slack.messages) == 1


def test_why_is_answered_in_the_thread_with_a_picture(
    broker: MemoryBroker, database: Database, slack: SlackServer
) -> None:
    now_us = SystemClock().now_us()
    producer = broker.producer()
    for number in range(100):
        trade = Trade("binance", "BTC-USDT", number, 64_000.0, 0.5, False, now_us - 100_000_000 + number, 0)
        producer.produce(topics.TRADES, encode(trade), key=b"BTC-USDT")
    with listening(broker, database, slack) as deliver:
        tell(broker, slack)
        deliver("interactive", slack.pressed(slack.messages[0], "Why?"))
        wait_for(lambda: bool(slack.files))
    first, answer = slack.messages
    assert answer.thread_ts == first.ts
    assert answer.text.startswith("*Why: whale on BTC-USDT (binance)*\nA single trade")
    (file,) = slack.files
    assert (file.channel, file.thread_ts) == (slack.id_of(CHANNEL), first.ts)
    assert b"PNG" in file.content


def test_strangers_and_other_channels_are_not_listened_to(
    broker: MemoryBroker, database: Database, slack: SlackServer
) -> None:
    with listening(broker, database, slack, users=("U0alice",)) as deliver:
        tell(broker, slack)
        deliver("interactive", slack.pressed(slack.messages[0], "Acknowledge", user="eve"))
        deliver("slash_commands", slack.typed(CHANNEL, "mute 1h", user="eve"))
        deliver("slash_commands", slack.typed("#other", "mute 1h", user="alice"))
        wait_for(lambda: len(slack.whispers) == 3)
        deliver("slash_commands", slack.typed(CHANNEL, "mute 1h", user="alice"))
        wait_for(lambda: len(slack.whispers) == 4)
    assert all("not among those" in text for _, text in slack.whispers[:3])
    assert [command.author for command in commands(broker)] == ["alice"]


def test_a_connection_that_slack_ends_is_made_again(
    broker: MemoryBroker, database: Database, slack: SlackServer
) -> None:
    with listening(broker, database, slack) as deliver:
        assert slack._socket is not None
        slack._socket.drop()
        wait_for(lambda: slack._socket is not None and slack._socket.is_connected)
        deliver("slash_commands", slack.typed(CHANNEL, "alerts"))
        wait_for(lambda: bool(slack.whispers))
    assert slack.whispers == [("U0alice", "Nothing fires.")]


class Heard(SlackAnswers):
    """Notes what it is given."""

    def __init__(self, slack: SlackServer) -> None:
        params = SlackParams(token=slack.token, channel=CHANNEL, api_url=slack.url)
        super().__init__(SlackInboundParams(slack=params), desk=None)  # type: ignore[arg-type]  # it answers nothing
        self.payloads: list[object] = []

    def take(self, payload: object) -> None:
        """Note it."""
        self.payloads.append(payload)


@pytest.fixture
def heard(slack: SlackServer) -> Iterator[Heard]:
    answers = Heard(slack)
    yield answers
    answers.close()


@pytest.fixture
def endpoint(heard: Heard) -> Iterator[SlackEndpoint]:
    made = SlackEndpoint(host="127.0.0.1", port=0, signing_secret=SECRET, answers=heard)
    made.start()
    yield made
    made.stop()


def post(endpoint: SlackEndpoint, body: bytes, headers: dict[str, str], *, path: str = PATH) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def now_s() -> int:
    return SystemClock().now_us() // 1_000_000


def test_what_is_signed_is_taken_as_it_would_be_by_socket(
    endpoint: SlackEndpoint, heard: Heard, slack: SlackServer
) -> None:
    press: dict[str, object] = {"type": "block_actions", "actions": [{"value": "ack:0:abc&=%"}]}
    typed = slack.typed(CHANNEL, "silence market=BTC-* 2h why not")
    for payload in (press, typed):
        assert post(endpoint, *signed(payload, secret=SECRET, timestamp_s=now_s())) == 200
    assert heard.payloads == [press, typed]


def test_what_is_not_signed_is_refused_unread(endpoint: SlackEndpoint, heard: Heard) -> None:
    payload: dict[str, object] = {"type": "block_actions"}
    body, headers = signed(payload, secret=SECRET, timestamp_s=now_s())
    assert post(endpoint, body, {}) == 401
    assert post(endpoint, body + b"&x=1", headers) == 401
    assert post(endpoint, *signed(payload, secret="another", timestamp_s=now_s())) == 401
    assert post(endpoint, *signed(payload, secret=SECRET, timestamp_s=now_s() - 600)) == 401
    assert heard.payloads == []


def test_what_is_no_payload_is_refused(endpoint: SlackEndpoint, heard: Heard) -> None:
    assert post(endpoint, *signed({"payload": "[1]"}, secret=SECRET, timestamp_s=now_s())) == 400
    assert post(endpoint, *signed({"payload": "{"}, secret=SECRET, timestamp_s=now_s())) == 400
    assert post(endpoint, b"", {}, path="/other") == 404
    assert heard.payloads == []


def test_a_port_that_is_taken_is_told(endpoint: SlackEndpoint, heard: Heard) -> None:
    with pytest.raises(PortInUseError, match="SLACK_ENDPOINT_PORT"):
        SlackEndpoint(host="127.0.0.1", port=endpoint.port, signing_secret=SECRET, answers=heard)


def test_a_form_is_read_strictly() -> None:
    with pytest.raises(ValueError, match="bad query field"):
        payload_of("nonsense")
