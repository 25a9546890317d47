"""The interface of a venue: what the rest of the producer knows about any exchange.

A venue has two halves, both sans-I/O. A `Protocol` is the state of one WebSocket connection: frames in,
events out, and the frames to send with the time each may leave. A `Rest` knows how questions are asked and
answers read. A new venue is one file that offers a `Venue`; nothing else changes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from typing import Protocol as Interface

from producer.book import BookChange, BookSnapshot, Level
from producer.exchanges.markets import Market, MarketMap
from shared.events import Trade


class Subscribed(NamedTuple):
    """The venue confirmed that it will send these markets' trades."""

    markets: tuple[Market, ...]


class SubscriptionRefused(NamedTuple):
    """The venue refused a subscription, with its own code and words."""

    markets: tuple[Market, ...]
    code: int
    message: str


class ShutdownAnnounced(NamedTuple):
    """The server will go away soon: open another connection at once."""

    time_us: int


class PastTrades(NamedTuple):
    """Trades that the venue repeats at the beginning of a subscription; they may be had already."""

    trades: tuple[Trade, ...]


class LatestTrade(NamedTuple):
    """The venue says which trade of a market is its latest, so that a lost last one is seen too."""

    symbol: str
    trade_id: int


class BookTicker(NamedTuple):
    """The best bid and ask of a market after a change of its book, price and quantity each."""

    symbol: str
    update_id: int
    received_time_us: int
    bid: Level
    ask: Level


class BookUpdate(NamedTuple):
    """Changes of a market's book, told together."""

    symbol: str
    change: BookChange
    event_time_us: int
    received_time_us: int


class InvalidFrame(NamedTuple):
    """Bytes that should have been a trade or an answer and are not."""

    payload: bytes
    reason: str


FrameEvent = (
    Trade
    | PastTrades
    | LatestTrade
    | BookTicker
    | BookUpdate
    | Subscribed
    | SubscriptionRefused
    | ShutdownAnnounced
    | InvalidFrame
)


class OutgoingFrame(NamedTuple):
    """A frame to send, not earlier than this many seconds after the connection was opened."""

    payload: str
    after_s: float


class Protocol(Interface):
    """The state of one connection to a venue.

    Attributes:
        ignored: frames and events that are none of our business, by their kind.
    """

    ignored: Counter[str]

    def open(self) -> list[OutgoingFrame]:
        """Return what to send on a new connection, paced as the venue demands."""
        ...

    def receive(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        """Return what one frame says; never raises on any bytes.

        Trades and invalid frames may come together; any other event comes alone.

        Args:
            frame: payload of one WebSocket message.
            received_time_us: when it arrived, by our clock.
        """
        ...

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        ...


class RestRequest(NamedTuple):
    """A question: path and parameters, extra headers, and what it costs of the venue's budget."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    weight: int


class TradePage(NamedTuple):
    """An answer: sound trades, ascending by id, and the rows that are unusable."""

    trades: list[Trade]
    invalid: list[InvalidFrame]


class Rest(Interface):
    """How a venue is asked over HTTP. Every `read_*` raises `ExchangeError` when the answer is invalid.

    Attributes:
        page_limit: trades per answer at most.
        weight_per_minute: what the venue allows our address.
        spacing_s: least time between two questions, where the venue counts by the second; 0: none.
        used_weight_header: where answers say what was used; empty where they do not.
    """

    page_limit: int
    weight_per_minute: int
    spacing_s: float
    used_weight_header: str

    def markets_request(self) -> RestRequest:
        """Return the question for all markets and their status."""
        ...

    def read_markets(self, payload: bytes) -> MarketMap:
        """Return the markets that an answer lists."""
        ...

    def trades_request(
        self, market: Market, *, from_id: int | None, after_us: int | None, limit: int
    ) -> RestRequest:
        """Return the question for trades from an id on, included, or for the latest ones.

        The answer may begin with trades before that id.

        Args:
            market: whose trades.
            from_id: first id that is wanted; None for the latest trades.
            after_us: event time of a trade before that id, for venues that are asked by time; None where it
                is not known.
            limit: how many are wanted at most.
        """
        ...

    def read_trades(self, payload: bytes, market: Market, *, received_time_us: int) -> TradePage:
        """Return the trades that an answer holds."""
        ...

    def read_error(self, payload: bytes) -> str:
        """Return the venue's own words in the body of a refusal, or a shortened body."""
        ...


class BookRest(Interface):
    """How a venue is asked for a whole order book."""

    def book_request(self, market: Market) -> RestRequest:
        """Return the question for a market's book."""
        ...

    def read_book(self, payload: bytes) -> BookSnapshot:
        """Return the book that an answer holds.

        Raises:
            ExchangeError: the answer is no book.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Venue:
    """A venue as the producer sees it.

    Attributes:
        name: lower case (`binance`).
        max_streams: markets that one connection may hold.
        max_attempts: connection attempts that are allowed in `attempts_window_s` seconds.
        attempts_window_s: length of that window in seconds.
        ws_url: scheme and host of the WebSocket.
        rest_url: scheme and host of REST.
        stream_path: path and query of the WebSocket endpoint.
        heartbeat_timeout_s: a connection that says nothing at all for so long is dead; None where the venue
            sends no heartbeats.
        protocol: makes the state of a new connection for some markets.
        rest: how it is asked over HTTP.
        book_rest: how it is asked for order books; None where that is not known.
    """

    name: str
    max_streams: int
    max_attempts: int
    attempts_window_s: float
    ws_url: str
    rest_url: str
    stream_path: str
    heartbeat_timeout_s: float | None
    protocol: Callable[[Sequence[Market]], Protocol]
    rest: Rest
    book_rest: BookRest | None = None
