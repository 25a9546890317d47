"""The recorder as it is run: processes, a real Kafka, real trades, and a kill in the middle."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.kafka.broker import RunningBroker
from shared.recordings import read
from shared.store import queries
from shared.store.database import Database
from tests.deadlines import eventually

pytestmark = [pytest.mark.integration, pytest.mark.real_data]

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ("frames/binance-spot/btcusdt_20240808.gz", "frames/binance-spot/ethusdt_20240808.gz")


@contextmanager
def running_recorder(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "recorder"], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


def stored_trades(database: Database) -> int:
    with database.session(read_only=True) as session:
        return sum(market.trades for market in queries.markets(session))


def trades_in(paths: list[Path]) -> list[tuple[str, int, float, float, int]]:
    """Return what a replay does not change, in the order of market and id."""
    return sorted(
        (trade.symbol, trade.trade_id, trade.price, trade.quantity, trade.event_time_us)
        for batch in read(paths)
        for trade in batch
    )


def test_real_trades_are_replayed_stored_and_recorded_once_each_across_a_kill(
    kafka: RunningBroker, kafka_topic_prefix: str, tmp_path: Path, real_data_dir: Path
) -> None:
    paths = [real_data_dir / file for file in FRAMES]
    if not all(path.exists() for path in paths):
        pytest.skip(f"{real_data_dir} does not hold {', '.join(FRAMES)}")
    expected = trades_in(paths)
    tape = tmp_path / "tape"
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
        "KAFKA_PARTITIONS": "3",
        "DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
        "RECORDER_PARQUET_DIR": str(tape),
        "RECORDER_BATCH_RECORDS": "500",
    }
    subprocess.run(
        [sys.executable, "-m", "recorder", "replay", *map(str, paths), "--speed", "0"],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=120,
    )
    with running_recorder(environment) as recorder:
        eventually(lambda: stored_trades(database) > 0, seconds=60, about="the first stored trade")
        recorder.kill()
    with running_recorder(environment) as recorder:
        eventually(lambda: stored_trades(database) == len(expected), seconds=60, about="all stored trades")
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(timeout=30) == 0
    with database.session(read_only=True) as session:
        for market in queries.markets(session):
            assert market.trades == market.last_id - market.first_id + 1
    database.close()
    assert trades_in([tape]) == expected
    assert list((tape / ".journals").iterdir()) == []
