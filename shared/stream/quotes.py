"""Quotes as columns, for a step that reads the topic `quotes`; and the intake that makes them."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from shared.events import Quote
from shared.stream.broker import Consumer
from shared.stream.columns import TradeColumns
from shared.stream.intake import TradeBatch, batch_of

# Levels of each side that are looked at.
LEVELS: Final = 10


class QuoteColumns(TradeColumns):
    """A batch of n quotes. To the runner, which knows trades alone, each is a trade at the middle.

    A quote's id is that of the book's last change, its quantity what stands at the best prices.

    Attributes:
        books: n, two sides (bids, asks), `LEVELS`, price and quantity; 0 beyond what is known.
        counts: n, how many levels of both sides are known; never 0.
        trade_starts: n + 1, which rows of `traded` came before each quote.
        traded: price, and base units, negative where the taker sold.
        is_continuous: n, whether no quote is missing before.
    """

    books: NDArray[np.float64]
    counts: NDArray[np.int64]
    trade_starts: NDArray[np.int64]
    traded: NDArray[np.float64]
    is_continuous: NDArray[np.bool_]

    @classmethod
    def of_quotes(cls, quotes: Sequence[Quote]) -> Self:
        """Return the columns of decoded quotes."""
        n = len(quotes)
        sides = [_levels(quote) for quote in quotes]
        counts = np.array([(len(bids), len(asks)) for bids, asks in sides], np.int64).reshape(n, 2)
        books = np.zeros((n, 2, LEVELS, 2), np.float64)
        is_known = np.arange(LEVELS) < counts[:, :, None]
        books[is_known] = _pairs(chain.from_iterable(chain.from_iterable(sides)))
        numbers: dict[tuple[str, str], int] = {}
        venue = [numbers.setdefault((quote.exchange, quote.symbol), len(numbers)) for quote in quotes]
        return cls.of_arrays(
            venues=list(numbers),
            venue=np.array(venue, np.int64),
            update_ids=np.array([quote.update_id for quote in quotes], np.int64),
            times_us=np.array([quote.event_time_us for quote in quotes], np.int64),
            received_us=np.array([quote.received_time_us for quote in quotes], np.int64),
            books=books,
            counts=counts,
            trade_starts=np.cumsum([0, *(len(quote.traded) for quote in quotes)]),
            traded=_pairs(chain.from_iterable(quote.traded for quote in quotes)),
            is_continuous=np.array([quote.is_continuous for quote in quotes], np.bool_),
        )

    @classmethod
    def of_arrays(
        cls,
        *,
        venues: Sequence[tuple[str, str]],
        venue: NDArray[np.int64],
        update_ids: NDArray[np.int64],
        times_us: NDArray[np.int64],
        received_us: NDArray[np.int64],
        books: NDArray[np.float64],
        counts: NDArray[np.int64],
        trade_starts: NDArray[np.int64],
        traded: NDArray[np.float64],
        is_continuous: NDArray[np.bool_],
    ) -> Self:
        """Return the columns that these arrays are."""
        columns = cls(
            venues=venues,
            venue=venue,
            trade_ids=update_ids,
            prices=books[:, :, 0, 0].mean(axis=1),
            quantities=books[:, :, 0, 1].sum(axis=1),
            sells=np.zeros(len(books), np.int64),
            times_us=times_us,
            received_us=received_us,
        )
        columns.books, columns.counts = books, counts
        columns.trade_starts, columns.traded, columns.is_continuous = trade_starts, traded, is_continuous
        return columns

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return batches one after the other; all count in the same `venues`, and there is one at least."""
        joined = super().joined(parts)
        joined.books = np.concatenate([part.books for part in parts])
        joined.counts = np.concatenate([part.counts for part in parts])
        joined.is_continuous = np.concatenate([part.is_continuous for part in parts])
        joined.traded = np.concatenate([part.traded for part in parts])
        lengths = np.concatenate([np.diff(part.trade_starts) for part in parts])
        joined.trade_starts = np.concatenate(([0], np.cumsum(lengths)))
        return joined

    def events(self) -> list[Quote]:
        """Return the quotes as events, with the levels that are held."""
        return [self._event(at) for at in range(len(self))]

    def _event(self, at: int) -> Quote:
        exchange, symbol = self.venues[int(self.venue[at])]
        bids, asks = (
            [(price, quantity) for price, quantity in self.books[at, side, : self.counts[at, side]].tolist()]
            for side in (0, 1)
        )
        traded = self.traded[self.trade_starts[at] : self.trade_starts[at + 1]].tolist()
        return Quote(
            exchange=exchange,
            symbol=symbol,
            update_id=int(self.trade_ids[at]),
            event_time_us=int(self.times_us[at]),
            received_time_us=int(self.received_us[at]),
            bid=bids[0][0],
            bid_quantity=bids[0][1],
            ask=asks[0][0],
            ask_quantity=asks[0][1],
            bids=bids,
            asks=asks,
            is_continuous=bool(self.is_continuous[at]),
            traded=[(price, quantity) for price, quantity in traded],
        )

    def take(self, at: NDArray[np.int64]) -> Self:
        """Return the quotes at these places, in this order."""
        taken = super().take(at)
        taken.books, taken.counts = self.books[at], self.counts[at]
        taken.is_continuous = self.is_continuous[at]
        lengths = np.diff(self.trade_starts)[at]
        taken.trade_starts = np.concatenate(([0], np.cumsum(lengths)))
        within = np.arange(taken.trade_starts[-1]) - np.repeat(taken.trade_starts[:-1], lengths)
        taken.traded = self.traded[np.repeat(self.trade_starts[at], lengths) + within]
        return taken


class QuoteIntake:
    """The intake of quotes; for every broker.

    Args:
        consumer: subscribed to `quotes`.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first."""
        messages = self._consumer.consume(max_records, timeout_s)
        return batch_of(messages, event=Quote, columns=QuoteColumns.of_quotes)


def _levels(quote: Quote) -> tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]:
    return (
        quote.bids[:LEVELS] or [(quote.bid, quote.bid_quantity)],
        quote.asks[:LEVELS] or [(quote.ask, quote.ask_quantity)],
    )


def _pairs(pairs: Iterable[tuple[float, float]]) -> NDArray[np.float64]:
    return np.fromiter(chain.from_iterable(pairs), np.float64).reshape(-1, 2)
