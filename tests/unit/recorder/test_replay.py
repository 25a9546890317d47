"""Replay: order, pace, keys, and an end that leaves nothing unacknowledged."""

import threading

import pytest

from recorder.replay import Progress, ReplayParams, replay
from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, ManualClock
from shared.codec import decode
from shared.errors import BrokerRetriableError
from shared.events import Quote, Trade
from shared.stream.broker import TopicPartition
from shared.stream.memory import MemoryBroker, MemoryProducer
from tests import samples
from tests.data.quote_market import busy


class Waiting(threading.Event):
    """A stop that nobody asks for: waiting for it only lets time pass."""

    def __init__(self, clock: ManualClock, *, stop_after_waits: int | None = None) -> None:
        super().__init__()
        self.clock = clock
        self.waits: list[float] = []
        self.stop_after_waits = stop_after_waits

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.advance(seconds=timeout)
        self.waits.append(timeout)
        if len(self.waits) == self.stop_after_waits:
            self.set()
        return self.is_set()


class Recorded:
    """A replay of one recording on the broker in memory."""

    def __init__(self, trades: list[Trade], *, speed: float, stop_after_waits: int | None = None) -> None:
        self.clock = ManualClock()
        self.started_us = self.clock.now_us()
        self.stop = Waiting(self.clock, stop_after_waits=stop_after_waits)
        self.broker = MemoryBroker(partitions=2)
        self.broker.ensure_topics()
        self.progress: list[Progress] = []
        self.published = replay(
            [trades[:3], trades[3:]],
            params=ReplayParams(speed=speed),
            producer=self.broker.producer(),
            clock=self.clock,
            stop=self.stop,
            on_progress=self.progress.append,
        )

    def on_topic(self) -> list[Trade]:
        """Return what is on the topic, by partition."""
        return [
            decode(message.value(), Trade)
            for partition in (0, 1)
            for message in self.broker.read_all([TopicPartition(topics.TRADES, partition)])
        ]

    def waited_s(self) -> float:
        return sum(self.stop.waits)


def test_trades_keep_ids_and_event_times_and_are_received_now() -> None:
    trades = samples.trades(5)
    replayed = Recorded(trades, speed=0)
    on_topic = replayed.on_topic()
    assert [(t.trade_id, t.price, t.event_time_us) for t in on_topic] == [
        (t.trade_id, t.price, t.event_time_us) for t in trades
    ]
    assert {trade.received_time_us for trade in on_topic} == {replayed.started_us}
    assert replayed.published.trades == 5


def test_as_fast_as_possible_waits_for_nothing() -> None:
    assert Recorded(samples.trades(5), speed=0).waited_s() == 0


@pytest.mark.parametrize(("speed", "waited_s"), [(1, 90.0), (10, 9.0), (0.5, 180.0)])
def test_the_pace_is_that_of_the_recording_times_speed(speed: float, waited_s: float) -> None:
    trades = [samples.trade(n, at_us=samples.START_US + n * 30 * MICROSECONDS_PER_SECOND) for n in range(4)]
    replayed = Recorded(trades, speed=speed)
    assert replayed.waited_s() == pytest.approx(waited_s, abs=1e-3)
    received_s = [(t.received_time_us - replayed.started_us) / 1e6 for t in replayed.on_topic()]
    assert received_s == pytest.approx([n * waited_s / 3 for n in range(4)], abs=1e-3)


def test_a_clock_that_goes_back_in_the_recording_is_not_waited_for() -> None:
    trades = [samples.trade(1), samples.trade(2, at_us=samples.START_US - 5_000_000)]
    assert Recorded(trades, speed=1).waited_s() == 0


def test_a_market_stays_in_one_partition() -> None:
    trades = [samples.trade(n, symbol=symbol) for n in range(3) for symbol in ("BTC-USDT", "ETH-USDT")]
    replayed = Recorded(trades, speed=0)
    for symbol in ("BTC-USDT", "ETH-USDT"):
        holding = [
            partition
            for partition in (0, 1)
            if any(
                message.key() == symbol.encode()
                for message in replayed.broker.read_all([TopicPartition(topics.TRADES, partition)])
            )
        ]
        assert len(holding) == 1


def test_stopping_ends_it_between_two_trades() -> None:
    trades = [samples.trade(n, at_us=samples.START_US + n * MICROSECONDS_PER_SECOND) for n in range(9)]
    replayed = Recorded(trades, speed=1, stop_after_waits=7)
    assert replayed.published.trades == len(replayed.on_topic()) == 2


def test_progress_counts_and_tells_the_time_of_the_recording() -> None:
    trades = samples.trades(2_500)
    assert Recorded(trades, speed=0).progress == [
        Progress(trades=1_000, event_time_us=trades[999].event_time_us),
        Progress(trades=2_000, event_time_us=trades[1_999].event_time_us),
    ]


def test_a_long_wait_shows_progress_too() -> None:
    trades = [samples.trade(0), samples.trade(1, at_us=samples.START_US + 60_000_000)]
    progress = Recorded(trades, speed=1).progress
    assert len(progress) >= 300
    assert set(progress) == {Progress(trades=1, event_time_us=samples.START_US)}


def test_quotes_come_between_the_trades_the_first_of_a_market_anew() -> None:
    quotes = busy("layering")[:40]
    first_us, last_us = int(quotes.times_us[0]), int(quotes.times_us[-1])
    trades = [samples.trade(1, at_us=first_us), samples.trade(2, at_us=last_us + 1)]
    broker, clock = MemoryBroker(partitions=1), ManualClock()
    broker.ensure_topics()
    replayed = replay(
        [trades],
        quotes=[quotes[:30], quotes[30:]],
        params=ReplayParams(speed=0),
        producer=broker.producer(),
        clock=clock,
        stop=threading.Event(),
        on_progress=lambda _: None,
    )
    assert replayed == Progress(trades=2, quotes=40, event_time_us=last_us + 1)
    on_topic = [
        decode(message.value(), Quote) for message in broker.read_all([TopicPartition(topics.QUOTES, 0)])
    ]
    assert [(quote.symbol, quote.update_id) for quote in on_topic] == [
        (quote.symbol, quote.update_id) for quote in quotes.events()
    ]
    symbols = [quote.symbol for quote in on_topic]
    anew = {symbols.index("BTC-USDT"), symbols.index("SOL-USDT")}
    assert {at for at, quote in enumerate(on_topic) if not quote.is_continuous} == anew
    assert on_topic[9].bids == quotes.events()[9].bids


class DeafProducer(MemoryProducer):
    """A producer whose records are never acknowledged."""

    def flush(self, timeout_s: float) -> int:
        super().flush(timeout_s)
        return 2


def test_what_is_not_acknowledged_is_an_error() -> None:
    broker = MemoryBroker()
    broker.ensure_topics()
    with pytest.raises(BrokerRetriableError, match="2 of 3 records were not acknowledged"):
        replay(
            [samples.trades(3)],
            params=ReplayParams(speed=0),
            producer=DeafProducer(broker, transactional_id=None),
            clock=ManualClock(),
            stop=threading.Event(),
            on_progress=lambda _: None,
        )


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_a_speed_that_means_nothing_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        ReplayParams(speed=speed)
