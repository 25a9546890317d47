"""Recorder and alerter are stopped for so long that their groups drop them: they go on and lose nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.codec import decode, encode
from shared.events import Alert
from shared.store import queries
from shared.store.database import Database
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually
from tests.stream_steps import make_trade
from tests.unit.alerter.examples import anomaly

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
WORKERS = ("recorder", "alerter")


@contextmanager
def running(worker: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", worker], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


class Feed:
    """Trades and anomalies, published a portion at a time."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._producer = broker.producer()
        self.trades = 0
        self.anomalies: list[str] = []

    def publish(self, *, trades: int = 3_000, anomalies: int = 5) -> None:
        for number in range(self.trades, self.trades + trades):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            trade = make_trade(symbol, number // len(SYMBOLS))
            self._producer.produce(topics.TRADES, encode(trade), key=symbol.encode())
        for number in range(len(self.anomalies), len(self.anomalies) + anomalies):
            event = anomaly(f"a{number:03d}")
            self._producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
            self.anomalies.append(event.anomaly_id)
        self.trades += trades
        assert self._producer.flush(60) == 0


def decided(broker: KafkaBroker) -> set[str]:
    """Return the anomalies about which the alerter has published a decision."""
    consumer = broker.consumer(group=None)
    partitions = consumer.partitions_of(topics.ALERTS)
    consumer.close()
    return {decode(m.value(), Alert).anomaly_id for m in broker.read_all(partitions)}


def test_workers_that_their_groups_have_dropped_go_on(
    kafka: RunningBroker, kafka_topic_prefix: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3)
    )
    broker.ensure_topics()
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    feed = Feed(broker)
    feed.publish()

    def all_stored() -> bool:
        with database.session(read_only=True) as session:
            counts = queries.counts(session)
        return (counts["trades"], counts["anomalies"]) == (feed.trades, len(feed.anomalies))

    def all_done() -> bool:
        return all_stored() and decided(broker) == set(feed.anomalies)

    def are_dropped() -> bool:
        groups = [kafka_topic_prefix + worker for worker in WORKERS]
        described = admin.describe_consumer_groups(groups, request_timeout=30).values()
        return not any(answer.result().members for answer in described)

    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
        "KAFKA_PARTITIONS": "3",
        "KAFKA_SESSION_TIMEOUT_S": "2",
        "DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
        "RECORDER_PARQUET_DIR": str(tmp_path / "tape"),
        "RECORDER_BATCH_RECORDS": "500",
    }
    with ExitStack() as stack:
        workers = [stack.enter_context(running(worker, environment)) for worker in WORKERS]
        eventually(all_done, seconds=120, about="the first trades and anomalies", every_s=0.5)
        # What they have in hand when they are stopped is not committed, and theirs no more afterwards.
        feed.publish()
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        eventually(are_dropped, seconds=120, about="the groups to drop them", every_s=0.2)
        feed.publish()
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        eventually(all_done, seconds=120, about="all trades and anomalies", every_s=0.5)
        for worker in workers:
            assert worker.poll() is None, "nobody restarts it here"
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=60) == 0
    with database.session(read_only=True) as session:
        found = {m.symbol: (m.first_id, m.last_id, m.trades) for m in queries.markets(session)}
    each = feed.trades // len(SYMBOLS)
    assert found == dict.fromkeys(SYMBOLS, (0, each - 1, each))
    database.close()
