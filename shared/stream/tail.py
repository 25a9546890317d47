"""`Tail`: read topics without a group, from a time or from their end; for the dashboard and the demo."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from shared import topics
from shared.codec import decode
from shared.errors import BrokerRetriableError, InvalidRecordError
from shared.metrics import counter
from shared.stream.broker import Broker


class Received(NamedTuple):
    """An event and where it came from."""

    topic: str
    partition: int
    offset: int
    event: msgspec.Struct


class Tail:
    """Reads topics from a time on, for as long as it is polled. Keeps no position: a new one starts anew.

    Args:
        broker: where the topics are.
        topic_names: topics whose events are JSON.
        since_us: write time of the first record to read; None reads from the end on.
        earlier_us: the same for single topics that are to be read from another time on.

    Raises:
        BrokerRetriableError: a topic does not exist yet, or the broker cannot be reached.
    """

    def __init__(
        self,
        broker: Broker,
        topic_names: Sequence[str],
        *,
        since_us: int | None,
        earlier_us: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._types = {name: topics.spec(name).event for name in topic_names}
        self._consumer = broker.consumer(group=None)
        self.invalid_records = 0
        starts = {}
        for name in topic_names:
            partitions = self._consumer.partitions_of(name)
            if not partitions:
                raise BrokerRetriableError("tail", detail=f"topic {name} does not exist yet")
            begin_us = earlier_us.get(name, since_us)
            if begin_us is None:
                starts.update({partition: self._consumer.bounds(partition)[1] for partition in partitions})
            else:
                starts.update(self._consumer.offsets_at(begin_us, partitions))
        self._consumer.assign(starts)

    def poll(self, max_records: int = 5_000, timeout_s: float = 0.1) -> list[Received]:
        """Return what has come. Invalid records are counted and left to the workers to set aside.

        Raises:
            BrokerError: the broker cannot be reached, or this consumer cannot go on.
        """
        received = []
        for message in self._consumer.consume(max_records, timeout_s):
            topic = self._consumer.topic_of(message)
            event_type = self._types[topic]
            assert event_type is not None, f"{topic} holds no events"
            try:
                event = decode(message.value(), event_type)
            except InvalidRecordError:
                self.invalid_records += 1
                counter("tapewatch_dead_letters_total").labels(source=f"tail:{topic}").inc()
                continue
            received.append(Received(topic, message.partition(), message.offset(), event))
        return received

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()
