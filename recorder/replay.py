"""Publishes a recording back into the topics `trades` and `quotes`, as fast as it happened or by any factor.

Ids and event times are the recording's, the time of receiving is now. Replaying the same trades again repeats
their ids: sinks pass over them, while a detector judges them as trades that come late. The first quote of a
market says that some may be missing before it.
"""

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec

from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.events import Quote, Trade
from shared.stream.broker import Producer
from shared.stream.quotes import QuoteColumns

_FLUSH_S: Final = 30.0
# How long a wait for the next record lasts at most before delivery reports are served.
_WAIT_S: Final = 0.2
_PROGRESS_RECORDS: Final = 1_000


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
        event_time_us: of the latest record.
        quotes: published so far.
    """

    trades: int = 0
    event_time_us: int = 0
    quotes: int = 0


def replay(
    batches: Iterable[list[Trade]],
    *,
    quotes: Iterable[QuoteColumns] = (),
    params: ReplayParams,
    producer: Producer,
    clock: Clock,
    stop: threading.Event,
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Publish trades and quotes in order of event time, keyed by market.

    Args:
        batches: in time order, as from `shared.recordings.read`.
        quotes: in time order, as from `shared.recordings.quotes.read_quotes`.
        params: the speed.
        producer: without a transactional id.
        clock: the time, for pace and for the time of receiving.
        stop: ends the replay early, after what was published so far is acknowledged.
        on_progress: told every thousand records and while waiting for the next one.

    Returns:
        How many were published, all of them acknowledged.

    Raises:
        BrokerError: records could not be delivered.
        RecordingError: the recording is damaged.
    """
    done = Progress()
    pace = _Pace(params.speed, clock)
    for event in _merged(batches, quotes):
        while (wait_s := pace.wait_s(event.event_time_us)) > 0 and not stop.is_set():
            producer.poll()
            on_progress(done)
            stop.wait(min(wait_s, _WAIT_S))
        if stop.is_set():
            break
        received = msgspec.structs.replace(event, received_time_us=clock.now_us())
        producer.produce(topics.topic_of(type(event)), encode(received), key=event.symbol.encode())
        is_quote = isinstance(event, Quote)
        done = Progress(
            trades=done.trades + (not is_quote),
            event_time_us=event.event_time_us,
            quotes=done.quotes + is_quote,
        )
        if (done.trades + done.quotes) % _PROGRESS_RECORDS == 0:
            producer.poll()
            on_progress(done)
    unacknowledged = producer.flush(_FLUSH_S)
    if unacknowledged:
        published = done.trades + done.quotes
        detail = f"{unacknowledged} of {published} records were not acknowledged within {_FLUSH_S:g} s"
        raise BrokerRetriableError("replay", detail=detail)
    return done


def _merged(batches: Iterable[list[Trade]], quotes: Iterable[QuoteColumns]) -> Iterator[Trade | Quote]:
    """Return everything in order of event time; trades come before quotes of the same moment."""
    return heapq.merge(
        chain.from_iterable(batches), _from_anew(quotes), key=lambda event: event.event_time_us
    )


def _from_anew(batches: Iterable[QuoteColumns]) -> Iterator[Quote]:
    """Yield quotes, the first of each market as one before which some may be missing."""
    seen = set[tuple[str, str]]()
    for batch in batches:
        for quote in batch.events():
            venue = quote.exchange, quote.symbol
            yield quote if venue in seen else msgspec.structs.replace(quote, is_continuous=False)
            seen.add(venue)


class _Pace:
    """Says how long to wait before a record is due."""

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
