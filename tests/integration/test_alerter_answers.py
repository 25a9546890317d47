"""Answers, the whole way: a process, a real Kafka, and every service agreeing on what a person pressed."""

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.clock import SystemClock
from shared.codec import encode
from shared.events import Anomaly, Trade
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually
from tests.servers.mail import MailSink
from tests.servers.receiver import ROUTING_KEY, PagerDutyServer, Receiver
from tests.servers.slack import SlackServer, signed
from tests.servers.telegram import TelegramServer
from tests.unit.alerter.examples import anomaly

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CHAT = "1001"
CHANNEL = "#alerts"
SECRET = "signing-secret"
TRADES = 300


def recent() -> Anomaly:
    event, now_us = anomaly("a1"), SystemClock().now_us()
    episode = msgspec.structs.replace(event.episode, opened_us=now_us, last_us=now_us)
    return msgspec.structs.replace(event, event_time_us=now_us, episode=episode)


def publish(broker: KafkaBroker) -> None:
    producer = broker.producer()
    event = recent()
    for number in range(TRADES):
        time_us = event.event_time_us - (TRADES - 1 - number) * 1_000_000
        trade = Trade(
            "binance", event.symbol, number, 64_000.0 + number % 9, 0.5, number % 2 == 0, time_us, 0
        )
        producer.produce(topics.TRADES, encode(trade), key=event.symbol.encode())
    producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
    assert producer.flush(30) == 0
    producer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def press_on_slack(port: int, payload: dict[str, object]) -> int:
    body, headers = signed(payload, secret=SECRET, timestamp_s=SystemClock().now_us() // 1_000_000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/slack", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_is_pressed_on_one_channel_is_seen_on_all(
    kafka: RunningBroker, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3)
    )
    broker.ensure_topics()
    publish(broker)
    port = free_port()
    with (
        TelegramServer(chats=[CHAT]) as telegram,
        SlackServer(channels=[CHANNEL]) as slack,
        PagerDutyServer() as pagerduty,
        Receiver() as receiver,
        MailSink() as mail,
    ):
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
            "KAFKA_PARTITIONS": "3",
            "DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
            "TELEGRAM_API_URL": telegram.url,
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_CHAT_IDS": CHAT,
            "TELEGRAM_USER_IDS": "@alice",
            "SLACK_API_URL": slack.url,
            "SLACK_BOT_TOKEN": slack.token,
            "SLACK_CHANNEL": CHANNEL,
            "SLACK_SIGNING_SECRET": SECRET,
            "SLACK_ENDPOINT_PORT": str(port),
            "PAGERDUTY_API_URL": pagerduty.origin,
            "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "WEBHOOK_URL": receiver.url,
            "WEBHOOK_SECRET": "shared",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "tape@example.org",
            "SMTP_TO": "a@example.org",
        }
        process = subprocess.Popen([sys.executable, "-m", "alerter"], cwd=ROOT, env=environment)
        try:
            eventually(
                lambda: bool(telegram.messages and slack.messages and pagerduty.events and receiver.requests),
                seconds=90,
                about="the alert everywhere",
            )
            telegram.press(CHAT, 1, "Acknowledge", user="alice")
            eventually(
                lambda: (
                    bool(telegram.edits and slack.updates) and "acknowledged" in pagerduty.alerts.values()
                ),
                seconds=60,
                about="the acknowledgement everywhere",
            )
            assert press_on_slack(port, slack.pressed(slack.messages[0], "Take back", user="bob")) == 200
            eventually(
                lambda: "Acknowledge" in dict(telegram.shown_now(1).buttons),
                seconds=60,
                about="its end on the other channel",
            )
            telegram.press(CHAT, 1, "Why?", user="alice")
            eventually(lambda: len(telegram.messages) == 2, seconds=60, about="the explanation")
            eventually(lambda: bool(mail.messages), seconds=60, about="the mail")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=30)
    assert "@alice" in telegram.edits[0].text
    assert "@alice" in str(slack.updates[0].blocks)
    assert Image.open(io.BytesIO(telegram.messages[1].photo)).format == "PNG"
    (attached,) = mail.messages[0].iter_attachments()
    assert attached.get_content_type() == "image/png"
    assert len(slack.messages) == 1
