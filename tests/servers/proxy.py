"""A way to a server that can be made slow: a TCP proxy on loopback that delays and throttles.

A Kafka client goes where the broker tells it to, so the broker must advertise the proxy's port.
"""

import asyncio
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from deploy.kafka.ports import LOOPBACK, free_ports

_CHUNK_BYTES: Final = 65_536
_STARTS_WITHIN_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Slowness:
    """How slow each direction of each connection is.

    Attributes:
        delay_s: that every piece of up to 64 KiB takes longer.
        bytes_per_s: at most.
    """

    delay_s: float
    bytes_per_s: float

    def pause_s(self, size_bytes: int) -> float:
        """Return how long a piece is held back."""
        return self.delay_s + size_bytes / self.bytes_per_s


class SlowProxy:
    """Passes bytes on, in a thread of its own; a context manager.

    Args:
        server_port: where they go.

    Attributes:
        port: where clients connect.
        slowness: None for none; may be set at any time.
        passed_bytes: so far, in both directions.
    """

    def __init__(self, *, server_port: int) -> None:
        self.port = next(port for port in free_ports(2) if port != server_port)
        self.slowness: Slowness | None = None
        self.passed_bytes = 0
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_open.wait(_STARTS_WITHIN_S), "the proxy does not listen"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def address(self) -> str:
        """What `KAFKA_BOOTSTRAP_SERVERS` is set to."""
        return f"{LOOPBACK}:{self.port}"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, LOOPBACK, self.port)
        self._is_open.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection(LOOPBACK, self._server_port)
        except OSError:
            # As a server that is not there would.
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, ours))
                group.create_task(self._pass_on(theirs, writer))
        except* (ConnectionError, _EndedError):
            pass
        finally:
            writer.close()
            ours.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            if self.slowness is not None:
                await asyncio.sleep(self.slowness.pause_s(len(piece)))
            writer.write(piece)
            await writer.drain()
            self.passed_bytes += len(piece)
        await writer.drain()
        # One end has closed: so does the other, through the group.
        raise _EndedError


class _EndedError(Exception):
    pass
