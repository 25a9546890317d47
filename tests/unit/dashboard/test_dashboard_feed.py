import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from dashboard.feed import ConnectionState, FeedParams, Source, TopicFeed
from dashboard.state import Limits
from shared.clock import MICROSECONDS_PER_SECOND as US
from shared.clock import SystemClock
from shared.errors import BrokerError, BrokerFatalError, BrokerRetriableError, ConfigError
from tests.data.dashboard_scene import SceneRecord, make_trade
from tests.deadlines import eventually

PARAMS = FeedParams(limits=Limits(history_s=900), first_pause_s=0.01, longest_pause_s=0.02)
REFUSED = BrokerRetriableError("consume", detail="connection refused")


class Script:
    """Sources that give, or raise, what the script says; then nothing. Each opening takes the next list."""

    def __init__(self, *openings: BrokerError | ConfigError | Sequence[msgspec.Struct | BrokerError]) -> None:
        self._openings = list(openings)
        self.since_us: list[int] = []
        self.closed = 0
        self.gate = threading.Event()

    def open(self, since_us: int) -> Source:
        self.since_us.append(since_us)
        opening = self._openings.pop(0) if self._openings else []
        if isinstance(opening, (BrokerError, ConfigError)):
            raise opening
        return _ScriptSource(self, list(opening))


class _ScriptSource:
    def __init__(self, script: Script, steps: list[msgspec.Struct | BrokerError]) -> None:
        self._script = script
        self._steps = steps

    def poll(self, max_records: int = 5_000, timeout_s: float = 0.1) -> list[SceneRecord]:
        del max_records
        if not self._steps:
            self._script.gate.wait(timeout_s)
            return []
        step = self._steps.pop(0)
        if isinstance(step, BrokerError):
            raise step
        return [SceneRecord(step)]

    def close(self) -> None:
        self._script.closed += 1


@contextmanager
def running(script: Script) -> Iterator[TopicFeed]:
    feed = TopicFeed(open_source=script.open, params=PARAMS, clock=SystemClock())
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()


def trade(trade_id: int) -> msgspec.Struct:
    return make_trade("BTC-USDT", 10.0, event_us=1_760_000_000 * US, trade_id=trade_id)


def has_trades(feed: TopicFeed, count: int) -> None:
    eventually(lambda: feed.view().data.trades == count, seconds=5, about=f"{count} trades")


def has_state(feed: TopicFeed, state: ConnectionState) -> None:
    eventually(lambda: feed.view().connection.state is state, seconds=5, about=state)


def test_events_reach_the_view() -> None:
    script = Script([trade(1), trade(2)])
    with running(script) as feed:
        has_trades(feed, 2)
        has_state(feed, ConnectionState.LIVE)
        assert feed.view().data.markets["BTC-USDT"].last_price == 10.0
    assert script.closed == 1
    assert feed.view().connection.state is ConnectionState.STOPPED


def test_it_reads_from_the_history_on() -> None:
    before_us = SystemClock().now_us()
    script = Script([trade(1)])
    with running(script) as feed:
        has_trades(feed, 1)
    assert before_us - 901 * US < script.since_us[0] < SystemClock().now_us() - 899 * US


@pytest.mark.parametrize("error", [REFUSED, ConfigError(["topic trades has 3 partitions, not 12"])])
def test_it_tries_again_until_the_broker_can_be_had(error: BrokerError | ConfigError) -> None:
    with running(Script(error, error, error, [trade(1)])) as feed:
        has_trades(feed, 1)


def test_an_unreachable_broker_is_told_with_its_error() -> None:
    with running(Script(*[REFUSED] * 1_000)) as feed:
        has_state(feed, ConnectionState.UNREACHABLE)
        connection = feed.view().connection
        assert connection.detail == "Kafka consume: connection refused"
        assert connection.retry_us is not None
        assert connection.answered_us is None


def test_after_an_error_only_records_prove_that_the_broker_is_back() -> None:
    with running(Script([trade(1), REFUSED])) as feed:
        has_state(feed, ConnectionState.UNREACHABLE)
        # The source now gives nothing, as a client without a connection does.
        first = feed.view().connection.answered_us
        has_trades(feed, 1)
        assert feed.view().connection.state is ConnectionState.UNREACHABLE
        assert feed.view().connection.answered_us == first


def test_a_passing_fault_loses_nothing_and_counts_nothing_twice() -> None:
    with running(Script([trade(1), REFUSED, trade(2)])) as feed:
        has_trades(feed, 2)
        has_state(feed, ConnectionState.LIVE)


def test_after_a_fatal_fault_the_memory_is_rebuilt_from_the_topics() -> None:
    fatal = BrokerFatalError("consume", detail="offset out of range")
    script = Script([trade(1), trade(2), fatal], [trade(1), trade(2), trade(3)])
    with running(script) as feed:
        has_trades(feed, 3)
        assert len(script.since_us) == 2
    assert script.closed == 2


def test_what_was_known_stays_on_the_screen_until_there_is_something_newer() -> None:
    fatal = BrokerFatalError("consume", detail="offset out of range")
    script = Script([trade(1), trade(2), fatal], *[REFUSED] * 1_000)
    with running(script) as feed:
        eventually(lambda: len(script.since_us) > 2, seconds=5, about="attempts to open another source")
        has_trades(feed, 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_our_own_is_not_hidden() -> None:
    def broken(since_us: int) -> Source:
        raise ZeroDivisionError(since_us)

    feed = TopicFeed(open_source=broken, params=PARAMS, clock=SystemClock())
    feed.start()
    has_state(feed, ConnectionState.STOPPED)
    feed.stop()
