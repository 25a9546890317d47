"""From changes of order books to quotes on Kafka: books are kept whole, and quotes give way to trades.

Quotes are views of a state, not a tape: one that is missed is no loss that had to be made good, but it is
told (`is_continuous`). Each tells what has traded since the one before, as far as it is known by then, so
that whoever reads quotes needs no other topic (ADR 0012). A book that is not whole is fetched anew through
REST, after what the tape asks for.
While records wait because Kafka is too slow, quotes are dropped and counted.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from producer.book import BookSnapshot, Level, OrderBook
from producer.exchanges.markets import Market
from producer.exchanges.protocol import BookTicker, BookUpdate, FrameEvent, InvalidFrame
from producer.publisher import Publisher
from shared.errors import ExchangeError
from shared.events import Quote, Trade
from shared.logs import get_logger

_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
# What REST brings of long ago is no part of what happened between two quotes.
_LATEST_US: Final = 2_000_000
_MOST_TRADES: Final = 10_000


class BookSource(Protocol):
    """What answers; `producer.rest.RestClient`."""

    async def book(self, market: Market) -> BookSnapshot:
        """Return a market's whole book."""
        ...


@dataclass(slots=True)
class _MarketQuotes:
    book: OrderBook
    last_id: int = -1
    best: tuple[list[Level], list[Level]] = ([], [])
    is_continuous: bool = False
    is_asked: bool = False
    event_time_us: int = 0
    received_time_us: int = 0
    traded: list[tuple[float, float]] = field(default_factory=list)


@dataclass(kw_only=True)
class QuoteCounts:
    """What was done since the start.

    Attributes:
        published: quotes written.
        dropped: quotes not written because Kafka was too slow.
        resynced: books taken in from REST.
    """

    published: int = 0
    dropped: int = 0
    resynced: int = 0


@dataclass(kw_only=True)
class Quotes:
    """Takes events of connections that carry quotes; implements `FeedSink`.

    Args:
        exchange: venue.
        levels: per side, how many of the best are told of where depth is read.
        publisher: to Kafka.
        set_aside: takes invalid frames, with where they came from.
    """

    exchange: str
    levels: int
    publisher: Publisher
    set_aside: Callable[[InvalidFrame, str], None]
    counts: QuoteCounts = field(default_factory=QuoteCounts)
    wanted: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _markets: dict[str, _MarketQuotes] = field(default_factory=dict)

    def on_events(self, events: Sequence[FrameEvent]) -> None:
        """Take what one frame says.

        Raises:
            BrokerError: an earlier record could not be delivered.
            DeadLetterLimitError: too many frames are invalid.
        """
        for event in events:
            if isinstance(event, BookUpdate):
                self._on_update(event)
            elif isinstance(event, BookTicker):
                self._on_ticker(event)
            elif isinstance(event, InvalidFrame):
                self.set_aside(event, f"{self.exchange}:quotes")

    def on_trades(self, trades: Iterable[Trade]) -> None:
        """Take what traded, to be told with the next quote of its market, if that has any."""
        for trade in trades:
            market = self._markets.get(trade.symbol)
            if market is None or len(market.traded) == _MOST_TRADES:
                continue
            if trade.event_time_us >= market.event_time_us - _LATEST_US:
                quantity = -trade.quantity if trade.is_buyer_maker else trade.quantity
                market.traded.append((trade.price, quantity))

    def on_snapshot(self, symbol: str, snapshot: BookSnapshot) -> bool:
        """Take a whole book from REST; return whether it was new enough."""
        market = self._market(symbol)
        if not market.book.load(snapshot):
            return False
        market.is_asked = False
        market.is_continuous = False
        self.counts.resynced += 1
        self._tell_book(symbol, market)
        return True

    def _market(self, symbol: str) -> _MarketQuotes:
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = _MarketQuotes(OrderBook(self.levels))
        return market

    def _on_update(self, update: BookUpdate) -> None:
        market = self._market(update.symbol)
        is_new = market.book.apply(update.change)
        if is_new or not market.book.is_whole:
            market.event_time_us = update.event_time_us
            market.received_time_us = update.received_time_us
        if is_new:
            self._tell_book(update.symbol, market)
        elif not market.book.is_whole and not market.is_asked:
            market.is_asked = True
            self.wanted.put_nowait(update.symbol)

    def _tell_book(self, symbol: str, market: _MarketQuotes) -> None:
        best = bids, asks = market.book.best()
        if not (bids and asks) or (best == market.best and market.is_continuous):
            return
        market.best = best
        self._publish(
            market,
            Quote(
                exchange=self.exchange,
                symbol=symbol,
                update_id=market.book.last_id,
                event_time_us=market.event_time_us,
                received_time_us=market.received_time_us,
                bid=bids[0][0],
                bid_quantity=bids[0][1],
                ask=asks[0][0],
                ask_quantity=asks[0][1],
                bids=bids,
                asks=asks,
                is_continuous=market.is_continuous,
                traded=market.traded,
            ),
        )

    def _on_ticker(self, ticker: BookTicker) -> None:
        market = self._market(ticker.symbol)
        if ticker.update_id <= market.last_id:
            # Brought by the connection that is being replaced, too.
            return
        market.last_id = ticker.update_id
        self._publish(
            market,
            Quote(
                exchange=self.exchange,
                symbol=ticker.symbol,
                update_id=ticker.update_id,
                event_time_us=ticker.received_time_us,
                received_time_us=ticker.received_time_us,
                bid=ticker.bid[0],
                bid_quantity=ticker.bid[1],
                ask=ticker.ask[0],
                ask_quantity=ticker.ask[1],
                is_continuous=market.is_continuous,
                traded=market.traded,
            ),
        )

    def _publish(self, market: _MarketQuotes, quote: Quote) -> None:
        if self.publisher.queued:
            market.traded = []
            self.counts.dropped += 1
            market.is_continuous = False
            return
        self.publisher.publish(quote, key=quote.symbol)
        market.traded = []
        self.counts.published += 1
        market.is_continuous = True


class BookKeeper:
    """Fetches the books that are wanted, one after another.

    Args:
        source: answers.
        quotes: wants them.
        markets: that may be wanted.
    """

    def __init__(self, source: BookSource, quotes: Quotes, markets: Iterable[Market]) -> None:
        self._source = source
        self._quotes = quotes
        self._markets = {market.symbol: market for market in markets}
        self._log = get_logger(exchange=quotes.exchange)

    async def run(self) -> None:
        """Work until cancelled."""
        retry_s = _RETRY_S
        while True:
            symbol = await self._quotes.wanted.get()
            if await self.fetch(symbol):
                retry_s = _RETRY_S
            else:
                self._quotes.wanted.put_nowait(symbol)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)

    async def fetch(self, symbol: str) -> bool:
        """Fetch one book and return whether it could be used."""
        try:
            snapshot = await self._source.book(self._markets[symbol])
        except ExchangeError as error:
            # Asked again: without a book there are no quotes of this market, which its readers see.
            self._log.warning("book_not_fetched", symbol=symbol, error=str(error))
            return False
        return self._quotes.on_snapshot(symbol, snapshot)
