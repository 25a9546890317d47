"""Writing snapshots: a few at every commit, so that no commit takes long."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared import topics
from shared.clock import Clock
from shared.metrics import counter
from shared.stream.broker import Producer
from shared.stream.restore import PartitionState
from shared.stream.snapshots import RESUME_KEY, Snapshot, encode_marker, encode_snapshot
from shared.stream.step import Step


@dataclass(frozen=True, kw_only=True)
class SnapshotPolicy:
    """When snapshots are written.

    Attributes:
        interval_s: between two snapshots of a market.
        budget_s: time of one commit after which no further snapshot is begun.
    """

    interval_s: float = 30.0
    budget_s: float = 0.02


class SnapshotWriter:
    """Writes the snapshots that are due, and each partition's marker.

    Args:
        producer: whose transaction they are part of.
        step: whose state is kept.
        policy: when.
        clock: the time.

    Attributes:
        written: snapshots since the start.
    """

    def __init__(self, producer: Producer, step: Step, policy: SnapshotPolicy, clock: Clock) -> None:
        self._producer = producer
        self._step = step
        self._policy = policy
        self._clock = clock
        self.written = 0

    def write(self, states: Mapping[int, PartitionState]) -> None:
        """Queue what is due, within the budget.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        started_s = self._clock.monotonic_s()
        for number, state in states.items():
            # State that trails the committed offset is on its way, and not worth keeping.
            if state.is_replaying:
                continue
            for symbol in state.due(started_s):
                if self._clock.monotonic_s() >= started_s + self._policy.budget_s:
                    break
                self._write_one(number, state, symbol, due_s=started_s + self._policy.interval_s)
            marker = state.marker()
            if marker != state.resume_offset and state.snapshot_offsets:
                value = encode_marker(marker, fingerprint=self._step.fingerprint)
                self._producer.produce(topics.SNAPSHOTS, value, key=RESUME_KEY, partition=number)
                state.resume_offset = marker

    def _write_one(self, number: int, state: PartitionState, symbol: str, *, due_s: float) -> None:
        snapshot = Snapshot(symbol, state.position, self._step.snapshot(symbol))
        for key, value in encode_snapshot(snapshot, fingerprint=self._step.fingerprint):
            self._producer.produce(topics.SNAPSHOTS, value, key=key, partition=number)
        state.snapshotted(symbol, due_s=due_s)
        self.written += 1
        counter("tapewatch_snapshots_written_total").inc()
