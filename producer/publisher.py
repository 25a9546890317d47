"""Writes trades, gaps and dead letters to Kafka without ever making the reader of the WebSocket wait.

A record is encoded once. While Kafka's own queue is full, records wait here in order. When as many wait as
the settings allow, `is_full` says so: the app closes the connections, so that no more can come, and the tape
fetches what was missed later. Nothing that was taken is ever dropped; a failed delivery is raised.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from shared import topics
from shared.clock import Clock
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.events import Trade
from shared.stream.broker import Producer

_FLUSH_STEP_S: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class PublisherParams:
    """How much may wait.

    Attributes:
        queue_trades: records that may wait here while Kafka's own queue is full.
        flush_timeout_s: time that the last flush may take.
    """

    queue_trades: int = 200_000
    flush_timeout_s: float = 30.0


class _Record(NamedTuple):
    topic: str
    key: bytes
    value: bytes


class Publisher:
    """Queues records for Kafka.

    Args:
        producer: idempotent, not transactional.
        params: bounds.
        clock: for the last flush.
    """

    def __init__(self, producer: Producer, params: PublisherParams, *, clock: Clock) -> None:
        self._producer = producer
        self._params = params
        self._clock = clock
        self._queue: deque[_Record] = deque()
        self._keys: dict[str, bytes] = {}
        self.trades_total = 0

    @property
    def queued(self) -> int:
        """How many records wait here."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken in."""
        return len(self._queue) >= self._params.queue_trades

    @property
    def has_room(self) -> bool:
        """Whether reading may begin again; far enough from full that it does not flutter."""
        return len(self._queue) <= self._params.queue_trades // 2

    def publish_trades(self, trades: Iterable[Trade]) -> None:
        """Take trades, in order.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        for trade in trades:
            key = self._keys.get(trade.symbol)
            if key is None:
                key = self._keys[trade.symbol] = trade.symbol.encode()
            self._put(_Record(topics.TRADES, key, encode(trade)))
            self.trades_total += 1

    def publish(self, event: msgspec.Struct, *, key: str) -> None:
        """Take another event; it goes to the topic of its type.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        self._put(_Record(topics.topic_of(type(event)), key.encode(), encode(event)))

    def pump(self) -> None:
        """Serve delivery reports and hand over what waits, as far as there is room; never blocks.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        self._producer.poll(0)
        queue = self._queue
        while queue and self._try(queue[0]):
            queue.popleft()

    async def flush(self) -> None:
        """Hand over everything and wait until Kafka has acknowledged it.

        Raises:
            BrokerError: a record could not be delivered, or not in time.
        """
        deadline_s = self._clock.monotonic_s() + self._params.flush_timeout_s
        self.pump()
        while self._queue and self._clock.monotonic_s() < deadline_s:
            await asyncio.sleep(_FLUSH_STEP_S)
            self.pump()
        timeout_s = max(_FLUSH_STEP_S, deadline_s - self._clock.monotonic_s())
        unsent = len(self._queue) + await asyncio.to_thread(self._producer.flush, timeout_s)
        if unsent:
            detail = f"{unsent} records are not acknowledged after {self._params.flush_timeout_s:g} s"
            raise BrokerRetriableError("flush", detail=detail)

    def _put(self, record: _Record) -> None:
        # Order: nothing overtakes what already waits.
        if self._queue or not self._try(record):
            self._queue.append(record)

    def _try(self, record: _Record) -> bool:
        return self._producer.try_produce(record.topic, record.value, key=record.key)
