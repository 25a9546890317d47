"""A set of integers that are mostly consecutive, kept as intervals."""

from bisect import bisect_right


class IdSet:
    """A set of integers as disjoint intervals that do not touch, in order."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, number: int) -> bool:
        """Put a number in; return false if it was in already."""
        firsts, lasts = self._firsts, self._lasts
        if lasts and number == lasts[-1] + 1:
            # The usual case: the very next one.
            lasts[-1] = number
            return True
        index = bisect_right(firsts, number)
        if index and lasts[index - 1] >= number:
            return False
        joins_left = index > 0 and lasts[index - 1] == number - 1
        joins_right = index < len(firsts) and firsts[index] == number + 1
        if joins_left and joins_right:
            lasts[index - 1] = lasts.pop(index)
            del firsts[index]
        elif joins_left:
            lasts[index - 1] = number
        elif joins_right:
            firsts[index] = number
        else:
            firsts.insert(index, number)
            lasts.insert(index, number)
        return True

    @property
    def first(self) -> int:
        """The lowest number; the set must not be empty."""
        return self._firsts[0]

    @property
    def last(self) -> int:
        """The highest number; the set must not be empty."""
        return self._lasts[-1]

    def holes(self) -> list[tuple[int, int]]:
        """Return what lies between the lowest and the highest number and is not in, both ends included."""
        return [(last + 1, first - 1) for last, first in zip(self._lasts[:-1], self._firsts[1:], strict=True)]
