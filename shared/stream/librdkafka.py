"""librdkafka's own batches, without a Python object per record: the optional fast path.

The library is the one that confluent_kafka has loaded, and the client is its consumer's; both stay in charge
of connections, membership, positions and time-outs. All that happens here is what librdkafka's interface
offers to C programs: the queue of each assigned partition is forwarded to one queue of ours
(`rd_kafka_queue_forward`), which is read by `rd_kafka_consume_batch_queue`. Only records and errors of
partitions arrive there; rebalances stay on the consumer's own queue, which confluent_kafka serves, so no
Python callback ever runs within a call from here. Records of a partition that was seeked, paused or given up
in the meantime are dropped by librdkafka itself, as for any reader: it numbers the versions of a partition.

The client's handle is read from confluent_kafka's object, whose layout is not documented. So that is only
done for the versions that the tests ran with and for objects of the known size, and the handle is believed
when it says that it is a consumer and carries our name.
"""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shared import kernel_cache
from shared.errors import PrerequisiteError
from shared.stream.raw_memory import call_at, copy_bytes, load_at
from shared.stream.records import PADDING, Records

kernel_cache.install()

# Version of librdkafka, and size of confluent_kafka's consumer object, that the tests have run with.
_VERIFIED: Final = frozenset({(0x021000FF, 176)})
_CONSUMER_TYPE: Final = 1
_FIRST_CONTENT_BYTES: Final = 1 << 18
# Where the fields of rd_kafka_message_t are, a public structure: err (32 bits), topic, partition (32 bits),
# payload, len, key, key_len, offset.
_PARTITION_NUMBER, _PAYLOAD, _LENGTH, _KEY, _KEY_LENGTH, _OFFSET_NUMBER = 16, 24, 32, 40, 48, 56

# Rows of the matrix that the kernel fills.
_PARTITION, _OFFSET, _KEY_AT, _VALUE_AT, _END_AT, _ERROR = range(6)


class PartitionFault(NamedTuple):
    """An error that librdkafka put in a partition's place."""

    code: int
    reason: str


@njit(cache=True, nogil=True)
def _size(messages: NDArray[np.int64], count: int) -> int:
    """Return the bytes that keys and values take."""
    total = 0
    for row in range(count):
        total += load_at(messages[row] + _LENGTH) + load_at(messages[row] + _KEY_LENGTH)
    return total


@njit(cache=True, nogil=True)
def _take_out(
    messages: NDArray[np.int64],
    count: int,
    destroy: int,
    content: NDArray[np.uint8],
    columns: NDArray[np.int64],
) -> None:
    """Copy each message and give it back to librdkafka.

    Args:
        messages: addresses of rd_kafka_message_t.
        count: how many.
        destroy: address of rd_kafka_message_destroy.
        content: where keys and values go; long enough.
        columns: six rows, filled.
    """
    at = 0
    for row in range(count):
        message = messages[row]
        columns[_ERROR, row] = np.int32(load_at(message) & 0xFFFFFFFF)
        columns[_PARTITION, row] = np.int32(load_at(message + _PARTITION_NUMBER) & 0xFFFFFFFF)
        columns[_OFFSET, row] = load_at(message + _OFFSET_NUMBER)
        key, value = load_at(message + _KEY), load_at(message + _PAYLOAD)
        columns[_KEY_AT, row] = at if key else -1
        if key:
            copy_bytes(content, at, key, load_at(message + _KEY_LENGTH))
            at += load_at(message + _KEY_LENGTH)
        columns[_VALUE_AT, row] = at
        if value:
            copy_bytes(content, at, value, load_at(message + _LENGTH))
            at += load_at(message + _LENGTH)
        columns[_END_AT, row] = at
        call_at(destroy, message)


class Library:
    """The functions of a loaded librdkafka that are needed here.

    Args:
        path: of the shared object that confluent_kafka has loaded; loading it again gives the same one.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        address, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        self.version = _function(library, "rd_kafka_version", number)
        self.name = _function(library, "rd_kafka_name", text, address)
        self.type = _function(library, "rd_kafka_type", number, address)
        self.queue_new = _function(library, "rd_kafka_queue_new", address, address)
        self.queue_of_partition = _function(
            library, "rd_kafka_queue_get_partition", address, address, text, ctypes.c_int32
        )
        self.forward = _function(library, "rd_kafka_queue_forward", None, address, address)
        self.queue_destroy = _function(library, "rd_kafka_queue_destroy", None, address)
        self.consume_batch = _function(
            library,
            "rd_kafka_consume_batch_queue",
            ctypes.c_ssize_t,
            address,
            number,
            address,
            ctypes.c_size_t,
        )
        self.message_destroy_at = ctypes.cast(library.rd_kafka_message_destroy, address).value or 0


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:  # noqa: ANN401 - ctypes
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


@cache
def loaded(package: Path) -> Library:
    """Return the librdkafka that confluent_kafka brought along.

    Args:
        package: confluent_kafka's folder.

    Raises:
        PrerequisiteError: it lies elsewhere, or this is not CPython on a little-endian machine.
    """
    if sys.implementation.name != "cpython" or sys.byteorder != "little":
        raise PrerequisiteError("fast reads need CPython on a little-endian machine")
    found = sorted(package.parent.glob("confluent_kafka.libs/librdkafka*.so*"))
    if len(found) != 1:
        raise PrerequisiteError(
            f"fast reads need the librdkafka of a confluent_kafka wheel; found {len(found)}"
        )
    return Library(found[0])


def handle_of(client: object, library: Library, *, client_id: str) -> int:
    """Return the address of the rd_kafka_t behind confluent_kafka's consumer.

    Args:
        client: the consumer; it must outlive every use of the address.
        library: the one it was made by.
        client_id: its setting `client.id`.

    Raises:
        PrerequisiteError: versions that this was not tested with, or an object that is not what we think.
    """
    known = (library.version(), type(client).__basicsize__)
    if known not in _VERIFIED:
        raise PrerequisiteError(
            f"fast reads were not tested with this librdkafka: {known[0]:#010x}, {known[1]}"
        )
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value
    if not handle or library.type(handle) != _CONSUMER_TYPE:
        raise PrerequisiteError("fast reads: the consumer's handle is not where it should be")
    if not library.name(handle).startswith(f"{client_id}#consumer-".encode()):
        raise PrerequisiteError("fast reads: the handle belongs to another client")
    return handle


class RecordQueue:
    """One queue for the records of all partitions of a topic that are diverted to it. For one thread.

    Args:
        library: which made the client.
        handle: of the client, which must live until `close`.
        topic: as the broker names it.
    """

    def __init__(self, library: Library, handle: int, *, topic: str) -> None:
        self._library = library
        self._handle = handle
        self._topic = topic
        self._queue: int | None = library.queue_new(handle)
        self._messages = np.zeros(0, np.int64)
        self._content = np.zeros(_FIRST_CONTENT_BYTES, np.uint8)

    def divert(self, partitions: Sequence[int]) -> None:
        """Let the records of these partitions come here. To be done before they are assigned."""
        for partition in partitions:
            self._forward(partition, self._queue)

    def release(self, partitions: Sequence[int]) -> None:
        """Let no more records of these partitions come here. To be done before they are unassigned."""
        for partition in partitions:
            self._forward(partition, None)

    def _forward(self, partition: int, target: int | None) -> None:
        source = self._library.queue_of_partition(self._handle, self._topic.encode(), partition)
        assert source, "a consumer has a queue for every partition"
        self._library.forward(source, target)
        self._library.queue_destroy(source)

    def read(self, max_records: int, timeout_s: float) -> tuple[Records, list[PartitionFault]]:
        """Return up to `max_records` records and the errors among them, waiting for the first."""
        assert self._queue is not None, "the queue is closed"
        if len(self._messages) < max_records:
            self._messages = np.zeros(max_records, np.int64)
        messages, address = self._messages, self._messages.ctypes.data
        # The library waits until it has all that was asked for: so ask for one, then for what is there.
        count = self._library.consume_batch(self._queue, int(timeout_s * 1_000), address, 1)
        if count == 1 and max_records > 1:
            rest = address + messages.itemsize
            count += self._library.consume_batch(self._queue, 0, rest, max_records - 1)
        needed = _size(messages, count) + PADDING
        if needed > len(self._content):
            self._content = np.zeros(2 * needed, np.uint8)
        columns = np.empty((6, count), np.int64)
        _take_out(messages, count, self._library.message_destroy_at, self._content, columns)
        return self._split(columns)

    def _split(self, columns: NDArray[np.int64]) -> tuple[Records, list[PartitionFault]]:
        faults = []
        if columns[_ERROR].any():
            faulty = columns[:, columns[_ERROR] != 0]
            columns = columns[:, columns[_ERROR] == 0]
            # In place of a value there is the reason, in words.
            faults = [PartitionFault(int(row[_ERROR]), self._text(row)) for row in faulty.T]
        records = Records(
            topic=self._topic,
            partitions=columns[_PARTITION],
            offsets=columns[_OFFSET],
            content=self._content,
            keys_at=columns[_KEY_AT],
            values_at=columns[_VALUE_AT],
            ends_at=columns[_END_AT],
        )
        return records, faults

    def _text(self, row: NDArray[np.int64]) -> str:
        return self._content[row[_VALUE_AT] : row[_END_AT]].tobytes().decode(errors="replace")

    def close(self) -> None:
        """Give the queue back. To be done before the client is closed; more than once is harmless."""
        if self._queue is not None:
            self._library.queue_destroy(self._queue)
            self._queue = None


def warm_up() -> None:
    """Compile, or load from the cache, what would otherwise be compiled when the first records come."""
    nothing = np.zeros(0, np.int64)
    _size(nothing, 0)
    _take_out(nothing, 0, 0, np.zeros(1, np.uint8), np.zeros((6, 0), np.int64))
