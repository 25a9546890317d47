"""The bookkeeping of one input partition: what is committed, snapshotted and still to be re-read in silence.

A snapshot of a market holds its state after every input record below the snapshot's offset. The partition's
marker says from which offset reading again completes all of them: the lowest one at which a market traded
that has no later snapshot. So, on assignment: restore, read from the marker, skip what a market's snapshot
already contains, suppress events below the committed offset, go on.

A partition has a clock of its own, made of its records alone, by which silent markets are forgotten
(`eviction.py`). Snapshots and marker carry it, so that it reads the same after a restart.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from shared.stream.snapshots import Mark, Restored, SnapshotEncoder
from shared.stream.timeline import Timeline

# Before the first record.
CLOCK_START_US: Final = -1


@dataclass
class PendingSnapshot:
    """A snapshot that takes more than one commit to encode.

    Attributes:
        symbol: of which market.
        mark: where it was taken.
        encoder: what is done of it.
        is_outdated: the market has traded since.
    """

    symbol: str
    mark: Mark
    encoder: SnapshotEncoder
    is_outdated: bool = False


@dataclass
class PartitionState:
    """Where the work on one partition stands.

    Attributes:
        position: next offset to process.
        committed: next offset whose events have not been published; events below it are suppressed.
        clock_us: the partition's clock at `position`.
        committed_clock_us: its clock at `committed`; None until a commit after the restore.
        swept_clock_us: what that was when memory of forgotten markets was last given back.
        contained: per market, the offset below which its restored snapshot already contains the trades;
            emptied as soon as the position has passed all of them.
        traded_us: per market that has state, the partition's clock at its latest trade.
        snapshot_offsets: per market, the offset of its latest snapshot.
        snapshot_chunks: per market, how many records of the snapshots topic are in use for it.
        dirty_since: per market that has traded since its latest snapshot, a place between that snapshot and
            the first such trade.
        snapshot_due_s: per market, when its next snapshot is due.
        pending: the snapshot that is being encoded; its market stays dirty until it is written.
        resume_offset: the marker that was last written.
        timeline: which settings the partition is judged with.
        end_at_start: where its input ended when it was assigned: nobody before us has judged more.
    """

    position: int
    committed: int
    clock_us: int = CLOCK_START_US
    committed_clock_us: int | None = None
    swept_clock_us: int | None = None
    contained: dict[str, int] = field(default_factory=dict)
    traded_us: dict[str, int] = field(default_factory=dict)
    snapshot_offsets: dict[str, int] = field(default_factory=dict)
    snapshot_chunks: dict[str, int] = field(default_factory=dict)
    dirty_since: dict[str, Mark] = field(default_factory=dict)
    snapshot_due_s: dict[str, float] = field(default_factory=dict)
    pending: PendingSnapshot | None = None
    resume_offset: int = -1
    timeline: Timeline = field(default_factory=Timeline)
    end_at_start: int = 0

    @property
    def is_replaying(self) -> bool:
        """Whether events are suppressed, or trades skipped, at the current position."""
        return self.position < self.committed or bool(self.contained)

    def advanced(self, position: int, symbols: Collection[str]) -> None:
        """Note that records up to `position` were processed, and which markets' states they changed."""
        unmarked = [symbol for symbol in symbols if symbol not in self.dirty_since]
        if unmarked:
            self.dirty_since |= dict.fromkeys(unmarked, Mark(self.position, self.clock_us))
        self.traded_us |= dict.fromkeys(symbols, self.clock_us)
        if self.pending is not None and self.pending.symbol in symbols:
            self.pending.is_outdated = True
        self.position = position
        if self.contained and position >= max(self.contained.values()):
            self.contained.clear()

    def changed(self, symbol: str) -> None:
        """Note that a market's state is another one, though it has not traded: its settings are."""
        self.dirty_since.setdefault(symbol, Mark(self.position, self.clock_us))
        if self.pending is not None and self.pending.symbol == symbol:
            self.pending.is_outdated = True

    def commit(self, offset: int) -> None:
        """Note that everything below `offset` is committed; `offset` is not below the position."""
        self.committed = offset
        self.committed_clock_us = self.clock_us if offset == self.position else None

    def snapshotted(self, pending: PendingSnapshot, *, chunks: int, due_s: float) -> None:
        """Note that the pending snapshot was written."""
        symbol = pending.symbol
        self.pending = None
        self.snapshot_offsets[symbol] = pending.mark.offset
        self.snapshot_chunks[symbol] = chunks
        self.snapshot_due_s[symbol] = due_s
        if pending.is_outdated:
            self.dirty_since[symbol] = pending.mark
        else:
            self.dirty_since.pop(symbol, None)

    def without(self, symbol: str) -> None:
        """Note that a market has no state any more: its snapshot was refused, or it is forgotten."""
        self.snapshot_offsets.pop(symbol, None)
        self.contained.pop(symbol, None)
        self.traded_us.pop(symbol, None)
        self.dirty_since.pop(symbol, None)
        self.snapshot_due_s.pop(symbol, None)
        if self.pending is not None and self.pending.symbol == symbol:
            self.pending = None

    def marker(self, *, is_atomic: bool) -> Mark | None:
        """Return the place from which reading again completes every snapshot; None when it is not known.

        Args:
            is_atomic: the marker is committed together with the position. If not, it must not lie beyond what
                is committed already, because after a crash reading begins there, with the marker's clock.
        """
        mark = min(self.dirty_since.values(), default=Mark(self.position, self.clock_us))
        if is_atomic:
            return mark
        if self.committed_clock_us is None:
            return None
        return min(mark, Mark(self.committed, self.committed_clock_us))

    def due(self, now_s: float) -> list[str]:
        """Return the markets whose snapshot is due, the longest overdue first."""
        due_s = self.snapshot_due_s
        waiting = [symbol for symbol in self.dirty_since if due_s.get(symbol, 0.0) <= now_s]
        return sorted(waiting, key=lambda symbol: (due_s.get(symbol, 0.0), symbol))


def begin(restored: Restored, *, committed: int | None, low: int, high: int) -> PartitionState:
    """Return the state of a partition that has just been assigned, its position where reading must start.

    Args:
        restored: what the snapshots topic holds for it.
        committed: the group's committed offset; None when the group has none.
        low: first retained offset of the input.
        high: the offset after its last record.
    """
    # An offset beyond the end belongs to a topic that was created anew: nothing of it can be trusted.
    is_known = committed is not None and committed <= high
    if not is_known:
        return PartitionState(
            position=low, committed=low, snapshot_chunks=dict(restored.chunks), end_at_start=high
        )
    assert committed is not None
    # Without a usable marker everything retained is read again, which rebuilds what was refused.
    resume = Mark(low, CLOCK_START_US) if restored.marker is None else restored.marker
    position = max(low, min(resume.offset, committed))
    snapshots = restored.snapshots.values()
    return PartitionState(
        position=position,
        committed=committed,
        clock_us=resume.clock_us,
        contained={s.symbol: s.offset for s in snapshots if s.offset > position},
        traded_us={s.symbol: s.traded_us for s in snapshots},
        snapshot_offsets={s.symbol: s.offset for s in snapshots},
        snapshot_chunks=dict(restored.chunks),
        resume_offset=resume.offset,
        timeline=Timeline(restored.changes, position=position),
        end_at_start=high,
    )
