"""Quotes under the runner: exactly once over crashes, invalid records set aside, what was traded kept."""

from detector.quotes.engine import QuoteEngine, QuoteParams
from detector.quotes.features import QuoteFeatureParams
from shared import topics
from shared.clock import SystemClock
from shared.codec import encode
from shared.events import Anomaly, Quote
from shared.metrics import Health
from shared.stream.broker import Broker, TopicPartition
from shared.stream.commit import CommitPolicy
from shared.stream.memory import MemoryBroker
from shared.stream.quotes import QuoteColumns, QuoteIntake
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy
from tests.data.quote_market import busy
from tests.data.quote_tapes import shown
from tests.deadlines import eventually
from tests.stream_crew import committed_anomalies

PARAMS = QuoteParams(warm_up_quotes=2_000, features=QuoteFeatureParams(warm_up_s=60.0))


def worker(broker: Broker) -> Runner:
    clock = SystemClock()
    runner = Runner(
        broker=broker,
        step=QuoteEngine(PARAMS),
        params=RunnerParams(
            group="quotes",
            source=topics.QUOTES,
            kept_in=topics.QUOTE_SNAPSHOTS,
            batch_records=500,
            commit=CommitPolicy(max_records=1_000, max_delay_s=0.2, max_output_delay_s=0.1),
            snapshots=SnapshotPolicy(interval_s=0.0),
        ),
        clock=clock,
        health=Health(clock),
        intake=QuoteIntake,
    )
    runner.start()
    return runner


def work_until(runner: Runner, records: int) -> None:
    def has_judged() -> bool:
        runner.turn()
        return runner.totals.trades >= records

    eventually(has_judged, seconds=60, about=f"{records} records")


def written(broker: Broker, quotes: list[Quote]) -> int:
    broker.ensure_topics()
    producer = broker.producer()
    for quote in quotes:
        producer.produce(topics.QUOTES, encode(quote), key=quote.symbol.encode())
    assert producer.flush(30) == 0
    producer.close()
    return len(quotes)


def test_what_is_committed_is_that_of_an_undisturbed_run() -> None:
    broker, columns = MemoryBroker(partitions=3), busy("layering")
    count = written(broker, columns.events())
    restored = []
    for share in (0.3, 0.4):
        runner = worker(broker)
        work_until(runner, round(share * count))
        restored.append(runner._assignment.restored)
        runner._abort()
        runner._consumer.close()
    last = worker(broker)

    def has_judged_all() -> bool:
        last.turn()
        return bool(last.lag_records()) and not any(last.lag_records().values())

    eventually(has_judged_all, seconds=60, about="the rest")
    last.close()
    found, repeated = committed_anomalies(broker)
    assert restored == [0, 2]
    assert repeated == 0
    whole = QuoteEngine(PARAMS).on_batch(columns)
    assert found == {event.anomaly_id: event for event in whole if isinstance(event, Anomaly)}
    assert len(found) >= 2


def test_what_is_no_quote_is_set_aside() -> None:
    broker = MemoryBroker(partitions=1)
    written(broker, shown()[:10])
    producer = broker.producer()
    producer.produce(topics.QUOTES, b"{}", key=b"BTC-USDT")
    assert producer.flush(30) == 0
    runner = worker(broker)
    work_until(runner, 11)
    runner.close()
    assert runner.totals.dead_letters == 1
    letters = list(broker.read_all([TopicPartition(topics.DEAD_LETTERS, 0)]))
    assert b'"reader":"quotes"' in (letters[0].value() or b"")


def test_columns_of_events_are_those_that_they_were_made_of() -> None:
    columns = busy("spoofing")[:300]
    again = QuoteColumns.of_quotes(columns.events())
    assert again.books.tolist() == columns.books.tolist()
    assert again.traded.tolist() == columns.traded.tolist()
    assert again.trade_starts.tolist() == columns.trade_starts.tolist()
