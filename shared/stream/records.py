"""A batch of records as columns: numbers in arrays, and all keys and values in one buffer of bytes.

It is what the fast path reads (`librdkafka.py`), and what `scan.py` takes trades from. A `Message` is only
made for a record that somebody has to look at: one that is no trade.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shared.stream.broker import Message

# The scanner reads eight bytes at a time, so that many behind the last record must be readable.
PADDING: Final = 64


class Record(NamedTuple):
    """One record with the methods of `broker.Message`."""

    in_topic: str
    in_partition: int
    at_offset: int
    with_key: bytes | None
    with_value: bytes

    def topic(self) -> str:
        """Return its topic as the broker names it."""
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
        """Return its value, empty for a tombstone."""
        return self.with_value


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """A batch of n records of one topic. Its buffer is only good until the next batch is read.

    Attributes:
        topic: as the broker names it.
        partitions: n.
        offsets: n.
        content: keys and values, and at least `PADDING` bytes behind them.
        keys_at: n, where the key begins in the content; it ends where the value begins, and -1 where there
            is none.
        values_at: n, where the value begins.
        ends_at: n, the place behind the value.
        messages: the n messages that this was made from, if it was.
    """

    topic: str
    partitions: NDArray[np.int64]
    offsets: NDArray[np.int64]
    content: NDArray[np.uint8]
    keys_at: NDArray[np.int64]
    values_at: NDArray[np.int64]
    ends_at: NDArray[np.int64]
    messages: Sequence[Message] = ()

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Self:
        """Return messages of one topic as columns."""
        values = [message.value() or b"" for message in messages]
        bounds = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=bounds[1:])
        return cls(
            topic=messages[0].topic() if messages else "",
            partitions=np.array([message.partition() for message in messages], np.int64),
            offsets=np.array([message.offset() for message in messages], np.int64),
            content=np.frombuffer(b"".join([*values, bytes(PADDING)]), np.uint8),
            keys_at=np.full(len(values), -1),
            values_at=bounds[:-1],
            ends_at=bounds[1:],
            messages=messages,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, at: int) -> bytes:
        """Return a copy of one value."""
        return self.content[self.values_at[at] : self.ends_at[at]].tobytes()

    def message(self, at: int) -> Message:
        """Return one record, its bytes copied."""
        if self.messages:
            return self.messages[at]
        begin = self.keys_at[at]
        return Record(
            in_topic=self.topic,
            in_partition=int(self.partitions[at]),
            at_offset=int(self.offsets[at]),
            with_key=None if begin < 0 else self.content[begin : self.values_at[at]].tobytes(),
            with_value=self.value(at),
        )
