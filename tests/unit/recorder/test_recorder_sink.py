"""The recorder behind the real runner, on the broker in memory and SQLite."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from recorder.parquet import ParquetParams, ParquetRecording
from recorder.sink import GROUP, RECORDED_TOPICS, TOPICS, RecorderSink
from shared import topics
from shared.clock import ManualClock
from shared.codec import encode
from shared.errors import StoreUnavailableError
from shared.metrics import Health
from shared.recordings import read
from shared.recordings.quotes import quote_files, read_quotes
from shared.store import queries
from shared.store.database import Database
from shared.store.writes import store
from shared.stream.memory import MemoryBroker
from shared.stream.sink import Received, SinkParams, SinkRunner
from tests import samples
from tests.data.quote_market import busy

EVENTS: list[msgspec.Struct] = [
    *samples.trades(50),
    *samples.trades(30, symbol="ETH-USDT"),
    samples.anomaly(),
    samples.tape_gap(),
    samples.quarantine(),
    samples.alert(),
]
QUOTES = busy("layering")[:30].events()


class Reports:
    """Remembers what the sink reports, and stops its runner after a number of records."""

    def __init__(self, *, stop: threading.Event, after_records: int) -> None:
        self.stop = stop
        self.after_records = after_records
        self.latest: tuple[Mapping[str, float], str, str] = ({}, "", "")

    def __call__(self, *, figures: Mapping[str, float], state: str, detail: str) -> None:
        self.latest = (dict(figures), state, detail)
        if figures.get("records_total", 0) >= self.after_records:
            self.stop.set()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    yield database
    database.close()


def received(events: list[msgspec.Struct]) -> list[Received]:
    return [Received(topics.topic_of(type(event)), 0, n, event) for n, event in enumerate(events)]


def published(events: list[msgspec.Struct]) -> MemoryBroker:
    broker = MemoryBroker()
    broker.ensure_topics()
    producer = broker.producer()
    for event in events:
        key = getattr(event, "symbol", "none").encode()
        producer.produce(topics.topic_of(type(event)), encode(event), key=key)
    producer.produce(topics.TRADES, b"not json", key=b"BTC-USDT")
    producer.flush(1)
    return broker


def run(broker: MemoryBroker, sink: RecorderSink, stop: threading.Event) -> None:
    SinkRunner(
        broker=broker,
        sink=sink,
        group=GROUP,
        topic_names=(*TOPICS, *RECORDED_TOPICS),
        params=SinkParams(batch_records=20, poll_s=0),
        clock=ManualClock(),
        health=Health(ManualClock()),
    ).run(stop)


def test_every_topic_is_stored_and_recorded_invalid_records_too(database: Database, tmp_path: Path) -> None:
    broker = published([*EVENTS, *QUOTES])
    stop = threading.Event()
    # The record that is no JSON is stored as the dead letter that the runner makes of it.
    reports = Reports(stop=stop, after_records=len(EVENTS) + len(QUOTES) + 1)
    recording = ParquetRecording(ParquetParams(folder=tmp_path / "tape"), clock=ManualClock())
    run(broker, RecorderSink(database=database, recording=recording, report=reports), stop)
    with database.session(read_only=True) as session:
        assert queries.counts(session) == {
            "trades": 80,
            "anomalies": 1,
            "tape_gaps": 1,
            "quarantines": 1,
            "alerts": 1,
            "dead_letters": 1,
            "deliveries": 0,
            "lifecycle": 0,
            "leases": 0,
            "labels": 0,
        }
        assert queries.trades(session, symbol="BTC-USDT") == samples.trades(50)
        assert queries.anomalies(session) == [samples.anomaly()]
    taped = [trade for batch in read([tmp_path / "tape"], markets=["ETH-USDT"]) for trade in batch]
    assert taped == samples.trades(30, symbol="ETH-USDT")
    # The store does not keep them.
    quotes = [quote for part in read_quotes(quote_files([tmp_path / "tape"])) for quote in part.events()]
    assert {quote.update_id for quote in quotes} == {quote.update_id for quote in QUOTES}
    figures, state, _ = reports.latest
    assert (figures["trades_stored_total"], state) == (80, "running")


def test_a_restart_that_reads_everything_again_stores_nothing_twice(database: Database) -> None:
    for _ in range(2):
        stop = threading.Event()
        # A new broker has no committed offsets, as after a crash before the first commit.
        sink = RecorderSink(
            database=database, recording=None, report=Reports(stop=stop, after_records=len(EVENTS))
        )
        run(published(EVENTS), sink, stop)
    with database.session(read_only=True) as session:
        assert queries.counts(session)["trades"] == 80


def test_the_batch_of_a_disk_that_is_full_may_come_again(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "tape"
    recording = ParquetRecording(ParquetParams(folder=folder), clock=ManualClock())
    reports = Reports(stop=threading.Event(), after_records=1_000)
    sink = RecorderSink(database=database, recording=recording, report=reports)
    journals = folder / ".journals"
    journals.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailableError):
        sink.on_events(received(EVENTS))
    (tmp_path / "elsewhere").rename(journals)
    sink.on_events(received(EVENTS))
    sink.on_idle()
    sink.close()
    figures, _, _ = reports.latest
    assert figures["trades_stored_total"] == 80, "counted when stored, not when offered again"
    assert figures["records_total"] == len(EVENTS)
    assert sum(len(batch) for batch in read([folder])) == 80


def test_a_recording_that_cannot_be_cut_is_reported_and_loses_nothing(
    database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "tape"
    recording = ParquetRecording(ParquetParams(folder=folder, part_rows=1), clock=ManualClock())
    reports = Reports(stop=threading.Event(), after_records=1_000)
    sink = RecorderSink(database=database, recording=recording, report=reports)
    (folder / "trades").write_text("in the way", encoding="utf-8")
    sink.on_events(received(list(samples.trades(5))))
    sink.on_idle()
    _, state, detail = reports.latest
    assert state == "degraded"
    assert detail.startswith("store recording: ")
    (folder / "trades").unlink()
    sink.close()
    assert sum(len(batch) for batch in read([folder])) == 5


def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The runner offers the batch again until the store takes it."""
    database = Database(f"sqlite:///{tmp_path}/elsewhere/store.db")
    database.migrate()
    database.close()
    # A missing folder is SQLite's way to be unreachable.
    database = Database(f"sqlite:///{tmp_path}/here/store.db")
    stop, was_away = threading.Event(), threading.Event()

    class Sink(RecorderSink):
        def on_events(self, batch: Sequence[Received]) -> None:
            try:
                super().on_events(batch)
            except StoreUnavailableError:
                was_away.set()
                raise

    sink = Sink(database=database, recording=None, report=Reports(stop=stop, after_records=len(EVENTS)))
    runner = threading.Thread(target=run, args=(published(EVENTS), sink, stop))
    runner.start()
    assert was_away.wait(timeout=30)
    (tmp_path / "elsewhere").rename(tmp_path / "here")
    runner.join(timeout=30)
    assert not runner.is_alive()
    with database.session() as session:
        assert store(session, EVENTS)["trades"] == 0, "all are there already"
    database.close()
