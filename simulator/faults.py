"""How the server misbehaves on command. Faults of frames are drawn per connection, seeded, independently.

A trade that a connection loses has happened all the same: REST tells it, which is how a client fills the gap.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec

from simulator.weights import Refusal

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class FaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults that last until they are set otherwise.

    Attributes:
        drop: share of frames that never leave.
        duplicate: share of frames that are sent twice.
        reorder: share of frames that are sent after the next one of the same market.
        malformed: share of frames that are cut in the middle (their trade is lost to the client).
        cut_every_s: every connection is cut, without a closing handshake, at this age; 0: never.
    """

    drop: Share = 0.0
    duplicate: Share = 0.0
    reorder: Share = 0.0
    malformed: Share = 0.0
    cut_every_s: Seconds = 0.0


class FaultCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /simulator/faults` takes; what is left out stays as it is.

    Attributes:
        drop: see `FaultSettings`, and so on.
        duplicate: see there.
        reorder: see there.
        malformed: see there.
        cut_every_s: see there.
        stall_symbol: this market's frames are lost for `stall_s`, on every connection.
        stall_s: how long, in seconds of the wall clock.
        cut_now: cut every connection once, at once.
        server_shutdown: send `serverShutdown` to every connection.
        close_after_s: with `server_shutdown`: close those connections after so many seconds; null: do not.
        refuse_status: the next `refuse_requests` REST requests are answered with this, 429 or 418.
        refuse_requests: how many.
        retry_after_s: what `Retry-After` says in those answers.
        status_symbol: change this market's status in `exchangeInfo`.
        status: to this one (`HALT`, `TRADING`, ...).
    """

    drop: Share | None = None
    duplicate: Share | None = None
    reorder: Share | None = None
    malformed: Share | None = None
    cut_every_s: Seconds | None = None
    stall_symbol: str | None = None
    stall_s: Seconds = 10.0
    cut_now: bool = False
    server_shutdown: bool = False
    close_after_s: Seconds | None = None
    refuse_status: Annotated[int, msgspec.Meta(ge=418, le=429)] = 429
    refuse_requests: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 1
    status_symbol: str | None = None
    status: str = "TRADING"

    def __post_init__(self) -> None:
        if self.refuse_status not in {418, 429}:
            raise ValueError("refuse_status must be 429 or 418")

    def applied_to(self, settings: FaultSettings) -> FaultSettings:
        """Return the settings with what this command changes."""
        names = settings.__struct_fields__
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(settings, **changes)


@dataclass(kw_only=True)
class FaultCounts:
    """What was done to frames and connections, since the start."""

    frames_sent: int = 0
    frames_dropped: int = 0
    frames_duplicated: int = 0
    frames_reordered: int = 0
    frames_malformed: int = 0
    frames_stalled: int = 0
    connections_cut: int = 0
    connections_slow: int = 0
    connections_opened: int = 0
    connections_refused: int = 0
    requests_refused: int = 0


class Framed(NamedTuple):
    """A frame on its way to a connection.

    Attributes:
        symbol: the market whose trade it tells.
        payload: its bytes.
    """

    symbol: str
    payload: bytes


class FrameFaults:
    """The faults of one connection's frames.

    Args:
        seed: the server's.
        connection: the connection's number, so that connections lose different frames.
        counts: where it is told what was done.
    """

    def __init__(self, *, seed: int, connection: int, counts: FaultCounts) -> None:
        self._random = random.Random(f"{seed}/{connection}")
        self._counts = counts
        self._held: dict[str, bytes] = {}

    def apply(self, frames: Iterable[Framed], settings: FaultSettings) -> Iterator[bytes]:
        """Yield what is sent instead of these frames."""
        for symbol, payload in frames:
            yield from self._one(symbol, payload, settings)

    def release(self) -> Iterator[bytes]:
        """Yield the frames that wait for a next one that will not come."""
        held, self._held = self._held, {}
        self._counts.frames_sent += len(held)
        yield from held.values()

    def _one(self, symbol: str, payload: bytes, settings: FaultSettings) -> Iterator[bytes]:
        draw, counts = self._random.random, self._counts
        if draw() < settings.drop:
            counts.frames_dropped += 1
            return
        if draw() < settings.malformed:
            counts.frames_malformed += 1
            payload = payload[: len(payload) // 2]
        if symbol not in self._held and draw() < settings.reorder:
            counts.frames_reordered += 1
            self._held[symbol] = payload
            return
        copies = 1
        if draw() < settings.duplicate:
            counts.frames_duplicated += 1
            copies = 2
        counts.frames_sent += copies
        for _ in range(copies):
            yield payload
        if self._held and (held := self._held.pop(symbol, None)) is not None:
            counts.frames_sent += 1
            yield held


@dataclass(kw_only=True)
class Faults:
    """Every fault in force. Times are microseconds of the wall clock.

    Attributes:
        settings: the lasting ones.
        counts: what was done so far.
        stalled_until_us: per market, the end of its stall.
        refusals_left: REST requests that are still to be refused.
        refuse_status: with what.
        retry_after_s: and what `Retry-After` says.
    """

    settings: FaultSettings = field(default_factory=FaultSettings)
    counts: FaultCounts = field(default_factory=FaultCounts)
    stalled_until_us: dict[str, int] = field(default_factory=dict)
    refusals_left: int = 0
    refuse_status: int = 429
    retry_after_s: int = 1

    def command(self, command: FaultCommand, *, now_us: int) -> None:
        """Put a command's lasting part into force; what happens at once is the server's."""
        self.settings = command.applied_to(self.settings)
        if command.stall_symbol is not None:
            self.stalled_until_us[command.stall_symbol] = now_us + round(command.stall_s * 1e6)
        if command.refuse_requests:
            self.refusals_left = command.refuse_requests
            self.refuse_status = command.refuse_status
            self.retry_after_s = command.retry_after_s

    def is_stalled(self, symbol: str, *, now_us: int) -> bool:
        """Return whether a market's frames are being lost."""
        return now_us < self.stalled_until_us.get(symbol, 0)

    def refusal(self, *, now_us: int) -> Refusal | None:
        """Return why the next REST request is refused, or None when it is not."""
        if self.refusals_left == 0:
            return None
        self.refusals_left -= 1
        self.counts.requests_refused += 1
        until_us = now_us + self.retry_after_s * 1_000_000
        return Refusal(status=self.refuse_status, retry_after_s=self.retry_after_s, until_us=until_us)
