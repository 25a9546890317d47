"""One background thread per process that follows the topics and hands out immutable views.

The thread never touches Streamlit. When the broker cannot be reached it tries again with growing pauses, and
says so in the view: what pages show then is old, and they show how old. After a lasting fault the source is
opened anew and the memory is rebuilt from the topics, so that nothing is counted twice.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from dashboard.state import Limits, State, View
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.errors import BrokerError, BrokerRetriableError, ConfigError
from shared.logs import get_logger

_BATCH_RECORDS: Final = 5_000
_POLL_S: Final = 0.1
# A view is made at most this often, however many pages ask for it.
_VIEW_EVERY_S: Final = 0.25
# A source that has failed and gives nothing for so long is closed, and another one is opened.
_REOPEN_AFTER_S: Final = 20.0


class Record(Protocol):
    """A record of a topic, decoded: what `shared.stream.tail` hands out."""

    @property
    def event(self) -> msgspec.Struct:
        """Return the event."""
        ...


class Source(Protocol):
    """Follows topics: `shared.stream.tail.Tail`, or a list of events in a test."""

    def poll(self, max_records: int = ..., timeout_s: float = ...) -> Sequence[Record]:
        """Return the next records, waiting at most `timeout_s` for the first.

        Raises:
            BrokerError: the broker does not answer, or this source cannot go on.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class ConnectionState(StrEnum):
    """How the feed stands with the broker."""

    CONNECTING = "connecting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How the feed stands with the broker.

    Attributes:
        state: the state.
        since_us: since when, by our clock.
        answered_us: when the broker last answered; None when it never has.
        detail: what went wrong, when something did.
        retry_us: when the next attempt is due, while the broker is unreachable.
    """

    state: ConnectionState
    since_us: int
    answered_us: int | None = None
    detail: str = ""
    retry_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class FeedView:
    """What a page is given: the data, and whether it is fresh."""

    data: View
    connection: Connection


class Feed(Protocol):
    """What pages need."""

    def view(self) -> FeedView:
        """Return what is known now."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeedParams:
    """How a feed is run.

    Attributes:
        limits: how much it remembers.
        first_pause_s: pause after the first failure; it doubles with each one.
        longest_pause_s: where it stops doubling.
    """

    limits: Limits
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0


class TopicFeed:
    """Follows the topics in a thread of its own."""

    def __init__(self, *, open_source: Callable[[int], Source], params: FeedParams, clock: Clock) -> None:
        """Prepare, without connecting.

        Args:
            open_source: opens a source that begins at a time (µs since the epoch, our clock); may raise
                BrokerError, or ConfigError when the broker's topics do not fit the settings.
            params: limits and pauses.
            clock: ours.
        """
        self._open_source = open_source
        self._params = params
        self._clock = clock
        self._log = get_logger()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard-feed", daemon=True)
        self._state = State(params.limits)
        self._connection = Connection(state=ConnectionState.CONNECTING, since_us=clock.now_us())
        self._made: View = self._state.view()
        self._made_at_s = clock.monotonic_s()

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and wait until the connection is closed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def view(self) -> FeedView:
        """Return what is known now; safe from any thread."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._made_at_s >= _VIEW_EVERY_S:
                self._made = self._state.view()
                self._made_at_s = now_s
            return FeedView(data=self._made, connection=self._connection)

    def _run(self) -> None:
        try:
            failures = 0
            while not self._stop.is_set():
                try:
                    source = self._open_source(self._since_us())
                except (BrokerError, ConfigError) as error:
                    failures += 1
                    self._pause(error, failures)
                    continue
                failures = 0
                try:
                    self._follow(source)
                finally:
                    source.close()
        finally:
            # Reached by a stop and by a crash alike; the traceback of a crash goes to standard error.
            self._become(ConnectionState.STOPPED)

    def _follow(self, source: Source) -> None:
        """Take in records until told to stop, or until the source has failed for good."""
        state = State(self._params.limits)
        failures = 0
        failed_at_s = 0.0
        self._answered(ConnectionState.CATCHING_UP)
        while not self._stop.is_set():
            try:
                records = source.poll(_BATCH_RECORDS, _POLL_S)
            except BrokerError as error:
                if not isinstance(error, BrokerRetriableError):
                    self._pause(error, 1)
                    return
                failed_at_s = failed_at_s if failures else self._clock.monotonic_s()
                failures += 1
                self._pause(error, failures)
                continue
            if records:
                failures = 0
                with self._lock:
                    state.apply(record.event for record in records)
                    # Of a source opened anew nothing is shown before it has given something.
                    self._state = state
            elif failures:
                # A client without a connection gives nothing either: only records prove that it is back.
                if self._clock.monotonic_s() - failed_at_s > _REOPEN_AFTER_S:
                    return
                continue
            is_behind = len(records) >= _BATCH_RECORDS
            self._answered(ConnectionState.CATCHING_UP if is_behind else ConnectionState.LIVE)

    def _since_us(self) -> int:
        history_us = self._params.limits.history_s * MICROSECONDS_PER_SECOND
        return max(0, self._clock.now_us() - history_us)

    def _pause(self, error: BrokerError | ConfigError, failures: int) -> None:
        params = self._params
        # The exponent is bounded, or days without a broker would overflow it.
        pause_s = min(params.longest_pause_s, params.first_pause_s * 2 ** min(failures - 1, 16))
        self._log.warning("broker_unreachable", detail=str(error), failures=failures, pause_s=pause_s)
        retry_us = self._clock.now_us() + round(pause_s * MICROSECONDS_PER_SECOND)
        self._become(ConnectionState.UNREACHABLE, detail=str(error), retry_us=retry_us)
        self._stop.wait(pause_s)

    def _answered(self, state: ConnectionState) -> None:
        now_us = self._clock.now_us()
        with self._lock:
            since_us = self._connection.since_us if self._connection.state == state else now_us
            self._connection = Connection(state=state, since_us=since_us, answered_us=now_us)

    def _become(self, state: ConnectionState, *, detail: str = "", retry_us: int | None = None) -> None:
        with self._lock:
            before = self._connection
            self._connection = Connection(
                state=state,
                since_us=before.since_us if before.state == state else self._clock.now_us(),
                answered_us=before.answered_us,
                detail=detail or before.detail,
                retry_us=retry_us,
            )
