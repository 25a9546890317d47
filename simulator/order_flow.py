"""One generated market's orders: when they come, on which side, at which price, injected ones too."""

import hashlib
from dataclasses import dataclass

import numpy as np

from simulator.arrivals import Floats, HawkesArrivals, SideRuns, Volatility
from simulator.executions import Executions, Orders
from simulator.profiles import Profile, TapeShape
from simulator.scenarios import Crash, Scenarios, Whale
from simulator.source import Chunk

SECONDS_PER_DAY = 86_400.0

_SALES_IN_FALL = 0.8

# Mean of volatility ** activity_exponent, by Monte Carlo: dividing by it keeps the rate as set.
_MEAN_ACTIVITY = 0.91


@dataclass(frozen=True, kw_only=True)
class CommonFactor:
    """The factor that moves all markets, over the parts of a chunk; `path` has one point more than parts."""

    times_s: Floats
    path: Floats
    volatility: Floats


class OrderFlow:
    """One market's state from chunk to chunk.

    Args:
        profile: of the market.
        shape: what all markets share.
        scenarios: this market's injected events.
        rate: trades per second over long times.
        seed: of everything.
        first_s: source time of the first chunk, in seconds from the start.
        start_us: source time of second 0.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        shape: TapeShape,
        scenarios: Scenarios,
        rate: float,
        seed: int,
        first_s: float,
        start_us: int,
    ) -> None:
        rng = generator(seed, profile.symbol)
        self._profile, self._shape, self._scenarios, self._rng = profile, shape, scenarios, rng
        self._start_us = start_us
        self._arrivals = HawkesArrivals(rate_per_s=rate / shape.mean_fills, shape=shape, rng=rng)
        self._sides = SideRuns(shape=shape, rng=rng)
        self._volatility = Volatility(shape=shape, rng=rng)
        self._executions = Executions(profile=profile, shape=shape, rng=rng, start_us=start_us)
        self._crashes: list[Crash] = []
        self._own_log = 0.0
        self._common_start: float | None = None
        self._time_s = first_s

    def draw(self, start_s: float, end_s: float, common: CommonFactor) -> Chunk:
        """Return this market's trades of a chunk."""
        whales = self._scenarios.whales(end_s) if end_s > 0 else []
        begun = self._scenarios.crashes(end_s) if end_s > 0 else []
        self._retire_crashes(start_s)
        self._crashes += begun
        own = self._volatility.draw(len(common.volatility), (end_s - start_s) / len(common.volatility))
        activity = self._activity(common, own)
        orders = self._orders(self._arrivals.draw(start_s, end_s, activity), whales, common, own)
        trades, truth = self._executions.trades(orders, whales)
        symbol, market = self._profile.symbol, self._profile.market
        truth += [crash.truth(symbol=symbol, market=market, start_us=self._start_us) for crash in begun]
        return Chunk(trades, truth)

    def _retire_crashes(self, now_s: float) -> None:
        """Make what a past crash has left part of the price, so that it need not be computed for ever."""
        for crash in [crash for crash in self._crashes if crash.is_over(now_s)]:
            self._own_log += float(crash.log_offset(np.array([now_s]))[0])
            self._crashes.remove(crash)

    def _activity(self, common: CommonFactor, own: Floats) -> Floats:
        share = self._shape.common_variance
        volatility = np.sqrt(share * common.volatility**2 + (1 - share) * own**2)
        activity: Floats = volatility**self._shape.activity_exponent / _MEAN_ACTIVITY
        for crash in self._crashes:
            activity = activity + crash.excess_activity(common.times_s[:-1])
        return activity

    def _orders(self, times_s: Floats, whales: list[Whale], common: CommonFactor, own: Floats) -> Orders:
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
        return Orders(times_s=times_s, sells=sells[order], prices=prices, whale=whale[order])

    def _prices(self, times_s: Floats, common: CommonFactor, own: Floats) -> Floats:
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


def generator(seed: int, name: str) -> np.random.Generator:
    """Return random numbers that depend on the seed and on what they are for."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])
