"""Numbers as a trader reads them."""

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from detector.online.protocol import Finding

_DAYS_PER_YEAR: Final = 365.0


def percent(fraction: float) -> str:
    """Return a fraction as a percentage: `120 %`, `1.8 %`, `0.45 %`, `0.012 %`."""
    value = fraction * 100.0
    if value and abs(value) < 0.0995:
        return f"{value:.2g} %"
    digits = 0 if value >= 99.95 else 1 if value >= 0.995 else 2
    return f"{value:,.{digits}f} %"


def times(ratio: float) -> str:
    """Return how many times as much: `41 times`, `1.9 times`, `a fifth of`, `a small part of`."""
    if ratio >= 0.95:
        return f"{ratio:,.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"
    parts = ("two thirds of", "half", "a third of", "a quarter of", "a fifth of", "a tenth of")
    for part, least in zip(parts, (0.58, 0.42, 0.29, 0.225, 0.15, 0.07), strict=True):
        if ratio >= least:
            return part
    return "a small part of"


def duration(seconds: float) -> str:
    """Return a time as its largest unit tells it: `14 ms`, `2.6 s`, `41 s`, `9 min`, `3.2 h`."""
    if seconds < 0.0005:
        return "less than 1 ms"
    for unit, length, until in (("ms", 1e-3, 0.9995), ("s", 1.0, 119.5), ("min", 60.0, 7_170.0)):
        if seconds < until:
            value = seconds / length
            return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"
    return f"{seconds / 3600.0:,.1f} h"


def amount(value: float) -> str:
    """Return an amount with no more digits than matter: `1,234,567`, `12.3`, `0.0564`."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def price(value: float) -> str:
    """Return a price without rounding it and without an exponent: `0.0643`, `122335.79`."""
    return np.format_float_positional(value, trim="-")


def recurrence(finding: "Finding") -> str:
    """Return how often something at least as strange happens: `about once in 3 days`."""
    if finding.rarity is None:
        return "at a rate not known yet"
    per_day = finding.rarity * finding.trades_per_day
    if per_day * _DAYS_PER_YEAR < 1.0:
        return "less than once a year"
    if per_day >= 1.0:
        times = round(per_day)
        return "about once a day" if times == 1 else f"about {times:,} times a day"
    days = round(1.0 / per_day)
    return "about once a day" if days == 1 else f"about once in {days} days"
