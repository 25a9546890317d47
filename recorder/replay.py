"""Publishes a recording back into the topic `trades`, as fast as it happened or by any factor.

Ids and event times are the recording's, the time of receiving is now. Replaying the same trades again repeats
their ids: sinks pass over them, while a detector judges them as trades that come late.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec

from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.events import Trade
from shared.stream.broker import Producer

_FLUSH_S: Final = 30.0
# How long a wait for the next trade lasts at most before delivery reports are served.
_WAIT_S: Final = 0.2
_PROGRESS_TRADES: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class ReplayParams:
    """How a recording is replayed.

    Attributes:
        speed: seconds of the recording per second; 0 is as fast as the broker takes it.
    """

    speed: float

    def __post_init__(self) -> None:
        # Written so that NaN is refused too.
        if not 0 <= self.speed <= 1e9:
            raise ValueError(f"speed {self.speed} is not between 0 and 1e9")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a replay has come.

    Attributes:
        trades: published so far.
        event_time_us: of the latest one.
    """

    trades: int
    event_time_us: int


def replay(
    batches: Iterable[list[Trade]],
    *,
    params: ReplayParams,
    producer: Producer,
    clock: Clock,
    stop: threading.Event,
    on_progress: Callable[[Progress], None],
) -> int:
    """Publish trades in their order, keyed by market; return how many, all of them acknowledged.

    Args:
        batches: in time order, as from `shared.recordings.read`.
        params: the speed.
        producer: without a transactional id.
        clock: the time, for pace and for the time of receiving.
        stop: ends the replay early, after what was published so far is acknowledged.
        on_progress: told every thousand trades and while waiting for the next one.

    Raises:
        BrokerError: trades could not be delivered.
        RecordingError: the recording is damaged.
    """
    published = 0
    last_us = 0
    pace = _Pace(params.speed, clock)
    for trade in chain.from_iterable(batches):
        while (wait_s := pace.wait_s(trade.event_time_us)) > 0 and not stop.is_set():
            producer.poll()
            on_progress(Progress(trades=published, event_time_us=last_us))
            stop.wait(min(wait_s, _WAIT_S))
        if stop.is_set():
            break
        received = msgspec.structs.replace(trade, received_time_us=clock.now_us())
        producer.produce(topics.TRADES, encode(received), key=trade.symbol.encode())
        published += 1
        last_us = trade.event_time_us
        if published % _PROGRESS_TRADES == 0:
            producer.poll()
            on_progress(Progress(trades=published, event_time_us=last_us))
    unacknowledged = producer.flush(_FLUSH_S)
    if unacknowledged:
        detail = f"{unacknowledged} of {published} trades were not acknowledged within {_FLUSH_S:g} s"
        raise BrokerRetriableError("replay", detail=detail)
    return published


class _Pace:
    """Says how long to wait before a trade is due."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed = speed
        self._clock = clock
        self._first_us: int | None = None
        self._started_s = 0.0

    def wait_s(self, event_time_us: int) -> float:
        if self._speed == 0:
            return 0.0
        if self._first_us is None:
            self._first_us, self._started_s = event_time_us, self._clock.monotonic_s()
        due_s = (event_time_us - self._first_us) / MICROSECONDS_PER_SECOND / self._speed
        return due_s - (self._clock.monotonic_s() - self._started_s)
