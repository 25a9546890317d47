"""Snapshots of a market's state as bytes: self-describing, compressed, checksummed, in chunks a broker takes.

A snapshot is a msgpack map of arrays (type, shape, bytes) and scalars, compressed with zstd and cut
into chunks. Every chunk says which snapshot it belongs to (market, input offset, fingerprint,
CRC-32 of the whole), so that a torn or damaged set is recognised and refused. Never a pickle.

The topic is compacted. Keys: `BTC-USDT#0`, `BTC-USDT#1`, ... for chunks, and `@resume` for the partition's
marker: the input offset from which reading again completes every snapshot of the partition. Under `@settings`
stands which settings it was judged with (`timeline.py`).
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np
import zstandard

from shared.errors import SnapshotRefusedError
from shared.stream.broker import Message
from shared.stream.step import Array, State
from shared.stream.timeline import TIMELINE_KEY, Change, decode_timeline

FORMAT_VERSION: Final = 2
CHUNK_BYTES: Final = 512 * 1024
SLICE_BYTES: Final = 512 * 1024
RESUME_KEY: Final = b"@resume"
_COMPRESSION_LEVEL: Final = 1


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One record of the snapshots topic."""

    version: int
    symbol: str
    fingerprint: str
    offset: int
    checksum: int
    index: int
    count: int
    payload: bytes
    traded_us: int


class _Version(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a chunk, which every version has."""

    version: int


class Mark(NamedTuple):
    """A place in a partition of the input: an offset, and the partition's clock (`eviction.py`) there."""

    offset: int
    clock_us: int


class ResumeMarker(msgspec.Struct, frozen=True, array_like=True):
    """Where reading must begin again so that every snapshot of a partition becomes current."""

    version: int
    fingerprint: str
    offset: int
    clock_us: int


class _PackedArray(msgspec.Struct, frozen=True, array_like=True, tag=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Snapshot(msgspec.Struct, frozen=True):
    """A market's state after every input record below `offset`.

    Attributes:
        symbol: the market.
        offset: next one of the input to learn.
        traded_us: the partition's clock at the market's latest trade.
        state: what the step remembers of it.
    """

    symbol: str
    offset: int
    traded_us: int
    state: State


_pack: Final = msgspec.msgpack.Encoder()
_unpack_state: Final = msgspec.msgpack.Decoder(dict[str, _PackedArray | bool | int | float | str])
_unpack_chunk: Final = msgspec.msgpack.Decoder(Chunk)
_unpack_version: Final = msgspec.msgpack.Decoder(_Version)
_unpack_marker: Final = msgspec.msgpack.Decoder(ResumeMarker)


def encode_state(state: State) -> bytes:
    """Return the state as compressed bytes.

    Raises:
        TypeError: a value is neither an array of numbers nor a scalar.
    """
    return zstandard.compress(_packed_state(state), _COMPRESSION_LEVEL)


def _packed_state(state: State) -> bytes:
    packed: dict[str, _PackedArray | bool | int | float | str] = {}
    for name, value in state.items():
        packed[name] = _packed(name, value) if isinstance(value, np.ndarray) else value
    return _pack.encode(packed)


def _packed(name: str, array: Array) -> _PackedArray:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"state {name!r} is an array of {array.dtype}; only numbers can be kept")
    return _PackedArray(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def decode_state(payload: bytes) -> State:
    """Return the state that the bytes hold; its arrays are writable copies.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        packed = _unpack_state.decode(zstandard.decompress(payload))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    state: State = {}
    for name, value in packed.items():
        if isinstance(value, _PackedArray):
            state[name] = np.frombuffer(value.data, dtype=np.dtype(value.dtype)).reshape(value.shape).copy()
        else:
            state[name] = value
    return state


class SnapshotEncoder:
    """Encodes one snapshot a slice at a time: a market of many megabytes must not stop the others.

    Args:
        snapshot: what is encoded; its arrays are copied at once.
        fingerprint: of the step.
        slice_bytes: compressed in one call of `advance`; a megabyte takes a few milliseconds.

    Raises:
        TypeError: a value of the state is neither an array of numbers nor a scalar.
    """

    def __init__(self, snapshot: Snapshot, *, fingerprint: str, slice_bytes: int = SLICE_BYTES) -> None:
        self._symbol = snapshot.symbol
        self._fingerprint = fingerprint
        self._slice_bytes = slice_bytes
        self._packed = memoryview(_packed_state(snapshot.state))
        self._at = 0
        size = len(self._packed)
        self._compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compressobj(size=size)
        self._parts: list[bytes] = []
        self.offset = snapshot.offset
        self.traded_us = snapshot.traded_us

    def advance(self) -> bool:
        """Encode one slice more; return whether that was the last."""
        piece = self._packed[self._at : self._at + self._slice_bytes]
        self._at += len(piece)
        self._parts.append(self._compressor.compress(piece))
        if self._at < len(self._packed):
            return False
        self._parts.append(self._compressor.flush())
        return True

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Return the keys and values of the records that keep the snapshot, when all is encoded."""
        payload = b"".join(self._parts)
        checksum = zlib.crc32(payload)
        count = max(1, -(-len(payload) // CHUNK_BYTES))
        for index in range(count):
            chunk = Chunk(
                version=FORMAT_VERSION,
                symbol=self._symbol,
                fingerprint=self._fingerprint,
                offset=self.offset,
                checksum=checksum,
                index=index,
                count=count,
                payload=payload[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES],
                traded_us=self.traded_us,
            )
            yield chunk_key(self._symbol, index), _pack.encode(chunk)


def encode_snapshot(snapshot: Snapshot, *, fingerprint: str) -> Iterator[tuple[bytes, bytes]]:
    """Return the keys and values of the records that keep a snapshot."""
    encoder = SnapshotEncoder(snapshot, fingerprint=fingerprint)
    while not encoder.advance():
        pass
    return encoder.records()


def chunk_key(symbol: str, index: int) -> bytes:
    """Return the key of one chunk of a market's snapshot."""
    return f"{symbol}#{index}".encode()


def encode_marker(mark: Mark, *, fingerprint: str) -> bytes:
    """Return the value of the record under `RESUME_KEY`."""
    return _pack.encode(ResumeMarker(FORMAT_VERSION, fingerprint, mark.offset, mark.clock_us))


class Restored(msgspec.Struct, frozen=True):
    """What a partition of the snapshots topic holds.

    Attributes:
        snapshots: by market.
        chunks: how many records are in use per market, also for those that were refused.
        marker: where to begin reading the input; None when there is no usable one.
        refused: what could not be used, and why.
        changes: of the settings that the partition was judged with.
    """

    snapshots: dict[str, Snapshot]
    chunks: dict[str, int]
    marker: Mark | None
    refused: list[SnapshotRefusedError]
    changes: tuple[Change, ...] = ()


def read_snapshots(messages: Iterable[Message], *, fingerprint: str) -> Restored:
    """Return what the records of one partition hold; of a key given twice, the later one counts."""
    records: dict[bytes, bytes] = {}
    for message in messages:
        records[message.key() or b""] = message.value()
    refused: list[SnapshotRefusedError] = []
    marker = _marker(records.pop(RESUME_KEY, None), fingerprint, refused)
    changes: tuple[Change, ...] = ()
    try:
        changes = decode_timeline(records.pop(TIMELINE_KEY, None))
    except ValueError as error:
        refused.append(SnapshotRefusedError(symbol="a partition", reason=str(error)))
    parts: dict[str, dict[int, bytes]] = {}
    for key, value in records.items():
        symbol, _, index = key.decode(errors="replace").rpartition("#")
        if value and index.isdecimal():
            parts.setdefault(symbol, {})[int(index)] = value
    snapshots: dict[str, Snapshot] = {}
    for symbol, chunks in parts.items():
        try:
            snapshots[symbol] = _assemble(symbol, chunks, fingerprint)
        except SnapshotRefusedError as error:
            refused.append(error)
    in_use = {symbol: max(chunks) + 1 for symbol, chunks in parts.items()}
    return Restored(snapshots, in_use, marker, refused, changes)


def _marker(value: bytes | None, fingerprint: str, refused: list[SnapshotRefusedError]) -> Mark | None:
    """Return the place that the marker names, or None, and why, when it cannot be used."""
    if not value:
        return None
    try:
        marker = _unpack_marker.decode(value)
    except msgspec.DecodeError as error:
        refused.append(SnapshotRefusedError(symbol="a partition", reason=f"damaged marker: {error}"))
        return None
    if (marker.version, marker.fingerprint) != (FORMAT_VERSION, fingerprint):
        return None
    return Mark(marker.offset, marker.clock_us)


def _assemble(symbol: str, values: dict[int, bytes], fingerprint: str) -> Snapshot:
    def refuse(reason: str) -> SnapshotRefusedError:
        return SnapshotRefusedError(symbol=symbol, reason=reason)

    if 0 not in values:
        raise refuse("its first chunk is missing")
    try:
        # The version first: what follows it in another one is not for us to decode.
        version = _unpack_version.decode(values[0]).version
        if version != FORMAT_VERSION:
            raise refuse(f"format {version}, this version reads {FORMAT_VERSION}")
        parts = {index: _unpack_chunk.decode(value) for index, value in values.items()}
    except msgspec.DecodeError as error:
        raise refuse(f"damaged: {error}") from error
    first = parts[0]
    if first.fingerprint != fingerprint:
        raise refuse(f"configuration {first.fingerprint}, running is {fingerprint}")
    # A shorter snapshot leaves the longer one's last chunks behind: `count` says which ones matter.
    members = [parts.get(index) for index in range(first.count)]
    if any(
        part is None or (part.offset, part.checksum) != (first.offset, first.checksum) for part in members
    ):
        raise refuse("chunks of different snapshots")
    payload = b"".join(part.payload for part in members if part is not None)
    if zlib.crc32(payload) != first.checksum:
        raise refuse("checksum does not match")
    try:
        return Snapshot(symbol, first.offset, first.traded_us, decode_state(payload))
    except ValueError as error:
        raise refuse(f"damaged: {error}") from error
