"""A generated, labelled market: several symbols that trade like real ones, with injected events.

How orders arrive, how large they are and where the numbers come from: `profiles.py`. Prices: the logarithm of
each market's price is a Brownian motion with changing volatility, part of it common to all markets; orders
trade at the next tick on their side of it, and an order in several trades walks away from it. Events:
`scenarios.py`.

Everything is drawn in chunks of fixed length of source time, from generators seeded per market, so the same
parameters give the same trades at any speed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.arrivals import Bools, Floats, HawkesArrivals, Ints, SideRuns, Sizes, Volatility
from simulator.profiles import Profile, TapeShape, profile_of
from simulator.scenarios import Crash, ScenarioParams, Scenarios, Whale
from simulator.source import Chunk, Injected, MarketTrade, SymbolInfo

SECONDS_PER_DAY: Final = 86_400.0

# Generated time begins here unless it is moved to now: 2026-01-01 00:00 UTC.
_EPOCH_US: Final = 1_767_225_600_000_000

_CHUNK_TRADES: Final = 4_000
_CHUNK_S: Final = (0.2, 5.0)
_PART_S: Final = 0.1
_SALES_IN_FALL: Final = 0.8

# Mean of volatility ** activity_exponent, by Monte Carlo: dividing by it keeps the rate as set.
_MEAN_ACTIVITY: Final = 0.91


@dataclass(frozen=True, kw_only=True)
class MarketParams:
    """What is generated.

    Attributes:
        symbols: the venue's names; known ones have their own profile (`profiles.py`), any other gets one
            made from its name.
        rate: trades per second of source time and market, on average over markets and long times.
        seed: of everything.
        history_trades: per market, before the start.
        duration_s: source time after which it ends; None: never.
        scenarios: the injected events.
        start_us: source time of the start, in µs since the epoch.
        is_restamped: whether playback moves the start to now.
    """

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
    rate: float = 20.0
    seed: int = 1
    history_trades: int = 2_000
    duration_s: float | None = None
    scenarios: ScenarioParams = field(default_factory=ScenarioParams)
    start_us: int = _EPOCH_US
    is_restamped: bool = True

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols must be different names, at least one, not {self.symbols}")
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0, not {self.rate}")


@dataclass(frozen=True, kw_only=True)
class _Common:
    """The factor that moves all markets, over the parts of a chunk; `path` has one point more than parts."""

    times_s: Floats
    path: Floats
    volatility: Floats


class MarketSource:
    """The generated market as a source.

    Args:
        params: what is generated.
    """

    def __init__(self, params: MarketParams) -> None:
        self._params = params
        self._profiles = tuple(profile_of(symbol) for symbol in params.symbols)

    @property
    def symbols(self) -> tuple[SymbolInfo, ...]:
        """The markets."""
        return tuple(map(_symbol_info, self._profiles))

    @property
    def start_us(self) -> int:
        """Source time at which playback begins."""
        return self._params.start_us

    @property
    def is_restamped(self) -> bool:
        """Whether playback moves the start to now."""
        return self._params.is_restamped

    def history(self) -> list[MarketTrade]:
        """Return the newest trades of each market before the start, in order of time."""
        known: dict[str, list[MarketTrade]] = {profile.symbol: [] for profile in self._profiles}
        for chunk in _Crowd(self._params, self._profiles).history():
            for trade in chunk.trades:
                known[trade.symbol].append(trade)
        newest = [trade for trades in known.values() for trade in trades[-self._params.history_trades :]]
        return sorted(newest, key=attrgetter("event_time_us")) if self._params.history_trades else []

    def chunks(self) -> Iterator[Chunk]:
        """Yield the trades after the start, without end unless a duration is set."""
        crowd = _Crowd(self._params, self._profiles)
        for _ in crowd.history():
            pass
        yield from crowd.live()


class _Crowd:
    """All markets and what they share, advancing chunk by chunk."""

    def __init__(self, params: MarketParams, profiles: tuple[Profile, ...]) -> None:
        shape = TapeShape()
        total_share = sum(profile.rate_share for profile in profiles)
        rates = [params.rate * len(profiles) * profile.rate_share / total_share for profile in profiles]
        self._params = params
        self._chunk_s = float(np.clip(_CHUNK_TRADES / sum(rates), *_CHUNK_S))
        self._parts = max(1, round(self._chunk_s / _PART_S))
        # Quiet times have less than half of the usual rate, and clusters make short spans uncertain.
        history = 2.5 * params.history_trades + 200 if params.history_trades else 0
        chunks = int(np.ceil(history / min(rates) / self._chunk_s))
        self._first_chunk = -chunks
        rng = _generator(params.seed, "common")
        self._volatility = Volatility(shape=shape, rng=rng)
        self._rng = rng
        self._factor = 0.0
        self._markets = [
            _Market(params, profile, rate=rate, place=place, shape=shape, start_s=-chunks * self._chunk_s)
            for place, (profile, rate) in enumerate(zip(profiles, rates, strict=True))
        ]
        self._held: list[MarketTrade] = []

    def history(self) -> Iterator[Chunk]:
        """Yield what lies before the start; to be exhausted before `live`."""
        for number in range(self._first_chunk, 0):
            yield self._draw(number)

    def live(self) -> Iterator[Chunk]:
        """Yield what comes after the start."""
        duration_s = self._params.duration_s
        end_us = None if duration_s is None else self._params.start_us + round(duration_s * 1e6)
        number = 0
        while duration_s is None or number * self._chunk_s < duration_s:
            chunk = self._draw(number)
            if end_us is not None:
                chunk = Chunk(
                    [trade for trade in chunk.trades if trade.event_time_us < end_us],
                    [event for event in chunk.injected if event.start_us < end_us],
                )
            yield chunk
            number += 1

    def _draw(self, number: int) -> Chunk:
        start_s, end_s = number * self._chunk_s, (number + 1) * self._chunk_s
        common = self._common(start_s, end_s)
        trades, injected = self._held, []
        for market in self._markets:
            chunk = market.draw(start_s, end_s, common)
            trades += chunk.trades
            injected += chunk.injected
        trades.sort(key=attrgetter("event_time_us"))
        # What the venue tells only after the chunk's end waits, so that chunks follow each other in time.
        end_us = self._params.start_us + round(end_s * 1e6)
        told = [trade for trade in trades if trade.event_time_us < end_us]
        self._held = trades[len(told) :]
        return Chunk(told, injected)

    def _common(self, start_s: float, end_s: float) -> _Common:
        part_s = (end_s - start_s) / self._parts
        volatility = self._volatility.draw(self._parts, part_s)
        moves = self._rng.standard_normal(self._parts) * volatility * np.sqrt(part_s)
        path = self._factor + np.concatenate(([0.0], np.cumsum(moves)))
        self._factor = float(path[-1])
        return _Common(times_s=np.linspace(start_s, end_s, self._parts + 1), path=path, volatility=volatility)


@dataclass(frozen=True, kw_only=True)
class _Orders:
    """Orders of a chunk, in order of time; `whale` is an index into the whales, -1 for the others."""

    times_s: Floats
    sells: Bools
    prices: Floats
    whale: Ints


class _Market:
    """One market's state from chunk to chunk."""

    def __init__(
        self,
        params: MarketParams,
        profile: Profile,
        *,
        rate: float,
        place: int,
        shape: TapeShape,
        start_s: float,
    ) -> None:
        rng = _generator(params.seed, profile.symbol)
        first_s, crash_place = params.scenarios.first_event_after_s, min(1, len(params.symbols) - 1)
        self._profile, self._shape, self._rng, self._start_us = profile, shape, rng, params.start_us
        self._arrivals = HawkesArrivals(rate_per_s=rate / shape.mean_fills, shape=shape, rng=rng)
        self._sides = SideRuns(shape=shape, rng=rng)
        self._volatility = Volatility(shape=shape, rng=rng)
        self._sizes = Sizes(shape=shape, notional_share=profile.notional_share)
        self._scenarios = Scenarios(
            params.scenarios,
            rng=_generator(params.seed, profile.symbol + "/scenarios"),
            first_whale_s=first_s if place == 0 else None,
            first_crash_s=first_s + 10 if first_s is not None and place == crash_place else None,
        )
        self._crashes: list[Crash] = []
        self._own_log = 0.0
        self._common_start: float | None = None
        self._time_s = start_s
        self._next_id = profile.first_id
        self._last_told_us = 0

    def draw(self, start_s: float, end_s: float, common: _Common) -> Chunk:
        """Return this market's trades of a chunk."""
        whales = self._scenarios.whales(end_s) if end_s > 0 else []
        begun = self._scenarios.crashes(end_s) if end_s > 0 else []
        self._retire_crashes(start_s)
        self._crashes += begun
        own = self._volatility.draw(len(common.volatility), (end_s - start_s) / len(common.volatility))
        activity = self._activity(common, own)
        orders = self._orders(self._arrivals.draw(start_s, end_s, activity), whales, common, own)
        trades, whale_ids = self._trades(orders, whales)
        symbol, market = self._profile.symbol, self._profile.market
        injected = [crash.truth(symbol=symbol, market=market, start_us=self._start_us) for crash in begun]
        injected += [self._whale_truth(whale, trades, whale_ids == i) for i, whale in enumerate(whales)]
        return Chunk(trades, injected)

    def _retire_crashes(self, now_s: float) -> None:
        """Make what a past crash has left part of the price, so that it need not be computed for ever."""
        for crash in [crash for crash in self._crashes if crash.is_over(now_s)]:
            self._own_log += float(crash.log_offset(np.array([now_s]))[0])
            self._crashes.remove(crash)

    def _activity(self, common: _Common, own: Floats) -> Floats:
        share = self._shape.common_variance
        volatility = np.sqrt(share * common.volatility**2 + (1 - share) * own**2)
        activity: Floats = volatility**self._shape.activity_exponent / _MEAN_ACTIVITY
        for crash in self._crashes:
            activity = activity + crash.excess_activity(common.times_s[:-1])
        return activity

    def _orders(self, times_s: Floats, whales: list[Whale], common: _Common, own: Floats) -> _Orders:
        sells = self._sides.draw(len(times_s))
        for crash in self._crashes:
            pressed = crash.is_falling(times_s) & (self._rng.random(len(times_s)) < _SALES_IN_FALL)
            sells = sells | pressed
        times_s = np.concatenate((times_s, [whale.at_s for whale in whales]))
        sells = np.concatenate((sells, np.array([whale.is_sale for whale in whales], dtype=np.bool_)))
        whale = np.concatenate((np.full(len(times_s) - len(whales), -1), np.arange(len(whales))))
        order = np.argsort(times_s, kind="stable")
        times_s = times_s[order]
        prices = self._prices(times_s, common, own)
        return _Orders(times_s=times_s, sells=sells[order], prices=prices, whale=whale[order])

    def _prices(self, times_s: Floats, common: _Common, own: Floats) -> Floats:
        """Return the price between buyers and sellers at these times."""
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
        log_price = own_log + common_log
        for crash in self._crashes:
            log_price = log_price + crash.log_offset(times_s)
        prices: Floats = self._profile.price * np.exp(log_price)
        return prices

    def _trades(self, orders: _Orders, whales: list[Whale]) -> tuple[list[MarketTrade], NDArray[np.int64]]:
        """Return the trades that the orders fall into, and each one's whale (or -1)."""
        profile, rng, count = self._profile, self._rng, len(orders.times_s)
        steps = np.round(
            self._sizes.quantities(orders.prices, step=profile.step, rng=rng) / profile.step
        ).astype(np.int64)
        fills = self._sizes.fills(count, rng)
        # A trade is rarely worth less than the smallest order.
        worth = steps * profile.step * orders.prices / self._shape.notional_min
        fills = np.minimum(fills, np.maximum(1, worth.astype(np.int64)))
        walk = np.full(count, self._shape.walk_bps * 1e-4)
        for number, whale in enumerate(whales):
            at = int(np.flatnonzero(orders.whale == number)[0])
            notional = whale.multiple * self._sizes.p99_notional
            steps[at] = max(whale.fills, round(notional / orders.prices[at] / profile.step))
            fills[at] = whale.fills
            walk[at] = whale.impact_pct / 100 / whale.fills
        fills = np.minimum(fills, steps)
        order = np.repeat(np.arange(count), fills)
        ticks = self._price_ticks(orders, order, fills, walk)
        quantities = _split_steps(steps, fills, order, rng)
        delays = self._shape.event_delay_min_us + rng.exponential(self._shape.event_delay_mean_us, count)
        times_us = self._start_us + np.floor(orders.times_s * 1e6).astype(np.int64)
        told_us = np.maximum.accumulate(
            np.concatenate(([self._last_told_us], times_us + delays.astype(np.int64)))
        )
        self._last_told_us = int(told_us[-1])
        trades = self._write(ticks, quantities, orders.sells[order], times_us[order], told_us[1:][order])
        return trades, orders.whale[order]

    def _price_ticks(self, orders: _Orders, order: Ints, fills: Ints, walk: Floats) -> Ints:
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

    def _whale_truth(self, whale: Whale, trades: list[MarketTrade], belongs: Bools) -> Injected:
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


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])


def _symbol_info(profile: Profile) -> SymbolInfo:
    base, _, quote = profile.market.partition("-")
    return SymbolInfo(
        symbol=profile.symbol,
        base_asset=base,
        quote_asset=quote or profile.symbol,
        tick=f"{profile.tick:.8f}",
        step=f"{profile.step:.8f}",
    )
