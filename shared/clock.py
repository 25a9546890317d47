"""Time as an argument: the one place that asks the operating system what time it is.

Pure logic takes `now_us` as a parameter. What runs at the edge takes a `Clock`, so that a test advances
time as a value instead of patching or sleeping.
"""

import time
from typing import Protocol

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean something."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        """Return seconds of the operating system's monotonic clock."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Return the set time in microseconds since the Unix epoch."""
        return self._now_us

    def monotonic_s(self) -> float:
        """Return the set time in seconds."""
        return self._now_us / MICROSECONDS_PER_SECOND

    def advance(self, *, seconds: float) -> None:
        """Move time forward.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        self._now_us += round(seconds * MICROSECONDS_PER_SECOND)
