"""However events are split into batches, repeated or recorded in parts, what is kept is the same."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.parquet import ParquetParams, ParquetRecording
from shared.clock import ManualClock
from shared.events import Trade
from shared.recordings import read
from shared.store import queries
from shared.store.database import Database
from shared.store.writes import store
from tests import samples

# Ids from a small range, so that repeats are frequent; event times follow ids, as they do at a venue, and
# cross the end of an hour.
trade_batches = st.lists(
    st.lists(
        st.builds(
            lambda number, symbol: samples.trade(
                number, symbol=symbol, at_us=samples.START_US + number * 30_000_000
            ),
            st.integers(0, 40),
            st.sampled_from(["BTC-USDT", "ETH-USDT"]),
        ),
        max_size=12,
    ),
    max_size=8,
)


def once(batches: list[list[Trade]]) -> list[Trade]:
    return sorted({trade for batch in batches for trade in batch}, key=lambda t: (t.symbol, t.trade_id))


@given(batches=trade_batches)
@settings(max_examples=40)
def test_the_store_keeps_each_trade_once(batches: list[list[Trade]]) -> None:
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/store.db")
        database.migrate()
        new_rows = 0
        for batch in batches:
            with database.session() as session:
                new_rows += store(session, batch).get("trades", 0)
        with database.session(read_only=True) as session:
            kept = [t for symbol in ("BTC-USDT", "ETH-USDT") for t in queries.trades(session, symbol=symbol)]
        database.close()
    assert kept == once(batches)
    assert new_rows == len(kept)


@given(batches=trade_batches, crashes=st.sets(st.integers(0, 7)), part_rows=st.integers(1, 20))
@settings(max_examples=40)
def test_recordings_keep_each_trade_once_across_parts_and_crashes(
    batches: list[list[Trade]], crashes: set[int], part_rows: int
) -> None:
    with TemporaryDirectory() as folder:
        params = ParquetParams(folder=Path(folder), part_rows=part_rows)
        recording = ParquetRecording(params, clock=ManualClock())
        for number, batch in enumerate(batches):
            recording.record(batch)
            if number in crashes:
                for journal, _ in recording._open.values():
                    journal.close()
                recording = ParquetRecording(params, clock=ManualClock())
                # The batch was kept, but its offsets were not committed: it comes again.
                recording.record(batch)
            recording.turn()
        recording.close()
        kept = [trade for batch in read([Path(folder)]) for trade in batch]
    assert sorted(kept, key=lambda trade: (trade.symbol, trade.trade_id)) == once(batches)
