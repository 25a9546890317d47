"""Binance as a venue: `streams.py` and `rest.py` behind the interface that the engine knows."""

from collections.abc import Hashable, Iterable, Mapping
from functools import cache

from simulator import rest
from simulator.books import BookChange, Books
from simulator.faults import Framed
from simulator.source import MarketBook, MarketTrade, SymbolInfo
from simulator.streams import (
    FrameForm,
    Session,
    depth_stream,
    encode_depth,
    encode_shutdown,
    encode_ticker,
    encode_trade,
    parse_target,
    ticker_stream,
    trade_stream,
)
from simulator.tape import Tape
from simulator.venue import Request, Response
from simulator.venue import Session as AnySession
from simulator.weights import Refusal, WeightLimiter

_stream = cache(trade_stream)


class BinanceSession(Session):
    """One connection's subscriptions, by market."""

    def wants(self, symbol: str) -> bool:
        """Return whether a market's trades are subscribed."""
        return self.has(_stream(symbol))

    def control(self, message: str | bytes) -> list[bytes]:
        """Take a control message and return the reply."""
        return [self.handle(message)]


class Binance:
    """Binance Spot.

    Args:
        symbols: the markets.
        tapes: one per market, by the venue's name.
        limiter: of the weights.
    """

    rest_prefix = "/api/v3"

    def __init__(
        self, *, symbols: tuple[SymbolInfo, ...], tapes: Mapping[str, Tape], limiter: WeightLimiter
    ) -> None:
        self._books = Books()
        self._rest = rest.Rest(symbols=symbols, tapes=tapes, limiter=limiter, books=self._books)

    def open(self, path: str) -> BinanceSession | None:
        """Return the session of a new connection, or None when there is nothing at that path."""
        target = parse_target(path)
        return None if target is None else BinanceSession(target)

    def encode(self, trade: MarketTrade, form: Hashable) -> bytes:
        """Return a trade as the frame that the venue would send."""
        assert isinstance(form, FrameForm)
        return encode_trade(trade, form)

    def show(self, books: Iterable[MarketBook]) -> list[BookChange]:
        """Take books, and return what changed."""
        return [change for book in books if (change := self._books.take(book)) is not None]

    def quotes(self, changes: Iterable[BookChange], session: BinanceSession) -> list[Framed]:
        """Return the frames of what changed that a connection is to get."""
        frames = []
        for change in changes:
            if session.has(depth_stream(change.symbol)):
                frames.append(Framed(change.symbol, encode_depth(change, session.form)))
            if change.best is not None and session.has(ticker_stream(change.symbol)):
                frames.append(Framed(change.symbol, encode_ticker(change, session.form)))
        return frames

    def heartbeats(
        self,
        session: AnySession,  # noqa: ARG002 - this venue's heartbeats are WebSocket pings
        *,
        market_time_us: int,  # noqa: ARG002
    ) -> list[bytes]:
        """Return nothing: the server's pings are the signs of life."""
        return []

    def shutdown(self, form: Hashable, *, market_time_us: int) -> list[bytes]:
        """Return the announcement that the server goes away."""
        assert isinstance(form, FrameForm)
        return [encode_shutdown(market_time_us, form)]

    def set_status(self, symbol: str, status: str) -> None:
        """Change a market's status.

        Raises:
            ValueError: there is no such market or no such status.
        """
        self._rest.set_status(symbol, status)

    def answer(self, request: Request, *, now_us: int, market_time_us: int) -> Response:
        """Answer a REST request."""
        return self._rest.handle(request, now_us=now_us, market_time_us=market_time_us)

    def refuse(self, refusal: Refusal) -> Response:
        """Return the venue's answer to one who asks too much."""
        return rest.refused(refusal, headers={})
