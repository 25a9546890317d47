"""Trades of two venues through a detector's ticks and a cross-market worker that crashes, on any broker."""

from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from detector.ticks import TickParams
from shared import topics
from shared.clock import SystemClock
from shared.codec import decode, encode
from shared.events import Anomaly, MarketTick, Trade
from shared.metrics import Health
from shared.stream.broker import Broker, TopicPartition
from shared.stream.commit import CommitPolicy
from shared.stream.intake import TickIntake
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from tests.data.cross_tapes import moved, quiet
from tests.deadlines import eventually
from tests.stream_crew import committed_anomalies

BINANCE, COINBASE = ("binance", "POL-USDT"), ("coinbase", "POL-USD")
ENGINE = EngineParams(enabled=("flash_crash",), ticks=TickParams())
# A chunk holds half a minute of trades.
CROSS = CrossParams(lateness_s=60.0)
_CHUNK = 60
_COMMIT = CommitPolicy(max_records=50, max_delay_s=0.2, max_output_delay_s=0.1)


def judge_trades(broker: Broker) -> None:
    """Write trades in which one venue is dearer for a while, twice, and let a detector tell its ticks."""
    tape = quiet({BINANCE: 0.25, COINBASE: 0.25}, seconds=1_400)
    tape = moved(tape, 1.03, since_s=700, until_s=760, market=BINANCE)
    tape = moved(tape, 0.97, since_s=1_000, until_s=1_060, market=BINANCE)
    producer, judging = broker.producer(), detector(broker)
    for start in range(0, len(tape), _CHUNK):
        for tick in tape[start : start + _CHUNK]:
            fields = [getattr(tick, name) for name in Trade.__struct_fields__]
            producer.produce(topics.TRADES, encode(Trade(*fields)), key=tick.symbol.encode())
        assert producer.flush(30) == 0
        # Not all at once: it would read one market's partition to its end before the other's.
        work_until(judging, min(start + _CHUNK, len(tape)))
    judging.close()
    producer.close()


def detector(broker: Broker) -> Runner:
    """Return a detector that tells ticks."""
    clock = SystemClock()
    runner = Runner(
        broker=broker,
        step=MarketEngines(ENGINE),
        params=RunnerParams(commit=_COMMIT),
        clock=clock,
        health=Health(clock),
    )
    runner.start()
    return runner


def cross_worker(broker: Broker) -> Runner:
    """Return a cross-market worker; each one takes the place of the one before."""
    clock = SystemClock()
    runner = Runner(
        broker=broker,
        step=CrossEngine(CROSS),
        params=RunnerParams(
            group="cross",
            source=topics.MARKET_TICKS,
            kept_in=topics.CROSS_SNAPSHOTS,
            batch_records=100,
            commit=_COMMIT,
            snapshots=SnapshotPolicy(interval_s=0.0),
        ),
        clock=clock,
        health=Health(clock),
        intake=TickIntake,
    )
    runner.start()
    return runner


def work_until(runner: Runner, trades: int) -> None:
    """Let a runner work until it has judged so many records."""

    def has_judged() -> bool:
        runner.turn()
        return runner.totals.trades >= trades

    eventually(has_judged, seconds=60, about=f"{trades} records")


def crash(runner: Runner) -> None:
    """End a runner as a crash would: nothing more is committed."""
    runner._abort()
    runner._consumer.close()


def ticks_on_the_topic(broker: Broker) -> tuple[list[MarketTick], int]:
    """Return all that the cross-market worker has to judge, in order, and the offset of the last."""
    messages = list(broker.read_all([TopicPartition(topics.MARKET_TICKS, 0)]))
    return [decode(message.value(), MarketTick) for message in messages], messages[-1].offset()


def expected(ticks: list[MarketTick]) -> dict[str, Anomaly]:
    """Return what an undisturbed step finds, by id."""
    found = CrossEngine(CROSS).on_batch(ticks)
    return {event.anomaly_id: event for event in found if isinstance(event, Anomaly)}


def check_exactly_once(broker: Broker) -> None:
    """Run the whole way with two crashes, and compare what was committed with an undisturbed run."""
    broker.ensure_topics()
    judge_trades(broker)
    ticks, last_offset = ticks_on_the_topic(broker)
    assert len(ticks) > 1_000
    restored = []
    for share in (0.4, 0.3):
        worker = cross_worker(broker)
        work_until(worker, round(share * len(ticks)))
        restored.append(worker._assignment.restored)
        crash(worker)
    last = cross_worker(broker)

    def has_judged_all() -> bool:
        last.turn()
        states = last._assignment.states
        return bool(states) and states[0].position > last_offset

    eventually(has_judged_all, seconds=60, about="the rest")
    last.close()
    restored.append(last._assignment.restored)
    assert restored == [0, 1, 1]
    found, repeated = committed_anomalies(broker)
    assert repeated == 0
    assert {anomaly.kind for anomaly in found.values()} == {"arbitrage"}
    assert found == expected(ticks)
    assert len(found) >= 4
