"""Which markets have gone silent, and whether that is the market's nature or the feed's fault.

A connection can be open and lively while one of its markets is dead, so every market is watched by itself.
How long a silence is normal depends on the market: the threshold is a multiple of its typical time between
trades, within bounds. That time is the inverse of a rate that fades over minutes, not a mean over the last
trades: a burst in a quiet market must not make its next silence remarkable. A silent market is first looked
up through REST. If the venue has no later trade, the market is just quiet, and is looked at less often. If it
has, and the feed does not bring them within a grace, the feed has lost them. While the venue says that a
market does not trade, silence means nothing.

Pure: `now_s` is any clock that never goes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, expm1
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class StalenessParams:
    """When a silence is looked into.

    Attributes:
        min_s: shortest silence that is.
        max_s: longest silence that is not.
        multiple: of the typical time between trades.
        memory_s: time after which a trade counts for 1/e in the rate.
        grace_s: time that the feed has for trades that REST already knows.
    """

    min_s: float = 10.0
    max_s: float = 300.0
    multiple: float = 20.0
    memory_s: float = 300.0
    grace_s: float = 3.0


class SilentMarket(NamedTuple):
    """A market whose silence must be looked into."""

    symbol: str
    silence_s: float


@dataclass(slots=True)
class _Watch:
    since_s: float
    last_s: float
    # Number of trades, each faded by its age at `last_s`.
    faded: float
    check_at_s: float
    wait_s: float
    is_trading: bool = True
    is_checked: bool = False
    lost_at_s: float | None = None


class StalenessMonitor:
    """Watches markets.

    Args:
        symbols: to watch.
        params: thresholds.
        now_s: the time at which watching begins.
    """

    def __init__(self, symbols: Iterable[str], params: StalenessParams, *, now_s: float) -> None:
        self._params = params
        # Until a market has shown how busy it is, it is taken for a very quiet one.
        self._watches = {
            symbol: _Watch(now_s, now_s, 0.0, now_s + params.max_s, params.max_s) for symbol in symbols
        }

    def on_trade(self, symbol: str, now_s: float) -> None:
        """Note that the feed (not REST) brought a trade."""
        watch = self._watches[symbol]
        params = self._params
        watch.faded = watch.faded * exp((watch.last_s - now_s) / params.memory_s) + 1
        watch.last_s = now_s
        watch.lost_at_s = None
        watch.is_checked = False
        watch.is_trading = True
        # How much time the faded count stands for; near the start, not less than a silence that matters.
        watched_s = max(now_s - watch.since_s, params.min_s)
        span_s = params.memory_s * -expm1(-watched_s / params.memory_s)
        wait_s = params.multiple * span_s / watch.faded
        watch.wait_s = wait_s = min(max(wait_s, params.min_s), params.max_s)
        watch.check_at_s = now_s + wait_s

    def set_trading(self, symbol: str, *, is_trading: bool, now_s: float) -> None:
        """Note what the venue says about a market."""
        watch = self._watches[symbol]
        if is_trading and not watch.is_trading:
            # The silence until now was the halt's.
            watch.last_s = now_s
            watch.check_at_s = now_s + watch.wait_s
        watch.is_trading = is_trading

    def is_trading(self, symbol: str) -> bool:
        """Return whether trades of a market are to be expected."""
        return self._watches[symbol].is_trading

    @property
    def has_halted(self) -> bool:
        """Whether some market does not trade."""
        return not all(watch.is_trading for watch in self._watches.values())

    def restart(self, now_s: float) -> None:
        """Begin all silences anew: it was us who did not listen."""
        for watch in self._watches.values():
            watch.last_s = now_s
            watch.check_at_s = now_s + watch.wait_s
            watch.lost_at_s = None

    def due(self, now_s: float) -> list[SilentMarket]:
        """Return the markets to look up now; each is returned once until `on_checked`."""
        silent = []
        for symbol, watch in self._watches.items():
            if watch.is_trading and not watch.is_checked and now_s >= watch.check_at_s:
                watch.is_checked = True
                silent.append(SilentMarket(symbol, now_s - watch.last_s))
        return silent

    def on_checked(self, symbol: str, *, has_later_trades: bool, now_s: float) -> None:
        """Note what REST answered to a look-up.

        Args:
            symbol: market.
            has_later_trades: whether the venue has trades after the last one that the feed brought.
            now_s: the time.
        """
        watch = self._watches[symbol]
        if not watch.is_checked:
            # A trade came in the meantime.
            return
        watch.is_checked = False
        watch.wait_s = min(2 * watch.wait_s, self._params.max_s)
        watch.check_at_s = now_s + watch.wait_s
        if has_later_trades:
            watch.lost_at_s = now_s + self._params.grace_s

    def lost(self, now_s: float) -> list[str]:
        """Return the markets that the feed has lost; each is returned once."""
        symbols = [
            symbol
            for symbol, watch in self._watches.items()
            if watch.lost_at_s is not None and now_s >= watch.lost_at_s
        ]
        for symbol in symbols:
            self._watches[symbol].lost_at_s = None
        return symbols

    def silence_s(self, symbol: str, now_s: float) -> float:
        """Return the seconds since the feed brought a trade of a market, or since watching began."""
        return now_s - self._watches[symbol].last_s
