"""When the next connection may be attempted: back-off with full jitter, and the venue's limit on attempts.

Pure: random numbers and time are arguments. The delay grows with every failure and is forgotten only after a
time of healthy data: a connection that is accepted and dies at once keeps backing off.

Source of full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections import deque
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True)
class BackoffParams:
    """How long to wait.

    Attributes:
        base_s: upper bound of the first delay.
        max_s: upper bound of every delay.
        healthy_after_s: time of data after which failures are forgotten.
    """

    base_s: float = 1.0
    max_s: float = 60.0
    healthy_after_s: float = 60.0


class Backoff:
    """The delays before the attempts of one connection.

    Args:
        params: bounds.
        random: source of jitter.
    """

    def __init__(self, params: BackoffParams, random: Random) -> None:
        self._params = params
        self._random = random
        self._failures = 0
        self._first_data_s: float | None = None

    def on_data(self, now_s: float) -> None:
        """Note that data arrived on the current connection."""
        if self._first_data_s is None:
            self._first_data_s = now_s
        elif self._failures and now_s - self._first_data_s >= self._params.healthy_after_s:
            self._failures = 0

    def on_failure(self, now_s: float) -> float:
        """Note that the connection failed or ended, and return the seconds to wait."""
        if self._first_data_s is not None and now_s - self._first_data_s >= self._params.healthy_after_s:
            self._failures = 0
        self._first_data_s = None
        # 2**30 seconds is beyond any bound; a float would overflow after a thousand failures.
        limit = min(self._params.max_s, self._params.base_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return self._random.uniform(0, limit)


class AttemptBudget:
    """A venue's limit on connection attempts, shared by all connections of a process.

    Args:
        limit: attempts allowed within the window.
        window_s: length of the sliding window.
    """

    def __init__(self, *, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._attempts_s: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Take an attempt and return 0, or take none and return the seconds until there is one."""
        while self._attempts_s and self._attempts_s[0] <= now_s - self._window_s:
            self._attempts_s.popleft()
        if len(self._attempts_s) >= self._limit:
            return self._attempts_s[0] + self._window_s - now_s
        self._attempts_s.append(now_s)
        return 0.0
