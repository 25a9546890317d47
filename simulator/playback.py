"""When each trade of a source happens: source time to wall time, at any speed. The time is an argument."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from simulator.source import Injected, MarketBook, MarketTrade, Source

MAX_BATCH_TRADES: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class Played:
    """What has happened since the last time one asked.

    Attributes:
        trades: in order.
        injected: events that begin with them.
        books: in order.
    """

    trades: list[MarketTrade]
    injected: list[Injected]
    books: list[MarketBook] = field(default_factory=list)


class Playback:
    """Plays a source once.

    A trade is due at its event time, never before the trade that precedes it in the source: a recording whose
    clock jumps back keeps its order.

    Args:
        source: what is played.
        speed: seconds of source time per second of wall time, above 0.
    """

    def __init__(self, source: Source, *, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self._source = source
        self._speed = speed
        self._chunks = iter(source.chunks())
        self._waiting: deque[MarketTrade] = deque()
        self._books: deque[MarketBook] = deque()
        self._injected: list[Injected] = []
        self._wall_start_us: int | None = None
        self._offset_us = 0
        self._reached_us = source.start_us
        self._is_finished = False

    @property
    def is_started(self) -> bool:
        """Whether time runs."""
        return self._wall_start_us is not None

    @property
    def is_finished(self) -> bool:
        """Whether the source has ended and its last trade has been played."""
        return self._is_finished

    def history(self, *, now_us: int) -> list[MarketTrade]:
        """Return the trades that happened before the start, as seen from now."""
        offset_us = self._offset_at(now_us)
        trades = self._source.history()
        return [trade.shifted(offset_us) for trade in trades] if offset_us else trades

    def start(self, *, now_us: int) -> None:
        """Let time run from now on; once started, it stays so."""
        if self._wall_start_us is None:
            self._wall_start_us = now_us
            self._offset_us = self._offset_at(now_us)

    def hold(self, *, us: int) -> None:
        """Put everything that is still to come off by so much wall time."""
        if self._wall_start_us is not None:
            self._wall_start_us += us

    def market_time_us(self, *, now_us: int) -> int:
        """Return the time on the venue's own clock."""
        if self._wall_start_us is None:
            return self._source.start_us + self._offset_at(now_us)
        return max(self._source_time_us(now_us), self._reached_us) + self._offset_us

    def take(self, *, now_us: int, limit: int = MAX_BATCH_TRADES) -> Played:
        """Return the trades that are due by now and were not returned before, at most so many."""
        trades: list[MarketTrade] = []
        books: list[MarketBook] = []
        if self._wall_start_us is not None:
            due_us = self._source_time_us(now_us)
            while len(trades) < limit and self._fill():
                event_time_us = self._waiting[0].event_time_us
                if event_time_us > due_us:
                    break
                self._reached_us = max(self._reached_us, event_time_us)
                trades.append(self._waiting.popleft())
            # Where trades wait, books wait with them.
            until_us = self._reached_us if len(trades) == limit else due_us
            while self._books and self._books[0].time_us <= until_us:
                books.append(self._books.popleft())
        if self._offset_us:
            trades = [trade.shifted(self._offset_us) for trade in trades]
            books = [book.shifted(self._offset_us) for book in books]
        return Played(trades=trades, injected=self._begun(), books=books)

    def due_in_us(self, *, now_us: int) -> int | None:
        """Return the wall time until the next trade, 0 when it is due; None when no trade is to come."""
        if self._wall_start_us is None or not self._fill():
            return None
        ahead_us = self._waiting[0].event_time_us - self._source_time_us(now_us)
        return max(0, round(ahead_us / self._speed))

    def _source_time_us(self, now_us: int) -> int:
        assert self._wall_start_us is not None
        return self._source.start_us + int((now_us - self._wall_start_us) * self._speed)

    def _offset_at(self, now_us: int) -> int:
        return now_us - self._source.start_us if self._source.is_restamped else 0

    def _fill(self) -> bool:
        """Make sure that a trade is waiting, unless none is to come."""
        while not self._waiting and not self._is_finished:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_finished = True
            else:
                self._waiting.extend(chunk.trades)
                self._books.extend(chunk.books)
                self._injected += chunk.injected
        return bool(self._waiting)

    def _begun(self) -> list[Injected]:
        begun = [event for event in self._injected if event.start_us <= self._reached_us]
        if begun:
            self._injected = [event for event in self._injected if event.start_us > self._reached_us]
        return [event.shifted(self._offset_us) for event in begun] if self._offset_us else begun
