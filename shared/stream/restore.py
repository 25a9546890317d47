"""The bookkeeping of one input partition: what is committed, snapshotted and still to be re-read in silence.

A snapshot of a market holds its state after every input record below the snapshot's offset. The partition's
marker says from which offset reading again completes all of them: the lowest one at which a market traded
that has no later snapshot. So, on assignment: restore, read from the
marker, skip what a market's snapshot already contains, suppress events below the committed offset, go on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.stream.snapshots import Restored


@dataclass
class PartitionState:
    """Where the work on one partition stands.

    Attributes:
        position: next offset to process.
        committed: next offset whose events have not been published; events below it are suppressed.
        contained: per market, the offset below which its restored snapshot already contains the trades;
            emptied as soon as the position has passed all of them.
        snapshot_offsets: per market, the offset of its latest snapshot.
        dirty_since: per market that has traded since its latest snapshot, an offset between that snapshot
            and the first such trade.
        snapshot_due_s: per market, when its next snapshot is due.
        resume_offset: the marker that was last written.
        symbols: the markets that have state.
    """

    position: int
    committed: int
    contained: dict[str, int] = field(default_factory=dict)
    snapshot_offsets: dict[str, int] = field(default_factory=dict)
    dirty_since: dict[str, int] = field(default_factory=dict)
    snapshot_due_s: dict[str, float] = field(default_factory=dict)
    resume_offset: int = -1
    symbols: set[str] = field(default_factory=set)

    @property
    def is_replaying(self) -> bool:
        """Whether events are suppressed, or trades skipped, at the current position."""
        return self.position < self.committed or bool(self.contained)

    def is_new_to(self, symbol: str, offset: int) -> bool:
        """Return whether the market's state does not contain this record yet."""
        return offset >= self.contained.get(symbol, 0)

    def advanced(self, position: int, symbols: Iterable[str]) -> None:
        """Note that records up to `position` were processed, and which markets they touched."""
        for symbol in symbols:
            self.dirty_since.setdefault(symbol, self.position)
            self.symbols.add(symbol)
        self.position = position
        if self.contained and position >= max(self.contained.values()):
            self.contained.clear()

    def snapshotted(self, symbol: str, *, due_s: float) -> None:
        """Note that a market's snapshot was written at the current position."""
        self.snapshot_offsets[symbol] = self.position
        self.dirty_since.pop(symbol, None)
        self.snapshot_due_s[symbol] = due_s

    def without_snapshot(self, symbol: str) -> None:
        """Note that a market's snapshot could not be restored: it begins to warm up again."""
        self.snapshot_offsets.pop(symbol, None)
        self.contained.pop(symbol, None)
        self.symbols.discard(symbol)

    def marker(self) -> int:
        """Return the offset from which reading again completes every snapshot."""
        return min(self.dirty_since.values(), default=self.position)

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
        return PartitionState(position=low, committed=low)
    assert committed is not None
    resume = low if restored.resume_offset is None else restored.resume_offset
    offsets = {symbol: snapshot.offset for symbol, snapshot in restored.snapshots.items()}
    position = max(low, min(resume, committed))
    return PartitionState(
        position=position,
        committed=committed,
        contained={symbol: offset for symbol, offset in offsets.items() if offset > position},
        snapshot_offsets=offsets,
        resume_offset=resume,
        symbols=set(offsets),
    )
