"""The WebSocket side: connections, pings, limits. The only file of the simulator that imports `websockets`.

Frames of trades are written to the transport directly, many at once: a task wake-up and a lock per frame,
which the library's `send` costs, would be most of the work at 20,000 trades a second.
"""

import asyncio
import http
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from simulator.engine import Engine
from simulator.venue import Venue

_POLICY_VIOLATION: Final = 1008
_GOING_AWAY: Final = 1001
_TEXT_FINAL: Final = b"\x81"
_COUNTED: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG})
_ATTEMPTS_WINDOW_US: Final = 300 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class WebSocketParams:
    """The exchange's rules for connections.

    Attributes:
        host: address to listen on.
        ping_interval_s: between two pings of the server.
        pong_timeout_s: a connection that does not answer a ping for so long is closed.
        messages_per_second: incoming messages allowed, pings and pongs included.
        attempts_per_5_min: connection attempts allowed.
    """

    host: str = "127.0.0.1"
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    messages_per_second: int = 5
    attempts_per_5_min: int = 300


class SlidingLimit:
    """Allows so many events within any span of time."""

    def __init__(self, *, count: int, window_us: int) -> None:
        self._count = count
        self._window_us = window_us
        self._times_us: deque[int] = deque()

    def allows(self, now_us: int) -> bool:
        """Count an event and return whether it is within the limit."""
        while self._times_us and self._times_us[0] <= now_us - self._window_us:
            self._times_us.popleft()
        self._times_us.append(now_us)
        return len(self._times_us) <= self._count


class _Connection(ServerConnection):
    """A connection that counts what comes in, control frames included."""

    limit: SlidingLimit | None = None
    clock: Clock

    def process_event(self, event: Event) -> None:
        is_counted = isinstance(event, Frame) and event.opcode in _COUNTED
        if is_counted and self.limit is not None and not self.limit.allows(self.clock.now_us()):
            self.limit = None
            self.protocol.fail(_POLICY_VIOLATION, "Too many requests")
            self.send_data()
            return
        super().process_event(event)


class WebSocketLink:
    """The engine's way to one client."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._closing: asyncio.Task[None] | None = None

    def write(self, payloads: list[bytes]) -> None:
        """Send text frames, in order, without waiting."""
        if payloads and self._connection.protocol.state is State.OPEN:
            self._connection.transport.write(b"".join(map(text_frame, payloads)))

    def unsent_bytes(self) -> int:
        """Return what the client has not taken yet."""
        return self._connection.transport.get_write_buffer_size()

    def close(self) -> None:
        """Say goodbye and close."""
        self._closing = asyncio.ensure_future(self._connection.close(_GOING_AWAY, "connection expired"))

    def cut(self) -> None:
        """Break the connection without a word; what is unsent is lost."""
        self._connection.transport.abort()


def text_frame(payload: bytes) -> bytes:
    """Return a whole unmasked text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"%b%c%b" % (_TEXT_FINAL, size, payload)
    if size < 65_536:
        return b"%b\x7e%b%b" % (_TEXT_FINAL, size.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (_TEXT_FINAL, size.to_bytes(8, "big"), payload)


@asynccontextmanager
async def listen(
    engine: Engine, venue: Venue, params: WebSocketParams, *, port: int, clock: Clock
) -> AsyncIterator[Server]:
    """Accept WebSocket connections to a venue of an engine while the context is open.

    Raises:
        OSError: the port is taken.
    """
    attempts = SlidingLimit(count=params.attempts_per_5_min, window_us=_ATTEMPTS_WINDOW_US)

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        if not attempts.allows(clock.now_us()):
            engine.counts.connections_refused += 1
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "Too many connection attempts\n")
        if venue.open(request.path) is None:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "No such stream path\n")
        return None

    async def handle(connection: ServerConnection) -> None:
        await _handle(engine, venue, params, connection, clock)

    async with serve(
        handle,
        params.host,
        port,
        process_request=process_request,
        create_connection=_Connection,
        compression=None,
        ping_interval=params.ping_interval_s,
        ping_timeout=params.pong_timeout_s,
        # A client that does not answer the goodbye must not hold up the end of the server.
        close_timeout=1.0,
        max_size=1024 * 1024,
    ) as server:
        yield server


async def _handle(
    engine: Engine, venue: Venue, params: WebSocketParams, connection: ServerConnection, clock: Clock
) -> None:
    assert connection.request is not None
    assert isinstance(connection, _Connection)
    session = venue.open(connection.request.path)
    assert session is not None, "process_request has answered 404"
    connection.clock = clock
    connection.limit = SlidingLimit(count=params.messages_per_second, window_us=MICROSECONDS_PER_SECOND)
    link = WebSocketLink(connection)
    subscriber = engine.connect(venue, session, link, now_us=clock.now_us())
    try:
        async for message in connection:
            link.write(engine.control(subscriber, message, now_us=clock.now_us()))
    except ConnectionClosed:
        # Cut by a fault, or the client went without a closing handshake: either is the client's affair.
        return
    finally:
        engine.disconnect(subscriber)
