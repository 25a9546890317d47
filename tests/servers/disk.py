"""A disk of a test's own that can be filled in a moment and freed again, for the topics of a local broker.

As root on Linux it is a tmpfs, which is made as small as what lies on it. Where nothing can be mounted, the
broker is forbidden to let any file grow instead (RLIMIT_FSIZE): the system call is another, what the broker
meets is the same, an error at each of its writes.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from deploy.kafka.apache import ApacheKafka

# Enough for an hour of chaos; only what is written takes memory.
_SIZE_MB: Final = 4_096
_PAGE_BYTES: Final = 4_096


class Disk(Protocol):
    """Where topics lie."""

    @property
    def folder(self) -> Path:
        """What to write to."""
        ...

    def fill(self, server: ApacheKafka) -> None:
        """Leave no room for what the server would write."""
        ...

    def free(self) -> None:
        """Make room again, for a server that is started after this."""
        ...


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Make a disk in an empty folder, and remove it at the end; its servers must have ended by then."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "tmpfs", str(folder)):
        yield ForbiddenGrowth(folder)
        return
    try:
        yield Tmpfs(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - found where `mount` was


class Tmpfs:
    """A file system in memory; implements `Disk`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, server: ApacheKafka) -> None:
        """Make it as small as what lies on it."""
        del server
        # The broker writes on: what it takes between the two calls makes the second one fail, so once more.
        while not self._resize(f"{_used_bytes(self.folder) + _PAGE_BYTES}"):
            pass

    def free(self) -> None:
        """Give it its size back."""
        assert self._resize(f"{_SIZE_MB}m")

    def _resize(self, size: str) -> bool:
        return _mount("-o", f"remount,size={size}", str(self.folder))


class ForbiddenGrowth:
    """A limit on the size of the files that the server writes; implements `Disk`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, server: ApacheKafka) -> None:
        """Forbid the server to write beyond the first byte of any file."""
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self) -> None:
        """Do nothing: the limit ends with the server."""


def _mount(*arguments: str) -> bool:
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        return False
    return subprocess.run([program, *arguments], capture_output=True, check=False).returncode == 0


def _used_bytes(folder: Path) -> int:
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize
