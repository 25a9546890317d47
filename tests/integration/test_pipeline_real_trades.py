"""From exchange to alert, for real: recorded Binance frames through every worker, while the feed misbehaves.

The simulator serves minutes of BTCUSDT and ETHUSDT at ten times real speed, cuts every connection each 20 s,
drops 1 % of the frames and sends another 1 % twice. Every worker is its own process on a real Kafka. At the
end: every trade is in the topic once, in order of id; anomalies are those of an undisturbed engine over the
same trades, each once; the store holds the same; and Telegram and Slack were told exactly what the alerter
decided to tell.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest

from deploy.kafka.broker import RunningBroker
from deploy.local.supervisor import Supervisor, Worker
from detector.engine import Engine
from detector.params import EngineParams
from shared import recordings, topics
from shared.clock import SystemClock
from shared.codec import decode
from shared.events import Anomaly, Trade
from shared.store import queries
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually
from tests.servers.slack import SlackLimits, SlackServer
from tests.servers.telegram import TelegramLimits, TelegramServer

pytestmark = [pytest.mark.integration, pytest.mark.real_data, pytest.mark.timeout(600)]

E = TypeVar("E", bound=msgspec.Struct)

PARTITIONS = 4
SPEED = 10
CHAT, CHANNEL = "1001", "C0MARKET"
# Sensitive settings, so that there is much to agree on.
ENGINE = EngineParams(
    enabled=("zscore", "forest", "combined", "whale", "flash_crash"),
    budget_per_day=10_000.0,
    min_move_pct=0.0,
    whale_min_notional=10_000.0,
    episode_quiet_s=1.0,
)


@dataclass
class Pipeline:
    """Everything that runs."""

    broker: KafkaBroker
    workers: Supervisor
    telegram: TelegramServer
    slack: SlackServer
    database: Database
    rest_url: str


@pytest.fixture
def recording(real_data_dir: Path) -> list[Path]:
    # One file per market and day; however many days there are, the ids go through.
    return sorted((real_data_dir / "frames" / "binance-spot").glob("*usdt_*.gz"))


@pytest.fixture
def pipeline(
    kafka: RunningBroker, kafka_topic_prefix: str, recording: list[Path], tmp_path: Path
) -> Iterator[Pipeline]:
    broker = KafkaBroker(
        KafkaParams(
            bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=PARTITIONS
        )
    )
    broker.ensure_topics()
    database_url = f"sqlite:///{tmp_path / 'store.db'}"
    telegram = TelegramServer(chats=[CHAT], limits=TelegramLimits(per_chat=0, overall=0))
    slack = SlackServer(channels=[CHANNEL], limits=SlackLimits(per_channel=0))
    environ = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "DATABASE_URL": database_url,
        "MARKETS": "BTC-USDT,ETH-USDT",
        "PRODUCER_REST_WEIGHT_PER_MINUTE": "6000",
        "PRODUCER_STALE_MIN_S": "2",
        # Connections here live 20 s: the back-off must reset sooner.
        "PRODUCER_HEALTHY_AFTER_S": "2",
        "DETECTOR_ENABLED": ",".join(ENGINE.enabled),
        "DETECTOR_BUDGET_PER_DAY": str(ENGINE.budget_per_day),
        "DETECTOR_MIN_MOVE_PCT": str(ENGINE.min_move_pct),
        "DETECTOR_WHALE_MIN_NOTIONAL": str(ENGINE.whale_min_notional),
        "DETECTOR_EPISODE_QUIET_S": str(ENGINE.episode_quiet_s),
        "ALERTER_MIN_SEVERITY": "low",
        "ALERTER_COOLDOWN_S": "0",
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": CHAT,
        "TELEGRAM_API_URL": telegram.url,
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_CHANNEL": CHANNEL,
        "SLACK_API_URL": slack.url,
    }
    simulator = Supervisor(log_dir=tmp_path, environ=environ, clock=SystemClock())
    faults = ("--drop", "0.01", "--duplicate", "0.01", "--cut-every", "20")
    served = Worker(
        name="simulator",
        argv=(
            *(sys.executable, "-u", "-m", "simulator", "recording", *map(str, recording)),
            *("--speed", str(SPEED), *faults),
            # Ten times real speed needs ten times the weight of real time.
            *("--weight-per-minute", str(6_000 * SPEED)),
        ),
    )
    with telegram, slack:
        try:
            simulator.start(served)
            urls = addresses(simulator.log_path(served))
            workers = Supervisor(
                log_dir=tmp_path,
                environ={**environ, "PRODUCER_WS_URL": urls["ws_url"], "PRODUCER_REST_URL": urls["rest_url"]},
                clock=SystemClock(),
            )
            try:
                for name in ("recorder", "alerter", "detector", "producer"):
                    workers.start(Worker(name=name, argv=(sys.executable, "-m", name)))
                yield Pipeline(broker, workers, telegram, slack, Database(database_url), urls["rest_url"])
            finally:
                workers.stop()
        finally:
            simulator.stop()


def addresses(log_path: Path) -> dict[str, str]:
    found: list[dict[str, str]] = []

    def has_printed() -> bool:
        lines = log_path.read_text().splitlines()
        found.extend(json.loads(line) for line in lines if line.startswith('{"ws_url"'))
        return bool(found)

    eventually(has_printed, seconds=60, about=f"the simulator's addresses in {log_path}")
    return found[0]


def everything(broker: KafkaBroker, topic: str, event_type: type[E]) -> list[E]:
    consumer = broker.consumer(group=None)
    partitions = consumer.partitions_of(topic)
    consumer.close()
    return [decode(message.value(), event_type) for message in broker.read_all(partitions)]


def detector_lag(broker: KafkaBroker) -> int:
    consumer = broker.consumer(group="detector")
    partitions = consumer.partitions_of(topics.TRADES)
    committed = consumer.committed(partitions)
    waiting = sum(consumer.bounds(partition)[1] - committed.get(partition, 0) for partition in partitions)
    consumer.close()
    return waiting


def test_every_trade_arrives_once_and_every_part_agrees_to_the_id(
    pipeline: Pipeline, recording: list[Path]
) -> None:
    recorded: dict[str, list[Trade]] = {}
    for batch in recordings.read(recording):
        for trade in batch:
            recorded.setdefault(trade.symbol, []).append(trade)
    total = sum(len(trades) for trades in recorded.values())
    assert total > 10_000, "the recordings are not what they were"
    for symbol, trades in recorded.items():
        assert [trade.trade_id for trade in trades] == ids_between(trades), f"{symbol} is no whole recording"

    def all_published() -> bool:
        pipeline.workers.watch()
        return len(everything(pipeline.broker, topics.TRADES, Trade)) >= total

    eventually(all_published, seconds=300, about="all trades in the topic", every_s=2)
    eventually(
        lambda: detector_lag(pipeline.broker) == 0,
        seconds=60,
        about="the detector to have judged everything",
        every_s=0.5,
    )
    anomalies = everything(pipeline.broker, topics.ANOMALIES, Anomaly)
    pipeline.database.migrate()

    def all_stored_and_told() -> bool:
        with pipeline.database.session() as session:
            pending = session.query(DeliveryRow).filter(DeliveryRow.state == "pending").count()
            decided = {row[0] for row in session.query(DeliveryRow.anomaly_id).distinct()}
            stored = len(queries.anomalies(session, limit=None))
            kept = sum(market.trades for market in queries.markets(session))
        return (len(decided), stored, kept, pending) == (len(anomalies), len(anomalies), total, 0)

    eventually(all_stored_and_told, seconds=120, about="store and alerter to have everything", every_s=0.5)
    assert pipeline.workers.restarts == 0
    assert_feed_misbehaved(pipeline.rest_url)

    assert_tape_is_whole(everything(pipeline.broker, topics.TRADES, Trade), recorded)
    assert_same_as_undisturbed(anomalies, recorded)
    assert_store_agrees(pipeline, anomalies, recorded)
    assert_people_were_told(pipeline, anomalies)


def assert_feed_misbehaved(rest_url: str) -> None:
    counts = httpx.get(f"{rest_url}/simulator/state").json()["counts"]
    assert counts["frames_dropped"] > 50
    assert counts["frames_duplicated"] > 50
    assert counts["connections_cut"] >= 1


def assert_tape_is_whole(published: list[Trade], recorded: dict[str, list[Trade]]) -> None:
    for symbol, trades in recorded.items():
        ids = [trade.trade_id for trade in published if trade.symbol == symbol]
        assert ids == ids_between(trades), symbol
    assert {facts(trade) for trade in published} == {
        facts(trade) for trades in recorded.values() for trade in trades
    }


def ids_between(trades: list[Trade]) -> list[int]:
    return list(range(trades[0].trade_id, trades[-1].trade_id + 1))


def facts(trade: Trade) -> tuple[str, int, float, float, bool, int]:
    """What the exchange said; the time of receipt is ours."""
    return (
        trade.symbol,
        trade.trade_id,
        trade.price,
        trade.quantity,
        trade.is_buyer_maker,
        trade.event_time_us,
    )


def assert_same_as_undisturbed(anomalies: list[Anomaly], recorded: dict[str, list[Trade]]) -> None:
    engine = Engine(ENGINE)
    expected = {
        event.anomaly_id: event
        for trades in recorded.values()
        for event in engine.on_batch(trades)
        if isinstance(event, Anomaly)
    }
    repeated = [i for i, count in Counter(a.anomaly_id for a in anomalies).items() if count > 1]
    assert repeated == []
    assert {anomaly.anomaly_id: anomaly for anomaly in anomalies} == expected
    assert len(expected) > 20, "there is too little to agree on"


def assert_store_agrees(
    pipeline: Pipeline, anomalies: list[Anomaly], recorded: dict[str, list[Trade]]
) -> None:
    with pipeline.database.session() as session:
        stored = queries.anomalies(session, limit=None)
        for market in queries.markets(session):
            trades = recorded[market.symbol]
            assert (market.first_id, market.last_id) == (trades[0].trade_id, trades[-1].trade_id)
            assert market.trades == len(trades)
    assert {anomaly.anomaly_id: anomaly for anomaly in stored} == {a.anomaly_id: a for a in anomalies}


def assert_people_were_told(pipeline: Pipeline, anomalies: list[Anomaly]) -> None:
    with pipeline.database.session() as session:
        rows = session.query(DeliveryRow).all()
        # What does not ring changes a message that is there.
        states = {(row.anomaly_id, row.channel): row.state for row in rows if row.rings}
        decided = {row.anomaly_id for row in rows}
    assert decided == {anomaly.anomaly_id for anomaly in anomalies}
    for prefix, heard in (
        ("telegram", pipeline.telegram.anomaly_ids()),
        ("slack", pipeline.slack.anomaly_ids()),
    ):
        sent = {i for (i, channel), state in states.items() if channel.startswith(prefix) and state == "sent"}
        assert sorted(heard) == sorted(sent), prefix
        opened = {a.anomaly_id for a in anomalies if a.episode.episode_id == a.anomaly_id}
        assert opened <= set(heard), f"{prefix} was not told of an episode"
