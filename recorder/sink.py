"""The recorder's core: what comes from the topics is stored once, in SQL and, if asked for, in Parquet."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from recorder.parquet import ParquetRecording
from shared import topics
from shared.errors import StoreUnavailableError
from shared.events import Quote
from shared.metrics import counter
from shared.store.database import Database
from shared.store.writes import store
from shared.stream.sink import Received

TOPICS: Final = (
    topics.TRADES,
    topics.ANOMALIES,
    topics.TAPE_GAPS,
    topics.QUARANTINES,
    topics.ALERTS,
    topics.DEAD_LETTERS,
)
# Read where there is a folder for recordings, as the store does not keep them.
RECORDED_TOPICS: Final = (topics.QUOTES,)
GROUP: Final = "recorder"


class Report(Protocol):
    """Takes the recorder's signs of life, as often as they come."""

    def __call__(self, *, figures: Mapping[str, float], state: str, detail: str) -> None:
        """Say how it goes; `detail` is a sentence when the state is not `running`."""
        ...


class RecorderSink:
    """Stores batches of events. Events that were stored before are passed over.

    Args:
        database: a migrated store.
        recording: where Parquet recordings go; None for none.
        report: told how it goes on every turn of the loop; how often that is passed on is its business.
    """

    def __init__(
        self,
        *,
        database: Database,
        recording: ParquetRecording | None,
        report: Report,
    ) -> None:
        self._database = database
        self._recording = recording
        self._report = report
        self._figures: dict[str, float] = {}

    def on_events(self, batch: Sequence[Received]) -> None:
        """Store a batch in one transaction, then record it; both are durable when this returns.

        Quotes are only recorded.

        Raises:
            StoreUnavailableError: the store or the disk cannot take it now; the whole batch may come again.
            StoreError: the database refuses it.
        """
        events = [received.event for received in batch]
        with self._database.session() as session:
            new_rows = store(session, [event for event in events if not isinstance(event, Quote)])
        for table, rows in new_rows.items():
            counter("tapewatch_rows_stored_total").labels(table=table).inc(rows)
            self._add(f"{table}_stored_total", rows)
        if self._recording is not None:
            self._recording.record(events)
        self._add("records_total", len(batch))

    def on_idle(self) -> None:
        """Cut the recordings that are due and say how it goes.

        A recording that cannot be cut now stays a journal, which loses nothing, and is tried again later.
        """
        state, detail = "running", ""
        if self._recording is not None:
            try:
                self._recording.turn()
            except StoreUnavailableError as error:
                state, detail = "degraded", str(error)
        self._report(figures=self._figures, state=state, detail=detail)

    def close(self) -> None:
        """Finish the recordings and close the store."""
        try:
            if self._recording is not None:
                self._recording.close()
        finally:
            self._database.close()

    def _add(self, name: str, value: float) -> None:
        self._figures[name] = self._figures.get(name, 0) + value
