"""Waiting in tests: poll with a deadline, never sleep for a guess."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], *, seconds: float, about: str, every_s: float = 0.01) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it did not hold within `seconds`.
    """
    deadline_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"waited {seconds:g} s in vain for {about}")
        time.sleep(every_s)
