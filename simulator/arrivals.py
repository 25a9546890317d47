"""When orders come and how large they are: vectorised, one call per chunk of time, state carried over."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.profiles import TapeShape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Of 2: weights of a running sum may grow so far.
_LARGEST_EXPONENT = 200.0


class HawkesArrivals:
    """A self-exciting process, drawn exactly as the clusters that it consists of.

    Every arrival has a Poisson number of offspring (mean: the branching ratio) after delays from a mixture of
    exponentials; first ancestors are Poisson. Offspring beyond a chunk wait for the next one.

    Reference: Hawkes and Oakes, A cluster process representation of a self-exciting process, J. Appl.
    Prob. 11 (1974).

    Args:
        rate_per_s: arrivals per second over long times, offspring included.
        shape: branching ratio and delays.
        rng: of this market.
    """

    def __init__(self, *, rate_per_s: float, shape: TapeShape, rng: np.random.Generator) -> None:
        self._ancestors_per_s = rate_per_s * (1 - shape.branching_ratio)
        self._shape = shape
        self._rng = rng
        self._pending_s = np.empty(0)

    def draw(self, start_s: float, end_s: float, activity: Floats) -> Floats:
        """Return the times of arrivals in [start_s, end_s), sorted.

        Args:
            start_s: the end of the span drawn before.
            end_s: of this one.
            activity: how busy the market is over equal parts of the span, 1 on average.
        """
        parts = np.linspace(start_s, end_s, len(activity) + 1)
        expected = self._ancestors_per_s * activity * np.diff(parts)
        counts = self._rng.poisson(expected)
        born = np.repeat(parts[:-1], counts) + self._rng.random(counts.sum()) * np.repeat(
            np.diff(parts), counts
        )
        generations = [self._pending_s, born]
        while len(born):
            born = self._offspring(born)
            generations.append(born)
        times = np.sort(np.concatenate(generations))
        split = int(np.searchsorted(times, end_s))
        self._pending_s = times[split:]
        return times[:split]

    def _offspring(self, parents: Floats) -> Floats:
        shape = self._shape
        children = np.repeat(parents, self._rng.poisson(shape.branching_ratio, len(parents)))
        kind = np.searchsorted(np.cumsum(shape.delay_shares)[:-1], self._rng.random(len(children)))
        return children + self._rng.exponential(np.asarray(shape.delay_means_s)[kind])


class SideRuns:
    """Taker sides with long memory: runs of one side, of heavy-tailed length, sides drawn fairly per run."""

    def __init__(self, *, shape: TapeShape, rng: np.random.Generator) -> None:
        self._shape = shape
        self._rng = rng
        self._left = np.empty(0, dtype=np.bool_)

    def draw(self, count: int) -> Bools:
        """Return for the next orders whether their taker sells."""
        shape, parts, have = self._shape, [self._left], len(self._left)
        while have < count:
            runs = max(16, count // 2)
            lengths = np.floor(self._rng.random(runs) ** (-1 / shape.side_run_exponent)).astype(np.int64)
            lengths = np.minimum(lengths, shape.side_run_max)
            sides = np.repeat(self._rng.random(runs) < 0.5, lengths)
            parts.append(sides)
            have += len(sides)
        sides = np.concatenate(parts)
        self._left = sides[count:]
        return sides[:count]


class Volatility:
    """The logarithm of volatility as the sum of two Ornstein-Uhlenbeck processes, one slow and one fast."""

    def __init__(self, *, shape: TapeShape, rng: np.random.Generator) -> None:
        self._rng = rng
        self._half_lives_s = np.array([shape.slow_half_life_s, shape.fast_half_life_s])
        self._sds = np.array([shape.slow_sd, shape.fast_sd])
        self._values = rng.standard_normal(2) * self._sds

    def draw(self, parts: int, part_s: float) -> Floats:
        """Return the factor on volatility over the next parts of time; its mean square is 1."""
        decay = 0.5 ** (part_s / self._half_lives_s)
        shocks = self._rng.standard_normal((parts, 2)) * (self._sds * np.sqrt(1 - decay**2))
        path = np.empty(parts)
        # Summed up in stretches that are short enough for the growing weights.
        stretch = max(1, int(_LARGEST_EXPONENT * self._half_lives_s.min() / part_s))
        for begin in range(0, parts, stretch):
            part = shocks[begin : begin + stretch]
            fading = decay ** np.arange(1, len(part) + 1)[:, np.newaxis]
            values = fading * (self._values + np.cumsum(part / fading, axis=0))
            self._values = values[-1]
            path[begin : begin + stretch] = values.sum(axis=1)
        return np.exp(path - float((self._sds**2).sum()))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large orders are and into how many trades they fall.

    Attributes:
        shape: the distributions.
        notional_share: this market's sizes over the average market's.
    """

    shape: TapeShape
    notional_share: float

    @property
    def p99_notional(self) -> float:
        """99 % of this market's orders are smaller, in quote units."""
        return self.shape.p99_notional * self.notional_share

    @property
    def mean_notional(self) -> float:
        """What an order is worth on average, in quote units; the tail's cap included."""
        shape = self.shape
        z99 = math.log(shape.p99_notional / shape.notional_median) / shape.notional_sigma
        below = 0.5 * (1.0 + math.erf((z99 - shape.notional_sigma) / math.sqrt(2.0)))
        body = shape.notional_median * math.exp(shape.notional_sigma**2 / 2.0) * below
        slope = shape.tail_index - 1.0
        longest = 1.0 - math.exp(-slope * math.log(shape.tail_cap))
        return (body + 0.01 * shape.p99_notional * (1.0 + longest / slope)) * self.notional_share

    def quantities(self, prices: Floats, *, step: float, rng: np.random.Generator) -> Floats:
        """Return the quantities of orders at these prices, multiples of `step`, at least the smallest."""
        shape, count = self.shape, len(prices)
        notional = shape.notional_median * np.exp(shape.notional_sigma * rng.standard_normal(count))
        tail = np.minimum(rng.random(count) ** (-1 / shape.tail_index), shape.tail_cap) * shape.p99_notional
        notional = np.where(notional > shape.p99_notional, tail, notional) * self.notional_share
        quantity = np.maximum(notional, shape.notional_min) / prices
        habit = rng.random(count)
        one_digit = habit < shape.one_digit_share
        two_digit = (habit >= shape.one_digit_share) & (habit < shape.one_digit_share + shape.two_digit_share)
        scale = 10.0 ** np.floor(np.log10(quantity))
        quantity = np.where(one_digit, np.round(quantity / scale) * scale, quantity)
        quantity = np.where(two_digit, np.round(quantity / scale * 10) * scale / 10, quantity)
        smallest = habit >= 1 - shape.smallest_share
        # A machine's order stays the same while the price moves: the smallest with two significant digits.
        least = shape.notional_min / prices
        digits = 10.0 ** (np.floor(np.log10(least)) - 1)
        quantity = np.where(smallest, np.ceil(least / digits) * digits, quantity)
        return np.maximum(np.round(quantity / step), np.ceil(least / step)) * step

    def fills(self, count: int, rng: np.random.Generator) -> Ints:
        """Return into how many trades each of `count` orders falls."""
        shape = self.shape
        several = np.round(shape.fills_median * np.exp(shape.fills_sigma * rng.standard_normal(count)))
        several = np.clip(several, 2, shape.fills_max)
        return np.where(rng.random(count) < shape.single_fill_share, 1, several).astype(np.int64)
