"""What was set aside as invalid: found again, shown, and published once more to where it belonged."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from shared import topics
from shared.codec import decode
from shared.errors import BrokerRetriableError, DeadLetterNotFoundError, InvalidRecordError
from shared.events import DeadLetter
from shared.stream.broker import Broker, TopicPartition

_GIVE_UP_AFTER_S: Final = 30.0
_FLUSH_S: Final = 30.0
# The topic has one partition, so an offset alone names a dead letter.
_PARTITION: Final = TopicPartition(topics.DEAD_LETTERS, 0)
_EVENT_TYPES: Final = {spec.name: spec.event for spec in topics.TOPICS if spec.event is not None}


class StoredLetter(NamedTuple):
    """A dead letter and its offset on the topic `dead-letters`."""

    offset: int
    letter: DeadLetter


class Listing(NamedTuple):
    """The newest dead letters, oldest first, and how many there are in all."""

    newest: list[StoredLetter]
    total: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one replay.

    Attributes:
        offset: of the dead letter.
        topic: where it came from.
        key: its original key.
        size_bytes: of its original bytes.
        refusal: why it was not published; empty when it was.
        still_invalid: what is still wrong with a record that was published all the same; empty for nothing.
    """

    offset: int
    topic: str
    key: bytes
    size_bytes: int
    refusal: str = ""
    still_invalid: str = ""


def newest(broker: Broker, *, source: str | None, limit: int) -> Listing:
    """Return the newest dead letters, of one source or of all.

    Raises:
        BrokerError: the topic cannot be read.
    """
    kept: deque[StoredLetter] = deque(maxlen=limit)
    total = 0
    for stored in _read(broker, _bounds(broker), source=source):
        total += 1
        kept.append(stored)
    return Listing(list(kept), total)


def find(broker: Broker, offset: int) -> StoredLetter:
    """Return the dead letter at an offset.

    Raises:
        DeadLetterNotFoundError: there is none, or it is not retained any more.
        BrokerError: the topic cannot be read.
    """
    first, end = _bounds(broker)
    if first <= offset < end:
        for stored in _read(broker, (offset, offset + 1)):
            return stored
    raise DeadLetterNotFoundError(offset, first=first, end=end)


def of_source(broker: Broker, source: str) -> Iterator[StoredLetter]:
    """Yield the dead letters of a source that are on the topic now.

    Raises:
        BrokerError: the topic cannot be read.
    """
    yield from _read(broker, _bounds(broker), source=source)


def replay(broker: Broker, letters: Iterable[StoredLetter], *, force: bool) -> list[Outcome]:
    """Publish original bytes with their original key to their original topic.

    Each is judged by itself: a refused one does not hold back the others.

    Args:
        broker: where the topics are.
        letters: what to publish.
        force: also what still cannot be decoded.

    Returns:
        What became of each; everything that was published is acknowledged.

    Raises:
        BrokerError: a record could not be delivered.
    """
    producer = broker.producer()
    outcomes = []
    published_as: dict[tuple[str, int, int, bytes], int] = {}
    for stored in letters:
        outcome = judge(stored, force=force)
        if not outcome.refusal:
            letter = stored.letter
            record = letter.source, letter.partition, letter.offset, letter.payload
            first = published_as.setdefault(record, stored.offset)
            if first != stored.offset:
                # Every group that reads a topic sets the same record aside.
                outcome = replace(outcome, refusal=f"it is the same record as dead letter {first}")
        outcomes.append(outcome)
        if not outcome.refusal:
            letter = stored.letter
            # Without a key it would be put anywhere: then it goes where it was.
            partition = None if letter.key else max(letter.partition, 0)
            producer.produce(letter.source, letter.payload, key=letter.key, partition=partition)
    unacknowledged = producer.flush(_FLUSH_S)
    if unacknowledged:
        published = sum(not outcome.refusal for outcome in outcomes)
        detail = f"{unacknowledged} of {published} records were not acknowledged within {_FLUSH_S:g} s"
        raise BrokerRetriableError("replay", detail=detail)
    producer.close()
    return outcomes


def judge(stored: StoredLetter, *, force: bool) -> Outcome:
    """Say whether a dead letter can be published again."""
    letter = stored.letter
    fault = _fault(letter)
    is_published = not fault or (force and letter.source in _EVENT_TYPES)
    return Outcome(
        offset=stored.offset,
        topic=letter.source,
        key=letter.key,
        size_bytes=len(letter.payload),
        refusal="" if is_published else fault,
        still_invalid=fault if is_published else "",
    )


def _fault(letter: DeadLetter) -> str:
    if letter.source not in _EVENT_TYPES:
        return (
            f"it came from {letter.source!r}, which is no topic of events but a stream of a venue; what was "
            "in it and could not be read, the producer has fetched through REST or announced on tape-gaps"
        )
    if letter.cut_bytes:
        return (
            f"its last {letter.cut_bytes} bytes are missing here; they are on {letter.source} at its offset"
        )
    try:
        decode(letter.payload, _EVENT_TYPES[letter.source])
    except InvalidRecordError as error:
        return f"still invalid: {error.reason}"
    return ""


def _bounds(broker: Broker) -> tuple[int, int]:
    consumer = broker.consumer(group=None)
    try:
        if not consumer.partitions_of(topics.DEAD_LETTERS):
            raise BrokerRetriableError("read", detail=f"topic {topics.DEAD_LETTERS} does not exist")
        return consumer.bounds(_PARTITION)
    finally:
        consumer.close()


def _read(broker: Broker, bounds: tuple[int, int], *, source: str | None = None) -> Iterator[StoredLetter]:
    start, end = bounds
    if start >= end:
        return
    for message in broker.read_all(
        [_PARTITION], starts={_PARTITION: start}, give_up_after_s=_GIVE_UP_AFTER_S
    ):
        if message.offset() >= end:
            return
        letter = _decoded(message.value(), message.partition(), message.offset())
        if source is None or letter.source == source:
            yield StoredLetter(message.offset(), letter)


def _decoded(payload: bytes, partition: int, offset: int) -> DeadLetter:
    """Return a dead letter; an unreadable one becomes one about itself, so that it can be seen."""
    try:
        return decode(payload, DeadLetter)
    except InvalidRecordError as error:
        return DeadLetter(
            source=topics.DEAD_LETTERS,
            partition=partition,
            offset=offset,
            key=b"",
            payload=payload,
            reason=f"no dead letter itself: {error.reason}",
            time_us=0,
        )
