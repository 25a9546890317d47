"""Numbers as a trader reads them."""

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from detector.online.protocol import Finding

_DAYS_PER_YEAR: Final = 365.0


def percent(fraction: float) -> str:
    """Return a fraction as a percentage: `12.3 %`, `0.45 %`, `93 %`."""
    value = fraction * 100.0
    digits = 0 if value >= 100.0 else 1 if value >= 10.0 else 2
    return f"{value:,.{digits}f} %"


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
