import threading
from collections.abc import Callable, Sequence

import pytest

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import DeadLetterLimitError, StoreUnavailableError
from shared.events import DeadLetter, Trade
from shared.metrics import Health
from shared.stream.dead_letters import DeadLetterPolicy
from shared.stream.memory import MemoryBroker, MemoryConsumer
from shared.stream.sink import Received, SinkParams, SinkRunner
from tests.stream_steps import make_trade


class ListSink:
    """Keeps what it is given; fails as often as it is told to; stops the runner when it has enough."""

    def __init__(self, stop: threading.Event, *, enough: int, failures: int = 0) -> None:
        self.kept: list[Received] = []
        self.offers = 0
        self.is_closed = False
        self._stop = stop
        self._enough = enough
        self._failures = failures

    def on_events(self, batch: Sequence[Received]) -> None:
        self.offers += 1
        if self.offers <= self._failures:
            raise StoreUnavailableError("insert", detail="down")
        self.kept.extend(batch)

    def on_idle(self) -> None:
        if len(self.kept) >= self._enough:
            self._stop.set()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(partitions=2)
    broker.ensure_topics()
    return broker


def publish(broker: MemoryBroker, values: list[bytes]) -> None:
    producer = broker.producer()
    for value in values:
        producer.produce(topics.TRADES, value, key=b"BTC-USDT")


MakeRunner = Callable[..., tuple[SinkRunner, ListSink, threading.Event]]


@pytest.fixture
def make_runner(broker: MemoryBroker) -> MakeRunner:
    def make(
        *, enough: int, failures: int = 0, limit: int = 100
    ) -> tuple[SinkRunner, ListSink, threading.Event]:
        stop = threading.Event()
        sink = ListSink(stop, enough=enough, failures=failures)
        clock = ManualClock()
        runner = SinkRunner(
            broker=broker,
            sink=sink,
            group="sink",
            topic_names=[topics.TRADES],
            params=SinkParams(batch_records=4, dead_letters=DeadLetterPolicy(limit=limit)),
            clock=clock,
            health=Health(clock),
        )
        return runner, sink, stop

    return make


def test_a_sink_gets_every_event_and_a_successor_none_of_them_again(
    broker: MemoryBroker, make_runner: MakeRunner
) -> None:
    trades = [make_trade("BTC-USDT", number) for number in range(10)]
    publish(broker, [encode(trade) for trade in trades])
    runner, sink, stop = make_runner(enough=10)
    runner.run(stop)
    assert [received.event for received in sink.kept] == trades
    assert sink.is_closed
    assert runner.lag_records() == 0

    publish(broker, [encode(make_trade("BTC-USDT", 10))])
    runner, sink, stop = make_runner(enough=1)
    runner.run(stop)
    assert [r.event.trade_id for r in sink.kept if isinstance(r.event, Trade)] == [10]


def test_an_unreachable_store_is_offered_the_same_batch_again(
    broker: MemoryBroker, make_runner: MakeRunner
) -> None:
    publish(broker, [encode(make_trade("BTC-USDT", number)) for number in range(3)])
    runner, sink, stop = make_runner(enough=3, failures=2)
    runner.run(stop)
    assert sink.offers == 3
    assert len(sink.kept) == 3


def test_an_invalid_record_is_set_aside_with_its_bytes(broker: MemoryBroker, make_runner: MakeRunner) -> None:
    publish(broker, [encode(make_trade("BTC-USDT", 1)), b"{broken", encode(make_trade("BTC-USDT", 2))])
    runner, sink, stop = make_runner(enough=2)
    runner.run(stop)
    assert len(sink.kept) == 2
    [partition] = broker.partitions_of(topics.DEAD_LETTERS)
    [letter] = [decode(m.value(), DeadLetter) for m in broker.read_all([partition])]
    assert letter.payload == b"{broken"
    assert letter.offset == 1


def test_too_many_invalid_records_halt_the_worker_before_they_are_committed(
    broker: MemoryBroker, make_runner: MakeRunner
) -> None:
    publish(broker, [b"?"] * 4)
    runner, _, stop = make_runner(enough=1, limit=2)
    with pytest.raises(DeadLetterLimitError):
        runner.run(stop)
    assert broker.groups["sink"].offsets == {}


def test_one_whom_the_group_dropped_goes_on_and_reads_again(
    broker: MemoryBroker, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = [make_trade("BTC-USDT", number) for number in range(6)]
    publish(broker, [encode(trade) for trade in trades])
    runner, sink, stop = make_runner(enough=10)
    consumer = runner._consumer
    assert isinstance(consumer, MemoryConsumer)
    keep = sink.on_events

    def keep_and_be_dropped(batch: Sequence[Received]) -> None:
        keep(batch)
        if sink.offers == 1:
            consumer.evict()

    monkeypatch.setattr(sink, "on_events", keep_and_be_dropped)
    runner.run(stop)
    # The first four were stored, but not committed.
    assert [received.offset for received in sink.kept] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert runner.lag_records() == 0
