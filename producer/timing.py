"""How a market's event times stand to our clock, and to each other.

Receipt minus event time is the difference of the two clocks plus the way of the trade. The shortest way
hardly changes, so the minimum over a window is skew plus that floor, and moves when a clock does; the median
is what a trade usually takes. A late trade is older than one of its market that came before it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

_WINDOW_TRADES = 128


class Timing(NamedTuple):
    """What is known of one market.

    Attributes:
        skew_min_us: least receipt minus event time among its latest live trades; negative when the venue's
            clock is ahead of ours.
        skew_median_us: the median of the same.
        late_total: live trades that were older than one before them.
    """

    skew_min_us: int
    skew_median_us: int
    late_total: int


@dataclass(slots=True)
class _Market:
    skews_us: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW_TRADES))
    latest_us: int = 0
    late_total: int = 0


class TimingMonitor:
    """Keeps the latest differences per market; its memory is bounded by the number of markets."""

    def __init__(self) -> None:
        self._markets: dict[str, _Market] = {}

    def on_trade(self, symbol: str, *, event_time_us: int, received_time_us: int) -> None:
        """Note a live trade."""
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = _Market()
        market.skews_us.append(received_time_us - event_time_us)
        if event_time_us < market.latest_us:
            market.late_total += 1
        else:
            market.latest_us = event_time_us

    def timing(self, symbol: str) -> Timing | None:
        """Return what is known of a market; None before its first live trade."""
        market = self._markets.get(symbol)
        if market is None:
            return None
        skews_us = sorted(market.skews_us)
        return Timing(skews_us[0], skews_us[len(skews_us) // 2], market.late_total)
