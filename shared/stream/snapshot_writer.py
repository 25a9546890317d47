"""Writing snapshots, a few at every commit so that none takes long, and removing those of the forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from shared import topics
from shared.clock import Clock
from shared.metrics import counter
from shared.stream.broker import Producer
from shared.stream.eviction import EvictionPolicy
from shared.stream.restore import PartitionState, PendingSnapshot
from shared.stream.snapshots import (
    RESUME_KEY,
    SLICE_BYTES,
    Mark,
    Snapshot,
    SnapshotEncoder,
    chunk_key,
    encode_marker,
)
from shared.stream.step import Step

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class SnapshotPolicy:
    """When snapshots are written.

    Attributes:
        interval_s: between two snapshots of a market.
        budget_s: time of one commit after which no further snapshot is begun, nor slice encoded.
        slice_bytes: of state that are encoded in one go.
    """

    interval_s: float = 30.0
    budget_s: float = 0.02
    slice_bytes: int = SLICE_BYTES


class SnapshotWriter:
    """Writes the snapshots that are due and each partition's marker, and tombstones for forgotten markets.

    Args:
        producer: whose transaction they are part of.
        step: whose state is kept.
        clock: the time.
        policy: when snapshots are written.
        eviction: when markets are forgotten.
        is_atomic: what is written becomes visible together with the input offsets.
        topic: that they are written to.

    Attributes:
        written: snapshots since the start.
        evicted: markets whose memory was given back since the start.
    """

    def __init__(
        self,
        producer: Producer,
        step: Step,
        clock: Clock,
        *,
        policy: SnapshotPolicy,
        eviction: EvictionPolicy,
        is_atomic: bool,
        topic: str = topics.SNAPSHOTS,
    ) -> None:
        self._producer = producer
        self._step = step
        self._clock = clock
        self._policy = policy
        self._eviction = eviction
        self._is_atomic = is_atomic
        self._topic = topic
        self._first = -1
        self.written = 0
        self.evicted = 0

    def write(self, states: Mapping[int, PartitionState]) -> None:
        """Queue what is due, within the budget; what does not fit is gone on with at the next commit.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        started_s = self._clock.monotonic_s()
        for number in self._in_turn(states):
            state = states[number]
            # State that trails the committed offset is on its way, and not worth keeping.
            if state.is_replaying:
                continue
            self._sweep(number, state)
            self._write_due(number, state, started_s)
            self._mark(number, state)

    def _in_turn(self, states: Mapping[int, PartitionState]) -> list[int]:
        """Return the partitions, at every commit from another one on: the budget may not reach the last."""
        numbers = sorted(states)
        self._first = self._first + 1 if self._first + 1 < len(numbers) else 0
        return numbers[self._first :] + numbers[: self._first]

    def _write_due(self, number: int, state: PartitionState, started_s: float) -> None:
        deadline_s = started_s + self._policy.budget_s
        due_s = started_s + self._policy.interval_s
        if not self._go_on(number, state, deadline_s, due_s):
            return
        for symbol in state.due(started_s):
            if self._clock.monotonic_s() >= deadline_s:
                return
            state.pending = self._begin(state, symbol)
            if not self._go_on(number, state, deadline_s, due_s):
                return

    def _go_on(self, number: int, state: PartitionState, deadline_s: float, due_s: float) -> bool:
        """Encode the pending snapshot; return whether none is pending any more."""
        if state.pending is None:
            return True
        # One slice at least, however late it is: or a large market would never be done.
        while not state.pending.encoder.advance():
            if self._clock.monotonic_s() >= deadline_s:
                return False
        self._finish(number, state, state.pending, due_s=due_s)
        return True

    def _begin(self, state: PartitionState, symbol: str) -> PendingSnapshot:
        snapshot = Snapshot(symbol, state.position, state.traded_us[symbol], self._step.snapshot(symbol))
        encoder = SnapshotEncoder(
            snapshot, fingerprint=self._step.fingerprint, slice_bytes=self._policy.slice_bytes
        )
        return PendingSnapshot(symbol, Mark(state.position, state.clock_us), encoder)

    def _finish(self, number: int, state: PartitionState, pending: PendingSnapshot, *, due_s: float) -> None:
        chunks = 0
        for key, value in pending.encoder.records():
            self._producer.produce(self._topic, value, key=key, partition=number)
            chunks += 1
        self._bury(number, state, pending.symbol, from_chunk=chunks)
        state.snapshotted(pending, chunks=chunks, due_s=due_s)
        self.written += 1
        counter("tapewatch_snapshots_written_total").inc()

    def _mark(self, number: int, state: PartitionState) -> None:
        mark = state.marker(is_atomic=self._is_atomic)
        if mark is not None and mark.offset != state.resume_offset and state.snapshot_offsets:
            value = encode_marker(mark, fingerprint=self._step.fingerprint)
            self._producer.produce(self._topic, value, key=RESUME_KEY, partition=number)
            state.resume_offset = mark.offset

    def _sweep(self, number: int, state: PartitionState) -> None:
        if state.committed_clock_us == state.swept_clock_us:
            return
        state.swept_clock_us = state.committed_clock_us
        for symbol in self._eviction.gone(state):
            self._step.evict(symbol)
            self._bury(number, state, symbol, from_chunk=0)
            state.without(symbol)
            state.snapshot_chunks.pop(symbol, None)
            self.evicted += 1
            note_eviction(number, symbol)

    def _bury(self, number: int, state: PartitionState, symbol: str, *, from_chunk: int) -> None:
        for index in range(from_chunk, state.snapshot_chunks.get(symbol, 0)):
            self._producer.produce(self._topic, None, key=chunk_key(symbol, index), partition=number)


def note_eviction(number: int, symbol: str) -> None:
    """Say that a market was forgotten."""
    counter("tapewatch_markets_evicted_total").inc()
    _log.info("market_evicted", partition=number, symbol=symbol)
