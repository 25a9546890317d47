"""One generated market's orders: when they come, on which side, at which price, those of events too."""

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple, Self

import msgspec
import numpy as np

from simulator.arrivals import Bools, Floats, HawkesArrivals, SideRuns, Volatility
from simulator.depth import INSTANT_S, Asked, Depth, DepthBlock, usual_depth
from simulator.effects import Effect, MarketFacts, PlannedOrders, Walls
from simulator.executions import Block, Executions, Orders
from simulator.following import Follower, Leader
from simulator.profiles import Profile, TapeShape
from simulator.scenarios import Due, Scenarios
from simulator.seeds import generator
from simulator.source import Injected

SECONDS_PER_DAY = 86_400.0

# Mean of volatility ** activity_exponent, by Monte Carlo: dividing by it keeps the rate as set.
_MEAN_ACTIVITY = 0.91
# Ids of a venue that follows begin elsewhere.
_OWN_IDS = 10**9
# How far the price goes from a wall while it stands: it stays among the ten best levels.
_WALL_HOLDS = 1e-4


@dataclass(frozen=True, kw_only=True)
class CommonFactor:
    """The factor that moves all markets, over the parts of a chunk; `path` has one point more than parts."""

    times_s: Floats
    path: Floats
    volatility: Floats


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a market is traded.

    Attributes:
        profile: of the market.
        exchange: the venue.
        is_leader: whether prices are made here; other venues follow.
        rate: trades per second over long times.
        has_quotes: whether its order book is drawn too.
    """

    profile: Profile
    exchange: str
    is_leader: bool
    rate: float
    has_quotes: bool = False


class Drawn(NamedTuple):
    """One market's chunk: trades, the truth about events that begin, what other venues follow, books."""

    block: Block
    truth: list[Injected]
    leader: Leader
    depth: DepthBlock | None = None


class OrderFlow:
    """One market's state from chunk to chunk.

    Args:
        place: market and venue.
        shape: what all markets share.
        scenarios: this market's events.
        seed: of everything.
        first_s: source time of the first chunk, in seconds from the start.
        start_us: source time of second 0.
    """

    def __init__(
        self,
        *,
        place: Place,
        shape: TapeShape,
        scenarios: Scenarios,
        seed: int,
        first_s: float,
        start_us: int,
    ) -> None:
        profile, exchange = place.profile, place.exchange
        name = f"{exchange}/{profile.symbol}"
        rng = generator(seed, profile.symbol if place.is_leader else name)
        self._place, self._shape, self._scenarios, self._rng = place, shape, scenarios, rng
        self._profile = profile
        self._start_us = start_us
        self._arrivals = HawkesArrivals(rate_per_s=place.rate / shape.mean_fills, shape=shape, rng=rng)
        self._sides = SideRuns(shape=shape, rng=rng)
        self._volatility = Volatility(shape=shape, rng=rng)
        first_id = int(generator(seed, f"{name}/ids").integers(1, _OWN_IDS))
        self._executions = Executions(
            profile=profile,
            shape=shape,
            rng=rng,
            start_us=start_us,
            first_id=profile.first_id if place.is_leader else first_id,
        )
        self._follower = Follower(seed=seed, name=name, rng=rng, first_s=first_s)
        self._depth = Depth(
            profile=profile,
            shape=shape,
            rng=generator(seed, f"{exchange}/{profile.symbol}/depth"),
            mean_notional=self._executions.sizes.mean_notional,
            start_us=start_us,
        )
        self._effects: list[Effect] = []
        self._held_at: dict[tuple[float, bool], float] = {}
        self._busy_until_s: dict[str, float] = {}
        self._own_log = self._settled_log = self._last_log = 0.0
        self._common_start: float | None = None
        # Where the price was with its events, at the end of the chunk before.
        self._latest_log: float | None = None
        self._time_s = first_s

    def draw(self, start_s: float, end_s: float, common: CommonFactor, leader: Leader | None) -> Drawn:
        """Return this market's trades of a chunk.

        Args:
            start_s: of the chunk.
            end_s: of the chunk.
            common: what moves all markets.
            leader: prices on the market's first venue; None: this is the first.
        """
        begun = self._begin(end_s) if end_s > 0 else []
        self._retire_effects(start_s)
        self._effects += [effect for _, effect in begun]
        own = self._volatility.draw(len(common.volatility), (end_s - start_s) / len(common.volatility))
        times_s = self._arrivals.draw(start_s, end_s, self._activity(common, own))
        planned = PlannedOrders.joined([effect.orders.between(start_s, end_s) for effect in self._effects])
        orders, calm = self._orders(times_s, planned, common, own, leader)
        if len(calm):
            self._last_log = float(calm[-1])
        block = self._executions.block(orders, planned)
        truth = [self._truth(due, effect, orders, block) for due, effect in begun]
        depth = None
        if self._place.has_quotes:
            walls = Walls.joined(
                [effect.walls.between(start_s - INSTANT_S, end_s) for effect in self._effects]
            )
            asked = Asked(start_s=start_s, end_s=end_s, orders=orders, block=block, walls=walls)
            depth = self._depth.block(asked)
        return Drawn(block, truth, Leader(orders.times_s, calm), depth)

    def with_scenarios(self, scenarios: Scenarios) -> Self:
        """Return a copy that goes on from here with other events; this one goes on as before."""
        return deepcopy(self, {id(self._scenarios): scenarios})

    def _begin(self, end_s: float) -> list[tuple[Due, Effect]]:
        begun = []
        for due in self._scenarios.due(end_s):
            if due.at_s < self._busy_until_s.get(due.name, -np.inf):
                continue
            effect = due.scenario.plan(due.strength, due.at_s, self._facts(), due.rng)
            self._busy_until_s[due.name] = effect.end_s
            begun.append((due, effect))
        return begun

    def _facts(self) -> MarketFacts:
        shape, sizes = self._shape, self._executions.sizes
        return MarketFacts(
            price=self._profile.price * float(np.exp(self._last_log + self._settled_log)),
            step=self._profile.step,
            p99_notional=sizes.p99_notional,
            mean_notional=sizes.mean_notional,
            depth=usual_depth(sizes.mean_notional),
            orders_per_s=self._place.rate / shape.mean_fills,
            trades_per_s=self._place.rate,
            start_us=self._start_us,
        )

    def _retire_effects(self, now_s: float) -> None:
        """Make what past events have left part of the price, so that it need not be computed for ever."""
        for effect in [effect for effect in self._effects if effect.is_over(now_s)]:
            self._settled_log += float(effect.path.values[-1])
            self._effects.remove(effect)
            for begin_s, _, is_ask in effect.walls.spans_s:
                self._held_at.pop((begin_s, is_ask), None)

    def _activity(self, common: CommonFactor, own: Floats) -> Floats:
        share = self._shape.common_variance
        volatility = np.sqrt(share * common.volatility**2 + (1 - share) * own**2)
        activity: Floats = volatility**self._shape.activity_exponent / _MEAN_ACTIVITY
        for effect in self._effects:
            activity = activity + effect.activity.at(common.times_s[:-1])
        return activity

    def _orders(
        self,
        times_s: Floats,
        planned: PlannedOrders,
        common: CommonFactor,
        own: Floats,
        leader: Leader | None,
    ) -> tuple[Orders, Floats]:
        """Return the orders, and where the price would be without events."""
        sells = self._pressed(self._sides.draw(len(times_s)), times_s)
        number = np.concatenate((np.full(len(times_s), -1), np.arange(len(planned))))
        times_s = np.concatenate((times_s, planned.times_s))
        sells = np.concatenate((sells, planned.sells))
        order = np.argsort(times_s, kind="stable")
        times_s = times_s[order]
        if leader is None:
            calm = self._log_prices(times_s, common, own)
        else:
            calm = self._follower.log_prices(times_s, leader, end_s=float(common.times_s[-1]))
        moved = calm + self._settled_log
        for effect in self._effects:
            moved = moved + effect.path.at(times_s)
        for effect in self._effects:
            moved = self._held(effect, times_s, moved)
        if len(moved):
            self._latest_log = float(moved[-1])
        prices: Floats = self._profile.price * np.exp(moved)
        return Orders(times_s=times_s, sells=sells[order], prices=prices, planned=number[order]), calm

    def _held(self, effect: Effect, times_s: Floats, moved: Floats) -> Floats:
        """Return log prices that walls hold: they do not pass one, nor go far from it while it stands."""
        for begin_s, until_s, is_ask in effect.walls.spans_s:
            # Until books show that it is gone.
            at = slice(*np.searchsorted(times_s, (begin_s, until_s + INSTANT_S)).tolist())
            if at.start == at.stop:
                continue
            # By the last order before, as that is what the wall was put beside.
            latest = self._latest_log if at.start == 0 else float(moved[at.start - 1])
            here = self._held_at.setdefault((begin_s, is_ask), float(moved[0]) if latest is None else latest)
            low, high = (here - _WALL_HOLDS, here) if is_ask else (here, here + _WALL_HOLDS)
            moved[at] = np.clip(moved[at], low, high)
        return moved

    def _pressed(self, sells: Bools, times_s: Floats) -> Bools:
        for effect in self._effects:
            share = effect.pressure.at(times_s)
            if share.any():
                is_pressed = self._rng.random(len(times_s)) < np.abs(share)
                sells = np.where(is_pressed, share > 0, sells)
        return sells

    def _log_prices(self, times_s: Floats, common: CommonFactor, own: Floats) -> Floats:
        """Return the logarithm of the price between buyers and sellers, over that at the beginning."""
        sd = self._profile.daily_volatility / np.sqrt(SECONDS_PER_DAY)
        common_sd = sd * np.sqrt(self._shape.common_variance)
        own_sd = sd * np.sqrt(1 - self._shape.common_variance)
        if self._common_start is None:
            self._common_start = float(common.path[0])
        parts = np.clip(np.searchsorted(common.times_s, times_s, side="right") - 1, 0, len(own) - 1)
        since_s = np.diff(times_s, prepend=self._time_s)
        moves = self._rng.standard_normal(len(times_s)) * own[parts] * own_sd * np.sqrt(since_s)
        own_log = self._own_log + np.cumsum(moves)
        if len(times_s):
            self._own_log, self._time_s = float(own_log[-1]), float(times_s[-1])
        common_log = common_sd * (np.interp(times_s, common.times_s, common.path) - self._common_start)
        log_prices: Floats = own_log + common_log
        return log_prices

    def _truth(self, due: Due, effect: Effect, orders: Orders, block: Block) -> Injected:
        truth = Injected(
            kind=due.scenario.kind,
            symbol=self._profile.symbol,
            market=self._profile.market,
            exchange=self._place.exchange,
            id=due.event_id,
            scenario=due.name,
            strength=due.strength,
            unit=due.scenario.unit,
            start_us=self._start_us + int(np.floor(effect.start_s * 1e6)),
            end_us=self._start_us + int(np.floor(effect.end_s * 1e6)),
            parameters=dict(effect.parameters),
        )
        if not effect.is_one_instant:
            return truth
        # Ordinary orders come at no such instant.
        mine = np.flatnonzero((orders.times_s == effect.start_s) & (orders.planned >= 0))
        own = np.flatnonzero(np.isin(block.order, mine))
        if not len(own):
            return truth
        notional = float((block.prices(self._profile) * block.quantities(self._profile))[own].sum())
        return msgspec.structs.replace(
            truth,
            first_trade_id=block.first_id + int(own[0]),
            last_trade_id=block.first_id + int(own[-1]),
            parameters=truth.parameters | {"notional": notional},
        )
