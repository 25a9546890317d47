"""The alerter as it is run: a process, a real Kafka, Telegram and Slack with their limits, and kills."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from alerter.outbox import TOPIC
from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.codec import encode
from shared.events import Alert
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.tail import Tail
from tests.deadlines import eventually
from tests.servers.slack import SlackLimits, SlackServer
from tests.servers.telegram import TelegramLimits, TelegramServer
from tests.unit.alerter.examples import anomaly

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CHATS = ("1", "-1002")
CHANNEL = "#alerts"
ANOMALIES = 12
KILLS = 3


@contextmanager
def running_alerter(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "alerter"], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


def settings_of(
    kafka: RunningBroker, prefix: str, url: str, telegram: TelegramServer, slack: SlackServer
) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": "3",
        "DATABASE_URL": url,
        "ALERTER_COOLDOWN_S": "0",
        "TELEGRAM_API_URL": telegram.url,
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": ",".join(CHATS),
        "SLACK_API_URL": slack.url,
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_CHANNEL": CHANNEL,
    }


def unfinished(database: Database) -> int:
    with database.session(read_only=True) as session:
        rows = session.scalars(select(DeliveryRow).where(DeliveryRow.channel != TOPIC)).all()
    expected = ANOMALIES * (len(CHATS) + 1)
    return expected - sum(row.state == "sent" for row in rows)


def alerts(broker: KafkaBroker) -> list[Alert]:
    tail = Tail(broker, [topics.ALERTS], since_us=0)
    found: list[Alert] = []
    while batch := tail.poll(timeout_s=2.0):
        found += [received.event for received in batch if isinstance(received.event, Alert)]
    tail.close()
    return found


def test_kills_lose_nothing_and_repeat_at_most_what_was_in_flight(
    kafka: RunningBroker, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3)
    )
    broker.ensure_topics()
    wanted = [f"a{number:02d}" for number in range(ANOMALIES)]
    producer = broker.producer()
    for anomaly_id in wanted:
        event = anomaly(anomaly_id)
        producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
    assert producer.flush(30) == 0
    url = f"sqlite:///{tmp_path}/store.db"
    database = Database(url)
    database.migrate()
    chance = random.Random(1)  # noqa: S311 - moments of kills are no secret
    with TelegramServer(chats=CHATS) as telegram, SlackServer(channels=[CHANNEL]) as slack:
        environment = settings_of(kafka, kafka_topic_prefix, url, telegram, slack)
        for _ in range(KILLS):
            enough = telegram.attempts + slack.attempts + chance.randint(1, 4)

            def is_time(enough: int = enough) -> bool:
                return telegram.attempts + slack.attempts >= enough or unfinished(database) == 0

            with running_alerter(environment) as alerter:
                eventually(is_time, seconds=60, about="some requests", every_s=0.001)
                alerter.kill()
        with running_alerter(environment) as alerter:
            eventually(lambda: unfinished(database) == 0, seconds=120, about="all notifications")
            alerter.send_signal(signal.SIGTERM)
            assert alerter.wait(timeout=30) == 0
        told = [telegram.anomaly_ids(chat) for chat in CHATS] + [slack.anomaly_ids(CHANNEL)]
        # Only a new process does not know when the last one wrote to a chat.
        assert telegram.refused <= KILLS * len(CHATS)
    for ids in told:
        assert sorted(set(ids)) == wanted
        assert list(dict.fromkeys(ids)) == wanted, "in the order of the anomalies"
        assert len(ids) - len(wanted) <= KILLS
    decisions = {a.anomaly_id for a in alerts(broker) if a.detail == "to be told"}
    assert decisions == set(wanted)
    database.close()


def test_without_a_service_the_terminal_is_told_and_a_signal_ends_it_in_order(
    kafka: RunningBroker, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    with TelegramServer(limits=TelegramLimits()) as telegram, SlackServer(limits=SlackLimits()) as slack:
        url = f"sqlite:///{tmp_path}/store.db"
        environment = settings_of(kafka, kafka_topic_prefix, url, telegram, slack)
    for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_IDS", "SLACK_BOT_TOKEN", "SLACK_CHANNEL"):
        environment[name] = ""
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3)
    )
    broker.ensure_topics()
    producer = broker.producer()
    event = anomaly("0123456789abcdef0123", symbol="币安人生-USDT")
    producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
    assert producer.flush(30) == 0
    printed = tmp_path / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "alerter"], cwd=ROOT, env=environment, stdout=output
        )
        try:
            eventually(
                lambda: "Id: 0123456789abcdef0123" in printed.read_text(encoding="utf-8"),
                seconds=60,
                about="the printed anomaly",
            )
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=30)
    assert "HIGH: whale on 币安人生-USDT (binance)" in printed.read_text(encoding="utf-8")
