"""The generated markets' parameters, and where they come from.

Measured on the recordings of REAL_DATA_DIR: 9,757 BTCUSDT and 6,106 ETHUSDT trades of 2024-08-08 (346 s, a
busy evening), 10,000 TRXUSDT trades of 2025-03-04 (48 min) and the 397,467 BTCUSDC aggregates of 2025-10-04
and -08. An *order* is a run of trades with the same trade time and the same taker side. What was measured, in
that order, then what is used:

- Orders a second: 9.4, 5.6, 1.6, 1.1, 1.9. Set by the caller.
- Trades per order: one in .70, .58, .78 of orders (.87 and .82 in aggregates, where fills at one price are
  already one); more than 5 in .108, .152, .101; more than 10 in .047, .059, .041; more than 20 in .015, .013,
  .003; mean 3.0, 3.2, 2.2. Used: one with probability .62, else log-normal, median 3.8, sigma 0.9, at least
  2, but never more than the order holds smallest orders: one in .69 of orders, mean 2.3.
- Side: the next order is of the same side in .68, .75, .73 (.80, .82); autocorrelation at lags 1, 2, 5, 10,
  50: .36 .32 .24 .18 .08 / .50 .39 .25 .11 .00 / .46 .41 .35 .28 .13. Used: runs of one side whose length
  exceeds j with probability j^-1.7 (order splitting; Lillo, Mike and Farmer, Phys. Rev. E 71, 066122, 2005),
  which gives .76 and .51 .36 .21 .13 .05.
- Time between orders: median 25, 26, 100 (76, 55) ms where the mean is 107, 179, 635 (915, 525) ms; tenth
  percentile 1, 1, 0.1 (0.5, 0.6) ms; coefficient of variation 1.7, 1.8, 1.8 (2.1, 2.3). Variance over mean of
  counts in 1, 10, 60 s: 13 25 51 / 8 12 23 / 11 17 25 / 13 27 52 / 9 23 62. Used: a Hawkes process of
  branching ratio 0.72 with delays of 4 ms (55 %), 150 ms (25 %) and 4 s (20 %), on a base rate that follows
  volatility.
- Notional of an order: median 214, 110, 215 (264, 242) quote; standard deviation of its logarithm 2.5, 2.5,
  2.3 (2.2, 2.2); 99 % below 73, 39, 34 (37, 38) thousand; Hill index of the largest hundredth 1.3, 1.4, 2.2
  (1.6, 1.9). Used: log-normal, median 220, sigma 2.25, above its 99 % point a Pareto tail of index 1.6,
  capped at 20 times that point; at least 5.2, the exchange's smallest order.
- Quantities with one significant digit .34, .38 of trades, with two .29, .22 (BTC, ETH); the commonest single
  size is .17, .26, .13 (.13, .18) of all trades, a few quote units each: machines sending the smallest order.
  Used: .14 of orders are the smallest one, .22 are rounded to one digit and .18 to two.
- Volatility: 3.8, 3.3 and 7.1 % a day from one-second moves, 0.7 and 1.5 % on the quiet days; kurtosis of 10
  s moves 5.9, 2.8, 3.1 (11.9, 6.4); autocorrelation of their size .2 falling to .05 after half an hour
  (BTCUSDC). Used: per market 3 to 5 % a day, times the exponential of two mean-reverting factors (half-lives
  20 min and 30 s, standard deviations 0.45 and 0.35).
- Between BTC and ETH: correlation of 10 s moves .71. Used: a common factor that carries 70 % of the variance.
- `E` minus `T`: median 625, first percentile 318 µs (TRXUSDT). Used: 320 µs and an exponential of mean 300
  µs.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from shared.recordings.markets import market_of


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What tells one generated market from another.

    Attributes:
        symbol: the venue's name.
        price: of the first trade, in quote units.
        tick_decimals: decimals of the price.
        step_decimals: decimals of the quantity.
        rate_share: its trades per second, over the average market's.
        notional_share: its sizes, over the average market's.
        daily_volatility: standard deviation of a day's log return.
        first_id: trade id at the beginning of its history.
    """

    symbol: str
    price: float
    tick_decimals: int
    step_decimals: int
    rate_share: float = 1.0
    notional_share: float = 1.0
    daily_volatility: float = 0.05
    first_id: int

    @property
    def tick(self) -> float:
        """Smallest step of the price."""
        return float(f"1e-{self.tick_decimals}")

    @property
    def step(self) -> float:
        """Smallest step of the quantity."""
        return float(f"1e-{self.step_decimals}")

    @property
    def market(self) -> str:
        """Our name of the market."""
        return market_of(self.symbol)


@dataclass(frozen=True, kw_only=True)
class TapeShape:
    """What all markets share; see the module's docstring for each number's origin."""

    single_fill_share: float = 0.62
    fills_median: float = 3.8
    fills_sigma: float = 0.9
    fills_max: int = 100
    side_run_exponent: float = 1.7
    side_run_max: int = 500
    branching_ratio: float = 0.72
    delay_means_s: tuple[float, ...] = (0.004, 0.15, 4.0)
    delay_shares: tuple[float, ...] = (0.55, 0.25, 0.20)
    notional_median: float = 220.0
    notional_sigma: float = 2.25
    tail_index: float = 1.6
    tail_cap: float = 20.0
    notional_min: float = 5.2
    smallest_share: float = 0.14
    one_digit_share: float = 0.22
    two_digit_share: float = 0.18
    slow_half_life_s: float = 1_200.0
    slow_sd: float = 0.45
    fast_half_life_s: float = 30.0
    fast_sd: float = 0.35
    activity_exponent: float = 0.7
    common_variance: float = 0.70
    walk_share: float = 0.35
    walk_bps: float = 0.06
    grid_bps: float = 0.15
    event_delay_min_us: float = 320.0
    event_delay_mean_us: float = 300.0

    @property
    def mean_fills(self) -> float:
        """Trades per order on average, as drawn (rounded, bounded): found by simulation of the formula."""
        return 2.32

    @property
    def p99_notional(self) -> float:
        """99 % of orders of an average market are smaller, in quote units."""
        z99 = 2.3263
        return float(self.notional_median * 2.718281828459045 ** (z99 * self.notional_sigma))


_KNOWN: Final = {
    profile.symbol: profile
    for profile in (
        Profile(
            symbol="BTCUSDT",
            price=61_840.0,
            tick_decimals=2,
            step_decimals=5,
            rate_share=1.6,
            notional_share=1.3,
            daily_volatility=0.030,
            first_id=3_735_000_000,
        ),
        Profile(
            symbol="ETHUSDT",
            price=2_680.0,
            tick_decimals=2,
            step_decimals=4,
            rate_share=1.1,
            notional_share=0.9,
            daily_volatility=0.035,
            first_id=1_515_000_000,
        ),
        Profile(
            symbol="BNBUSDT",
            price=512.0,
            tick_decimals=1,
            step_decimals=3,
            rate_share=0.6,
            notional_share=0.7,
            daily_volatility=0.035,
            first_id=905_000_000,
        ),
        Profile(
            symbol="SOLUSDT",
            price=154.0,
            tick_decimals=2,
            step_decimals=3,
            rate_share=0.9,
            notional_share=0.8,
            daily_volatility=0.045,
            first_id=702_000_000,
        ),
        Profile(
            symbol="XRPUSDT",
            price=0.6120,
            tick_decimals=4,
            step_decimals=0,
            rate_share=0.8,
            notional_share=0.7,
            daily_volatility=0.045,
            first_id=655_000_000,
        ),
    )
}


def profile_of(symbol: str) -> Profile:
    """Return a market's profile; one that is not known gets one that depends on its name alone."""
    symbol = symbol.upper()
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    digest = hashlib.blake2b(symbol.encode(), digest_size=8).digest()
    exponent = digest[0] % 4 - 1
    price = float(f"{(1 + digest[1] / 29) * 10.0**exponent:.4g}")
    return Profile(
        symbol=symbol,
        price=price,
        tick_decimals=3 - exponent,
        step_decimals=max(0, exponent + 1),
        rate_share=0.3 + digest[2] / 512,
        notional_share=0.3 + digest[3] / 512,
        daily_volatility=0.04 + digest[4] / 5_000,
        first_id=10_000_000 + int.from_bytes(digest[5:8], "big"),
    )
