"""Parole: a detector that raised on a market is stopped there, and tried again later.

It stays out for `first_us` of event time. When it raises again within a day after it came back, it stays out
for twice as long as before, up to a day. Event time alone decides, so a replay tells the same; when the
market's clock is set back (see features.py), the detector comes back at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import BoolVector, IntVector, loaded_flag, loaded_int
from shared.clock import MICROSECONDS_PER_DAY
from shared.stream.step import State

_LONGEST_US: Final = MICROSECONDS_PER_DAY


@dataclass(kw_only=True)
class _Term:
    """The latest time that a detector was out on a market.

    Attributes:
        is_out: whether it still is.
        since_us: event time at which it was stopped, or at which it came back.
        length_us: of its parole.
    """

    is_out: bool
    since_us: int
    length_us: int


class Paroles:
    """On which markets one detector is out, and until when."""

    def __init__(self, *, first_us: int) -> None:
        self._first_us = first_us
        self._terms: dict[int, _Term] = {}
        self._out: set[int] = set()

    def stop(self, slot: int, *, now_us: int) -> int:
        """Stop the detector on a market, and return the event time from which it is tried again."""
        before = self._terms.get(slot)
        is_relapse = before is not None and now_us - before.since_us <= _LONGEST_US
        length_us = min(2 * before.length_us, _LONGEST_US) if before and is_relapse else self._first_us
        self._terms[slot] = _Term(is_out=True, since_us=now_us, length_us=length_us)
        self._out.add(slot)
        return now_us + length_us

    def close(self, slot: int) -> None:
        """Forget a market."""
        self._terms.pop(slot, None)
        self._out.discard(slot)

    def is_out(self, slot: int) -> bool:
        """Return whether the detector is out on a market."""
        return slot in self._out

    def absent(self, slots: IntVector) -> BoolVector | None:
        """Return for each market whether the detector is out; None when it is out on none of them."""
        if not self._out or self._out.isdisjoint(slots.tolist()):
            return None
        return np.array([slot in self._out for slot in slots.tolist()], np.bool_)

    def release(self, slot: int, clock_us: IntVector, start: int, end: int) -> int:
        """Let the detector come back at the first row at which it may; return that row, or `end`."""
        term = self._terms[slot]
        times = clock_us[start:end]
        may = (times < term.since_us) | (times >= term.since_us + term.length_us)
        row = start + int(may.argmax()) if may.any() else end
        if row < end:
            self._terms[slot] = _Term(is_out=False, since_us=int(clock_us[row]), length_us=term.length_us)
            self._out.discard(slot)
        return row

    def state(self, slot: int) -> State:
        """Return the latest parole on a market; nothing when there was none."""
        term = self._terms.get(slot)
        return {} if term is None else dict(vars(term))

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        if not state:
            return
        self._terms[slot] = _Term(
            is_out=loaded_flag(state, "is_out"),
            since_us=loaded_int(state, "since_us"),
            length_us=loaded_int(state, "length_us"),
        )
        if self._terms[slot].is_out:
            self._out.add(slot)
