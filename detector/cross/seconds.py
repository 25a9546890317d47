"""Ticks in the order of event time: every second is looked at once, when all of it should have come.

Ticks of different markets come as their workers send them. A second is complete when some tick is younger
than its end by the lateness that is waited for; its ticks are then taken in the order of time, venue, market
and id. So whatever comes within that lateness gives the same result in any order.

Three rules for what does not:

- A late tick, of a second that is done, is told apart; it may still change what a price is now.
- A tick that is `AHEAD_S` ahead of all others waits until a second one confirms it: one wrong clock must not
  make everything else late. Unconfirmed, it is dropped.
- When `SET_BACK_TICKS` ticks in a row are late by more than `SET_BACK_S`, time was set back (a recording is
  played again), and begins anew there.

Seconds without ticks are told too, as time passes on the markets; after `LONGEST_IDLE_S` of them in a row the
rest is skipped.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from shared import codec
from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import InvalidRecordError
from shared.events import MarketTick

AHEAD_S: Final = 600
SET_BACK_S: Final = 60
SET_BACK_TICKS: Final = 1_000
# Longer than anything looks back.
LONGEST_IDLE_S: Final = 400


class Second(NamedTuple):
    """One second of event time.

    Attributes:
        at_s: since the epoch.
        ticks: in order.
    """

    at_s: int
    ticks: list[MarketTick]


class _Kept(msgspec.Struct):
    next_s: int | None = None
    latest_us: int = 0
    idle_s: int = 0
    late_in_a_row: int = 0
    late: int = 0
    dropped: int = 0
    ahead: MarketTick | None = None
    waiting: dict[int, list[MarketTick]] = msgspec.field(default_factory=dict)


class Seconds:
    """Puts ticks in order.

    Args:
        lateness_s: that is waited for.
    """

    def __init__(self, *, lateness_s: float) -> None:
        self._lateness_us = round(lateness_s * MICROSECONDS_PER_SECOND)
        self._kept = _Kept()

    @property
    def late(self) -> int:
        """How many ticks came too late since the beginning of the state."""
        return self._kept.late

    @property
    def dropped(self) -> int:
        """How many ticks were so far ahead that nobody confirmed them."""
        return self._kept.dropped

    def take(self, tick: MarketTick) -> Iterator[Second | MarketTick]:
        """Take in a tick; yield what it completes, or the tick itself when it is late."""
        kept = self._kept
        if (
            kept.next_s is not None
            and tick.event_time_us > kept.latest_us + AHEAD_S * MICROSECONDS_PER_SECOND
        ):
            if kept.ahead is None:
                kept.ahead = tick
                return
            ticks, kept.ahead = sorted([kept.ahead, tick], key=_order), None
        else:
            if kept.ahead is not None:
                kept.ahead = None
                kept.dropped += 1
            ticks = [tick]
        for each in ticks:
            yield from self._put(each)

    def _put(self, tick: MarketTick) -> Iterator[Second | MarketTick]:
        kept, second = self._kept, tick.event_time_us // MICROSECONDS_PER_SECOND
        if kept.next_s is None or self._is_set_back(second, kept.next_s):
            kept.latest_us = tick.event_time_us
            kept.next_s = self._complete_s()
        if second < kept.next_s:
            kept.late += 1
            yield tick
            return
        kept.waiting.setdefault(second, []).append(tick)
        kept.latest_us = max(kept.latest_us, tick.event_time_us)
        yield from self._completed(self._complete_s())

    def _complete_s(self) -> int:
        """Return the first second that is not complete."""
        return (self._kept.latest_us - self._lateness_us) // MICROSECONDS_PER_SECOND

    def _is_set_back(self, second: int, next_s: int) -> bool:
        kept = self._kept
        kept.late_in_a_row = kept.late_in_a_row + 1 if second < next_s - SET_BACK_S else 0
        if kept.late_in_a_row < SET_BACK_TICKS:
            return False
        kept.waiting.clear()
        kept.late_in_a_row = 0
        return True

    def _completed(self, until_s: int) -> Iterator[Second]:
        kept = self._kept
        assert kept.next_s is not None
        while kept.next_s < until_s:
            ticks = kept.waiting.pop(kept.next_s, [])
            kept.idle_s = 0 if ticks else kept.idle_s + 1
            if kept.idle_s > LONGEST_IDLE_S:
                kept.next_s = min([until_s, *kept.waiting])
                continue
            second = kept.next_s
            kept.next_s += 1
            yield Second(second, sorted(ticks, key=_order))

    def state(self) -> str:
        """Return all of it as text."""
        return codec.encode(self._kept).decode()

    def load_state(self, text: str) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        try:
            self._kept = codec.decode(text.encode(), _Kept)
        except InvalidRecordError as error:
            raise ValueError(f"damaged ticks: {error}") from error


def _order(tick: MarketTick) -> tuple[int, str, str, int]:
    return tick.event_time_us, tick.exchange, tick.symbol, tick.trade_id
