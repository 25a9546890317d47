"""Critical values of tests for one outlier in a normal sample, computed rather than looked up."""

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import comb, gammaln, ndtr, stdtrit

from detector.arrays import FloatVector

# Half the width that matters of a normal distribution, and nodes of quadrature along each axis.
_WIDTH, _NODES = 9.0, 200


@lru_cache(maxsize=256)
def grubbs(rows: int, alpha: float) -> float:
    """Return what |x - mean| / s of the value farthest to one side exceeds by chance with probability alpha.

    Exact while it is above the largest that two values can reach at once, an upper bound below; the test of
    both sides takes half of alpha for each. Source: Grubbs, "Procedures for Detecting Outlying Observations
    in Samples" (Technometrics 1969); in this form NIST/SEMATECH e-Handbook, section 1.3.5.17.1.

    Args:
        rows: n of the sample, 3 and up.
        alpha: probability, of one side.
    """
    squared = float(stdtrit(rows - 2, alpha / rows)) ** 2
    return (rows - 1) / math.sqrt(rows) * math.sqrt(squared / (rows - 2 + squared))


@lru_cache(maxsize=256)
def dixon(rows: int, alpha: float, gap: int, left_out: int) -> float:
    """Return what Dixon's ratio at one side exceeds by chance with probability alpha.

    The ratio is (x_n - x_(n-gap)) / (x_n - x_(1+left_out)) of ordered values. Source: Dixon, "Ratios
    Involving Extreme Values" (Annals of Mathematical Statistics 1951).

    Args:
        rows: n of the sample.
        alpha: probability, of one side.
        gap: 1 or 2.
        left_out: 0, 1 or 2.
    """

    def excess(ratio: float) -> float:
        return dixon_survival(rows, ratio, gap, left_out) - alpha

    return float(brentq(excess, 0.0, 1.0, xtol=1e-9))


def dixon_survival(rows: int, ratio: float, gap: int, left_out: int) -> float:
    """Return the probability that Dixon's ratio at one side of a normal sample is above a value.

    The integral over x_n and x_(1+left_out) of their density times the chance that those between fall so.

    Args:
        rows: n of the sample, at least gap + left_out + 2.
        ratio: from 0 to 1.
        gap: 1 or 2.
        left_out: 0, 1 or 2.
    """
    between = rows - left_out - 2
    highest, weight_high = _quadrature(-_WIDTH, _WIDTH)
    reach, weight_reach = _quadrature(0.0, 2.0 * _WIDTH)
    high = highest[:, None]
    low = high - reach[None, :]
    middle = ndtr(high - ratio * reach[None, :])
    below, above = middle - ndtr(low), ndtr(high) - middle
    # At most gap - 1 of the values between lie above the middle.
    inside = sum(comb(between, k) * below ** (between - k) * above**k for k in range(gap))
    density = ndtr(low) ** left_out * np.exp(-0.5 * (high**2 + low**2)) / (2.0 * math.pi)
    arrangements = math.exp(gammaln(rows + 1) - gammaln(left_out + 1) - gammaln(between + 1))
    return arrangements * float(weight_high @ (density * inside) @ weight_reach)


@lru_cache(maxsize=2)
def _quadrature(start: float, end: float) -> tuple[FloatVector, FloatVector]:
    """Return nodes and weights of the Gauss-Legendre rule on an interval."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * (end - start)
    return start + half * (nodes + 1.0), half * weights
