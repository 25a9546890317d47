"""What the runtime needs of a broker, as interfaces; `kafka.py` and `memory.py` implement them.

A `Message` is confluent_kafka's own, method by method, so that no record is wrapped in a second object on its
way in. Errors are those of `shared.errors`: retriable, abortable, fatal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class TopicPartition(NamedTuple):
    """One partition of one topic, named without the deployment's prefix."""

    topic: str
    partition: int


class Message(Protocol):
    """A record as it was consumed. Only sound records are handed out; errors are raised by `consume`."""

    def topic(self) -> str:
        """Return its topic as the broker names it; `Consumer.topic_of` gives our name."""
        ...

    def partition(self) -> int:
        """Return its partition."""
        ...

    def offset(self) -> int:
        """Return its offset."""
        ...

    def key(self) -> bytes | None:
        """Return its key."""
        ...

    def value(self) -> bytes:
        """Return its value; None for a record without one, which only foreign writers put on our topics."""
        ...


@dataclass(frozen=True, kw_only=True)
class RebalanceListener:
    """What to do when partitions come and go. Called from within `Consumer.consume`.

    Attributes:
        assigned: partitions newly ours; the callee returns the offsets to start from, and leaves out those
            that start at the group's committed offset.
        revoked: partitions to give up in order: finish and commit.
        lost: partitions that somebody else already has: drop the work, commit nothing.
    """

    assigned: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]]
    revoked: Callable[[Sequence[TopicPartition]], None]
    lost: Callable[[Sequence[TopicPartition]], None]


class Consumer(Protocol):
    """Reads records. Not safe for use by several threads."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """Join the group and take part in sharing the topics' partitions."""
        ...

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, outside any group."""
        ...

    def consume(self, max_records: int, timeout_s: float) -> list[Message]:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
            BrokerFatalError: this consumer cannot go on.
        """
        ...

    def is_member(self) -> bool:
        """Return whether this consumer belongs to its group, as far as it knows.

        False before it has joined, and from when the group has dropped it until `consume` has called `lost`.
        """
        ...

    def topic_of(self, message: Message) -> str:
        """Return the topic of a record, without the deployment's prefix."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the group's committed offsets (the next to read); partitions without one are left out."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read, and wait for the answer.

        Raises:
            BrokerAbortableError: the group has dropped this consumer; `consume` joins it again.
            BrokerRetriableError: the broker is unreachable for now.
        """
        ...

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first retained offset and the one after the last."""
        ...

    def lag(self, partition: TopicPartition, position: int) -> int:
        """Return how many records lie at or after `position`, as far as known without asking the broker."""
        ...

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic; an empty list when it does not exist."""
        ...

    def offsets_at(self, time_us: int, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset written at or after a time, or the end offset when there is none."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Producer(Protocol):
    """Writes records; with a transactional id, in transactions."""

    def produce(self, topic: str, value: bytes | None, *, key: bytes, partition: int | None = None) -> None:
        """Queue a record. A `None` value is a tombstone.

        Blocks while the queue is full. A failed delivery is raised by a later `produce`, `poll` or `flush`.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        ...

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        """Queue a record and return true, or return false at once when the queue is full."""
        ...

    def poll(self, timeout_s: float = 0) -> None:
        """Serve delivery reports.

        Raises:
            BrokerError: a record could not be delivered.
        """
        ...

    def flush(self, timeout_s: float) -> int:
        """Wait until every queued record is acknowledged; return how many are not.

        Raises:
            BrokerError: a record could not be delivered.
        """
        ...

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit what was produced since `begin`, together with the consumer's next offsets to read.

        Raises:
            BrokerAbortableError: abort; among others, when the group has dropped the consumer.
            BrokerFatalError: fenced by a younger producer of the same id.
        """
        ...

    def abort(self) -> None:
        """Forget what was produced since `begin`."""
        ...

    def close(self) -> None:
        """Flush and release the connection."""
        ...


class Broker(Protocol):
    """A place that has topics."""

    def ensure_topics(self) -> None:
        """Create the topics of `shared.topics` that are missing, and wait until they can be used.

        Raises:
            BrokerError: the broker cannot be reached, or refuses.
            ConfigError: a topic exists with another number of partitions.
        """
        ...

    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        """Return a consumer that reads committed records only.

        Args:
            group: the consumer group; without one the consumer can only `assign`.
            from_start: where a group without committed offsets begins, at the first record or after the last.
        """
        ...

    def read_all(
        self,
        partitions: Sequence[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        give_up_after_s: float | None = None,
    ) -> Iterator[Message]:
        """Return every retained committed record of the partitions, up to what are their ends now or later.

        Records of one partition come in the order of their offsets.

        Args:
            partitions: what to read.
            starts: first offsets to read, where it is not the first retained one.
            give_up_after_s: how long the broker may be silent before its ends are reached; None for ever.

        Raises:
            BrokerRetriableError: it was silent for longer.
        """
        ...

    def producer(self, *, transactional_id: str | None = None) -> Producer:
        """Return an idempotent producer (`acks=all`); with an id, a transactional one, fencing its elder."""
        ...
