"""For how long nobody watches a partition while detectors come, go and die: the longest delay of a marker.

Twelve times a second a market of its own falls by two per cent, in any partition, and the delay from the
fall's publication to its anomaly's arrival at a `read_committed` reader is taken. What is without detection
waits, so the longest delay around an event is the time without detection, to within the time between two
falls in a partition, a second. These markets add to the state that is handed over.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.latency import Listener, crash_settings, make_marker, make_trade
from benchmarks.report import Row
from deploy.kafka.process import ChildProcess
from shared import topics
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.stream.kafka import KafkaBroker, KafkaParams

_PARTITIONS: Final = 12
_RATE: Final = 2_000
_FALLS_PER_S: Final = 12
# Long enough for falls in every partition.
_SETTLE_S: Final = 2.0
# Enough for the windows of every market to be full before anything happens.
_HISTORY_PER_MARKET: Final = 3_000
# Watched after a detector takes part, or has gone, on top of the session's time-out where that must pass.
_AFTER_S: Final = 8.0
_LONGEST_S: Final = 90.0
_SESSION_S: Final = KafkaParams(bootstrap_servers="").session_timeout_s

NOTE: Final = (
    f"{_RATE:,} trades/s; {_FALLS_PER_S} further markets a second fall, and the longest delay of an anomaly "
    f"is the time without detection. A killed detector is missed after its session's {_SESSION_S:g} s."
)


class Feed:
    """Publishes history, and then trades and falls at a steady rate until stopped.

    Args:
        broker: where to.
        markets: how many.
    """

    def __init__(self, broker: KafkaBroker, *, markets: int) -> None:
        self._broker = broker
        self._markets = markets
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent: dict[tuple[str, int], float] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after all is delivered."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        producer = self._broker.producer()
        number = 0
        now_us = time.time_ns() // 1_000
        history = self._markets * _HISTORY_PER_MARKET
        for number in range(history):
            at_us = now_us - 500 * (history - number)
            trade = make_trade(number, self._market(number), at_us=at_us)
            producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
        began_s = time.perf_counter()
        done = fallen = 0
        while not self._stop.wait(0.001):
            while done < (time.perf_counter() - began_s) * _RATE:
                if done * _FALLS_PER_S >= fallen * _RATE:
                    trades = make_marker(fallen)
                    fallen += 1
                    self.sent[trades[-1].symbol, trades[-1].trade_id] = time.perf_counter()
                else:
                    trades = [make_trade(history + done, self._market(done))]
                for trade in trades:
                    producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
                done += len(trades)
            producer.poll(0)
        producer.close()

    def _market(self, number: int) -> str:
        return f"M{number % self._markets:03d}-USDT"


class Crew:
    """Detector processes at their default settings, except that a fall of one per cent is a crash.

    Args:
        environ: their settings.
        folder: for their logs.
    """

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self._running: dict[int, ChildProcess] = {}

    def start(self, number: int) -> None:
        """Start a detector."""
        argv = [sys.executable, "-m", "detector", "--instance", str(number)]
        log = self._folder / f"detector-{number}.log"
        self._running[number] = ChildProcess(argv, log_path=log, environ=self._environ)

    def leave(self, number: int) -> None:
        """Stop it in order."""
        self._running.pop(number).terminate()

    def kill(self, number: int) -> None:
        """Kill it."""
        self._running.pop(number).kill()

    def takes_part(self, number: int) -> bool:
        """Return whether partitions were assigned to it."""
        return "partition_assigned" in (self._folder / f"detector-{number}.log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """Kill all that are left."""
        for number in list(self._running):
            self.kill(number)


def measure(servers: str, *, markets: int, is_exact: bool) -> list[Row]:
    """Return the longest delays around every kind of event."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    broker = KafkaBroker(KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS))
    broker.ensure_topics()
    feed = Feed(broker, markets=markets)
    with tempfile.TemporaryDirectory() as folder, Listener(broker) as listener:
        crew = Crew({**os.environ, **crash_settings(servers, prefix, is_exact=is_exact)}, Path(folder))
        crew.start(1)
        feed.start()
        try:
            return _events(crew, feed, listener)
        finally:
            feed.stop()
            crew.stop()


def _events(crew: Crew, feed: Feed, listener: Listener) -> list[Row]:
    watch = _Watch(feed, listener)
    if not _is_soon(lambda: watch.latest_delay_s() < 1):
        raise BrokerRetriableError("hand-over", detail=f"no detector keeps up after {_LONGEST_S:g} s")
    time.sleep(2 * _SETTLE_S)
    return [
        watch.row("nothing happens", lambda: None, lambda: True),
        watch.row("detector 2 joins", lambda: crew.start(2), lambda: crew.takes_part(2)),
        watch.row("detector 3 joins", lambda: crew.start(3), lambda: crew.takes_part(3)),
        watch.row("detector 2 leaves in order (SIGTERM)", lambda: crew.leave(2), lambda: True),
        watch.row("detector 3 is killed", lambda: crew.kill(3), lambda: True, unavoidable_s=_SESSION_S),
    ]


def _is_soon(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; return whether it did within `_LONGEST_S`."""
    deadline_s = time.monotonic() + _LONGEST_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


class _Watch:
    """Compares what was published with what arrived."""

    def __init__(self, feed: Feed, listener: Listener) -> None:
        self._feed = feed
        self._listener = listener

    def latest_delay_s(self) -> float:
        """Return the delay of the marker that arrived last."""
        sent = dict(self._feed.sent)
        pairs = [(at, at - sent[key]) for key, at in dict(self._listener.arrived).items() if key in sent]
        return max(pairs)[1] if pairs else float("inf")

    def row(
        self, name: str, act: Callable[[], None], is_done: Callable[[], bool], *, unavoidable_s: float = 0.0
    ) -> Row:
        """Let something happen, and return the delays of what was published from shortly before on."""
        print(f"hand-over: {name}", file=sys.stderr)
        from_s = time.perf_counter() - _SETTLE_S
        act()
        _is_soon(is_done)
        time.sleep(unavoidable_s + _AFTER_S)
        to_s = time.perf_counter()
        expected = {key: at for key, at in dict(self._feed.sent).items() if from_s <= at <= to_s}
        arrived = self._listener.arrived
        _is_soon(lambda: expected.keys() <= arrived.keys())
        delays_s = [arrived[key] - at for key, at in expected.items() if key in arrived]
        longest_s = max(delays_s)
        return Row(
            name=name,
            values={
                "longest_without_detection_s": longest_s,
                "less_session_timeout_s": max(0.0, longest_s - unavoidable_s),
                "p50_ms": statistics.median(delays_s) * 1e3,
                "markers": len(delays_s),
                "missing": len(expected) - len(delays_s),
            },
        )
