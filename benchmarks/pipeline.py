"""What a trade costs from Kafka to commit, stage by stage, and how long an anomaly takes to arrive.

CPU time is that of the whole process, librdkafka's threads included, and not the broker's. Each stage does
what the one above it does and a little more, all read the same topic, and the rounds are interleaved.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import Row, median_rows, show
from benchmarks.trades import market_trades
from deploy.kafka.broker import start_broker
from deploy.local.supervisor import Supervisor, Worker
from detector.engine import Engine, warm_up_kernels
from detector.params import EngineParams
from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, SystemClock
from shared.codec import decoder, encode
from shared.events import Anomaly, EpisodePhase, Trade
from shared.metrics import Health
from shared.stream.broker import Message
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.runner import Runner, RunnerParams
from shared.stream.tail import Tail

_PARTITIONS: Final = 12
_BATCH: Final = 500
_LATENCY_MARKETS: Final = 40
_CRASH_EVERY: Final = 100
_SETTLE_S: Final = 3.0


def run(
    *, trades: int, markets: int, rounds: int, rate: int, seconds: int, write: Path | None = None
) -> None:
    """Measure and print.

    Args:
        trades: in the topic that the stages read.
        markets: with activity as in `market_trades`.
        rounds: of every stage; medians are shown.
        rate: trades a second while latency is measured.
        seconds: for which latency is measured.
        write: Markdown file whose section is replaced.
    """
    warm_up_kernels()
    with start_broker("auto") as running:
        servers, is_exact = running.bootstrap_servers, running.supports_transactions
        broker = _filled(servers, trades, markets)
        stages = _stages(broker, trades, is_exact=is_exact)
        measured = []
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            measured.append([_timed(name, stage, trades) for name, stage in stages])
        print(f"latency at {rate:,} trades/s for {seconds} s", file=sys.stderr)
        latency = _latency(servers, rate=rate, seconds=seconds, is_exact=is_exact)
    note = f"{trades:,} trades of {markets} markets, {_PARTITIONS} partitions, {running.kind}"
    show("pipeline", [*median_rows(measured), latency], note=note, write=write)


def _broker(servers: str) -> KafkaBroker:
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    params = KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS)
    broker = KafkaBroker(params)
    broker.ensure_topics()
    return broker


def _filled(servers: str, trades: int, markets: int) -> KafkaBroker:
    broker = _broker(servers)
    producer = broker.producer()
    for trade in market_trades(trades, markets=markets, rate_per_s=2_000):
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    producer.close()
    return broker


Stage = Callable[[], None]


def _stages(broker: KafkaBroker, trades: int, *, is_exact: bool) -> list[tuple[str, Stage]]:
    decode = decoder(Trade).decode

    def consume() -> None:
        for _ in _batches(broker, trades):
            pass

    def and_decode() -> None:
        for messages in _batches(broker, trades):
            for message in messages:
                decode(message.value())

    def and_engine() -> None:
        engine = Engine(EngineParams())
        for messages in _batches(broker, trades):
            engine.on_batch([decode(message.value()) for message in messages])

    def and_commit() -> None:
        runner = Runner(
            broker=broker,
            step=Engine(EngineParams()),
            params=RunnerParams(
                group=f"bench-{uuid.uuid4().hex}",
                guarantee="exactly_once" if is_exact else "at_least_once",
                batch_records=_BATCH,
            ),
            clock=SystemClock(),
            health=Health(SystemClock()),
        )
        runner.start()
        while runner.totals.trades < trades:
            runner.turn()
        runner.close()

    last = "+ produce, snapshots and commit" + (", exactly once" if is_exact else ", at least once")
    return [("consume only", consume), ("+ decode", and_decode), ("+ engine", and_engine), (last, and_commit)]


def _batches(broker: KafkaBroker, trades: int) -> Iterator[list[Message]]:
    consumer = broker.consumer(group=None)
    consumer.assign(dict.fromkeys(consumer.partitions_of(topics.TRADES), 0))
    seen = 0
    while seen < trades:
        messages = consumer.consume(_BATCH, 1.0)
        seen += len(messages)
        yield messages
    consumer.close()


def _timed(name: str, stage: Stage, trades: int) -> Row:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    stage()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return Row(
        name=name,
        values={
            "cpu_us_per_trade": cpu_s / trades * 1e6,
            "trades_per_s_and_core": trades / cpu_s,
            "trades_per_s": trades / wall_s,
        },
    )


@contextmanager
def _detector(servers: str, prefix: str, *, is_exact: bool) -> Iterator[None]:
    """Run a real detector process that calls a fall of one per cent within a second a crash."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_PARTITIONS": str(_PARTITIONS),
            "PROCESSING_GUARANTEE": "exactly_once" if is_exact else "at_least_once",
            "DETECTOR_FLASH_CRASH_DROP_PCT": "1",
            "DETECTOR_FLASH_CRASH_WINDOW_S": "1",
            "DETECTOR_EPISODE_QUIET_S": "1",
        }
        workers = Supervisor(log_dir=Path(folder), environ=environ, clock=SystemClock())
        workers.start(Worker(name="detector", argv=(sys.executable, "-m", "detector")))
        try:
            yield
        finally:
            workers.stop()


def _latency(servers: str, *, rate: int, seconds: int, is_exact: bool) -> Row:
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    broker = KafkaBroker(KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS))
    broker.ensure_topics()
    arrived: dict[tuple[str, int], float] = {}
    stop = threading.Event()
    tail = Tail(broker, [topics.ANOMALIES], since_us=None)
    listener = threading.Thread(target=_listen, args=(tail, arrived, stop))
    with _detector(servers, prefix, is_exact=is_exact):
        listener.start()
        sent = _publish(broker, rate=rate, seconds=seconds, is_ready=lambda: bool(arrived))
        deadline_s = time.monotonic() + 30
        while not sent.keys() <= arrived.keys() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        stop.set()
        listener.join()
    tail.close()
    delays_ms = [(arrived[key] - at) * 1e3 for key, at in sent.items() if key in arrived]
    return Row(
        name=f"latency, trade published to anomaly read, at {rate:,} trades/s",
        values={
            "p50_ms": statistics.median(delays_ms),
            "p99_ms": float(np.percentile(delays_ms, 99)),
            "anomalies": len(delays_ms),
            "missing": len(sent) - len(delays_ms),
        },
    )


def _listen(tail: Tail, arrived: dict[tuple[str, int], float], stop: threading.Event) -> None:
    while not stop.is_set():
        for received in tail.poll():
            event = received.event
            if isinstance(event, Anomaly) and event.episode.phase is EpisodePhase.OPENED:
                arrived[event.symbol, event.trade_id] = time.perf_counter()


def _publish(
    broker: KafkaBroker, *, rate: int, seconds: int, is_ready: Callable[[], bool]
) -> dict[tuple[str, int], float]:
    """Publish at the rate, every hundredth trade a fall of 2 %; return when each fall was published.

    Publishing begins before the detector is up; falls count from `_SETTLE_S` after its first anomaly on.
    """
    producer = broker.producer()
    sent: dict[tuple[str, int], float] = {}
    began_s = time.perf_counter()
    counted_from_s = ends_s = float("inf")
    number = 0
    while time.perf_counter() < ends_s:
        now_s = time.perf_counter()
        if counted_from_s == float("inf") and is_ready():
            counted_from_s = now_s + _SETTLE_S
            ends_s = counted_from_s + seconds
        while number < (now_s - began_s) * rate:
            is_fall = number % _CRASH_EVERY == 0
            market = number // _CRASH_EVERY % _LATENCY_MARKETS if is_fall else number % _LATENCY_MARKETS
            trade = _trade(number, market, price=98.0 if is_fall else 100.0)
            if is_fall and now_s >= counted_from_s:
                sent[trade.symbol, trade.trade_id] = time.perf_counter()
            producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
            number += 1
        producer.poll(0)
        time.sleep(0.0005)
    producer.close()
    return sent


def _trade(number: int, market: int, *, price: float) -> Trade:
    now_us = time.time_ns() // 1_000
    assert now_us > MICROSECONDS_PER_SECOND
    return Trade(
        exchange="binance",
        symbol=f"M{market:03d}-USDT",
        trade_id=number,
        price=price,
        quantity=1.0,
        is_buyer_maker=True,
        event_time_us=now_us,
        received_time_us=now_us,
    )
