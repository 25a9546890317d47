"""What an event does to one market: to its price, to how busy it is, to who buys, and which orders it adds.

Every scenario (`events/`) is put into this form, so that orders, prices and trades are made in one way for
all of them, hidden in what the market does anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class MarketFacts(NamedTuple):
    """What is usual on a market when an event is planned.

    Attributes:
        price: quote units per base unit.
        step: smallest step of the quantity.
        p99_notional: 99 % of orders are smaller, in quote units.
        mean_notional: of an order, in quote units.
        depth: what stands on the ten best levels of a side, in quote units.
        orders_per_s: over long times.
        trades_per_s: over long times.
        start_us: source time of second 0.
    """

    price: float
    step: float
    p99_notional: float
    mean_notional: float
    depth: float
    orders_per_s: float
    trades_per_s: float
    start_us: int

    def quantities(self, notionals: Floats) -> Floats:
        """Return how much of the base is worth so much, a whole number of steps, one at least."""
        steps: Floats = np.maximum(np.round(notionals / self.price / self.step), 1.0)
        return steps * self.step

    def next_hour_s(self, time_s: float) -> float:
        """Return the next full hour, in seconds of the source."""
        start_s = self.start_us / 1e6
        return float(np.ceil((start_s + time_s) / 3_600.0) * 3_600.0 - start_s)


class Curve(NamedTuple):
    """A value over time: 0 before its first point, straight between points, the last value ever after."""

    times_s: Floats
    values: Floats

    def at(self, times_s: Floats) -> Floats:
        """Return its values at these times."""
        return np.interp(times_s, self.times_s, self.values, left=0.0)


NOTHING: Final = Curve(np.zeros(1), np.zeros(1))


def curve(*points: tuple[float, float]) -> Curve:
    """Return the curve through points of time and value."""
    times_s, values = np.array(points, np.float64).T
    return Curve(times_s, values)


@dataclass(frozen=True, kw_only=True)
class PlannedOrders:
    """n orders that an event adds, in order of time.

    Attributes:
        times_s: n, in seconds of the source.
        sells: n, the taker's side.
        quantities: n, base units.
        fills: n, trades that each falls into.
        walks: n, how far each moves through the book, as a share of the price.
        inside: n, whether it trades within the spread, buys and sells at one price.
    """

    times_s: Floats
    sells: Bools
    quantities: Floats
    fills: Ints
    walks: Floats
    inside: Bools

    def __len__(self) -> int:
        return len(self.times_s)

    @classmethod
    def of(
        cls,
        times_s: Floats,
        *,
        sells: Bools | bool,
        quantities: Floats | float,
        fills: Ints | int = 1,
        walks: Floats | float = 0.0,
        inside: bool = False,
    ) -> Self:
        """Return orders at these times; what is one number holds for all of them."""
        shape, order = np.shape(times_s), np.argsort(times_s, kind="stable")
        return cls(
            times_s=times_s[order],
            sells=np.broadcast_to(np.asarray(sells, np.bool_), shape)[order],
            quantities=np.broadcast_to(np.asarray(quantities, np.float64), shape)[order],
            fills=np.broadcast_to(np.asarray(fills, np.int64), shape)[order],
            walks=np.broadcast_to(np.asarray(walks, np.float64), shape)[order],
            inside=np.full(shape, inside, np.bool_),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the orders of all parts, in order of time."""
        if not parts:
            return cls.of(np.empty(0), sells=False, quantities=0.0)
        times_s = np.concatenate([part.times_s for part in parts])
        order = np.argsort(times_s, kind="stable")
        return cls(
            times_s=times_s[order],
            sells=np.concatenate([part.sells for part in parts])[order],
            quantities=np.concatenate([part.quantities for part in parts])[order],
            fills=np.concatenate([part.fills for part in parts])[order],
            walks=np.concatenate([part.walks for part in parts])[order],
            inside=np.concatenate([part.inside for part in parts])[order],
        )

    def between(self, start_s: float, end_s: float) -> Self:
        """Return those in [start_s, end_s)."""
        span = slice(*np.searchsorted(self.times_s, (start_s, end_s)).tolist())
        return type(self)(
            times_s=self.times_s[span],
            sells=self.sells[span],
            quantities=self.quantities[span],
            fills=self.fills[span],
            walks=self.walks[span],
            inside=self.inside[span],
        )


NO_ORDERS: Final = PlannedOrders.joined([])


@dataclass(frozen=True, kw_only=True)
class Walls:
    """n orders that an event puts into the book and takes back.

    Attributes:
        times_s: n, when they come, in seconds of the source.
        until_s: n, when what is left of them goes.
        asks: n, whether they offer; else they bid.
        offsets: n, how many steps of the best price away from it.
        quantities: n, base units.
    """

    times_s: Floats
    until_s: Floats
    asks: Bools
    offsets: Floats
    quantities: Floats

    @property
    def spans_s(self) -> list[tuple[float, float, bool]]:
        """When walls stand and of which side, those that come and go together as one."""
        ends = zip(self.until_s.tolist(), self.asks.tolist(), strict=True)
        begins = dict(zip(ends, self.times_s.tolist(), strict=True))
        return [(begin, until_s, is_ask) for (until_s, is_ask), begin in begins.items()]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the walls of all parts."""
        if not parts:
            none = np.empty(0)
            return cls(times_s=none, until_s=none, asks=np.empty(0, np.bool_), offsets=none, quantities=none)
        return cls(
            times_s=np.concatenate([part.times_s for part in parts]),
            until_s=np.concatenate([part.until_s for part in parts]),
            asks=np.concatenate([part.asks for part in parts]),
            offsets=np.concatenate([part.offsets for part in parts]),
            quantities=np.concatenate([part.quantities for part in parts]),
        )

    def between(self, start_s: float, end_s: float) -> Self:
        """Return those that come in [start_s, end_s)."""
        at = (self.times_s >= start_s) & (self.times_s < end_s)
        return type(self)(
            times_s=self.times_s[at],
            until_s=self.until_s[at],
            asks=self.asks[at],
            offsets=self.offsets[at],
            quantities=self.quantities[at],
        )

    def columns(self, step: float) -> Floats:
        """Return n rows: when, until when, side (1: asks), offset, quantity in steps."""
        steps = np.maximum(1.0, np.round(self.quantities / step))
        columns: Floats = np.column_stack((self.times_s, self.until_s, self.asks, self.offsets, steps))
        return columns


NO_WALLS: Final = Walls.joined([])


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one event does to one market.

    Attributes:
        start_s: its labelled beginning, in seconds of the source.
        end_s: its labelled end.
        path: what it adds to the logarithm of the price; what it ends with stays.
        activity: what it adds to the factor on the rate of ordinary orders.
        pressure: share of ordinary orders that it turns into sales; negative: into purchases.
        orders: that it adds.
        walls: orders that it shows in the book and takes back; seen in quotes alone.
        parameters: what it was made with, units in the names.
    """

    start_s: float
    end_s: float
    path: Curve = NOTHING
    activity: Curve = NOTHING
    pressure: Curve = NOTHING
    orders: PlannedOrders = NO_ORDERS
    walls: Walls = NO_WALLS
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_one_instant(self) -> bool:
        """Whether it is nothing but orders at its beginning."""
        return bool(len(self.orders)) and self.orders.times_s[-1] == self.start_s

    def is_over(self, time_s: float) -> bool:
        """Return whether nothing of it is left to happen."""
        ends_s = [float(each.times_s[-1]) for each in (self.path, self.activity, self.pressure)]
        if len(self.orders):
            ends_s.append(float(self.orders.times_s[-1]))
        if len(self.walls.times_s):
            ends_s.append(float(self.walls.times_s.max()))
        return time_s > max(ends_s)
