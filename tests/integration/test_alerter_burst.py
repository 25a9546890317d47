"""A burst over 200 markets, two alerters, 20 kills, limits and faults: few messages, none lost, all agree."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest
from sqlalchemy import select

from alerter.inbound.endpoint import PATH
from alerter.lifecycle.book import AlertRecord
from alerter.notification import Notification, NotificationEvent
from alerter.outbox import TOPIC
from alerter.render import slack_blocks, telegram_html
from alerter.sender import SENT_AGAIN
from deploy.kafka.broker import RunningBroker
from deploy.kafka.ports import free_ports
from shared import topics
from shared.codec import content_id, decode, encode
from shared.events import Alert, AlertState, Anomaly, EpisodePhase
from shared.store.database import Database
from shared.store.tables import DeliveryRow, DeliveryState, LifecycleRow
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.tail import Tail
from tests.deadlines import eventually
from tests.servers.postgresql import (
    postgresql_fixture,  # noqa: F401 - pytest finds fixtures in the module's names
    postgresql_url_fixture,  # noqa: F401 - the same
)
from tests.servers.slack import SlackMessage, SlackServer, signed
from tests.servers.stand_in import Fault, FaultKind
from tests.servers.telegram import TelegramServer
from tests.unit.alerter.examples import anomaly

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CHATS = ("1", "-1002")
CHANNEL = "#alerts"
NAMES = (*(f"telegram:{chat}" for chat in CHATS), f"slack:{CHANNEL}")
SECRET = "slack-signing-secret"
MARKETS = 200
EVENTS_PER_MARKET = 25
KILLS = 20
ACKNOWLEDGED_AFTER = 10
PARTITIONS = 6
SEED = 6
# Of the default rules: two markets ring alone, the third begins the digest, which escalates after 30 s.
LONE = 2
FAULTS = (
    Fault(FaultKind.SERVER_ERROR),
    Fault(FaultKind.RATE_LIMITED, retry_after_s=3),
    Fault(FaultKind.LOST_ANSWER),
    Fault(FaultKind.GARBAGE),
    Fault(FaultKind.NO_ANSWER),
)
LOST = 2 * sum(fault.kind is FaultKind.LOST_ANSWER for fault in FAULTS)


def burst() -> list[Anomaly]:
    """Return every anomaly: all markets open, go on falling, and close."""
    found = []
    for number in range(EVENTS_PER_MARKET):
        phase = EpisodePhase.UPDATED
        if number in {0, EVENTS_PER_MARKET - 1}:
            phase = EpisodePhase.CLOSED if number else EpisodePhase.OPENED
        for market in range(MARKETS):
            symbol = f"M{market:03d}-USDT"
            episode_id = content_id("burst", symbol, 0)
            found.append(
                anomaly(
                    content_id("burst", symbol, number),
                    symbol=symbol,
                    kind="zscore",
                    phase=phase,
                    episode_id=episode_id,
                    price=100.0 - 0.18 * number,
                )
            )
    return found


@dataclass
class Alerters:
    """Two alerters, one of which is killed now and then."""

    environment: dict[str, str]
    log: Path
    running: list[tuple[subprocess.Popen[bytes], int]] = field(default_factory=list)

    def start(self) -> None:
        """Start one more."""
        port = free_ports(1)[0]
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "alerter"],
                cwd=ROOT,
                env={**self.environment, "SLACK_ENDPOINT_PORT": str(port)},
                stdout=output,
                stderr=output,
            )
        self.running.append((process, port))

    def kill(self, chance: random.Random) -> None:
        """Kill one, and start another in its place."""
        process, _ = self.running.pop(chance.randrange(len(self.running)))
        assert process.poll() is None, "it ended by itself"
        process.kill()
        process.wait(timeout=30)
        self.start()

    def press(self, payload: dict[str, object]) -> bool:
        """Let Slack tell of a pressed button; return whether somebody took it."""
        body, headers = signed(payload, secret=SECRET, timestamp_s=int(time.time()))
        for _, port in self.running:
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}{PATH}", content=body, headers=headers)
            except httpx.TransportError:
                continue
            if answer.is_success:
                return True
        return False

    def stop(self) -> None:
        """Stop all in order."""
        for process, _ in self.running:
            process.terminate()
        assert [process.wait(timeout=60) for process, _ in self.running] == [0] * len(self.running)


@contextmanager
def alerters(environment: dict[str, str], log: Path) -> Iterator[Alerters]:
    found = Alerters(environment, log)
    try:
        found.start()
        found.start()
        yield found
    finally:
        for process, _ in found.running:
            process.kill()
            process.wait(timeout=30)


class Scene:
    """What the test sees from outside: the store, the topic, and what people see."""

    def __init__(self, database: Database, telegram: TelegramServer, slack: SlackServer) -> None:
        self.database = database
        self.telegram = telegram
        self.slack = slack
        self._left = [list(FAULTS), list(FAULTS)]
        self._seen = [-1, -1]

    def spoil(self) -> None:
        """Let the next answer of each server go wrong, if one was right since the last that did."""
        telegram, slack = self.telegram, self.slack
        counts = (len(telegram.messages) + len(telegram.edits), len(slack.messages) + len(slack.updates))
        for number, (server, accepted) in enumerate(zip((telegram, slack), counts, strict=True)):
            if self._left[number] and accepted > self._seen[number]:
                server.fail_next(self._left[number].pop(0))
                self._seen[number] = accepted

    @property
    def attempts(self) -> int:
        """Requests so far."""
        return self.telegram.attempts + self.slack.attempts

    def rows(self, *, topic: bool) -> list[DeliveryRow]:
        """Return events for the topic, or notifications; in order."""
        is_wanted = DeliveryRow.channel == TOPIC if topic else DeliveryRow.channel != TOPIC
        order = (DeliveryRow.created_us, DeliveryRow.sequence)
        with self.database.session(read_only=True) as session:
            return list(session.scalars(select(DeliveryRow).where(is_wanted).order_by(*order)))

    def memory(self) -> list[AlertRecord]:
        """Return the alerts that the life cycle remembers."""
        query = select(LifecycleRow.payload).where(LifecycleRow.name.like("alerts/%"))
        with self.database.session(read_only=True) as session:
            return [msgspec.json.decode(row, type=AlertRecord) for row in session.scalars(query)]

    def taken(self) -> int:
        """Return how many anomalies were taken."""
        return sum(alert.anomalies for alert in self.memory())

    def digest_on_slack(self) -> SlackMessage | None:
        """Return the digest's message."""
        posted = [m for m in self.slack.messages if "markets at once" in m.text and not m.thread_ts]
        return posted[0] if posted else None

    def is_settled(self) -> bool:
        """Return whether nothing waits, and messages say how things ended."""
        if any(row.state == DeliveryState.PENDING for t in (True, False) for row in self.rows(topic=t)):
            return False
        told = [notification(row) for row in self.rows(topic=False)]
        last = {each.incident_id: each for each in told}.values()
        # Those that fire are listed first.
        return all(view.state is AlertState.RESOLVED for each in last for view in each.alerts)


def notification(row: DeliveryRow) -> Notification:
    return decode(row.payload, Notification)


def published(broker: KafkaBroker) -> list[Alert]:
    tail = Tail(broker, [topics.ALERTS], since_us=0)
    found: list[Alert] = []
    while batch := tail.poll(timeout_s=2.0):
        found += [received.event for received in batch if isinstance(received.event, Alert)]
    tail.close()
    return [alert for alert in found if alert.detail != "delivered"]


def settings_of(
    kafka: RunningBroker, prefix: str, url: str, telegram: TelegramServer, slack: SlackServer
) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "KAFKA_SESSION_TIMEOUT_S": "2",
        "DATABASE_URL": url,
        "TELEGRAM_API_URL": telegram.url,
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": ",".join(CHATS),
        "TELEGRAM_BUTTONS": "false",
        "SLACK_API_URL": slack.url,
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_CHANNEL": CHANNEL,
        "SLACK_SIGNING_SECRET": SECRET,
    }


def run_burst(broker: KafkaBroker, scene: Scene, running: Alerters) -> None:
    """Publish the burst in slices and kill one alerter after each, at moments that the seed chooses."""
    chance = random.Random(SEED)  # noqa: S311 - moments of kills are no secret
    producer, events = broker.producer(), burst()
    size = len(events) // KILLS
    for kill in range(KILLS):
        for event in events[kill * size : (kill + 1) * size]:
            producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
        assert producer.flush(30) == 0
        scene.spoil()
        about = "the moment of a kill"
        eventually(moment(scene, chance), seconds=10, about=about, every_s=0.002)
        running.kill(chance)
        if kill + 1 == ACKNOWLEDGED_AFTER:
            acknowledge(scene, running)


def moment(scene: Scene, chance: random.Random) -> Callable[[], bool]:
    """Return whether it is time for a kill: at the next request, after some anomalies, or some time."""
    requests = scene.attempts + chance.choice((1, 1, 2, 1_000))
    taken = scene.taken() + chance.choice((1, 100, 200, 10_000))
    latest_s = time.monotonic() + chance.uniform(0.5, 4.0)
    return lambda: scene.attempts >= requests or time.monotonic() > latest_s or scene.taken() >= taken


def acknowledge(scene: Scene, running: Alerters) -> None:
    """Press the digest's button on Slack, as often as it takes until an alerter has it."""
    eventually(lambda: scene.digest_on_slack() is not None, seconds=60, about="the digest")
    digest = scene.digest_on_slack()
    assert digest is not None
    payload = scene.slack.pressed(digest, "Acknowledge", user="alice")
    eventually(lambda: running.press(payload), seconds=60, about="an endpoint", every_s=0.2)
    eventually(
        lambda: any(
            notification(row).event is NotificationEvent.ACKNOWLEDGED for row in scene.rows(topic=False)
        ),
        seconds=60,
        about="the acknowledgement",
    )


def test_a_burst_over_200_markets_and_20_kills_end_as_few_messages_and_nothing_is_lost(
    kafka: RunningBroker, kafka_topic_prefix: str, postgresql_url: str, tmp_path: Path
) -> None:
    params = KafkaParams(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=PARTITIONS
    )
    broker = KafkaBroker(params)
    broker.ensure_topics()
    database = Database(postgresql_url)
    database.migrate()
    with TelegramServer(chats=CHATS) as telegram, SlackServer(channels=[CHANNEL]) as slack:
        scene = Scene(database, telegram, slack)
        environment = settings_of(kafka, kafka_topic_prefix, postgresql_url, telegram, slack)
        started_s = time.monotonic()
        with alerters(environment, tmp_path / "alerters.log") as running:
            run_burst(broker, scene, running)
            total = MARKETS * EVENTS_PER_MARKET
            eventually(lambda: scene.taken() >= total, seconds=90, about="every decision", every_s=0.2)
            eventually(scene.is_settled, seconds=120, about="the last change of every message", every_s=0.2)
            running.stop()
        lasted_s = time.monotonic() - started_s
        decided_once(scene, published(broker))
        told_few(scene)
        shows_the_end(scene)
        assert (telegram.impatient, slack.impatient) == (0, 0)
        sys.stdout.write(figures(scene, lasted_s) + "\n")
    database.close()


def decided_once(scene: Scene, on_topic: Sequence[Alert]) -> None:
    """Hold memory, outbox and topic against each other and against what was published."""
    wanted = {event.anomaly_id for event in burst()}
    assert {alert.anomalies for alert in scene.memory()} == {EVENTS_PER_MARKET}
    assert Counter(key for alert in scene.memory() for key in alert.seen) == Counter(wanted)
    rows = scene.rows(topic=True)
    assert {row.anomaly_id for row in rows} == wanted
    # A kill may publish an event again; it is the same to the byte then.
    assert {encode(alert) for alert in on_topic} == {bytes(row.payload) for row in rows}
    last = {alert.alert_id: alert.state for alert in (decode(row.payload, Alert) for row in rows)}
    assert set(last.values()) == {AlertState.RESOLVED}


def told_few(scene: Scene) -> None:
    """Hold what rang against the rules, and what people saw against what rang."""
    rows = scene.rows(topic=False)
    assert {row.state for row in rows} <= {DeliveryState.SENT, DeliveryState.SUPPRESSED}
    assert {row.state for row in rows if row.rings} == {DeliveryState.SENT}
    for name in NAMES:
        rang = [notification(row) for row in rows if row.channel == name and row.rings]
        alone = [n for n in rang if n.digest is None]
        assert len(alone) == LONE
        assert [n.event for n in rang if n.digest is not None] in (
            [NotificationEvent.OPENED],
            [NotificationEvent.OPENED, NotificationEvent.ESCALATED],
        )
        seen = ids_on(scene, name)
        wanted = Counter(n.incident_id if n.digest else n.anomaly.anomaly_id for n in rang)
        assert seen >= wanted, "everything that rings arrives"
        assert set(seen) == set(wanted)
        repeats = (seen - wanted).total()
        assert repeats <= KILLS + LOST
        assert repeats <= sum(SENT_AGAIN in text for text in texts_on(scene, name)), "and says so"
    acknowledged_us = min(
        row.created_us for row in rows if notification(row).event is NotificationEvent.ACKNOWLEDGED
    )
    assert not [row for row in rows if row.rings and row.created_us > acknowledged_us]


def texts_on(scene: Scene, name: str) -> list[str]:
    """Return what the messages of a channel said at first."""
    kind, _, place = name.partition(":")
    if kind == "telegram":
        return [message.text for message in scene.telegram.messages if message.chat_id == place]
    return [str(message.blocks) for message in scene.slack.messages]


def ids_on(scene: Scene, name: str) -> Counter[str]:
    """Return what the messages of a channel are about."""
    kind, _, place = name.partition(":")
    server = scene.telegram if kind == "telegram" else scene.slack
    return Counter(server.anomaly_ids(place))


def shows_the_end(scene: Scene) -> None:
    """Hold every message as it is shown now against the last notification of its incident."""
    rows = scene.rows(topic=False)
    last = {(row.channel, row.incident_id): row for row in rows}
    assert len(last) == len(NAMES) * (LONE + 1)
    for (name, _), row in last.items():
        told = notification(row)
        kind, _, _ = name.partition(":")
        assert row.message_ref
        if kind == "telegram":
            assert scene.telegram.shown_now(int(row.message_ref)).html == telegram_html(told)
        else:
            shown = scene.slack.shown_now(row.message_ref.rpartition("/")[2]).blocks
            assert [block for block in shown if block["type"] != "actions"] == slack_blocks(told)
        if told.digest is None:
            assert told.event is NotificationEvent.RESOLVED
        else:
            assert (told.digest.markets, told.author) == (MARKETS, "alice")
            assert told.digest.title.startswith(f"{MARKETS} markets fell more than 4 %")
            assert {view.state for view in told.alerts} == {AlertState.RESOLVED}


def figures(scene: Scene, lasted_s: float) -> str:
    """Return what was seen, in a line for the documentation."""
    rows = scene.rows(topic=False)
    per_channel = Counter(row.channel for row in rows if row.rings)
    sent = sum(row.state == DeliveryState.SENT for row in rows if not row.rings)
    seen = sum((ids_on(scene, name) for name in NAMES), Counter[str]()).total()
    repeats = seen - sum(per_channel.values())
    refused = scene.telegram.refused + scene.slack.refused
    return (
        f"{MARKETS * EVENTS_PER_MARKET} anomalies, {KILLS} kills in {lasted_s:.0f} s: "
        f"rang {dict(per_channel)}, {repeats} repeated, {sent} changes of messages, "
        f"{scene.attempts} requests, {refused} refused by limits"
    )
