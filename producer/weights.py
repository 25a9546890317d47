"""How much may be asked of a venue's REST interface: a budget of weight per minute, and orders to wait.

Pure: `now_s` is any clock that never goes back. Three limits hold at once: our own share within any 60 s, the
venue's limit for our address, of which it may report the use in a header (others may share the address), and
a least time between two requests where the venue counts by the second.

Source: Binance `rest-api.md`, "Limits": REQUEST_WEIGHT per minute and address; 429 and 418 carry Retry-After.
"""

from collections import deque

_WINDOW_S = 60.0
# The venue counts from minute to minute on its own clock; asking again after this is soon enough.
_NEAR_LIMIT_WAIT_S = 5.0
_NEAR_LIMIT = 0.95


class WeightBudget:
    """The weight that may be spent.

    Args:
        per_minute: our share within any 60 s.
        venue_per_minute: the venue's limit for our address.
        spacing_s: least time between two requests.
    """

    def __init__(self, *, per_minute: int, venue_per_minute: int, spacing_s: float = 0.0) -> None:
        self._per_minute = per_minute
        self._venue_per_minute = venue_per_minute
        self._spacing_s = spacing_s
        self._spent: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._blocked_until_s = 0.0

    def take(self, weight: int, now_s: float, *, keep_free: int = 0) -> float:
        """Spend the weight and return 0, or spend nothing and return the seconds to wait.

        Args:
            weight: of the request.
            now_s: the time.
            keep_free: weight that must remain for others.

        Raises:
            ValueError: the weight can never be had.
        """
        if weight + keep_free > self._per_minute:
            raise ValueError(
                f"a request of weight {weight} exceeds the budget of {self._per_minute} a minute"
            )
        while self._spent and self._spent[0][0] <= now_s - _WINDOW_S:
            self._in_window -= self._spent.popleft()[1]
        if now_s < self._blocked_until_s:
            return self._blocked_until_s - now_s
        if self._in_window + weight + keep_free <= self._per_minute:
            self._spent.append((now_s, weight))
            self._in_window += weight
            self._blocked_until_s = now_s + self._spacing_s
            return 0.0
        return self._wait_for(weight + keep_free, now_s)

    def observe_used(self, used: int, now_s: float) -> None:
        """Note the weight that the venue says our address has used in its current minute."""
        if used >= self._venue_per_minute * _NEAR_LIMIT:
            self.block(_NEAR_LIMIT_WAIT_S, now_s)

    def block(self, seconds: float, now_s: float) -> None:
        """Ask nothing for this long: the venue said so."""
        self._blocked_until_s = max(self._blocked_until_s, now_s + seconds)

    def _wait_for(self, weight: int, now_s: float) -> float:
        excess = self._in_window + weight - self._per_minute
        for spent_s, amount in self._spent:
            excess -= amount
            if excess <= 0:
                return spent_s + _WINDOW_S - now_s
        raise AssertionError("unreachable: the whole window holds more than the excess")
