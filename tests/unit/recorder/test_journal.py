"""The journal: whole batches survive a crash at any byte."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.journal import Journal, abandoned, read
from shared.errors import StoreUnavailableError
from shared.events import Trade
from shared.recordings.parquet import TRADE_SCHEMA, to_batch
from tests import samples


def trades_in(path: Path) -> list[Trade]:
    return [Trade(*row.values()) for batch in read(path, TRADE_SCHEMA) for row in batch.to_pylist()]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "trades-1.journal")
    yield journal
    journal.close()


def test_batches_come_back_in_order(journal: Journal) -> None:
    for first_id in (0, 3, 6):
        journal.append(to_batch(samples.trades(3, first_id=first_id)))
    assert trades_in(journal.path) == samples.trades(9)
    assert journal.rows == 9


def test_an_empty_journal_holds_nothing(journal: Journal) -> None:
    assert trades_in(journal.path) == []


@given(data=st.data())
def test_a_crash_at_any_byte_loses_only_the_batch_it_hit(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "trades-1.journal"
    journal = Journal(path)
    ends = [0]
    for first_id in (0, 2, 4):
        journal.append(to_batch(samples.trades(2, first_id=first_id)))
        ends.append(path.stat().st_size)
    journal.close()
    cut = data.draw(st.integers(0, ends[-1]), label="bytes left")
    os.truncate(path, cut)
    whole = sum(end <= cut for end in ends[1:])
    assert trades_in(path) == samples.trades(2 * whole)


def test_garbage_at_the_end_is_dropped(journal: Journal) -> None:
    journal.append(to_batch(samples.trades(2)))
    with journal.path.open("ab") as file:
        file.write(b"\x10" + b"\x00" * 200)
    assert trades_in(journal.path) == samples.trades(2)


def test_a_journal_in_use_is_not_abandoned_and_a_closed_one_is(tmp_path: Path, journal: Journal) -> None:
    assert list(abandoned(tmp_path)) == []
    journal.close()
    assert list(abandoned(tmp_path)) == [journal.path]


def test_an_abandoned_journal_is_held_by_one_finder_only(tmp_path: Path, journal: Journal) -> None:
    journal.close()
    finder = abandoned(tmp_path)
    assert next(finder) == journal.path
    assert list(abandoned(tmp_path)) == []


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_batch_that_does_not_fit_leaves_no_trace_and_may_come_again(journal: Journal) -> None:
    journal.append(to_batch(samples.trades(2)))
    size = journal.path.stat().st_size
    with files_limited_to(size + 100), pytest.raises(StoreUnavailableError):
        journal.append(to_batch(samples.trades(500, first_id=2)))
    assert (journal.rows, journal.path.stat().st_size) == (2, size)
    journal.append(to_batch(samples.trades(500, first_id=2)))
    assert trades_in(journal.path) == samples.trades(502)


def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="No such file"):
        Journal(tmp_path / "gone" / "trades-1.journal")
