"""The store goes away and comes back: recorder and alerter wait for it, and lose nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from alerter.outbox import TOPIC
from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.codec import encode
from shared.store import queries
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests import samples
from tests.deadlines import eventually
from tests.servers.postgresql import (
    PostgresqlServer,
    postgresql_fixture,  # noqa: F401 - pytest finds fixtures in the module's names
    postgresql_url_fixture,  # noqa: F401 - the same
)
from tests.servers.telegram import TelegramLimits, TelegramServer
from tests.unit.alerter.examples import anomaly

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
CHAT = "1001"
# Attempts of each worker while the store is away; the pauses between them grow to 10 s.
ATTEMPTS = 6


@contextmanager
def running(worker: str, environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", worker], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


class Feed:
    """Trades and anomalies, some more whenever asked."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._producer = broker.producer()
        self.trades = 0
        self.anomalies: list[str] = []

    def go_on(self) -> None:
        for _ in range(50):
            trade = samples.trade(self.trades)
            self._producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
            self.trades += 1
        for _ in range(3):
            event = anomaly(f"a{len(self.anomalies):03d}")
            self._producer.produce(topics.ANOMALIES, encode(event), key=event.symbol.encode())
            self.anomalies.append(event.anomaly_id)
        assert self._producer.flush(60) == 0


def is_stored(database: Database, feed: Feed) -> bool:
    with database.session(read_only=True) as session:
        trades = sum(market.trades for market in queries.markets(session))
        stored = {event.anomaly_id for event in queries.anomalies(session, limit=None)}
        rows = session.query(DeliveryRow).filter(DeliveryRow.state == "sent", DeliveryRow.channel != TOPIC)
        sent = {row.anomaly_id for row in rows}
    return trades == feed.trades and stored == sent == set(feed.anomalies)


def test_recorder_and_alerter_wait_for_a_store_that_is_away(
    kafka: RunningBroker,
    kafka_topic_prefix: str,
    postgresql: PostgresqlServer,
    postgresql_url: str,
    tmp_path: Path,
) -> None:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3)
    )
    broker.ensure_topics()
    database = Database(postgresql_url)
    database.migrate()
    feed = Feed(broker)
    logs = {worker: tmp_path / f"{worker}.log" for worker in ("recorder", "alerter")}
    with TelegramServer(chats=[CHAT], limits=TelegramLimits(per_chat=0, overall=0)) as telegram:
        environ = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
            "KAFKA_PARTITIONS": "3",
            "DATABASE_URL": postgresql_url,
            "ALERTER_COOLDOWN_S": "0",
            "TELEGRAM_API_URL": telegram.url,
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "TELEGRAM_CHAT_IDS": CHAT,
        }
        with ExitStack() as stack:
            workers = [stack.enter_context(running(name, environ, log)) for name, log in logs.items()]
            feed.go_on()
            eventually(lambda: is_stored(database, feed), seconds=120, about="the first events", every_s=0.2)
            postgresql.stop()
            feed.go_on()

            def have_tried_again() -> bool:
                return all(log.read_bytes().count(b"store_unavailable") >= ATTEMPTS for log in logs.values())

            eventually(have_tried_again, seconds=120, about="both to try again", every_s=0.2)
            postgresql.start()
            feed.go_on()
            eventually(lambda: is_stored(database, feed), seconds=120, about="everything", every_s=0.2)
            # They waited; nobody had to start them anew.
            assert [worker.poll() for worker in workers] == [None, None]
        assert sorted(telegram.anomaly_ids(CHAT)) == feed.anomalies
    database.close()
