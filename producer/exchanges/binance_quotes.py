"""Binance Spot: `@bookTicker` and `@depth@100ms` streams, and the REST question for a whole order book.

Source: binance-spot-api-docs, `web-socket-streams.md`, `rest-api.md` of July 2026.

- `bookTicker` has neither a time nor a kind of its own; `u` is the book's last change. A side without orders
  is told as 0, which is no quote.
- `depthUpdate` tells changes `U` to `u`; the next one begins at `u` + 1 (`producer/book.py` keeps the book).
- A book of 1,000 levels costs weight 50.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Final, Literal

import msgspec

from producer.book import BookChange, BookSnapshot
from producer.exchanges import binance
from producer.exchanges.frames import INVALID, EpochTime, Id, count_ignored
from producer.exchanges.markets import Market
from producer.exchanges.protocol import (
    BookTicker,
    BookUpdate,
    FrameEvent,
    InvalidFrame,
    RestRequest,
    Venue,
)
from shared.errors import ExchangeError

QuotesMode = Literal["book_ticker", "depth"]

_STREAMS: Final[dict[QuotesMode, str]] = {"book_ticker": "bookTicker", "depth": "depth@100ms"}
_BOOK_LIMIT: Final = 1_000
_BOOK_WEIGHT: Final = 50
# Trades come first: most of the venue's 300 attempts in 5 minutes are left to their connections.
_MAX_ATTEMPTS: Final = 60

_Price = Annotated[float, msgspec.Meta(gt=0, lt=1e300)]
_Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]
_Level = tuple[_Price, _Amount]


class _Ticker(msgspec.Struct, gc=False):
    u: Id
    s: str
    b: _Amount
    B: _Amount
    a: _Amount
    A: _Amount


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _Depth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    E: EpochTime
    s: str
    U: Id
    u: Id
    b: list[_Level]
    a: list[_Level]


class _DepthFrame(msgspec.Struct):
    data: _Depth


class _Book(msgspec.Struct):
    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: list[_Level]
    asks: list[_Level]


_ticker_frames: Final = msgspec.json.Decoder(_TickerFrame, strict=False)
_depth_frames: Final = msgspec.json.Decoder(_DepthFrame, strict=False)
_books: Final = msgspec.json.Decoder(_Book, strict=False)


class BinanceQuotes(binance.BinanceProtocol):
    """One connection's state: quotes instead of trades.

    Args:
        markets: to subscribe to on this connection.
        mode: which stream.

    Raises:
        ValueError: there are more markets than a connection may hold.
    """

    def __init__(self, markets: Sequence[Market], *, mode: QuotesMode) -> None:
        super().__init__(markets, stream=_STREAMS[mode])
        self._is_depth = mode == "depth"

    def receive(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        """Return what one frame says; never raises on any bytes."""
        try:
            if self._is_depth:
                return self._depth(_depth_frames.decode(frame).data, received_time_us)
            return self._ticker(_ticker_frames.decode(frame).data, received_time_us)
        except INVALID as error:
            stream = _STREAMS["depth" if self._is_depth else "book_ticker"]
            if f"@{stream}".encode() in frame[:128]:
                return (InvalidFrame(frame, str(error)),)
            return self._receive_other(frame, received_time_us, str(error))

    def _ticker(self, data: _Ticker, received_time_us: int) -> Sequence[FrameEvent]:
        market = self._by_native.get(data.s)
        if market is None:
            return count_ignored(self.ignored, "quote of another market")
        if not (data.b and data.B and data.a and data.A):
            return count_ignored(self.ignored, "book with an empty side")
        return (BookTicker(market.symbol, data.u, received_time_us, (data.b, data.B), (data.a, data.A)),)

    def _depth(self, data: _Depth, received_time_us: int) -> Sequence[FrameEvent]:
        market = self._by_native.get(data.s)
        if market is None:
            return count_ignored(self.ignored, "quote of another market")
        change = BookChange(data.U, data.u, data.b, data.a)
        return (BookUpdate(market.symbol, change, binance.to_us(data.E), received_time_us),)


class BinanceBookRest:
    """How Binance is asked for a whole order book."""

    def book_request(self, market: Market) -> RestRequest:
        """Return the question for a market's 1,000 best levels of each side."""
        params = {"symbol": market.native, "limit": str(_BOOK_LIMIT)}
        return RestRequest("/api/v3/depth", params, {}, _BOOK_WEIGHT)

    def read_book(self, payload: bytes) -> BookSnapshot:
        """Return the book that an answer holds.

        Raises:
            ExchangeError: the answer is no book.
        """
        try:
            book = _books.decode(payload)
        except INVALID as error:
            raise ExchangeError(binance.NAME, detail=f"depth is invalid: {error}") from error
        return BookSnapshot(book.lastUpdateId, book.bids, book.asks, _BOOK_LIMIT)


def venue(mode: QuotesMode) -> Venue:
    """Return Binance as a source of quotes."""
    return replace(
        binance.VENUE,
        max_attempts=_MAX_ATTEMPTS,
        protocol=partial(BinanceQuotes, mode=mode),
        book_rest=BinanceBookRest(),
    )
