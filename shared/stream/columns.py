"""Trades as columns: what compiled kernels want, and a list of trades all the same.

A batch comes either from decoded trades or, by the fast path, from the bytes of the records, in which case a
`Trade` is only made for those that somebody asks for: the few that become events.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Self, overload

import numpy as np
from numpy.typing import NDArray

from shared.events import MarketTick, Trade


class TradeColumns(Sequence[Trade]):
    """A batch of n trades.

    Attributes:
        venues: pairs of exchange and symbol; `venue` counts in them.
        venue: n, which pair.
        trade_ids: n.
        prices: n, quote units per base unit.
        quantities: n, base units.
        sells: n, 1 where the taker sold, else 0.
        times_us: n event times, microseconds since the epoch.
        received_us: n times of receipt, likewise.
    """

    def __init__(
        self,
        *,
        venues: Sequence[tuple[str, str]],
        venue: NDArray[np.int64],
        trade_ids: NDArray[np.int64],
        prices: NDArray[np.float64],
        quantities: NDArray[np.float64],
        sells: NDArray[np.int64],
        times_us: NDArray[np.int64],
        received_us: NDArray[np.int64],
    ) -> None:
        self.venues = venues
        self.venue = venue
        self.trade_ids = trade_ids
        self.prices = prices
        self.quantities = quantities
        self.sells = sells
        self.times_us = times_us
        self.received_us = received_us

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> Self:
        """Return the columns of decoded trades; columns are returned as they are."""
        if isinstance(trades, cls):
            return trades
        numbers: dict[tuple[str, str], int] = {}
        venue = [numbers.setdefault((t.exchange, t.symbol), len(numbers)) for t in trades]
        return cls(
            venues=list(numbers),
            venue=np.array(venue, np.int64),
            trade_ids=np.array([t.trade_id for t in trades], np.int64),
            prices=np.array([t.price for t in trades], np.float64),
            quantities=np.array([t.quantity for t in trades], np.float64),
            sells=np.array([t.is_buyer_maker for t in trades], np.int64),
            times_us=np.array([t.event_time_us for t in trades], np.int64),
            received_us=np.array([t.received_time_us for t in trades], np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return batches one after the other; all count in the same `venues`, and there is one at least."""
        venues = parts[0].venues
        assert all(part.venues is venues for part in parts), "numbers of venues mean different things"
        return cls(
            venues=venues,
            venue=np.concatenate([part.venue for part in parts]),
            trade_ids=np.concatenate([part.trade_ids for part in parts]),
            prices=np.concatenate([part.prices for part in parts]),
            quantities=np.concatenate([part.quantities for part in parts]),
            sells=np.concatenate([part.sells for part in parts]),
            times_us=np.concatenate([part.times_us for part in parts]),
            received_us=np.concatenate([part.received_us for part in parts]),
        )

    def take(self, at: NDArray[np.int64]) -> Self:
        """Return the trades at these places, in this order."""
        return type(self)(
            venues=self.venues,
            venue=self.venue[at],
            trade_ids=self.trade_ids[at],
            prices=self.prices[at],
            quantities=self.quantities[at],
            sells=self.sells[at],
            times_us=self.times_us[at],
            received_us=self.received_us[at],
        )

    def __len__(self) -> int:
        return len(self.prices)

    def _trade(self, at: int) -> Trade:
        exchange, symbol = self.venues[int(self.venue[at])]
        return Trade(
            exchange=exchange,
            symbol=symbol,
            trade_id=int(self.trade_ids[at]),
            price=float(self.prices[at]),
            quantity=float(self.quantities[at]),
            is_buyer_maker=bool(self.sells[at]),
            event_time_us=int(self.times_us[at]),
            received_time_us=int(self.received_us[at]),
        )

    @overload
    def __getitem__(self, at: int) -> Trade: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        return self._trade(range(len(self))[at])

    def __iter__(self) -> Iterator[Trade]:
        return (self._trade(at) for at in range(len(self)))


# The one name under which the state of all markets together is kept, by steps that read ticks.
ALL_MARKETS: Final = "all-markets"


class TickColumns(TradeColumns):
    """A batch of n market ticks, for a step whose state is that of all markets together.

    To the runner, which keeps state by market, they are all of one market.

    Attributes:
        ticks: n.
    """

    ticks: Sequence[MarketTick]

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> Self:
        """Return the columns of decoded ticks; columns are returned as they are.

        Raises:
            TypeError: one is a trade and no tick.
        """
        if isinstance(trades, cls):
            return trades
        plain = TradeColumns.of(trades)
        columns = cls(
            venues=[(ALL_MARKETS, ALL_MARKETS)],
            venue=np.zeros(len(plain), np.int64),
            trade_ids=plain.trade_ids,
            prices=plain.prices,
            quantities=plain.quantities,
            sells=plain.sells,
            times_us=plain.times_us,
            received_us=plain.received_us,
        )
        ticks = [trade for trade in trades if isinstance(trade, MarketTick)]
        if len(ticks) < len(plain):
            raise TypeError("a trade is no tick")
        columns.ticks = ticks
        return columns

    def take(self, at: NDArray[np.int64]) -> Self:
        """Return the ticks at these places, in this order."""
        taken = super().take(at)
        taken.ticks = [self.ticks[place] for place in at.tolist()]
        return taken

    def _trade(self, at: int) -> MarketTick:
        return self.ticks[at]
