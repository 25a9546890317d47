"""Numbers as traders read them: significant digits, thousands, signs, compact sums, ages, UTC.

Every function returns plain text. A missing figure is an en dash, never 0.
"""

import math
from datetime import UTC, datetime
from typing import Final

MISSING: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
_SIGNIFICANT_DIGITS: Final = 5
_MAX_DECIMALS: Final = 12
_US_PER_S: Final = 1_000_000
_LATEST_US: Final = 253_402_300_799 * _US_PER_S  # the last second of the year 9999, where datetime ends


def price_decimals(reference: float) -> int:
    """Return how many decimals a market's prices are shown with.

    Five significant digits and at least two decimals, so that a column of one market's prices lines up.

    Args:
        reference: a typical price of the market, in quote units.
    """
    if not math.isfinite(reference) or reference <= 0:
        return 2
    return min(_MAX_DECIMALS, max(2, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(reference))))


def price(value: float | None, *, reference: float | None = None) -> str:
    """Return a price in quote units: `67,123.45`, `0.51234`, `0.000012340`."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.{price_decimals(reference if reference is not None else value)}f}"


def signed_pct(value: float | None) -> str:
    """Return a change in per cent with its sign: `+1.23 %`."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, 2)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,.2f} %"


def compact(value: float | None) -> str:
    """Return a sum with three significant digits: `999`, `1.23k`, `45.6M`, `7.89B`."""
    if value is None or not math.isfinite(value):
        return MISSING
    sign = _MINUS if value < 0 else ""
    size = abs(value)
    for suffix, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        # A value that would round up to 1,000 of the smaller unit belongs to this one.
        if size >= unit * 0.9995:
            return sign + _three_digits(size / unit) + suffix
    return sign + (_three_digits(size) if size else "0")


def count(value: float | None) -> str:
    """Return a whole number with thousands: `12,345`."""
    return MISSING if value is None or not math.isfinite(value) else f"{round(value):,}"


def rate(value: float | None) -> str:
    """Return events per second: `0.30`, `12.3`, `1,950`; the unit stands in the column's head."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rarity(probability: float | None) -> str:
    """Return a calibrated probability as `1 in 12,000`; a dash while the calibrator warms up."""
    if probability is None or not math.isfinite(probability):
        return MISSING
    if probability <= 0:
        return "1 in >1T"
    one_in = 1 / probability
    if one_in < 1_000_000:
        return f"1 in {one_in:,.0f}"
    return "1 in >1T" if one_in > 1e12 else f"1 in {compact(one_in)}"


def duration(seconds: float | None) -> str:
    """Return a length of time: `0.4 s`, `12 s`, `3 min`, `2.5 h`, `41 d`. A negative one counts as 0."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 7_170:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:,.0f} d"


def span_ms(seconds: float | None) -> str:
    """Return a signed span: in ms below a second (`84 ms`), as a duration above (`1.2 s`)."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    sign = _MINUS if seconds < 0 else ""
    if abs(seconds) < 0.9995:
        return f"{sign}{abs(seconds) * 1_000:.0f} ms"
    return sign + duration(abs(seconds))


def utc_time(time_us: int | None) -> str:
    """Return the time of day, UTC: `21:14:03`."""
    return MISSING if time_us is None else _datetime(time_us).strftime("%H:%M:%S")


def utc_date(time_us: int | None) -> str:
    """Return the date, UTC: `2025-10-10`."""
    return MISSING if time_us is None else _datetime(time_us).strftime("%Y-%m-%d")


def utc_stamp(time_us: int | None) -> str:
    """Return date and time to the millisecond, UTC: `2025-10-10 21:14:03.250 UTC`."""
    if time_us is None:
        return MISSING
    moment = _datetime(time_us)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1_000:03d} UTC"


def words(name: str) -> str:
    """Return an identifier as words: `flash_crash` becomes `flash crash`."""
    return name.replace("_", " ").strip()


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.2g}"


def _datetime(time_us: int) -> datetime:
    seconds, micros = divmod(min(max(time_us, 0), _LATEST_US), _US_PER_S)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros)
