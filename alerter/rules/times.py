"""Durations as people write them (`30s`, `5m`, `1h30m`), and times at which nobody is to be disturbed."""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shared.clock import MICROSECONDS_PER_SECOND

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")
# Sums of times stay within 64 bits, and nobody waits for longer.
_LONGEST_S: Final = 3_650 * 86_400.0
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def microseconds(value: object) -> int:
    """Return a duration in microseconds.

    Raises:
        ValueError: it is no duration, or longer than ten years.
    """
    text = str(value)
    if text in {"0", "0.0"}:
        return 0
    if isinstance(value, bool) or not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: write a number and a unit, like 30s, 5m, 1h30m, 2d")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is too long a duration: ten years at most")
    return round(seconds * MICROSECONDS_PER_SECOND)


Duration = Annotated[int, BeforeValidator(microseconds), Field(ge=0)]


def duration_words(duration_us: int) -> str:
    """Return a duration in the largest units that are exact to the second: `1 h 30 min`."""
    seconds = round(duration_us / MICROSECONDS_PER_SECOND)
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def _clock(value: object) -> object:
    # YAML 1.1 reads 22:00 without quotes as a number in base 60.
    text = f"{value // 60}:{value % 60:02d}" if isinstance(value, int) else str(value)
    found = _CLOCK.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no time of day: write 07:00 or 22:30")
    return time(int(found[1]), int(found[2]))


def _zone(value: object) -> object:
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{value!r} is no time zone: write one like Europe/Berlin or UTC") from error
    return str(value)


class MuteTime(BaseModel):
    """A span of some days of the week; one that ends before it begins lasts into the next day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[Day, ...] = _DAYS
    start: Annotated[time, BeforeValidator(_clock), Field(alias="from")] = time(0, 0)
    end: Annotated[time, BeforeValidator(_clock), Field(alias="to")] = time(0, 0)
    timezone: Annotated[str, BeforeValidator(_zone)] = "UTC"

    def until_us(self, now_us: int) -> int | None:
        """Return when it ends, if it is on; else None."""
        zone = ZoneInfo(self.timezone)
        now = datetime.fromtimestamp(now_us / MICROSECONDS_PER_SECOND, zone)
        for back in (1, 0):
            day = now.date() - timedelta(days=back)
            if _DAYS[day.weekday()] not in self.days:
                continue
            start = datetime.combine(day, self.start, zone)
            days = 1 if self.end <= self.start else 0
            end = datetime.combine(day + timedelta(days=days), self.end, zone)
            if _us(start) <= now_us < _us(end):
                return _us(end)
        return None


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * MICROSECONDS_PER_SECOND)


def utc_words(time_us: int, zone: tzinfo = UTC) -> str:
    """Return a time of day with its date, to the second."""
    moment = datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, zone)
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment:%Z}"
