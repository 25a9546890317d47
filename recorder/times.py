"""Times as people give them on a command line."""

import re
from datetime import UTC, datetime
from typing import Final

from shared.clock import MICROSECONDS_PER_SECOND

_AGO: Final = re.compile(r"(\d{1,9})([smhd])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str, *, now_us: int) -> int:
    """Return a time in microseconds since the epoch.

    Args:
        text: ISO 8601 (`2024-08-09T12:00`, UTC unless it says otherwise), or how long ago (`90s`, `15m`,
            `2h`, `1d`).
        now_us: what `ago` refers to.

    Raises:
        ValueError: it is neither, or lies before 1970.
    """
    if ago := _AGO.fullmatch(text):
        time_us = now_us - int(ago[1]) * _UNIT_S[ago[2]] * MICROSECONDS_PER_SECOND
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no time: give 2024-08-09T12:00, or 90s, 15m, 2h, 1d ago") from None
        elapsed = at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH
        time_us = (elapsed.days * 86_400 + elapsed.seconds) * MICROSECONDS_PER_SECOND + elapsed.microseconds
    if time_us < 0:
        raise ValueError(f"{text!r} lies before 1970")
    return time_us


def shown_time(time_us: int) -> str:
    """Return a time as people read it, in UTC and to the second."""
    seconds = time_us // MICROSECONDS_PER_SECOND
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        # A venue's clock may say what no date can hold; the number says it too.
        return f"{seconds} s"
