"""Orders into trades: sizes, prices on the book, ids and times, and whales among them."""

from dataclasses import dataclass

import numpy as np

from simulator.arrivals import Bools, Floats, Ints, Sizes
from simulator.profiles import Profile, TapeShape
from simulator.scenarios import Whale
from simulator.source import Injected, MarketTrade


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of a chunk, in order of time; `whale` is an index into the whales, -1 for the others."""

    times_s: Floats
    sells: Bools
    prices: Floats
    whale: Ints


class Executions:
    """One market's trades, from chunk to chunk.

    Args:
        profile: of the market.
        shape: what all markets share.
        rng: of this market.
        start_us: source time of second 0.
    """

    def __init__(
        self, *, profile: Profile, shape: TapeShape, rng: np.random.Generator, start_us: int
    ) -> None:
        self._profile, self._shape, self._rng, self._start_us = profile, shape, rng, start_us
        self._sizes = Sizes(shape=shape, notional_share=profile.notional_share)
        self._next_id = profile.first_id
        self._last_told_us = 0

    def trades(self, orders: Orders, whales: list[Whale]) -> tuple[list[MarketTrade], list[Injected]]:
        """Return the trades that the orders of a chunk fall into, and the truth about the whales."""
        fills, steps, walk = self._divided(orders, whales)
        order = np.repeat(np.arange(len(fills)), fills)
        ticks = self._price_ticks(orders, order, fills, walk)
        quantities = _split_steps(steps, fills, order, self._rng)
        times_us, told_us = self._times_us(orders)
        trades = self._write(ticks, quantities, orders.sells[order], times_us[order], told_us[order])
        of_whale = orders.whale[order]
        truth = [self._truth(whale, trades, of_whale == number) for number, whale in enumerate(whales)]
        return trades, truth

    def _divided(self, orders: Orders, whales: list[Whale]) -> tuple[Ints, Ints, Floats]:
        """Return per order: how many trades, the quantity in steps, and how far each trade walks."""
        profile, shape, count = self._profile, self._shape, len(orders.times_s)
        quantities = self._sizes.quantities(orders.prices, step=profile.step, rng=self._rng)
        steps = np.round(quantities / profile.step).astype(np.int64)
        # A trade is rarely worth less than the smallest order.
        worth = np.maximum(1, quantities * orders.prices / shape.notional_min).astype(np.int64)
        fills = np.minimum(self._sizes.fills(count, self._rng), worth)
        walk = np.full(count, shape.walk_bps * 1e-4)
        for number, whale in enumerate(whales):
            at = int(np.flatnonzero(orders.whale == number)[0])
            notional = whale.multiple * self._sizes.p99_notional
            steps[at] = max(whale.fills, round(notional / orders.prices[at] / profile.step))
            fills[at] = whale.fills
            walk[at] = whale.impact_pct / 100 / whale.fills
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

    def _price_ticks(self, orders: Orders, order: Ints, fills: Ints, walk: Floats) -> Ints:
        tick = self._profile.tick
        # The best prices move in steps, not with every order.
        grid = np.maximum(1, np.round(orders.prices * (self._shape.grid_bps * 1e-4) / tick))
        bid = np.floor(orders.prices / tick / grid) * grid
        touch = np.where(orders.sells, bid, bid + 1)
        away = np.round(self._rng.exponential(1.0, len(order)) * (walk * bid)[order])
        away[(orders.whale < 0)[order] & (self._rng.random(len(order)) > self._shape.walk_share)] = 0
        firsts = np.cumsum(fills) - fills
        away[firsts] = 0
        total = np.cumsum(away)
        away = total - total[firsts][order]
        ticks = touch[order] + np.where(orders.sells[order], -away, away)
        whole: Ints = np.maximum(ticks, 1).astype(np.int64)
        return whole

    def _write(
        self, ticks: Ints, steps: Ints, sells: Bools, times_us: Ints, told_us: Ints
    ) -> list[MarketTrade]:
        profile = self._profile
        first_id = self._next_id
        self._next_id += len(ticks)
        price_divisor, step_divisor = 10.0**profile.tick_decimals, 10.0**profile.step_decimals
        return [
            MarketTrade(
                profile.symbol, trade_id, f"{price:.8f}", f"{quantity:.8f}", is_sale, time_us, event_us
            )
            for trade_id, price, quantity, is_sale, time_us, event_us in zip(
                range(first_id, self._next_id),
                (ticks / price_divisor).tolist(),
                (steps / step_divisor).tolist(),
                sells.tolist(),
                times_us.tolist(),
                told_us.tolist(),
                strict=True,
            )
        ]

    def _truth(self, whale: Whale, trades: list[MarketTrade], belongs: Bools) -> Injected:
        own = [trades[int(at)] for at in np.flatnonzero(belongs)]
        notional = sum(float(trade.price) * float(trade.quantity) for trade in own)
        return Injected(
            kind="whale",
            symbol=self._profile.symbol,
            market=self._profile.market,
            start_us=own[0].trade_time_us,
            end_us=own[-1].trade_time_us,
            first_trade_id=own[0].trade_id,
            last_trade_id=own[-1].trade_id,
            parameters={
                "multiple": whale.multiple,
                "notional": notional,
                "fills": float(whale.fills),
                "is_sale": float(whale.is_sale),
                "impact_pct": whale.impact_pct,
            },
        )


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
