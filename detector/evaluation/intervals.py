"""How sure a measured figure is: intervals of 95 %.

Shares have Wilson's interval, rates the exact one of a Poisson count, and quantiles the percentiles of a
bootstrap. Events of one market are taken as independent, so that many of one market flatter the interval.

References: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
(1927); F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936); B. Efron, "Bootstrap
methods: another look at the jackknife", Annals of Statistics 7 (1979).

Example:
    >>> [round(end, 3) for end in share_interval(58, 60)]
    [0.886, 0.991]
    >>> [round(end, 3) for end in count_interval(0)], [round(end, 3) for end in count_interval(10)]
    ([0.0, 3.689], [4.795, 18.39])
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np

# The normal deviate of 95 %.
_Z: Final = 1.959963984540054
_TAIL: Final = 0.025
_DRAWS: Final = 2_000
_HALVINGS: Final = 60

Interval: TypeAlias = tuple[float, float]
UNKNOWN: Final[Interval] = (math.nan, math.nan)


def share_interval(successes: int, trials: int) -> Interval:
    """Return Wilson's interval of a share; NaN without trials."""
    if not trials:
        return UNKNOWN
    share, weight = successes / trials, _Z * _Z / trials
    centre = share + weight / 2.0
    spread = _Z * math.sqrt((share * (1.0 - share) + weight / 4.0) / trials)
    return (centre - spread) / (1.0 + weight), (centre + spread) / (1.0 + weight)


def count_interval(count: int) -> Interval:
    """Return the means between which a Poisson count is none of the rarest 2.5 % on either side."""
    # Beyond this mean a count so low is certainly rarer than that.
    highest = count + 10.0 * math.sqrt(count + 1.0) + 10.0
    low = 0.0 if count == 0 else _root(lambda mean: _at_most(count - 1, mean) - (1.0 - _TAIL), highest)
    return low, _root(lambda mean: _at_most(count, mean) - _TAIL, highest)


def quantile_interval(values: Sequence[float], quantile: float) -> Interval:
    """Return the bootstrap interval of a quantile; NaN below five values, of which none can be made."""
    if len(values) < 5:
        return UNKNOWN
    drawn = np.random.default_rng(1).choice(np.asarray(values), (_DRAWS, len(values)))
    low, high = np.quantile(np.quantile(drawn, quantile, axis=1), [_TAIL, 1.0 - _TAIL])
    return float(low), float(high)


def _at_most(count: int, mean: float) -> float:
    """Return the chance of at most so many, summed from the largest term, as the smallest ones vanish."""
    if mean == 0.0:
        return 1.0
    logs = np.arange(count + 1) * math.log(mean) - mean
    logs -= np.array([math.lgamma(k + 1.0) for k in range(count + 1)])
    return float(np.exp(logs).sum())


def _root(falling: Callable[[float], float], highest: float) -> float:
    low, high = 0.0, highest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)
    return (low + high) / 2.0
