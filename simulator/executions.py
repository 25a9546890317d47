"""Orders into trades: sizes, prices on the book, ids and times."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.arrivals import Bools, Floats, Ints, Sizes
from simulator.effects import PlannedOrders
from simulator.profiles import Profile, TapeShape
from simulator.source import MarketTrade


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of a chunk, in order of time; `planned` is an index into planned orders, -1 for the others."""

    times_s: Floats
    sells: Bools
    prices: Floats
    planned: Ints


class Block(NamedTuple):
    """A market's n trades of a chunk, as columns.

    Attributes:
        order: n, the order that each belongs to.
        first_id: of the first trade; the others count on.
        ticks: n, prices in ticks.
        steps: n, quantities in steps.
        sells: n, the taker's side.
        times_us: n, when they happened.
        told_us: n, when the venue tells them.
    """

    order: Ints
    first_id: int
    ticks: Ints
    steps: Ints
    sells: Bools
    times_us: Ints
    told_us: Ints

    def prices(self, profile: Profile) -> Floats:
        """Return n prices, in quote units."""
        return self.ticks / 10.0**profile.tick_decimals

    def quantities(self, profile: Profile) -> Floats:
        """Return n quantities, in base units."""
        return self.steps / 10.0**profile.step_decimals


class Executions:
    """One market's trades, from chunk to chunk.

    Args:
        profile: of the market.
        shape: what all markets share.
        rng: of this market.
        start_us: source time of second 0.
        first_id: of its first trade.
    """

    def __init__(
        self, *, profile: Profile, shape: TapeShape, rng: np.random.Generator, start_us: int, first_id: int
    ) -> None:
        self._profile, self._shape, self._rng, self._start_us = profile, shape, rng, start_us
        self.sizes = Sizes(shape=shape, notional_share=profile.notional_share)
        self._next_id = first_id
        self._last_told_us = 0

    def block(self, orders: Orders, planned: PlannedOrders) -> Block:
        """Return the trades that the orders of a chunk fall into."""
        fills, steps, walk = self._divided(orders, planned)
        order = np.repeat(np.arange(len(fills)), fills)
        ticks = self._price_ticks(orders, planned, order, fills, walk)
        quantities = _split_steps(steps, fills, order, self._rng)
        times_us, told_us = self._times_us(orders)
        first_id = self._next_id
        self._next_id += len(ticks)
        return Block(order, first_id, ticks, quantities, orders.sells[order], times_us[order], told_us[order])

    def _divided(self, orders: Orders, planned: PlannedOrders) -> tuple[Ints, Ints, Floats]:
        """Return per order: how many trades, the quantity in steps, and how far each trade walks."""
        profile, shape, count = self._profile, self._shape, len(orders.times_s)
        quantities = self.sizes.quantities(orders.prices, step=profile.step, rng=self._rng)
        steps = np.round(quantities / profile.step).astype(np.int64)
        # A trade is rarely worth less than the smallest order.
        worth = np.maximum(1, quantities * orders.prices / shape.notional_min).astype(np.int64)
        fills = np.minimum(self.sizes.fills(count, self._rng), worth)
        walk = np.full(count, shape.walk_bps * 1e-4)
        at = np.flatnonzero(orders.planned >= 0)
        which = orders.planned[at]
        fills[at] = np.maximum(planned.fills[which], 1)
        steps[at] = np.maximum(fills[at], np.round(planned.quantities[which] / profile.step).astype(np.int64))
        walk[at] = planned.walks[which] / fills[at]
        return np.minimum(fills, steps), steps, walk

    def _times_us(self, orders: Orders) -> tuple[Ints, Ints]:
        """Return per order when it happened and when the venue tells it, the second never going back."""
        mean_us = self._shape.event_delay_mean_us
        delays = self._shape.event_delay_min_us + self._rng.exponential(mean_us, len(orders.times_s))
        times_us = self._start_us + np.floor(orders.times_s * 1e6).astype(np.int64)
        told_us = times_us + delays.astype(np.int64)
        if len(told_us):
            told_us = np.maximum(np.maximum.accumulate(told_us), self._last_told_us)
            self._last_told_us = int(told_us[-1])
        return times_us, told_us

    def _price_ticks(
        self, orders: Orders, planned: PlannedOrders, order: Ints, fills: Ints, walk: Floats
    ) -> Ints:
        bid, _ = best_bids(orders.prices, self._profile, self._shape)
        touch = np.where(orders.sells, bid, bid + 1)
        is_planned = orders.planned >= 0
        if is_planned.any():
            touch[is_planned & planned.inside[orders.planned]] -= (~orders.sells)[
                is_planned & planned.inside[orders.planned]
            ]
        away = np.round(self._rng.exponential(1.0, len(order)) * (walk * bid)[order])
        away[(~is_planned)[order] & (self._rng.random(len(order)) > self._shape.walk_share)] = 0
        firsts = np.cumsum(fills) - fills
        away[firsts] = 0
        total = np.cumsum(away)
        away = total - total[firsts][order]
        ticks = touch[order] + np.where(orders.sells[order], -away, away)
        whole: Ints = np.maximum(ticks, 1).astype(np.int64)
        return whole


def best_bids(prices: Floats, profile: Profile, shape: TapeShape) -> tuple[Floats, Floats]:
    """Return the best bid beside each price and the distance to the next one, in ticks; the ask is one more.

    The best prices move in steps, not with every order.
    """
    grid = np.maximum(1, np.round(prices * (shape.grid_bps * 1e-4) / profile.tick))
    bid: Floats = np.floor(prices / profile.tick / grid) * grid
    return bid, grid


def written(block: Block, profile: Profile, *, exchange: str) -> list[MarketTrade]:
    """Return trades as a venue tells them; as every one does where none is named."""
    return [
        MarketTrade(
            profile.symbol, trade_id, f"{price:.8f}", f"{quantity:.8f}", is_sale, time_us, event_us, exchange
        )
        for trade_id, price, quantity, is_sale, time_us, event_us in zip(
            range(block.first_id, block.first_id + len(block.ticks)),
            block.prices(profile).tolist(),
            block.quantities(profile).tolist(),
            block.sells.tolist(),
            block.times_us.tolist(),
            block.told_us.tolist(),
            strict=True,
        )
    ]


def _split_steps(steps: Ints, fills: Ints, order: Ints, rng: np.random.Generator) -> Ints:
    """Return each trade's part of its order's quantity, in steps: at least one, uneven, adding up exactly."""
    weights = rng.exponential(1.0, len(order))
    firsts = np.cumsum(fills) - fills
    sums = np.bincount(order, weights=weights, minlength=len(fills))
    # One step each is set aside first.
    parts: Ints = 1 + np.floor((steps - fills)[order] * weights / sums[order]).astype(np.int64)
    given = np.bincount(order, weights=parts, minlength=len(fills)).astype(np.int64)
    parts[firsts] += steps - given
    return parts
