"""`Sink` and its runner: for workers whose results end outside Kafka (recorder, alerter).

The order is fixed: consume, decode, `Sink.on_events` (durable when it returns), commit the offsets. A crash
between the last two shows the sink the same events again, so a sink drops repeats by id.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from shared import topics
from shared.clock import Clock
from shared.codec import decode, encode
from shared.errors import (
    BrokerAbortableError,
    BrokerRetriableError,
    InvalidRecordError,
    StoreUnavailableError,
)
from shared.metrics import Health, counter
from shared.stream.broker import Broker, Message, TopicPartition
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy, dead_letter
from shared.stream.retry import Backoff
from shared.stream.tail import Received

__all__ = ["Received", "Sink", "SinkParams", "SinkRunner"]

_FLUSH_S = 30.0
_log = structlog.get_logger()


class Sink(Protocol):
    """Where events end."""

    def on_events(self, batch: Sequence[Received]) -> None:
        """Make the events durable; they may have been seen before.

        Raises:
            StoreUnavailableError: not now; the same batch is offered again.
        """
        ...

    def on_idle(self) -> None:
        """Do what is due by the clock; called after every poll, at least once a second."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


@dataclass(frozen=True, kw_only=True)
class SinkParams:
    """How a sink is run.

    Attributes:
        batch_records: most records in one call of `on_events`.
        poll_s: longest wait for records.
        dead_letters: how many invalid records are tolerated.
    """

    batch_records: int = 2_000
    poll_s: float = 0.2
    dead_letters: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)


class SinkRunner:
    """Owns consumer, decoding, dead letters, retries and commits on behalf of a sink."""

    def __init__(
        self,
        *,
        broker: Broker,
        sink: Sink,
        group: str,
        topic_names: Sequence[str],
        params: SinkParams,
        clock: Clock,
        health: Health,
    ) -> None:
        self._broker = broker
        self._sink = sink
        self._group = group
        self._topic_names = list(topic_names)
        self._types = {name: topics.spec(name).event for name in topic_names}
        self._params = params
        self._clock = clock
        self._health = health
        self._limit = DeadLetterLimit(params.dead_letters)
        self._consumer = broker.consumer(group=group)
        self._dead_letters = broker.producer()
        self._positions: dict[TopicPartition, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what was handed to the sink is committed on return.

        Raises:
            DeadLetterLimitError: too many invalid records.
            BrokerFatalError: the consumer cannot go on.
        """
        self._consumer.subscribe(self._topic_names)
        backoff = Backoff()
        try:
            while not stop.is_set():
                self._health.beat()
                try:
                    messages = self._consumer.consume(self._params.batch_records, self._params.poll_s)
                except BrokerRetriableError as error:
                    _log.warning("broker_unavailable", detail=error.detail)
                    stop.wait(backoff.next_s())
                    continue
                backoff.reset()
                if messages and not self._handle(messages, stop):
                    break
                self._sink.on_idle()
        finally:
            self._sink.close()
            self._consumer.close()
            self._dead_letters.close()

    def lag_records(self) -> int:
        """Return how many records wait behind the last committed ones."""
        return sum(self._consumer.lag(p, position) for p, position in self._positions.items())

    def _handle(self, messages: list[Message], stop: threading.Event) -> bool:
        """Store and commit a batch; return false if stopped before it was durable."""
        batch = [received for m in messages if (received := self._decode(m)) is not None]
        if batch and not self._offer(batch, stop):
            return False
        if self._dead_letters.flush(_FLUSH_S):
            raise BrokerRetriableError("flush", detail=f"dead letters not acknowledged within {_FLUSH_S:g} s")
        offsets: dict[TopicPartition, int] = {}
        for message in messages:
            partition = TopicPartition(self._consumer.topic_of(message), message.partition())
            offsets[partition] = message.offset() + 1
        self._commit(offsets, stop)
        self._positions.update(offsets)
        return True

    def _offer(self, batch: list[Received], stop: threading.Event) -> bool:
        backoff = Backoff()
        while not stop.is_set():
            try:
                self._sink.on_events(batch)
            except StoreUnavailableError as error:
                wait_s = backoff.next_s()
                _log.warning("store_unavailable", detail=str(error), retry_in_s=round(wait_s, 2))
                self._health.beat()
                stop.wait(wait_s)
            else:
                return True
        return False

    def _commit(self, offsets: dict[TopicPartition, int], stop: threading.Event) -> None:
        try:
            self._consumer.commit(offsets)
        except (BrokerAbortableError, BrokerRetriableError) as error:
            # The sink knows the events by id, so reading them again after a rebalance does no harm.
            counter("tapewatch_commits_total").labels(outcome="failed").inc()
            _log.warning("commit_failed", detail=error.detail)
            stop.wait(Backoff().next_s())
        else:
            counter("tapewatch_commits_total").labels(outcome="committed").inc()

    def _decode(self, message: Message) -> Received | None:
        topic = self._consumer.topic_of(message)
        counter("tapewatch_records_consumed_total").labels(topic=topic).inc()
        event_type = self._types[topic]
        assert event_type is not None, f"{topic} holds no events"
        try:
            event = decode(message.value(), event_type)
        except InvalidRecordError as error:
            letter = dead_letter(
                message, error, source=topic, reader=self._group, time_us=self._clock.now_us()
            )
            self._dead_letters.produce(topics.DEAD_LETTERS, encode(letter), key=topic.encode())
            self._limit.note(self._clock.monotonic_s())
            return None
        return Received(topic, message.partition(), message.offset(), event)
