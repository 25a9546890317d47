"""One WebSocket to a venue: connect, subscribe at the venue's pace, hand over every frame, close in order.

The only client file that imports websockets. The receive loop calls a plain function and never waits for
anything but the next frame, so pings are answered as soon as they arrive (websockets answers them while its
own queue has room). Receiving costs about 5 µs of CPU a frame; parsing, continuity, the watch on silences and
encoding together 3.4.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from producer.exchanges.markets import Market
from producer.exchanges.protocol import FrameEvent, OutgoingFrame, SubscriptionRefused, Venue
from shared.clock import Clock
from shared.errors import ConfigError, ExchangeUnavailableError
from shared.events import Trade
from shared.logs import get_logger


@dataclass(frozen=True, kw_only=True)
class ConnectionParams:
    """Time limits of one connection.

    Attributes:
        url: scheme, host and port of the endpoint.
        open_timeout_s: for the handshakes.
        subscribe_timeout_s: until every subscription is confirmed.
        settle_s: after which confirmed subscriptions count as working even without a trade.
        ping_interval_s: between our own pings, which find a dead network; they count as messages.
        ping_timeout_s: without an answer to one, the connection is dead.
        close_timeout_s: for the closing handshake.
    """

    url: str
    open_timeout_s: float = 10.0
    subscribe_timeout_s: float = 30.0
    settle_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 30.0
    close_timeout_s: float = 2.0


FrameSink = Callable[["Connection", Sequence[FrameEvent]], None]


class Connection:
    """One connection for some markets.

    Attributes:
        confirmed: set when every subscription is confirmed and a trade came, or none came for a while.
        is_open: whether the handshake is done and the end not reached.

    Args:
        venue: whose protocol is spoken.
        markets: to subscribe to.
        params: time limits.
        clock: for receive times.
        sink: called with what each frame says; must not block.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        markets: Sequence[Market],
        params: ConnectionParams,
        clock: Clock,
        sink: FrameSink,
    ) -> None:
        self.markets = tuple(markets)
        self.protocol = venue.protocol(markets)
        self.confirmed = asyncio.Event()
        self.is_open = False
        self._venue = venue
        self._params = params
        self._clock = clock
        self._sink = sink
        self._closing = asyncio.Event()
        self._frames = 0
        self._log = get_logger(exchange=venue.name)

    def close(self) -> None:
        """Ask for an orderly end; `run` returns soon after."""
        self._closing.set()

    async def run(self) -> str:
        """Work until the connection ends, and return why it did.

        Raises:
            ConfigError: the URL is none.
            TapewatchError: what the sink raised.
        """
        url = self._params.url.rstrip("/") + self._venue.stream_path
        try:
            async with connect(
                url,
                open_timeout=self._params.open_timeout_s,
                ping_interval=self._params.ping_interval_s,
                ping_timeout=self._params.ping_timeout_s,
                close_timeout=self._params.close_timeout_s,
                compression=None,
            ) as socket:
                self.is_open = True
                return await self._converse(socket)
        except InvalidURI as error:
            raise ConfigError([f"PRODUCER_WS_URL: {error}"]) from error
        except ConnectionClosed as error:
            return f"closed: {error}"
        except TimeoutError:
            return f"no answer within {self._params.open_timeout_s:g} s"
        except (OSError, WebSocketException) as error:
            return f"failed: {error}" if str(error) else f"failed: {error!r}"
        except ExchangeUnavailableError as error:
            return str(error)
        finally:
            self.is_open = False

    async def _converse(self, socket: ClientConnection) -> str:
        receiving = asyncio.create_task(self._receive(socket))
        others = [
            asyncio.create_task(self._send(socket, self.protocol.open())),
            asyncio.create_task(self._await_subscription()),
        ]
        if self._venue.heartbeat_timeout_s is not None:
            others.append(asyncio.create_task(self._watch_silence(self._venue.heartbeat_timeout_s)))
        closing = asyncio.create_task(self._closing.wait())
        tasks = {receiving, closing, *others}
        try:
            while True:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if closing in done:
                    return "closed by us"
                if receiving in done:
                    return "closed by the server"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, socket: ClientConnection) -> None:
        protocol, clock, sink = self.protocol, self._clock, self._sink
        while True:
            frame = await socket.recv(decode=False)
            self._frames += 1
            events = protocol.receive(frame, clock.now_us())
            if not events:
                continue
            event = events[0]
            if type(event) is Trade:
                if not self.confirmed.is_set() and protocol.is_subscribed:
                    self.confirmed.set()
            elif isinstance(event, SubscriptionRefused):
                self._refuse(event)
            sink(self, events)

    async def _send(self, socket: ClientConnection, plan: Sequence[OutgoingFrame]) -> None:
        start_s = self._clock.monotonic_s()
        for frame in plan:
            await asyncio.sleep(max(0.0, start_s + frame.after_s - self._clock.monotonic_s()))
            await socket.send(frame.payload)

    async def _await_subscription(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._params.subscribe_timeout_s
        while not self.protocol.is_subscribed:
            if self._clock.monotonic_s() >= deadline_s:
                detail = f"subscriptions not confirmed within {self._params.subscribe_timeout_s:g} s"
                raise ExchangeUnavailableError(self._venue.name, detail=detail)
            await asyncio.sleep(0.02)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.confirmed.wait(), self._params.settle_s)
        self.confirmed.set()

    async def _watch_silence(self, limit_s: float) -> None:
        """End a connection on which nothing at all comes, not even the venue's heartbeats."""
        while True:
            frames = self._frames
            await asyncio.sleep(limit_s)
            if self._frames == frames:
                detail = f"nothing came within {limit_s:g} s, not even a heartbeat"
                raise ExchangeUnavailableError(self._venue.name, detail=detail)

    def _refuse(self, event: SubscriptionRefused) -> None:
        symbols = [market.symbol for market in event.markets]
        self._log.error("subscription_refused", code=event.code, message=event.message, markets=symbols)
        detail = f"subscription refused: {event.message}"
        raise ExchangeUnavailableError(self._venue.name, detail=detail, code=event.code)
