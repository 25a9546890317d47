"""Keeps every market on a living connection: groups, back-off, and replacement before the break.

Markets are split into groups of at most `streams_per_connection`; each group has a `Slot`. A slot replaces
its connection when it grows old (a venue cuts it after 24 h), when the server announces its end, or when a
market went silent: the new one is opened and confirmed first, the old one closed then, and the tape drops
what both bring.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from producer.backoff import AttemptBudget, Backoff, BackoffParams
from producer.connection import Connection, ConnectionParams
from producer.exchanges.markets import Market
from producer.exchanges.protocol import FrameEvent, ShutdownAnnounced, Venue
from shared.clock import Clock
from shared.logs import get_logger
from shared.metrics import counter

# A venue's cut is at a fixed age; connections opened together shall not all be replaced at one moment.
_AGE_JITTER: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class FeedParams:
    """How connections are kept.

    Attributes:
        connection: time limits of each.
        backoff: delays between attempts.
        streams_per_connection: markets on one.
        reconnect_after_s: age at which one is replaced; up to a tenth earlier.
    """

    connection: ConnectionParams
    backoff: BackoffParams
    streams_per_connection: int = 200
    reconnect_after_s: float = 23 * 3_600.0


class FeedSink(Protocol):
    """What takes the events."""

    def on_events(self, events: Sequence[FrameEvent]) -> None:
        """Take what one frame says; must not block."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Tools:
    venue: Venue
    params: FeedParams
    clock: Clock
    random: Random
    sink: FeedSink
    attempts: AttemptBudget


class Slot:
    """The connection of one group of markets, and its successor while there is one.

    Args:
        markets: of this group.
        tools: what all slots share.
    """

    def __init__(self, markets: Sequence[Market], tools: _Tools) -> None:
        self.markets = tuple(markets)
        self.reconnects_total = 0
        self.last_failure = ""
        self._tools = tools
        self._backoff = Backoff(tools.params.backoff, tools.random)
        self._connections: dict[Connection, asyncio.Task[str]] = {}
        self._replace_for = ""
        self._wake = asyncio.Event()
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._has_opened = False
        self._log = get_logger(exchange=tools.venue.name, markets=len(self.markets))

    @property
    def open_connections(self) -> int:
        """How many connections of this slot are open."""
        return sum(connection.is_open for connection in self._connections)

    @property
    def is_confirmed(self) -> bool:
        """Whether an open connection has confirmed all its subscriptions."""
        return any(c.is_open and c.confirmed.is_set() for c in self._connections)

    def replace(self, reason: str) -> None:
        """Open another connection, then close this one."""
        if not self._replace_for:
            self._replace_for = reason
            self._wake.set()

    def pause(self) -> None:
        """Close the connections until `resume`."""
        self._may_run.clear()
        self._wake.set()
        for connection in self._connections:
            connection.close()

    def resume(self) -> None:
        """Connect again."""
        self._may_run.set()

    async def run(self) -> None:
        """Keep connected until cancelled."""
        try:
            reason = "start"
            while True:
                await self._may_run.wait()
                reason = await self._keep(await self._open(reason))
        finally:
            for task in self._connections.values():
                task.cancel()
            await asyncio.gather(*self._connections.values(), return_exceptions=True)

    async def _keep(self, current: Connection) -> str:
        """Keep a connection and its successors until one ends without a successor; return the reason."""
        replace_at_s = self._replacement_time_s()
        while True:
            await self._change(current, replace_at_s)
            if not self._may_run.is_set():
                await self._close(current)
                return "paused"
            if self._connections[current].done():
                return await self._end(current)
            if not self._replace_for and self._tools.clock.monotonic_s() < replace_at_s:
                continue
            reason, self._replace_for = self._replace_for or "age", ""
            current = await self._succeed(current, reason)
            replace_at_s = self._replacement_time_s()

    async def _change(self, current: Connection, until_s: float) -> None:
        """Wait until the connection ended, somebody woke us, or the time has come."""
        self._wake.clear()
        if self._replace_for or not self._may_run.is_set():
            return
        waking = asyncio.create_task(self._wake.wait())
        try:
            timeout_s = max(0.0, until_s - self._tools.clock.monotonic_s())
            await asyncio.wait(
                {self._connections[current], waking}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waking.cancel()

    async def _succeed(self, current: Connection, reason: str) -> Connection:
        """Open a successor, and close the current connection when that one is confirmed."""
        self._log.info("connection_replaced", reason=reason)
        while True:
            successor = await self._open(reason)
            confirmed = asyncio.create_task(successor.confirmed.wait())
            try:
                await asyncio.wait(
                    {confirmed, self._connections[successor]}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                confirmed.cancel()
            if successor.confirmed.is_set() or self._connections[current].done():
                await self._close(current)
                return successor
            # The old one still works: keep it, and try again later.
            await self._end(successor)

    async def _open(self, reason: str) -> Connection:
        tools = self._tools
        while (wait_s := tools.attempts.take(tools.clock.monotonic_s())) > 0:
            self._log.warning("connection_attempts_exhausted", wait_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
        if self._has_opened:
            self.reconnects_total += 1
            counter("tapewatch_reconnects_total").labels(exchange=tools.venue.name, reason=reason).inc()
        self._has_opened = True
        # What was held against an earlier connection does not count against this one.
        self._replace_for = ""
        connection = Connection(
            venue=tools.venue,
            markets=self.markets,
            params=tools.params.connection,
            clock=tools.clock,
            sink=self._on_events,
        )
        self._connections[connection] = asyncio.create_task(connection.run())
        return connection

    async def _close(self, connection: Connection) -> None:
        connection.close()
        await self._connections[connection]
        del self._connections[connection]

    async def _end(self, connection: Connection) -> str:
        """Note why a connection ended, and wait before the next attempt."""
        self.last_failure = await self._connections.pop(connection)
        wait_s = self._backoff.on_failure(self._tools.clock.monotonic_s())
        self._log.warning("connection_lost", reason=self.last_failure, retry_in_s=round(wait_s, 2))
        await asyncio.sleep(wait_s)
        return "lost"

    def _replacement_time_s(self) -> float:
        after_s = self._tools.params.reconnect_after_s
        jittered_s = after_s * self._tools.random.uniform(1 - _AGE_JITTER, 1)
        return self._tools.clock.monotonic_s() + jittered_s

    def _on_events(self, connection: Connection, events: Sequence[FrameEvent]) -> None:
        self._backoff.on_data(self._tools.clock.monotonic_s())
        if type(events[0]) is ShutdownAnnounced:
            # Announced by a connection that is being replaced already, it is no news.
            if next(reversed(self._connections)) is connection:
                self.replace("shutdown")
            return
        self._tools.sink.on_events(events)


class Feed:
    """All connections to one venue.

    Args:
        venue: whose.
        markets: to receive.
        params: how connections are kept.
        clock: the time.
        random: source of jitter.
        sink: takes the events.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        markets: Sequence[Market],
        params: FeedParams,
        clock: Clock,
        random: Random,
        sink: FeedSink,
    ) -> None:
        size = min(params.streams_per_connection, venue.max_streams)
        attempts = AttemptBudget(limit=venue.max_attempts, window_s=venue.attempts_window_s)
        tools = _Tools(venue=venue, params=params, clock=clock, random=random, sink=sink, attempts=attempts)
        self.slots = [Slot(markets[i : i + size], tools) for i in range(0, len(markets), size)]
        self.is_paused = False
        self._slot_of = {market.symbol: slot for slot in self.slots for market in slot.markets}

    async def run(self) -> None:
        """Keep all connections until cancelled; closes them in order then."""
        async with asyncio.TaskGroup() as group:
            for slot in self.slots:
                group.create_task(slot.run())

    def replace(self, symbol: str, reason: str) -> None:
        """Replace the connection that carries a market; one that is not working yet is left alone."""
        slot = self._slot_of[symbol]
        if slot.is_confirmed:
            slot.replace(reason)

    def pause(self) -> None:
        """Close all connections until `resume`."""
        self.is_paused = True
        for slot in self.slots:
            slot.pause()

    def resume(self) -> None:
        """Connect again."""
        self.is_paused = False
        for slot in self.slots:
            slot.resume()

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return sum(slot.open_connections for slot in self.slots)

    @property
    def reconnects_total(self) -> int:
        """How many connections were opened after the first of each slot."""
        return sum(slot.reconnects_total for slot in self.slots)

    @property
    def last_failure(self) -> str:
        """Why the slots without an open connection have none; empty when all have one."""
        return "; ".join({s.last_failure for s in self.slots if not s.open_connections and s.last_failure})
