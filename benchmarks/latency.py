"""How long it takes from a trade's publication to the arrival of its anomaly at a `read_committed` reader."""

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
from typing import Final, Self

import numpy as np

from benchmarks.report import Row
from deploy.local.supervisor import Supervisor, Worker
from shared import topics
from shared.clock import SystemClock
from shared.codec import encode
from shared.events import Anomaly, EpisodePhase, Trade
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.tail import Tail

_PARTITIONS: Final = 12
_LATENCY_MARKETS: Final = 40
# Whatever the rate.
_CRASHES_PER_S: Final = 10
# So many trades a market must have had before a fall counts, and so many make one.
_BEFORE_FALL: Final = 10
_IN_FALL: Final = 2
_SETTLE_S: Final = 3.0


def crash_settings(servers: str, prefix: str, *, is_exact: bool) -> dict[str, str]:
    """Return the environment of a detector that calls a fall of one per cent within a second a crash."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": str(_PARTITIONS),
        "PROCESSING_GUARANTEE": "exactly_once" if is_exact else "at_least_once",
        "DETECTOR_FLASH_CRASH_DROP_PCT": "1",
        "DETECTOR_FLASH_CRASH_WINDOW_S": "1",
        "DETECTOR_EPISODE_QUIET_S": "1",
    }


@contextmanager
def _detector(servers: str, prefix: str, *, is_exact: bool) -> Iterator[None]:
    """Run a real detector process."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, **crash_settings(servers, prefix, is_exact=is_exact)}
        workers = Supervisor(log_dir=Path(folder), environ=environ, clock=SystemClock())
        workers.start(Worker(name="detector", argv=(sys.executable, "-m", "detector")))
        try:
            yield
        finally:
            workers.stop()


class Listener:
    """Notes when the first anomaly of each trade arrived; in a thread of its own.

    Args:
        broker: of the topic; what is in it before the start is not looked at.
    """

    def __init__(self, broker: KafkaBroker) -> None:
        self._tail = Tail(broker, [topics.ANOMALIES], since_us=None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.arrived: dict[tuple[str, int], float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._tail.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            for received in self._tail.poll():
                event = received.event
                if isinstance(event, Anomaly) and event.episode.phase is EpisodePhase.OPENED:
                    self.arrived.setdefault((event.symbol, event.trade_id), time.perf_counter())


def measure(servers: str, *, rate: int, seconds: int, is_exact: bool) -> Row:
    """Return the latency at a rate of trades, through a detector process of its own."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    broker = KafkaBroker(KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS))
    broker.ensure_topics()
    with Listener(broker) as listener, _detector(servers, prefix, is_exact=is_exact):
        arrived = listener.arrived
        sent = _publish(broker, rate=rate, seconds=seconds, is_ready=lambda: bool(arrived))
        deadline_s = time.monotonic() + 30
        while not sent.keys() <= arrived.keys() and time.monotonic() < deadline_s:
            time.sleep(0.01)
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


def _publish(
    broker: KafkaBroker, *, rate: int, seconds: int, is_ready: Callable[[], bool]
) -> dict[tuple[str, int], float]:
    """Publish at the rate, with ten markers a second; return when the last trade of each was published.

    Publishing begins before the detector is up; markers count from `_SETTLE_S` after its first anomaly on.
    """
    producer = broker.producer()
    crash_every = rate // _CRASHES_PER_S
    sent: dict[tuple[str, int], float] = {}
    began_s = time.perf_counter()
    counted_from_s = ends_s = float("inf")
    number = marked = 0
    while time.perf_counter() < ends_s:
        now_s = time.perf_counter()
        if counted_from_s == float("inf") and is_ready():
            counted_from_s = now_s + _SETTLE_S
            ends_s = counted_from_s + seconds
        while number < (now_s - began_s) * rate:
            if number >= marked * crash_every:
                trades = make_marker(marked)
                marked += 1
                if now_s >= counted_from_s:
                    sent[trades[-1].symbol, trades[-1].trade_id] = time.perf_counter()
            else:
                trades = [make_trade(number, f"M{number % _LATENCY_MARKETS:03d}-USDT")]
            for trade in trades:
                producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
            number += len(trades)
        producer.poll(0)
        time.sleep(0.0005)
    producer.close()
    return sent


def make_marker(number: int) -> list[Trade]:
    """Return trades of now, of a market that is new and falls by 2 %: the last one is the crash's.

    A market of its own each time, as one that has crashed is not told again for a while.
    """
    prices = [100.0] * _BEFORE_FALL + [98.0] * _IN_FALL
    return [make_trade(place, f"F{number:06d}-USDT", price=price) for place, price in enumerate(prices)]


def make_trade(number: int, symbol: str, *, price: float = 100.0, at_us: int | None = None) -> Trade:
    """Return a trade, of now unless a time is given."""
    at_us = time.time_ns() // 1_000 if at_us is None else at_us
    return Trade(
        exchange="binance",
        symbol=symbol,
        trade_id=number,
        price=price,
        quantity=1.0,
        is_buyer_maker=True,
        event_time_us=at_us,
        received_time_us=at_us,
    )
