"""Binance's request weights: how much a minute may hold, and what happens to those who ask on.

Source: rest-api.md and enums.md of binance-spot-api-docs (REQUEST_WEIGHT, 429 and 418, Retry-After).
The time is an argument.
"""

from dataclasses import dataclass
from typing import Final

US_PER_MINUTE: Final = 60_000_000

WEIGHTS: Final[dict[str, int]] = {
    "ping": 1,
    "time": 1,
    "exchangeInfo": 20,
    "trades": 25,
    "historicalTrades": 25,
    "aggTrades": 4,
    # Of up to 1,000 levels.
    "depth": 50,
}


@dataclass(frozen=True, kw_only=True)
class WeightParams:
    """How strict the server is.

    Attributes:
        weight_per_minute: what one address may use in a minute of the clock.
        asked_on_before_ban: requests answered 429 before the address is banned (418).
        ban_s: how long a ban lasts, in seconds; the exchange's first one is 120.
    """

    weight_per_minute: int = 6_000
    asked_on_before_ban: int = 10
    ban_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that is not answered.

    Attributes:
        status: 429 (wait) or 418 (banned).
        retry_after_s: whole seconds to wait.
        until_us: when the wait is over.
    """

    status: int
    retry_after_s: int
    until_us: int


class WeightLimiter:
    """Counts one address's weight per minute of the clock."""

    def __init__(self, params: WeightParams) -> None:
        self._params = params
        self._minute = -1
        self._asked_on = 0
        self._banned_until_us = 0
        self.used = 0
        self.used_total = 0

    def charge(self, weight: int, *, now_us: int) -> Refusal | None:
        """Count a request; return why it is refused, or None when it may be answered."""
        minute = now_us // US_PER_MINUTE
        if minute != self._minute:
            self._minute, self.used, self._asked_on = minute, 0, 0
        if now_us < self._banned_until_us:
            return _refusal(418, until_us=self._banned_until_us, now_us=now_us)
        self.used += weight
        self.used_total += weight
        if self.used <= self._params.weight_per_minute:
            return None
        self._asked_on += 1
        if self._asked_on > self._params.asked_on_before_ban:
            self._banned_until_us = now_us + round(self._params.ban_s * 1e6)
            return _refusal(418, until_us=self._banned_until_us, now_us=now_us)
        return _refusal(429, until_us=(minute + 1) * US_PER_MINUTE, now_us=now_us)


def _refusal(status: int, *, until_us: int, now_us: int) -> Refusal:
    return Refusal(status=status, retry_after_s=-((now_us - until_us) // 1_000_000), until_us=until_us)
