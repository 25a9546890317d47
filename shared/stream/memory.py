"""A broker inside this process, for tests of logic: topics, groups, transactions, no network and no time.

It keeps the promises that the runtime relies on (order within a partition, committed records only, one owner
per partition, fencing by transactional id), and passes the same contract tests as a real broker. A partition
changes hands only when its old owner has given it up inside its own `consume` or `close`.
"""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from shared import topics as topic_specs
from shared.errors import BrokerAbortableError, BrokerFatalError
from shared.stream.broker import Consumer, Message, Producer, RebalanceListener, TopicPartition


class MemoryMessage(NamedTuple):
    """A record with the methods of `broker.Message`."""

    in_topic: str
    in_partition: int
    at_offset: int
    with_key: bytes
    with_value: bytes | None
    time_us: int = 0

    def topic(self) -> str:
        """Return its topic."""
        return self.in_topic

    def partition(self) -> int:
        """Return its partition."""
        return self.in_partition

    def offset(self) -> int:
        """Return its offset."""
        return self.at_offset

    def key(self) -> bytes | None:
        """Return its key."""
        return self.with_key

    def value(self) -> bytes:
        """Return its value; None for a tombstone, as `broker.Message` says."""
        return cast("bytes", self.with_value)


@dataclass
class _Group:
    members: list["MemoryConsumer"] = field(default_factory=list)
    owners: dict[TopicPartition, "MemoryConsumer"] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


class MemoryBroker:
    """Topics in this process's memory.

    Args:
        partitions: of `trades` and the other topics per market.
    """

    def __init__(self, partitions: int = 4) -> None:
        self.lock = threading.RLock()
        self.logs: dict[TopicPartition, list[MemoryMessage]] = {}
        self.groups: dict[str, _Group] = {}
        self.epochs: dict[str, int] = {}
        self._partitions = partitions

    def ensure_topics(self) -> None:
        """Create the topics of `shared.topics` that are missing."""
        with self.lock:
            for spec in topic_specs.TOPICS:
                for number in range(spec.partitions(self._partitions)):
                    self.logs.setdefault(TopicPartition(spec.name, number), [])

    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        """Return a consumer."""
        return MemoryConsumer(self, group=group, from_start=from_start)

    def producer(self, *, transactional_id: str | None = None) -> Producer:
        """Return a producer; with an id, its elder of the same id is fenced."""
        return MemoryProducer(self, transactional_id=transactional_id)

    def read_all(
        self,
        partitions: Sequence[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        give_up_after_s: float | None = None,  # noqa: ARG002 - memory is never silent
    ) -> Iterator[Message]:
        """Return every record of the partitions, or those from `starts` on."""
        first = starts or {}
        with self.lock:
            return iter([message for p in partitions for message in self.logs[p][first.get(p, 0) :]])

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""
        with self.lock:
            return sorted(partition for partition in self.logs if partition.topic == topic)

    def append(self, partition: TopicPartition, key: bytes, value: bytes | None) -> None:
        """Write one record."""
        log = self.logs[partition]
        log.append(MemoryMessage(partition.topic, partition.partition, len(log), key, value))


class MemoryConsumer:
    """Implements `broker.Consumer`."""

    def __init__(self, broker: MemoryBroker, *, group: str | None, from_start: bool) -> None:
        self._broker = broker
        self._group = None if group is None else broker.groups.setdefault(group, _Group())
        self._from_start = from_start
        self._topics: tuple[str, ...] = ()
        self._listener: RebalanceListener | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._is_evicted = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """Join the group."""
        if self._group is None:
            raise BrokerFatalError("subscribe", detail="a consumer without a group can only assign")
        with self._broker.lock:
            self._topics = tuple(topics)
            self._listener = listener
            self._group.members.append(self)

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        self._positions = dict(offsets)

    def consume(self, max_records: int, timeout_s: float) -> list[Message]:  # noqa: ARG002 - never waits
        """Take part in sharing partitions, then return what there is, round robin over partitions."""
        with self._broker.lock:
            if self._is_evicted:
                self._rejoin()
            self._rebalance()
            batch: list[Message] = []
            for partition in sorted(self._positions):
                if partition in self._paused or len(batch) >= max_records:
                    continue
                position = self._positions[partition]
                taken = self._broker.logs[partition][position : position + max_records - len(batch)]
                self._positions[partition] = position + len(taken)
                batch.extend(taken)
            return batch

    def is_member(self) -> bool:
        """Return whether this consumer belongs to its group."""
        return self._group is not None and self in self._group.members

    def topic_of(self, message: Message) -> str:
        """Return the topic of a record."""
        return message.topic()

    def _rebalance(self) -> None:
        group = self._group
        if group is None or self not in group.members:
            return
        wanted = self._fair_share(group)
        given_up = [p for p in self._positions if p not in wanted]
        if given_up:
            if self._listener:
                self._listener.revoked(given_up)
            for partition in given_up:
                del self._positions[partition]
                del group.owners[partition]
        taken = [p for p in wanted if p not in self._positions and p not in group.owners]
        if taken:
            for partition in taken:
                group.owners[partition] = self
            starts = self._listener.assigned(taken) if self._listener else {}
            for partition in taken:
                self._positions[partition] = starts.get(partition, self._start_of(partition))

    def _fair_share(self, group: _Group) -> set[TopicPartition]:
        mine = group.members.index(self)
        partitions = [p for topic in self._topics for p in self._broker.partitions_of(topic)]
        return {p for number, p in enumerate(partitions) if number % len(group.members) == mine}

    def _start_of(self, partition: TopicPartition) -> int:
        end = len(self._broker.logs[partition])
        return self.committed([partition]).get(partition, 0 if self._from_start else end)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at an offset."""
        self._positions[partition] = offset

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop reading from these."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Read from these again."""
        self._paused.difference_update(partitions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the group's committed offsets."""
        offsets = self._group.offsets if self._group else {}
        return {partition: offsets[partition] for partition in partitions if partition in offsets}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets for the group.

        Raises:
            BrokerAbortableError: the group has dropped us.
        """
        if self._group is None:
            raise BrokerFatalError("commit", detail="a consumer without a group has nothing to commit")
        with self._broker.lock:
            # As on a real broker, one who never joined may set offsets while the group is empty.
            if self not in self._group.members and (self._group.members or self._is_evicted):
                raise BrokerAbortableError("commit", detail="the group goes on without this consumer")
            self._group.offsets.update(offsets)

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first offset and the one after the last."""
        return 0, len(self._broker.logs[partition])

    def lag(self, partition: TopicPartition, position: int) -> int:
        """Return the number of records at or after a position."""
        return len(self._broker.logs[partition]) - position

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""
        return self._broker.partitions_of(topic)

    def offsets_at(self, time_us: int, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the start of every partition: records here carry no time of writing."""
        del time_us
        return dict.fromkeys(partitions, 0)

    def close(self) -> None:
        """Leave the group; its partitions become free."""
        with self._broker.lock:
            if self._group and self in self._group.members:
                if self._positions and self._listener:
                    self._listener.revoked(sorted(self._positions))
                self._leave(self._group)

    def crash(self) -> None:
        """Vanish as a killed process does: no callback, no commit; the group notices at once."""
        with self._broker.lock:
            if self._group and self in self._group.members:
                self._leave(self._group)

    def evict(self) -> None:
        """Be dropped by the group, as after too long a silence; we learn of it when we consume again."""
        with self._broker.lock:
            if self._group and self in self._group.members:
                positions = dict(self._positions)
                self._leave(self._group)
                self._positions = positions
                self._is_evicted = True

    def _rejoin(self) -> None:
        assert self._group is not None, "only a member can be dropped"
        self._is_evicted = False
        if self._positions and self._listener:
            self._listener.lost(sorted(self._positions))
        self._positions.clear()
        self._group.members.append(self)

    def _leave(self, group: _Group) -> None:
        group.members.remove(self)
        for partition in [p for p, owner in group.owners.items() if owner is self]:
            del group.owners[partition]
        self._positions.clear()


class MemoryProducer:
    """Implements `broker.Producer`."""

    def __init__(self, broker: MemoryBroker, *, transactional_id: str | None) -> None:
        self._broker = broker
        self._id = transactional_id
        self._open: list[tuple[TopicPartition, bytes, bytes | None]] | None = None
        if transactional_id is not None:
            with broker.lock:
                self._epoch = broker.epochs[transactional_id] = broker.epochs.get(transactional_id, 0) + 1

    def produce(self, topic: str, value: bytes | None, *, key: bytes, partition: int | None = None) -> None:
        """Write a record, or keep it until the transaction is committed."""
        count = len(self._broker.partitions_of(topic))
        if not count:
            raise BrokerFatalError("produce", detail=f"topic {topic} does not exist")
        target = TopicPartition(topic, zlib.crc32(key) % count if partition is None else partition)
        with self._broker.lock:
            if self._id is None:
                self._broker.append(target, key, value)
            elif self._open is None:
                raise BrokerFatalError("produce", detail="no transaction is open")
            else:
                self._open.append((target, key, value))

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        """Write a record; there is always room."""
        self.produce(topic, value, key=key, partition=partition)
        return True

    def poll(self, timeout_s: float = 0) -> None:
        """Do nothing: delivery is immediate."""

    def flush(self, timeout_s: float) -> int:  # noqa: ARG002 - nothing is ever queued
        """Return 0: nothing is ever queued."""
        return 0

    def begin(self) -> None:
        """Begin a transaction."""
        self._check_epoch("begin")
        self._open = []

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Write everything and the offsets at once."""
        with self._broker.lock:
            self._check_epoch("commit")
            # As on a real broker, a transaction without offsets asks nothing of the consumer.
            if offsets:
                consumer.commit(offsets)
            for target, key, value in self._open or []:
                self._broker.append(target, key, value)
            self._open = None

    def abort(self) -> None:
        """Forget what was produced."""
        self._open = None

    def _check_epoch(self, operation: str) -> None:
        if self._id is not None and self._broker.epochs[self._id] != self._epoch:
            raise BrokerFatalError(operation, detail=f"fenced: another producer took over {self._id}")

    def close(self) -> None:
        """Release nothing."""
