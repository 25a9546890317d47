"""Audit and dead letters as they are run: processes against a real Kafka, on a tape of real trades."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from deploy.kafka.broker import RunningBroker
from shared import recordings, topics
from shared.clock import SystemClock
from shared.codec import encode
from shared.events import DeadLetter, TapeGap, Trade
from shared.stream.broker import Producer
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests import samples
from tests.deadlines import eventually

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ("frames/binance-spot/btcusdt_20240808.gz", "frames/binance-spot/ethusdt_20240808.gz")
PARTITIONS = 3

Recorder = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def recorder(kafka: RunningBroker, kafka_topic_prefix: str) -> Recorder:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka_topic_prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
    }

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "recorder", *arguments],
            cwd=ROOT,
            env={**environment, **settings},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def broker(kafka: RunningBroker, kafka_topic_prefix: str) -> KafkaBroker:
    made = KafkaBroker(
        KafkaParams(
            bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=PARTITIONS
        )
    )
    made.ensure_topics()
    return made


@pytest.fixture
def recorded(real_data_dir: Path) -> list[Trade]:
    paths = [real_data_dir / file for file in FRAMES]
    if not all(path.exists() for path in paths):
        pytest.skip(f"{real_data_dir} does not hold {', '.join(FRAMES)}")
    return [trade for batch in recordings.read(paths) for trade in batch]


def publish(broker: KafkaBroker, trades: list[Trade], gaps: list[TapeGap] | None = None) -> None:
    producer = broker.producer()
    for trade in trades:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    for gap in gaps or []:
        producer.produce(topics.TAPE_GAPS, encode(gap), key=gap.symbol.encode())
    flushed(producer)


def flushed(producer: Producer) -> None:
    assert producer.flush(30) == 0
    producer.close()


def of_market(trades: list[Trade], symbol: str) -> list[Trade]:
    return [trade for trade in trades if trade.symbol == symbol]


def now_text() -> str:
    """Return now as `--from` takes it, and be a millisecond later on return: Kafka counts in those."""
    now_us = SystemClock().now_us()
    eventually(lambda: SystemClock().now_us() >= now_us + 2_000, seconds=1, about="the next millisecond")
    return datetime.fromtimestamp((now_us + 1_000) / 1_000_000, UTC).isoformat()


@pytest.mark.real_data
def test_a_tape_of_recorded_trades_is_whole(
    recorder: Recorder, broker: KafkaBroker, recorded: list[Trade]
) -> None:
    publish(broker, recorded)
    audit = recorder("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert f"The tape is whole: {len(recorded):,} trades in 2 markets" in audit.stdout
    report = json.loads(recorder("audit", "--json").stdout)
    for market in report["markets"]:
        trades = of_market(recorded, market["symbol"])
        assert (market["first_id"], market["last_id"]) == (trades[0].trade_id, trades[-1].trade_id)
        assert market["trades"] == len(trades)
        skews = sorted(trade.received_time_us - trade.event_time_us for trade in trades)
        assert (market["skew"]["min_us"], market["skew"]["max_us"]) == (skews[0], skews[-1])
        assert market["skew"]["median_us"] == pytest.approx(skews[(len(skews) - 1) // 2], rel=0.0101)


@pytest.mark.real_data
def test_every_planted_defect_is_named(
    recorder: Recorder, broker: KafkaBroker, recorded: list[Trade]
) -> None:
    btc, eth = of_market(recorded, "BTC-USDT"), of_market(recorded, "ETH-USDT")
    first = btc[0].trade_id
    # Lost: ids 100 to 109, announced, and 200 to 201, not; 300 comes twice; 400 comes behind 401.
    tape = [*btc[:100], *btc[110:200], *btc[202:301], btc[300], *btc[301:400], btc[401], btc[400], *btc[402:]]
    publish(broker, [*tape, *eth], [samples.tape_gap(first + 100)])
    audit = recorder("audit")
    assert audit.returncode == 1, audit.stdout + audit.stderr
    told = [line for line in audit.stdout.splitlines() if line.startswith("binance ")]
    reason = samples.tape_gap().reason
    assert told == [
        f"binance BTC-USDT: missing {first + 100} to {first + 109} (10 trades), announced: {reason}",
        f"binance BTC-USDT: missing {first + 200} to {first + 201} (2 trades), not announced",
        f"binance BTC-USDT: 1 record repeats an id: {first + 300}",
        f"binance BTC-USDT: 1 trade comes behind a higher id: {first + 400}",
    ]
    assert "The tape is NOT whole" in audit.stdout
    assert recorder("audit", "--market", "ETH-USDT").returncode == 0
    report = json.loads(recorder("audit", "--json", "--market", "BTC-USDT").stdout)
    [market] = report["markets"]
    assert (market["missing_announced"], market["missing_unannounced"]) == (10, 2)


def test_a_range_of_time_is_that_of_writing(recorder: Recorder, broker: KafkaBroker) -> None:
    publish(broker, [samples.trade(1), samples.trade(3)])
    between = now_text()
    publish(broker, samples.trades(10, first_id=4))
    assert recorder("audit").returncode == 1
    since = recorder("audit", "--json", "--from", between)
    assert since.returncode == 0, since.stdout + since.stderr
    [market] = json.loads(since.stdout)["markets"]
    assert (market["first_id"], market["last_id"]) == (4, 13)
    until = recorder("audit", "--json", "--to", between)
    assert until.returncode == 1
    [market] = json.loads(until.stdout)["markets"]
    assert (market["first_id"], market["last_id"]) == (1, 3)


def test_without_an_answer_the_exit_status_is_two(
    recorder: Recorder, broker: KafkaBroker, free_port: int
) -> None:
    nothing = recorder("audit")
    assert nothing.returncode == 2
    assert "Nothing to audit" in nothing.stdout
    publish(broker, samples.trades(3))
    assert recorder("audit", "--market", "XRP-USDT").returncode == 2
    assert recorder("audit", KAFKA_TOPIC_PREFIX="no-such-").returncode == 2
    unreachable = recorder("audit", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port}")
    assert unreachable.returncode == 2
    assert "Kafka list topics" in unreachable.stderr


def test_dead_letters_are_listed_shown_and_replayed(recorder: Recorder, broker: KafkaBroker) -> None:
    def set_aside(payload: bytes, *, source: str) -> DeadLetter:
        return msgspec.structs.replace(samples.dead_letter(payload), source=source)

    missed = encode(samples.trade(2))
    # In a transaction, as a detector writes them: its end takes an offset of its own.
    producer = broker.producer(transactional_id="writer")
    consumer = broker.consumer(group="writer")
    for letter in (
        set_aside(b"\x00\xff", source="trades"),
        set_aside(b'{"e":"trade"}', source="binance:websocket"),
        set_aside(missed, source="trades"),
    ):
        producer.begin()
        producer.produce(topics.DEAD_LETTERS, encode(letter), key=letter.source.encode())
        producer.commit({}, consumer)
    producer.close()
    consumer.close()
    publish(broker, [samples.trade(1), samples.trade(3)])
    assert recorder("audit").returncode == 1

    listed = recorder("dead-letters", "list")
    assert listed.returncode == 0, listed.stderr
    assert "3 of 3 dead letters" in listed.stdout
    assert r"\x00\xff" in listed.stdout
    assert "1 of 1 dead letters" in recorder("dead-letters", "list", "--source", "binance:websocket").stdout
    shown = recorder("dead-letters", "show", "4")
    assert missed.decode() in shown.stdout
    # The end of a transaction, and an offset beyond the end.
    assert recorder("dead-letters", "show", "1").returncode == 1
    assert "no dead letter at offset 99" in recorder("dead-letters", "show", "99").stderr

    replayed = recorder("dead-letters", "replay", "0", "2", "4")
    assert replayed.returncode == 1
    refused, foreign, published, summary = replayed.stdout.splitlines()
    assert refused.startswith("0: not replayed: still invalid")
    assert foreign.startswith("2: not replayed: it came from 'binance:websocket'")
    assert published == f"4: replayed to trades: {len(missed)} bytes with key BTC-USDT"
    assert summary == "1 replayed, 2 refused"
    [market] = json.loads(recorder("audit", "--json").stdout)["markets"]
    assert (market["missing"], market["out_of_order_ids"], market["trades"]) == ([], [2], 3)

    everything = recorder("dead-letters", "replay", "--all", "--source", "trades", "--force")
    assert everything.returncode == 0, everything.stdout + everything.stderr
    assert everything.stdout.splitlines()[-1] == "2 replayed, 0 refused"
    report = json.loads(recorder("audit", "--json").stdout)
    assert (report["invalid_records"], report["markets"][0]["duplicate_ids"]) == (1, [2])
