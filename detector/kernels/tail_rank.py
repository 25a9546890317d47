"""How rare a score is among reference scores: -log of the share that reaches it, continued beyond them."""

import math
from typing import Final

from numba import njit

from detector.arrays import FloatVector

# The part of the reference scores whose mean excess continues the tail, as in an exponential one.
_TAIL_SHARE: Final = 0.1


@njit(cache=True)
def minus_log_tail(score: float, ascending: FloatVector, count: int) -> float:
    """Return -log of the share of the first `count` reference scores that reach a score; ties count half.

    Beyond the largest it grows by one per mean excess of the top tenth.
    """
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] < score:
            low = middle + 1
        else:
            high = middle
    not_below, high = low, count
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] <= score:
            low = middle + 1
        else:
            high = middle
    above = count - 0.5 * (not_below + low)
    if above >= 1.0:
        return -math.log(above / (count + 1.0))
    top = max(int(count * _TAIL_SHARE), 1)
    start = ascending[max(count - 1 - top, 0)]
    excess = 0.0
    for i in range(count - top, count):
        excess += ascending[i] - start
    excess = max(excess / top, 1e-9 * abs(start) + 1e-12)
    return math.log(count + 1.0) + float(max(0.0, score - ascending[count - 1]) / excess)
