"""Waiting before the next attempt: exponential, with full jitter, capped."""

import random
from typing import Final

FIRST_S: Final = 0.2
LONGEST_S: Final = 10.0


class Backoff:
    """Gives the waits between attempts; doubles until `longest_s`, each drawn between half and full.

    Args:
        first_s: first wait.
        longest_s: cap.
    """

    def __init__(self, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._attempts = 0

    def next_s(self) -> float:
        """Return how long to wait now."""
        wait_s: float = min(self._longest_s, self._first_s * 2**self._attempts)
        self._attempts += 1
        return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Begin anew after a success."""
        self._attempts = 0
