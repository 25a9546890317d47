"""Recorded trades as columns per market, for baselines and pictures, and when each market was recorded.

24 bytes a trade: a hundred million trades take 2.4 GB.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from detector.arrays import FloatVector, IntVector
from detector.evaluation.events import Span, Watch
from shared.stream.columns import TradeColumns


class MarketTape(NamedTuple):
    """What was traded on one venue of a market, in order; n trades.

    Attributes:
        exchange: venue.
        symbol: market.
        times_us: event times; a late trade has that of the one before it.
        prices: quote units.
        bought: base units, negative where the taker sold.
        spans: when it was recorded; it is new again at each.
    """

    exchange: str
    symbol: str
    times_us: IntVector
    prices: FloatVector
    bought: FloatVector
    spans: tuple[Span, ...]

    @property
    def watch(self) -> Watch:
        """What is recorded of it."""
        return Watch(self.exchange, self.symbol, self.spans)

    def between(self, start_us: int, end_us: int) -> "MarketTape":
        """Return the trades of a time, its end not included."""
        first, last = np.searchsorted(self.times_us, [start_us, end_us])
        return self._replace(
            times_us=self.times_us[first:last],
            prices=self.prices[first:last],
            bought=self.bought[first:last],
        )

    def parts(self) -> list["MarketTape"]:
        """Return each span's trades by themselves."""
        return [self.between(span.start_us, span.end_us)._replace(spans=(span,)) for span in self.spans]


@dataclass
class _Growing:
    times_us: list[IntVector] = field(default_factory=list)
    prices: list[FloatVector] = field(default_factory=list)
    bought: list[FloatVector] = field(default_factory=list)
    begins_us: list[int] = field(default_factory=list)
    ends_us: list[int] = field(default_factory=list)
    is_new: bool = True


class Tapes:
    """Collects trades as they are read."""

    def __init__(self) -> None:
        self._markets: dict[tuple[str, str], _Growing] = {}

    def add(self, trades: TradeColumns) -> None:
        """Append a batch."""
        for number, venue in enumerate(trades.venues):
            rows = np.flatnonzero(trades.venue == number)
            if rows.size:
                self._append(self._markets.setdefault(venue, _Growing()), trades.take(rows))

    def _append(self, market: _Growing, trades: TradeColumns) -> None:
        times_us = np.maximum.accumulate(trades.times_us)
        if market.ends_us and not market.is_new:
            times_us = np.maximum(times_us, market.ends_us[-1] - 1)
            market.ends_us[-1] = int(times_us[-1]) + 1
        else:
            market.begins_us.append(int(times_us[0]))
            market.ends_us.append(int(times_us[-1]) + 1)
            market.is_new = False
        market.times_us.append(times_us)
        market.prices.append(trades.prices)
        market.bought.append(np.where(trades.sells == 1, -trades.quantities, trades.quantities))

    def forget(self, symbol: str) -> None:
        """Note that a market begins anew with its next trade."""
        for (_, name), market in self._markets.items():
            if name == symbol:
                market.is_new = True

    @property
    def is_silent(self) -> bool:
        """Whether every market begins anew with its next trade."""
        return all(market.is_new for market in self._markets.values())

    def tapes(self) -> list[MarketTape]:
        """Return what was collected, in order of the markets' names."""
        return [
            MarketTape(
                exchange,
                symbol,
                np.concatenate(market.times_us),
                np.concatenate(market.prices),
                np.concatenate(market.bought),
                tuple(map(Span, market.begins_us, market.ends_us)),
            )
            for (exchange, symbol), market in sorted(self._markets.items())
        ]
