"""Quantiles of a stream of integers in bounded memory."""

import math
from collections.abc import Iterator
from typing import Final

_ACCURACY: Final = 0.01
_GROWTH: Final = (1 + _ACCURACY) / (1 - _ACCURACY)
_PER_LOG: Final = 1 / math.log(_GROWTH)


class QuantileSketch:
    """Quantiles of integers of either sign, each within 1 % of its true value, in bounded memory.

    Counts in buckets whose bounds grow by a constant factor: DDSketch (Masson, Rim, Lee, VLDB 2019), without
    its collapsing of buckets, which 64-bit integers do not need.
    """

    def __init__(self) -> None:
        self._above: dict[int, int] = {}
        self._below: dict[int, int] = {}
        self._zeros = 0
        self._count = 0
        self._min = 0
        self._max = 0

    def add(self, value: int) -> None:
        """Count a value."""
        if not self._count:
            self._min = self._max = value
        elif value < self._min:
            self._min = value
        elif value > self._max:
            self._max = value
        self._count += 1
        if value == 0:
            self._zeros += 1
            return
        buckets = self._above if value > 0 else self._below
        bucket = math.ceil(math.log(abs(value)) * _PER_LOG)
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def quantile(self, share: float) -> int:
        """Return the value that this share of all values does not exceed; 0 when there are none."""
        rank = max(1, math.ceil(share * self._count))
        for value, count in self._in_order():
            rank -= count
            if rank <= 0:
                return min(max(value, self._min), self._max)
        return self._max

    @property
    def min(self) -> int:
        """The lowest value; 0 when there are none."""
        return self._min

    @property
    def max(self) -> int:
        """The highest value; 0 when there are none."""
        return self._max

    def _in_order(self) -> Iterator[tuple[int, int]]:
        for bucket in sorted(self._below, reverse=True):
            yield -_middle(bucket), self._below[bucket]
        yield 0, self._zeros
        for bucket in sorted(self._above):
            yield _middle(bucket), self._above[bucket]


def _middle(bucket: int) -> int:
    # The value whose distance to both bounds of the bucket is the same share of it.
    return round(2 * math.exp(bucket / _PER_LOG) / (_GROWTH + 1))
