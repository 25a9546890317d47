"""Order books as Binance tells them: numbered changes, the best prices, and the whole book on demand.

Source: web-socket-streams.md (`@bookTicker`, `@depth@100ms`) and rest-api.md (`depth`) of
binance-spot-api-docs. A change is numbered once per level; the next one begins where it ended.
"""

from typing import Final, NamedTuple

from simulator.source import Levels, MarketBook

_FIRST_ID: Final = 1_000_000


class BookChange(NamedTuple):
    """What is new in a market's book.

    Attributes:
        symbol: the venue's name.
        first_id: of the first change.
        last_id: of the last one.
        time_us: when.
        bids: levels that are others now; a quantity of 0 says that one is gone.
        asks: likewise.
        best: best bid and ask now; None where they are as before.
    """

    symbol: str
    first_id: int
    last_id: int
    time_us: int
    bids: Levels
    asks: Levels
    best: tuple[tuple[str, str], tuple[str, str]] | None


class Books:
    """The books of all markets."""

    def __init__(self) -> None:
        self._books: dict[str, MarketBook] = {}
        self._last_ids: dict[str, int] = {}

    def take(self, book: MarketBook) -> BookChange | None:
        """Replace a market's book; return what changed, None where nothing did."""
        old = self._books.get(book.symbol, MarketBook(book.symbol, book.time_us, [], []))
        self._books[book.symbol] = book
        bids, asks = _changed(old.bids, book.bids), _changed(old.asks, book.asks)
        if not (bids or asks):
            return None
        first_id = self._last_ids.get(book.symbol, _FIRST_ID) + 1
        last_id = self._last_ids[book.symbol] = first_id + len(bids) + len(asks) - 1
        best = (book.bids[0], book.asks[0])
        is_same = old.bids[:1] == book.bids[:1] and old.asks[:1] == book.asks[:1]
        return BookChange(book.symbol, first_id, last_id, book.time_us, bids, asks, None if is_same else best)

    def whole(self, symbol: str, limit: int) -> tuple[int, Levels, Levels]:
        """Return a market's last change and its best levels; nothing before the first."""
        book = self._books.get(symbol)
        if book is None:
            return _FIRST_ID, [], []
        return self._last_ids[symbol], book.bids[:limit], book.asks[:limit]


def _changed(old: Levels, new: Levels) -> Levels:
    before, after = dict(old), dict(new)
    gone = [(price, "0.00000000") for price in before if price not in after]
    return gone + [(price, quantity) for price, quantity in new if before.get(price) != quantity]
