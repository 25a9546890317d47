from shared.stream.restore import PartitionState, PendingSnapshot
from shared.stream.snapshots import Mark, Snapshot, SnapshotEncoder


def traded(state: PartitionState, position: int, *symbols: str, clock_us: int) -> None:
    state.clock_us = clock_us
    state.advanced(position, symbols)


def test_the_marker_is_where_the_first_unsaved_trade_may_lie() -> None:
    state = PartitionState(position=0, committed=0)
    traded(state, 10, "A-B", clock_us=5)
    traded(state, 20, "C-D", clock_us=7)
    assert state.marker(is_atomic=True) == Mark(0, 5)
    state.without("A-B")
    assert state.marker(is_atomic=True) == Mark(10, 7)
    state.without("C-D")
    assert state.marker(is_atomic=True) == Mark(20, 7)


def test_a_marker_of_its_own_lies_not_beyond_what_is_committed_already() -> None:
    # A crash between the two would resume at the commit with the clock of a later place.
    state = PartitionState(position=0, committed=0)
    traded(state, 10, clock_us=5)
    assert state.marker(is_atomic=False) is None
    state.commit(10)
    traded(state, 20, clock_us=7)
    assert state.marker(is_atomic=False) == Mark(10, 5)
    assert state.marker(is_atomic=True) == Mark(20, 7)


def test_what_is_committed_beyond_the_position_tells_no_clock() -> None:
    state = PartitionState(position=0, committed=30, clock_us=5)
    state.commit(30)
    assert state.committed_clock_us is None


def pending(state: PartitionState, symbol: str) -> PendingSnapshot:
    """Begin a snapshot that is not yet written."""
    snapshot = Snapshot(symbol, state.position, 0, {})
    encoder = SnapshotEncoder(snapshot, fingerprint="f")
    state.pending = PendingSnapshot(symbol, Mark(state.position, state.clock_us), encoder)
    return state.pending


def test_a_market_stays_unsaved_until_its_pending_snapshot_is_written() -> None:
    state = PartitionState(position=0, committed=0)
    traded(state, 10, "A-B", clock_us=5)
    begun = pending(state, "A-B")
    traded(state, 20, "C-D", clock_us=7)
    assert state.marker(is_atomic=True) == Mark(0, 5)
    state.snapshotted(begun, chunks=1, due_s=1.0)
    assert state.pending is None
    assert state.marker(is_atomic=True) == Mark(10, 7)


def test_trades_after_a_pending_snapshot_was_taken_are_not_in_it() -> None:
    state = PartitionState(position=0, committed=0)
    traded(state, 10, "A-B", clock_us=5)
    begun = pending(state, "A-B")
    traded(state, 20, "A-B", clock_us=7)
    traded(state, 30, clock_us=9)
    state.snapshotted(begun, chunks=1, due_s=1.0)
    assert state.marker(is_atomic=True) == Mark(10, 5)
    assert state.snapshot_offsets == {"A-B": 10}


def test_a_pending_snapshot_goes_with_its_market() -> None:
    state = PartitionState(position=0, committed=0)
    traded(state, 10, "A-B", "C-D", clock_us=5)
    pending(state, "A-B")
    state.without("C-D")
    assert state.pending is not None
    state.without("A-B")
    assert state.pending is None
