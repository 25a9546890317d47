"""The partitions that this process holds: how they come, how they go, and how they are set back.

A partition that comes brings its state from the snapshots topic; one that goes takes it away. Everything here
is called from within a read of the consumer, or between two reads, in the runner's one thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from shared import topics
from shared.errors import (
    BrokerAbortableError,
    BrokerError,
    BrokerFatalError,
    BrokerRetriableError,
    SnapshotRefusedError,
)
from shared.metrics import counter
from shared.stream.broker import Broker, Consumer, Message, RebalanceListener, TopicPartition
from shared.stream.intake import TradeBatch
from shared.stream.restore import PartitionState, begin
from shared.stream.snapshots import read_snapshots
from shared.stream.step import Step

_log = structlog.get_logger()


class Assignment:
    """What this process holds of the source, and the state of the step that belongs to it.

    Args:
        broker: where the snapshots are.
        consumer: whose partitions they are.
        step: whose state is restored and evicted.
        commit: makes durable what is uncommitted; called before partitions are given up in order.
        abort: drops what is uncommitted.
        source: topic that is read.
        kept_in: topic of the snapshots.

    Attributes:
        states: by number of the partition.
        restored: markets restored since the start.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        consumer: Consumer,
        step: Step,
        commit: Callable[[], None],
        abort: Callable[[], None],
        source: str = topics.TRADES,
        kept_in: str = topics.SNAPSHOTS,
    ) -> None:
        self._broker = broker
        self._consumer = consumer
        self._step = step
        self._commit = commit
        self._abort = abort
        self._source, self._kept_in = source, kept_in
        # Partitions that came, went or were set back during the latest read.
        self._moved: set[int] = set()
        # The group has dropped us, and `consume` has not said so yet.
        self._is_dropped = False
        self.states: dict[int, PartitionState] = {}
        self.restored = 0

    def listener(self) -> RebalanceListener:
        """Return what the consumer must call when partitions come and go."""
        return RebalanceListener(assigned=self._assigned, revoked=self._revoked, lost=self._lost)

    def before_read(self) -> None:
        """Note that a read begins."""
        self._moved.clear()

    def still_valid(self, batch: TradeBatch) -> TradeBatch:
        """Return the part of the batch that no rebalance in the middle of reading it has made invalid.

        A record that was taken before its partition was given up, lost or set back must not be judged. Which
        ones were taken before and which after cannot be told, so those of moved partitions are read again.

        Raises:
            BrokerFatalError: records of partitions came that nobody was given.
        """
        if not (self._moved or self._is_dropped):
            return batch
        touched = batch.positions.keys()
        for number in touched & self._moved & self.states.keys():
            self._consumer.seek(TopicPartition(self._source, number), self.states[number].position)
        unknown = touched - self.states.keys() - self._moved
        if unknown and self._consumer.is_member():
            # Nobody would ever judge them: better to begin anew than to stand still.
            raise BrokerFatalError("consume", detail=f"partitions {sorted(unknown)} were never assigned")
        return batch.of(self.states.keys() - self._moved)

    def rewind(self) -> None:
        """Set all partitions back to the last commit: forget their state and restore it."""
        held = [TopicPartition(self._source, number) for number in self.states]
        self._forget(held)
        if held and not self._consumer.is_member():
            # They are somebody else's already; the next read joins again and is told what is ours.
            self._is_dropped = True
            return
        for partition, offset in self._assigned(held).items():
            self._consumer.seek(partition, offset)

    # They come

    def _assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._moved |= {partition.partition for partition in partitions}
        self._is_dropped = False
        with _fatal("assign"):
            committed = self._consumer.committed(partitions)
            kept = self._read_snapshots([p.partition for p in partitions if p in committed])
            return {
                partition: self._restore(
                    partition, committed.get(partition), kept.get(partition.partition, {})
                )
                for partition in partitions
            }

    def _read_snapshots(self, numbers: Sequence[int]) -> dict[int, dict[bytes, Message]]:
        """Return the latest record of every key, per partition: what compaction has not done yet."""
        kept: dict[int, dict[bytes, Message]] = {}
        if numbers:
            for message in self._broker.read_all([TopicPartition(self._kept_in, n) for n in numbers]):
                kept.setdefault(message.partition(), {})[message.key() or b""] = message
        return kept

    def _restore(
        self, partition: TopicPartition, committed: int | None, kept: Mapping[bytes, Message]
    ) -> int:
        number = partition.partition
        low, high = self._consumer.bounds(partition)
        restored = read_snapshots(kept.values(), fingerprint=self._step.fingerprint)
        for refusal in restored.refused:
            self._refuse(number, refusal)
        state = begin(restored, committed=committed, low=low, high=high)
        for symbol in list(state.snapshot_offsets):
            try:
                self._step.restore(symbol, restored.snapshots[symbol].state)
            except SnapshotRefusedError as refusal:
                self._refuse(number, refusal)
                state.without(symbol)
        self.states[number] = state
        self.restored += len(state.snapshot_offsets)
        _log.info(
            "partition_assigned",
            partition=number,
            markets_restored=len(state.snapshot_offsets),
            committed=state.committed,
            silent_from=state.position,
        )
        return state.position

    @staticmethod
    def _refuse(number: int, refusal: SnapshotRefusedError) -> None:
        counter("tapewatch_snapshots_refused_total").inc()
        _log.warning("snapshot_refused", partition=number, symbol=refusal.symbol, reason=refusal.reason)

    # They go

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            self._commit()
        except (BrokerAbortableError, BrokerRetriableError) as error:
            _log.warning("commit_on_revoke_failed", detail=error.detail)
            self._give_up(partitions)
        else:
            self._forget(partitions)

    def _lost(self, partitions: Sequence[TopicPartition]) -> None:
        _log.warning("partitions_lost", partitions=[p.partition for p in partitions])
        self._give_up(partitions)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what is uncommitted and these partitions, and return to the last commit with the others."""
        with _fatal("give up partitions"):
            self._abort()
            self._forget(partitions)
            self.rewind()

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            if state := self.states.pop(partition.partition, None):
                for symbol in state.traded_us:
                    self._step.evict(symbol)
        self._moved |= {partition.partition for partition in partitions}
        _log.info("partitions_released", partitions=[p.partition for p in partitions])


@contextmanager
def _fatal(operation: str) -> Iterator[None]:
    """Let no error of a rebalance pass for one of reading: half-moved partitions cannot be worked on.

    A restart begins the move anew.
    """
    try:
        yield
    except BrokerError as error:
        raise BrokerFatalError(operation, detail=error.detail) from error
