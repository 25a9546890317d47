"""Markets of one venue: its own names, ours, and whether they trade at the moment."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from shared.errors import ConfigError

ALL_USDT: Final = "all-usdt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """One market of a venue.

    Attributes:
        symbol: venue-independent name (`BTC-USDT`).
        native: the venue's own name (`BTCUSDT`).
        quote: quote asset (`USDT`).
        status: in the venue's own words (`TRADING`, `HALT`, ...).
        is_trading: whether trades are to be expected now.
    """

    symbol: str
    native: str
    quote: str
    status: str
    is_trading: bool


class MarketMap:
    """Looks markets up by either name.

    Args:
        exchange: venue, for messages.
        markets: all that the venue lists.
    """

    def __init__(self, exchange: str, markets: Iterable[Market]) -> None:
        self._exchange = exchange
        self._by_symbol = {market.symbol: market for market in markets}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Market]:
        return iter(self._by_symbol.values())

    def get(self, symbol: str) -> Market | None:
        """Return the market with this venue-independent name, if the venue lists it."""
        return self._by_symbol.get(symbol)

    def select(self, wanted: Iterable[str]) -> tuple[Market, ...]:
        """Return the markets asked for, in that order.

        Args:
            wanted: venue-independent names, or `all-usdt` for all that trade against USDT now.

        Raises:
            ConfigError: the venue does not list one of them; the sentence names close ones.
        """
        chosen: dict[str, Market] = {}
        faults: list[str] = []
        for name in wanted:
            if name == ALL_USDT:
                chosen |= {m.symbol: m for m in self if m.quote == "USDT" and m.is_trading}
            elif (market := self._by_symbol.get(name)) is not None:
                chosen[name] = market
            else:
                faults.append(self._fault(name))
        if not faults and not chosen:
            faults.append(f"MARKETS: {self._exchange} has no market that trades against USDT now")
        if faults:
            raise ConfigError(faults)
        return tuple(chosen.values())

    def _fault(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._by_symbol, n=3, cutoff=0.7)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Write BASE-QUOTE, like BTC-USDT."
        return f"MARKETS: {self._exchange} does not list {name}. {hint}"
