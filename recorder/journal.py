"""What is kept until it becomes Parquet: an append-only file that survives a crash at any byte.

A Parquet file can only be read once it is closed, but offsets are committed many times before that. So every
batch is first appended here and synced to the disk; only a whole journal is turned into Parquet. A batch is

    length (8 bytes, little endian) | CRC-32 of the message (4 bytes) | an Arrow record batch message

and a crash can only leave the last one incomplete, which nobody was told is kept. A journal is locked by the
process that writes it; one that is not locked is a dead process's, for whoever finds it first to finish.
"""

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import structlog

from shared.errors import StoreUnavailableError

SUFFIX: Final = ".journal"
_HEAD: Final = struct.Struct("<QI")

_log = structlog.get_logger()


class Journal:
    """One journal of this process, open for appending.

    Args:
        path: a name that no other journal has, in a folder that exists.

    Raises:
        StoreUnavailableError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        # Locked before it has its name, or another process could take it for a dead one's.
        unnamed = path.with_suffix(".new")
        try:
            self._file = unnamed.open("xb", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            raise _unavailable(error) from error

    def append(self, batch: pa.RecordBatch) -> None:
        """Keep a batch; it is on the disk when this returns.

        Raises:
            StoreUnavailableError: it could not be written (the disk is full); nothing of it is kept.
        """
        message = batch.serialize()
        end = self._file.tell()
        try:
            for part in (_HEAD.pack(message.size, zlib.crc32(message)), message):
                _write_all(self._file.fileno(), memoryview(part))
            os.fsync(self._file.fileno())
        except OSError as error:
            # What follows must not stand behind half a batch.
            self._file.truncate(end)
            self._file.seek(end)
            raise _unavailable(error) from error
        self.rows += batch.num_rows

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._file.close()


def read(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield a journal's batches; what stands behind the last whole one is dropped and logged."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            message = b""
            if len(head) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                message = file.read(length)
            if len(head) < _HEAD.size or len(message) < length or zlib.crc32(message) != checksum:
                dropped = path.stat().st_size - file.tell() + len(head) + len(message)
                _log.warning("journal_tail_dropped", journal=path.name, tail_bytes=dropped)
                return
            yield pa.ipc.read_record_batch(pa.py_buffer(message), schema)


def abandoned(folder: Path) -> Iterator[Path]:
    """Yield the journals whose process is gone; each is ours until the next one is asked for."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            # Another process may have finished and removed it between our opening and our locking.
            if path.exists():
                yield path


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable: a file's own sync does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _unavailable(error: OSError) -> StoreUnavailableError:
    reason = error.strerror or str(error)
    remedy = "; make room on the disk" if error.errno == errno.ENOSPC else ""
    return StoreUnavailableError("recording", detail=f"{reason}{remedy}")
