"""What the engine needs to know of the venue that it plays: how it speaks over WebSocket and REST."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from simulator.source import MarketTrade
from simulator.weights import Refusal


class VenueName(StrEnum):
    """The venues that there are."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    KRAKEN = "kraken"


class Session(Protocol):
    """One connection's subscriptions."""

    @property
    def form(self) -> Hashable:
        """How trades are written to this connection: one encoding serves all connections of a form."""
        ...

    def wants(self, symbol: str) -> bool:
        """Return whether a market's trades are subscribed."""
        ...

    def control(self, message: str | bytes) -> list[bytes]:
        """Take a message of the client and return the frames that answer it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """A GET request.

    Attributes:
        endpoint: the part of the path after the venue's prefix.
        query: the parameters.
        is_microseconds: whether the header `X-MBX-TIME-UNIT: MICROSECOND` was sent.
    """

    endpoint: str
    query: Mapping[str, str] = field(default_factory=dict)
    is_microseconds: bool = False


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP status.
        body: JSON.
        headers: beside the usual ones.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Venue(Protocol):
    """A venue over a set of markets and their tapes.

    Attributes:
        rest_prefix: what every REST path begins with.
    """

    rest_prefix: str

    def open(self, path: str) -> Session | None:
        """Return the session of a new connection, or None when there is nothing at that path."""
        ...

    def encode(self, trade: MarketTrade, form: Hashable) -> bytes:
        """Return a trade as the frame that the venue would send."""
        ...

    def heartbeats(self, session: Session, *, market_time_us: int) -> list[bytes]:
        """Return what the venue sends each second whether there are trades or not."""
        ...

    def shutdown(self, form: Hashable, *, market_time_us: int) -> list[bytes]:
        """Return the announcement that the server goes away; empty where the venue makes none."""
        ...

    def set_status(self, symbol: str, status: str) -> None:
        """Change a market's status.

        Raises:
            ValueError: there is no such market or no such status.
        """
        ...

    def answer(self, request: Request, *, now_us: int, market_time_us: int) -> Response:
        """Answer a REST request."""
        ...

    def refuse(self, refusal: Refusal) -> Response:
        """Return the venue's answer to one who asks too much."""
        ...


def iso_time(time_us: int) -> str:
    """Return a time as venues write it in text: UTC, to the microsecond."""
    seconds, micros = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


class Statuses:
    """What the venue says about its markets.

    Args:
        symbols: the markets.
        words: the statuses that there are, the usual one first.
    """

    def __init__(self, symbols: tuple[str, ...], words: tuple[str, ...]) -> None:
        self._words: Final = words
        self._by_symbol = dict.fromkeys(symbols, words[0])

    def __getitem__(self, symbol: str) -> str:
        return self._by_symbol[symbol]

    def set(self, symbol: str, status: str) -> None:
        """Change a status.

        Raises:
            ValueError: there is no such market or no such status.
        """
        if symbol not in self._by_symbol:
            raise ValueError(f"{symbol!r} is no market here; there are {', '.join(self._by_symbol)}")
        if status not in self._words:
            raise ValueError(f"{status!r} is no status; there are {', '.join(self._words)}")
        self._by_symbol[symbol] = status
