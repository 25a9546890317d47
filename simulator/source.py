"""What the simulator plays: trades in time order, and the markets that they belong to."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec


class SymbolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A market as `exchangeInfo` tells it.

    Attributes:
        symbol: the venue's name (`BTCUSDT`).
        base_asset: what is traded.
        quote_asset: what it is paid with.
        tick: smallest step of the price, in quote units, as a decimal string.
        step: smallest step of the quantity, in base units, as a decimal string.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    tick: str = "0.00000001"
    step: str = "0.00000001"


class MarketTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade as the venue makes it; numbers are decimal strings, as on the wire.

    Attributes:
        symbol: the venue's name of the market (`BTCUSDT`).
        trade_id: increasing by one within the market on its venue.
        price: quote units per base unit, 8 decimals.
        quantity: base units, 8 decimals.
        is_buyer_maker: true when the taker sold.
        trade_time_us: when it happened (`T` on the wire).
        event_time_us: when the venue told it (`E` on the wire); never before `trade_time_us`.
        exchange: the venue; empty: every one that is played.
    """

    symbol: str
    trade_id: int
    price: str
    quantity: str
    is_buyer_maker: bool
    trade_time_us: int
    event_time_us: int
    exchange: str = ""

    def shifted(self, offset_us: int) -> "MarketTrade":
        """Return the same trade at another time."""
        return MarketTrade(
            self.symbol,
            self.trade_id,
            self.price,
            self.quantity,
            self.is_buyer_maker,
            self.trade_time_us + offset_us,
            self.event_time_us + offset_us,
            self.exchange,
        )


# Prices and quantities as on the wire.
Levels: TypeAlias = list[tuple[str, str]]


class MarketBook(NamedTuple):
    """A market's order book at a moment.

    Attributes:
        symbol: the venue's name of the market.
        time_us: when.
        bids: best first.
        asks: best first.
    """

    symbol: str
    time_us: int
    bids: Levels
    asks: Levels

    def shifted(self, offset_us: int) -> "MarketBook":
        """Return the same book at another time."""
        return self._replace(time_us=self.time_us + offset_us)


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one injected event on one market, a line of the truth file.

    Attributes:
        kind: as detectors name it (`whale`, `flash_crash`, `pump_dump`, ...).
        symbol: the venue's name of the market (`BTCUSDT`).
        market: ours (`BTC-USDT`).
        exchange: the venue (`binance`).
        id: of the event; on several lines where it happens on several markets.
        scenario: what it was made by (`simulator/events/catalogue.py`).
        strength: one number, in the unit of the scenario.
        unit: of the strength.
        start_us: when it begins.
        end_us: when it ends; of a fall, when most of the recovery has happened.
        first_trade_id: the first trade that belongs to it; null where it is more than orders of one instant.
        last_trade_id: the last one.
        parameters: what it was made with, units in the names.
    """

    kind: str
    symbol: str
    market: str
    exchange: str = "binance"
    id: str = ""
    scenario: str = ""
    strength: float = 0.0
    unit: str = ""
    start_us: int
    end_us: int
    first_trade_id: int | None = None
    last_trade_id: int | None = None
    parameters: dict[str, float]

    def shifted(self, offset_us: int) -> "Injected":
        """Return the same event at another time."""
        return msgspec.structs.replace(
            self, start_us=self.start_us + offset_us, end_us=self.end_us + offset_us
        )


class Chunk(NamedTuple):
    """A stretch of a source.

    Attributes:
        trades: in order of event time over all markets and venues; ids increase within a market on a venue.
        injected: events that begin among these trades.
        books: in order of time; of Binance alone.
    """

    trades: list[MarketTrade]
    injected: list[Injected]
    books: Sequence[MarketBook] = ()


class Source(Protocol):
    """Where trades come from. The same source yields the same chunks every time."""

    @property
    def symbols(self) -> tuple[SymbolInfo, ...]:
        """The markets."""
        ...

    @property
    def start_us(self) -> int:
        """Source time at which playback begins: every trade of `history` happened before it."""
        ...

    @property
    def is_restamped(self) -> bool:
        """Whether trades are moved in time so that playback begins now."""
        ...

    def history(self) -> list[MarketTrade]:
        """Return the trades that REST knows before the first one is played, in order of time."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """Yield what is played, chunk after chunk, possibly without end."""
        ...
