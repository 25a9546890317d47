"""All that runs during chaos: a broker on a disk of its own behind a proxy, market, workers, Telegram."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from deploy.kafka.apache import ApacheKafka, ApacheKafkaParams
from deploy.kafka.ports import free_ports
from deploy.local.supervisor import Supervisor, Worker
from detector.params import EngineParams
from shared.clock import SystemClock
from shared.errors import BrokerError
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.chaos.schedule import WORKERS
from tests.deadlines import eventually
from tests.servers.disk import Disk, small_disk
from tests.servers.proxy import SlowProxy
from tests.servers.telegram import TelegramLimits, TelegramServer

# Sensitive settings, so that there is much to agree on.
ENGINE: Final = EngineParams(
    enabled=("zscore", "forest", "combined", "whale", "flash_crash"),
    budget_per_day=10_000.0,
    min_move_pct=0.0,
    whale_min_notional=10_000.0,
    episode_quiet_s=1.0,
)
MARKETS: Final = (
    "BTC-USDT",
    "ETH-USDT",
    "BNB-USDT",
    "SOL-USDT",
    "XRP-USDT",
    "ADA-USDT",
    "DOT-USDT",
    "LTC-USDT",
)
Guarantee = Literal["exactly_once", "at_least_once"]
_CHAT: Final = "1001"
_CRASHES_ALLOWED: Final = 20


@dataclass(frozen=True, kw_only=True)
class StageParams:
    """What is set up.

    Attributes:
        folder: for logs, store and the broker's data.
        seed: of the market and of the feed's faults.
        feed_s: how long the market trades.
        trades_per_s: of all markets together.
        partitions: of the topics.
        session_timeout_s: of the workers.
        guarantee: of the detectors.
    """

    folder: Path
    seed: int
    feed_s: float
    trades_per_s: float = 1_600.0
    partitions: int = 6
    session_timeout_s: float = 6.0
    guarantee: Guarantee = "exactly_once"

    @property
    def store(self) -> Path:
        """The file of the store."""
        return self.folder / "store.db"

    @property
    def database_url(self) -> str:
        """Where the store is."""
        return f"sqlite:///{self.store}"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What runs.

    Attributes:
        params: what it was made from.
        server: the broker's process.
        disk: what its topics lie on.
        proxy: the way to it.
        broker: the same, for clients.
        workers: by the names of the schedule.
        telegram: the stand-in.
        rest_url: of the simulated market.
    """

    params: StageParams
    server: ApacheKafka
    disk: Disk
    proxy: SlowProxy
    broker: KafkaBroker
    workers: Supervisor
    telegram: TelegramServer
    rest_url: str

    def send(self, worker: str, number: signal.Signals) -> bool:
        """Send a signal to a worker; return false when it does not run just now."""
        try:
            os.kill(self.workers.pids()[worker], number)
        except ProcessLookupError:
            return False
        return True

    def count_in_logs(self, words: tuple[str, ...]) -> dict[str, int]:
        """Return how often each of the words stands in the workers' logs."""
        texts = [path.read_text(errors="replace") for path in self.params.folder.glob("*.log")]
        return {word: sum(text.count(word) for text in texts) for word in words}


@contextmanager
def staged(params: StageParams) -> Iterator[Stage]:
    """Start everything, and stop it at the end whatever happens."""
    clock = SystemClock()
    [port] = free_ports(1)
    with (
        small_disk(params.folder / "disk") as disk,
        SlowProxy(server_port=port) as proxy,
        ApacheKafka(_broker_params(params, port, disk, proxy)) as server,
        TelegramServer(chats=[_CHAT], limits=TelegramLimits(per_chat=0, overall=0)) as telegram,
    ):
        broker = KafkaBroker(KafkaParams(bootstrap_servers=proxy.address, partitions=params.partitions))
        broker.ensure_topics()
        environ = _environ(params, proxy, telegram)
        market = Supervisor(log_dir=params.folder, environ=environ, clock=clock)
        try:
            urls = _start_market(market, params)
            workers = Supervisor(
                log_dir=params.folder,
                environ={**environ, "PRODUCER_WS_URL": urls["ws_url"], "PRODUCER_REST_URL": urls["rest_url"]},
                clock=clock,
                crashes_allowed=_CRASHES_ALLOWED,
            )
            stage = Stage(
                params=params,
                server=server,
                disk=disk,
                proxy=proxy,
                broker=broker,
                workers=workers,
                telegram=telegram,
                rest_url=urls["rest_url"],
            )
            try:
                _start_workers(workers)
                yield stage
            finally:
                for name in workers.pids():
                    stage.send(name, signal.SIGCONT)
                workers.stop()
        finally:
            market.stop()


def _broker_params(params: StageParams, port: int, disk: Disk, proxy: SlowProxy) -> ApacheKafkaParams:
    return ApacheKafkaParams(
        data_dir=params.folder / "kafka",
        port=port,
        log_dir=disk.folder,
        properties={"advertised.listeners": f"PLAINTEXT://{proxy.address}"},
    )


def _environ(params: StageParams, proxy: SlowProxy, telegram: TelegramServer) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": proxy.address,
        "PROCESSING_GUARANTEE": params.guarantee,
        "KAFKA_PARTITIONS": str(params.partitions),
        "KAFKA_SESSION_TIMEOUT_S": str(params.session_timeout_s),
        "DATABASE_URL": params.database_url,
        "MARKETS": ",".join(MARKETS),
        "PRODUCER_REST_WEIGHT_PER_MINUTE": "6000",
        "PRODUCER_STALE_MIN_S": "2",
        # A slow machine takes half a minute to start a broker: what is missed meanwhile must not be too much.
        "PRODUCER_BACKFILL_MAX_TRADES": "5000000",
        # Connections here live 30 s: the back-off must reset sooner.
        "PRODUCER_HEALTHY_AFTER_S": "2",
        "DETECTOR_ENABLED": ",".join(ENGINE.enabled),
        "DETECTOR_BUDGET_PER_DAY": str(ENGINE.budget_per_day),
        "DETECTOR_MIN_MOVE_PCT": str(ENGINE.min_move_pct),
        "DETECTOR_WHALE_MIN_NOTIONAL": str(ENGINE.whale_min_notional),
        "DETECTOR_EPISODE_QUIET_S": str(ENGINE.episode_quiet_s),
        "DETECTOR_SNAPSHOT_INTERVAL_S": "5",
        # Few notifications: what is judged is that every anomaly was decided about.
        "ALERTER_MIN_SEVERITY": "critical",
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_CHAT_IDS": _CHAT,
        "TELEGRAM_API_URL": telegram.url,
        "PYTHONUNBUFFERED": "1",
    }


def _start_market(market: Supervisor, params: StageParams) -> dict[str, str]:
    served = Worker(
        name="simulator",
        argv=(
            *(sys.executable, "-m", "simulator", "market", "--seed", str(params.seed)),
            *("--symbols", ",".join(name.replace("-", "") for name in MARKETS)),
            *("--rate", str(params.trades_per_s / len(MARKETS)), "--duration", str(params.feed_s)),
            *("--whales-per-hour", "120", "--crashes-per-hour", "30"),
            *("--fault-seed", str(params.seed), "--drop", "0.0005", "--duplicate", "0.01"),
            *("--cut-every", "30", "--weight-per-minute", "1000000"),
        ),
    )
    market.start(served)
    found: list[dict[str, str]] = []

    def has_printed() -> bool:
        lines = market.log_path(served).read_text().splitlines()
        found.extend(json.loads(line) for line in lines if line.startswith('{"ws_url"'))
        return bool(found)

    eventually(has_printed, seconds=60, about="the simulator's addresses")
    return found[0]


def _start_workers(workers: Supervisor) -> None:
    # The producer last, so that nothing that the market says finds nobody listening.
    for name in sorted(WORKERS, key=lambda name: name == "producer"):
        module, _, instance = name.partition("-")
        options = ("--instance", instance) if instance else ()
        workers.start(Worker(name=name, argv=(sys.executable, "-m", module, *options)))


class PauseWatch:
    """Measures, from the commits of the group `detector`, for how long a partition with work did not move.

    Args:
        broker: where the group is.
        topic: what the group reads.
    """

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._clock = SystemClock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._moved: dict[int, tuple[int, float]] = {}
        self.longest_s = 0.0
        self.trades = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)

    def _run(self) -> None:
        consumer = self._broker.consumer(group="detector")
        while not self._stop.wait(0.5):
            try:
                partitions = consumer.partitions_of(self._topic)
                committed = consumer.committed(partitions)
                ends = {p.partition: consumer.bounds(p)[1] for p in partitions}
            except BrokerError:
                continue
            self._note({p.partition: offset for p, offset in committed.items()}, ends)
        consumer.close()

    def _note(self, committed: Mapping[int, int], ends: Mapping[int, int]) -> None:
        now_s = self._clock.monotonic_s()
        self.trades = sum(ends.values())
        for number, end in ends.items():
            offset = committed.get(number, 0)
            before, since_s = self._moved.get(number, (-1, now_s))
            if before >= 0 and offset != before:
                self.longest_s = max(self.longest_s, now_s - since_s)
            if offset != before or offset >= end:
                self._moved[number] = (offset, now_s)
