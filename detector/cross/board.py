"""The board: what every market of every venue trades at, and what it has done within the last minutes."""

from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.arrays import BoolVector, FloatVector, loaded, loaded_int, loaded_str, resized
from detector.cross.seconds import Second
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import MarketTick
from shared.stream.step import State

# So far it looks back, in seconds.
REACH_S: Final = 300
# Without a trade for longer, a market has no price to compare with.
ALIVE_S: Final = 60
_RING: Final = REACH_S + 1


class Listing(NamedTuple):
    """One market on one venue.

    Attributes:
        exchange: the venue.
        symbol: the market.
    """

    exchange: str
    symbol: str

    @property
    def base(self) -> str:
        """What is traded."""
        return self.symbol.rpartition("-")[0] or self.symbol

    @property
    def quote(self) -> str:
        """What it is paid with."""
        return self.symbol.rpartition("-")[2]


class Board:
    """All listings by row, in the order in which they came; second by second.

    Memory: 2.5 KB per listing.

    Attributes:
        listings: n.
        prices: n or more; latest price.
        traded_us: n or more; event time of the latest trade.
        trade_ids: n or more; of the latest trade.
        notionals: n or more; traded within the present second, quote units.
        flows: n or more; bought minus sold by takers within the present second.
        bases: what is traded, in the order in which it came.
        base_at: n or more; which base.
        at_s: the present second.
        latest_us: event time of the latest tick up to it.
    """

    def __init__(self) -> None:
        self.listings: list[Listing] = []
        self.bases: list[str] = []
        self._bases: dict[str, int] = {}
        self.base_at = np.zeros(0, np.int64)
        self.latest_us = 0
        self._rows: dict[Listing, int] = {}
        self.at_s = 0
        self.prices = np.zeros(0, np.float64)
        self.traded_us = np.zeros(0, np.int64)
        self.trade_ids = np.zeros(0, np.int64)
        self.notionals = np.zeros(0, np.float64)
        self.flows = np.zeros(0, np.float64)
        self._log_prices = np.zeros((0, _RING), np.float64)

    @property
    def end_us(self) -> int:
        """The end of the present second."""
        return (self.at_s + 1) * MICROSECONDS_PER_SECOND

    def base_of(self, listing: Listing) -> int | None:
        """Return which base a listing trades; None when nothing of it is known."""
        return self._bases.get(listing.base)

    def advance(self, second: Second) -> list[int]:
        """Go on to a second; return the rows of listings that are new."""
        self.at_s = second.at_s
        self.notionals[:] = self.flows[:] = 0.0
        known = len(self.listings)
        for tick in second.ticks:
            row = self._row(tick)
            self.notionals[row] += tick.notional
            self.flows[row] += tick.signed_flow
            self._price(row, tick)
        if second.ticks:
            self.latest_us = second.ticks[-1].event_time_us
        n = len(self.listings)
        log_prices = np.where(self.has_traded(ALIVE_S), np.log(self.prices[:n]), np.nan)
        self._log_prices[:n, self.at_s % _RING] = log_prices
        return list(range(known, n))

    def correct(self, tick: MarketTick) -> None:
        """Take the price of a tick that came too late, if the listing has none that is younger."""
        row = self._rows.get(Listing(tick.exchange, tick.symbol))
        if row is not None and tick.event_time_us > self.traded_us[row]:
            self._price(row, tick)

    def _price(self, row: int, tick: MarketTick) -> None:
        self.prices[row] = tick.price
        self.traded_us[row] = tick.event_time_us
        self.trade_ids[row] = tick.trade_id

    def _row(self, tick: MarketTick) -> int:
        listing = Listing(tick.exchange, tick.symbol)
        row = self._rows.get(listing)
        return self._add(listing) if row is None else row

    def _add(self, listing: Listing) -> int:
        row = self._rows[listing] = len(self.listings)
        self.listings.append(listing)
        self.prices, self.traded_us = resized(self.prices, row), resized(self.traded_us, row)
        self.trade_ids, self.base_at = resized(self.trade_ids, row), resized(self.base_at, row)
        self.notionals, self.flows = resized(self.notionals, row), resized(self.flows, row)
        self._log_prices = resized(self._log_prices, row)
        self._log_prices[row] = np.nan
        base = self._bases.setdefault(listing.base, len(self.bases))
        if base == len(self.bases):
            self.bases.append(listing.base)
        self.base_at[row] = base
        return row

    def returns(self, window_s: int) -> FloatVector:
        """Return the log return of every listing over the last seconds; NaN where it did not trade.

        Args:
            window_s: up to `REACH_S`.
        """
        n = len(self.listings)
        now, then = self.at_s % _RING, (self.at_s - window_s) % _RING
        log_returns: FloatVector = self._log_prices[:n, now] - self._log_prices[:n, then]
        return log_returns

    def base_returns(self, window_s: int) -> FloatVector:
        """Return the log return of every base over the last seconds: the mean of its listings', or NaN.

        Args:
            window_s: up to `REACH_S`.
        """
        returns = self.returns(window_s)
        known = np.flatnonzero(~np.isnan(returns))
        bases = self.base_at[known]
        counts = np.bincount(bases, minlength=len(self.bases))
        sums = np.bincount(bases, returns[known], minlength=len(self.bases))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def has_traded(self, within_s: float) -> BoolVector:
        """Return, for every listing, whether it has traded within the last seconds."""
        age_us = self.end_us - self.traded_us[: len(self.listings)]
        # What lies ahead is of a time that was set back since.
        has_traded: BoolVector = (age_us >= 0) & (age_us <= within_s * MICROSECONDS_PER_SECOND)
        return has_traded

    def state(self) -> State:
        """Return a copy of all of it."""
        n = len(self.listings)
        return {
            "listings": msgspec.json.encode(self.listings).decode(),
            "at_s": self.at_s,
            "latest_us": self.latest_us,
            "prices": self.prices[:n].copy(),
            "traded_us": self.traded_us[:n].copy(),
            "trade_ids": self.trade_ids[:n].copy(),
            "log_prices": self._log_prices[:n].copy(),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state; this one must be new.

        Raises:
            ValueError: it is damaged.
        """
        try:
            listings = msgspec.json.decode(loaded_str(state, "listings"), type=list[tuple[str, str]])
        except msgspec.DecodeError as error:
            raise ValueError(f"damaged listings: {error}") from error
        n = len(listings)
        prices = loaded(state, "prices", self.prices, shape=(n,))
        traded_us = loaded(state, "traded_us", self.traded_us, shape=(n,))
        trade_ids = loaded(state, "trade_ids", self.trade_ids, shape=(n,))
        log_prices = loaded(state, "log_prices", self._log_prices, shape=(n, _RING))
        self.at_s, self.latest_us = loaded_int(state, "at_s"), loaded_int(state, "latest_us")
        for exchange, symbol in listings:
            self._add(Listing(exchange, symbol))
        self.prices[:n], self.traded_us[:n], self.trade_ids[:n] = prices, traded_us, trade_ids
        self._log_prices[:n] = log_prices
