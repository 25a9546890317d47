"""`Runner`: everything impure around a `Step`, so that the step can stay pure.

Assignment, poll, decode, step, produce, snapshots, commit, backpressure, shutdown; in this order and in
one thread. With `exactly_once`, events, snapshots, dead letters and input offsets are one Kafka transaction.
With `at_least_once`, events are flushed before snapshots, and snapshots before offsets; what a crash
repeats has the same content-derived ids.

Events of one batch become visible together with their input offsets, or not at all. When a transaction must
be aborted, the runner forgets its state and restores it from the last commit, exactly as after a restart.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import structlog

from shared import topics
from shared.clock import Clock
from shared.codec import decode, decoder, encode
from shared.errors import (
    BrokerAbortableError,
    BrokerError,
    BrokerFatalError,
    BrokerRetriableError,
    InvalidRecordError,
    SnapshotRefusedError,
)
from shared.events import Quarantine, Trade
from shared.metrics import Health, counter, gauge, histogram
from shared.stream.broker import Broker, Message, RebalanceListener, TopicPartition
from shared.stream.commit import CommitPolicy, CommitTimer
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy, dead_letter
from shared.stream.restore import PartitionState, begin
from shared.stream.retry import Backoff
from shared.stream.snapshots import RESUME_KEY, Snapshot, encode_marker, encode_snapshot, read_snapshots
from shared.stream.step import OutputEvent, Step

_FLUSH_S = 30.0
_DELAYS_KEPT = 1_000
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class RunnerParams:
    """How a step is run.

    Attributes:
        group: consumer group.
        instance: this process; its transactional id is made from it.
        guarantee: `exactly_once` or `at_least_once`.
        batch_records: most records in one call of the step; 100 to 1,000 use the cache best.
        poll_s: longest wait for records.
        commit: when to commit.
        snapshot_interval_s: between two snapshots of a market.
        snapshot_budget_s: most time that one commit spends on snapshots.
        dead_letters: how many invalid records are tolerated.
    """

    group: str = "detector"
    instance: str = "1"
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    batch_records: int = 500
    poll_s: float = 0.1
    commit: CommitPolicy = field(default_factory=CommitPolicy)
    snapshot_interval_s: float = 30.0
    snapshot_budget_s: float = 0.02
    dead_letters: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)


@dataclass
class Totals:
    """What a runner has done since it began; read by status reports and benchmarks."""

    trades: int = 0
    events: int = 0
    commits: int = 0
    aborts: int = 0
    snapshots: int = 0
    restored: int = 0
    dead_letters: int = 0


class Runner:
    """Runs one step over the partitions of `trades` that this process is given."""

    def __init__(
        self, *, broker: Broker, step: Step, params: RunnerParams, clock: Clock, health: Health
    ) -> None:
        self._broker = broker
        self._step = step
        self._params = params
        self._clock = clock
        self._health = health
        self._is_transactional = params.guarantee == "exactly_once"
        identity = f"{params.group}-{params.instance}" if self._is_transactional else None
        self._producer = broker.producer(transactional_id=identity)
        self._consumer = broker.consumer(group=params.group)
        self._timer = CommitTimer(params.commit)
        self._limit = DeadLetterLimit(params.dead_letters)
        self._partitions: dict[int, PartitionState] = {}
        self._symbols: dict[int, set[str]] = {}
        # Partitions that came, went or were set back during the latest read.
        self._moved: set[int] = set()
        # The group has dropped us, and `consume` has not said so yet.
        self._is_dropped = False
        self._is_open = False
        self._is_started = False
        self._delays_ms: deque[float] = deque(maxlen=_DELAYS_KEPT)
        self.totals = Totals()

    def run(self, stop: threading.Event, *, after_turn: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; everything processed is committed on return.

        Args:
            stop: set by a signal handler or a test.
            after_turn: called after every round, for status reports.

        Raises:
            DeadLetterLimitError: too many invalid records.
            BrokerFatalError: fenced, or the client cannot go on.
        """
        self._consumer.subscribe(
            [topics.TRADES],
            RebalanceListener(assigned=self._assigned, revoked=self._revoked, lost=self._lost),
        )
        backoff = Backoff()
        while not stop.is_set():
            self._health.beat()
            try:
                self.turn()
            except BrokerAbortableError as error:
                _log.warning("transaction_aborted", detail=error.detail)
                self.start_over()
            except BrokerRetriableError as error:
                _log.warning("broker_unavailable", detail=error.detail)
                stop.wait(backoff.next_s())
                self.start_over()
            else:
                backoff.reset()
            after_turn()
        self.close()

    def start(self) -> None:
        """Join the group; partitions arrive during the following turns. Joining again is harmless."""
        if not self._is_started:
            self._is_started = True
            listener = RebalanceListener(assigned=self._assigned, revoked=self._revoked, lost=self._lost)
            self._consumer.subscribe([topics.TRADES], listener)

    def turn(self) -> int:
        """Do one round: consume, step, produce and, when due, commit; return the number of records."""
        wait_s = self._timer.wait_s(self._clock.monotonic_s(), at_most_s=self._params.poll_s)
        messages = self._consume(wait_s)
        if messages:
            started_s = self._clock.monotonic_s()
            outputs = self._process(messages)
            now_s = self._clock.monotonic_s()
            self._timer.processed(records=len(messages), outputs=outputs, now_s=now_s)
            histogram("tapewatch_batch_seconds").labels(worker=self._params.group).observe(now_s - started_s)
        if self._timer.is_pending() and self._timer.is_due(self._clock.monotonic_s()):
            self.commit()
        return len(messages)

    def _consume(self, wait_s: float) -> list[Message]:
        self._moved.clear()
        try:
            messages = self._consumer.consume(self._params.batch_records, wait_s)
        except BrokerRetriableError as error:
            # Reading resumes by itself where it stopped; nothing in hand is affected.
            _log.warning("broker_unavailable", detail=error.detail)
            return []
        return self._still_valid(messages) if self._moved or self._is_dropped else messages

    def _still_valid(self, messages: Sequence[Message]) -> list[Message]:
        """Return the records that a rebalance in the middle of reading them has not made invalid.

        A record that was taken before its partition was given up, lost or set back must not be judged. Which
        ones were taken before and which after cannot be told, so those of moved partitions are read again.
        """
        dropped = {m.partition() for m in messages if m.partition() in self._moved} & self._partitions.keys()
        for number in dropped:
            self._consumer.seek(TopicPartition(topics.TRADES, number), self._partitions[number].position)
        unknown = {message.partition() for message in messages} - self._partitions.keys() - self._moved
        if unknown and self._consumer.is_member():
            # Nobody would ever judge them: better to begin anew than to stand still.
            raise BrokerFatalError("consume", detail=f"partitions {sorted(unknown)} were never assigned")
        valid = self._partitions.keys() - self._moved
        return [message for message in messages if message.partition() in valid]

    def close(self) -> None:
        """Commit what is pending and leave the group."""
        self.commit()
        self._consumer.close()
        self._producer.close()

    def lag_records(self) -> dict[int, int]:
        """Return, per partition of `trades`, how many records wait."""
        return {
            number: self._consumer.lag(TopicPartition(topics.TRADES, number), state.position)
            for number, state in self._partitions.items()
        }

    def latency_p99_ms(self) -> float | None:
        """Return the 99th percentile of the time from receipt to judgement, over the latest batches."""
        delays = sorted(self._delays_ms)
        return delays[int(0.99 * (len(delays) - 1))] if delays else None

    # Processing

    def _process(self, messages: Sequence[Message]) -> int:
        self._open()
        trades = self._decode(messages)
        by_partition: dict[int, list[int]] = {}
        for index, message in enumerate(messages):
            by_partition.setdefault(message.partition(), []).append(index)
        audible: list[Trade] = []
        silent: list[Trade] = []
        for number, indices in by_partition.items():
            state = self._partitions[number]
            mine = [(messages[i].offset(), trade) for i in indices if (trade := trades[i]) is not None]
            if state.is_replaying:
                mine = [(offset, trade) for offset, trade in mine if state.is_new_to(trade.symbol, offset)]
                silent += [trade for offset, trade in mine if offset < state.committed]
                mine_audible = [trade for offset, trade in mine if offset >= state.committed]
            else:
                mine_audible = [trade for _, trade in mine]
            audible += mine_audible
            touched = {trade.symbol for _, trade in mine}
            self._symbols[number] |= touched
            state.advanced(messages[indices[-1]].offset() + 1, touched)
        if silent:
            self._step.on_batch(silent)
        events: list[OutputEvent] = []
        if audible:
            events = self._step.on_batch(audible)
            self._delays_ms.append((self._clock.now_us() - audible[-1].received_time_us) / 1_000)
        for event in events:
            self._publish(event)
        self._count(len(messages), len(events))
        return len(events)

    def _decode(self, messages: Sequence[Message]) -> Sequence[Trade | None]:
        decode_trade = decoder(Trade).decode
        try:
            return [decode_trade(message.value()) for message in messages]
        except ValueError:
            # One of them is invalid: go one by one, so that only that one is set aside.
            return [self._decode_one(message) for message in messages]

    def _decode_one(self, message: Message) -> Trade | None:
        try:
            return decode(message.value(), Trade)
        except InvalidRecordError as error:
            if message.offset() >= self._partitions[message.partition()].committed:
                letter = dead_letter(message, error, source=topics.TRADES, time_us=self._clock.now_us())
                self._producer.produce(topics.DEAD_LETTERS, encode(letter), key=topics.TRADES.encode())
                self.totals.dead_letters += 1
                self._limit.note(self._clock.monotonic_s())
            return None

    def _publish(self, event: OutputEvent) -> None:
        topic = topics.topic_of(type(event))
        self._producer.produce(topic, encode(event), key=event.symbol.encode())
        counter("tapewatch_events_produced_total").labels(topic=topic).inc()
        if isinstance(event, Quarantine):
            counter("tapewatch_quarantines_total").labels(detector=event.detector).inc()
            _log.error(
                "detector_quarantined", symbol=event.symbol, detector=event.detector, error=event.error
            )

    def _count(self, records: int, events: int) -> None:
        counter("tapewatch_records_consumed_total").labels(topic=topics.TRADES).inc(records)
        self.totals.trades += records
        self.totals.events += events

    # Commit

    def _open(self) -> None:
        if self._is_transactional and not self._is_open:
            self._producer.begin()
            self._is_open = True

    def commit(self) -> None:
        """Make everything processed so far visible and durable."""
        if not self._partitions or not (self._timer.is_pending() or self._is_open):
            return
        self._open()
        started_s = self._clock.monotonic_s()
        offsets = {
            TopicPartition(topics.TRADES, number): max(state.position, state.committed)
            for number, state in self._partitions.items()
        }
        if self._is_transactional:
            self._write_snapshots(started_s)
            self._producer.commit(offsets, self._consumer)
            self._is_open = False
        else:
            self._flush()
            self._write_snapshots(started_s)
            self._flush()
            self._consumer.commit(offsets)
        for partition, offset in offsets.items():
            self._partitions[partition.partition].committed = offset
        self._timer.committed()
        self.totals.commits += 1
        counter("tapewatch_commits_total").labels(outcome="committed").inc()
        histogram("tapewatch_commit_seconds").labels(worker=self._params.group).observe(
            self._clock.monotonic_s() - started_s
        )

    def _flush(self) -> None:
        if self._producer.flush(_FLUSH_S):
            raise BrokerRetriableError("flush", detail=f"records not acknowledged within {_FLUSH_S:g} s")

    def _write_snapshots(self, started_s: float) -> None:
        deadline_s = started_s + self._params.snapshot_budget_s
        for number, state in self._partitions.items():
            # State that trails the committed offset is on its way, and not worth keeping.
            if state.is_replaying:
                continue
            for symbol in state.due(started_s):
                if self._clock.monotonic_s() >= deadline_s:
                    break
                self._write_snapshot(
                    number, state, symbol, due_s=started_s + self._params.snapshot_interval_s
                )
            marker = state.marker()
            if marker != state.resume_offset and state.snapshot_offsets:
                value = encode_marker(marker, fingerprint=self._step.fingerprint)
                self._producer.produce(topics.SNAPSHOTS, value, key=RESUME_KEY, partition=number)
                state.resume_offset = marker

    def _write_snapshot(self, number: int, state: PartitionState, symbol: str, *, due_s: float) -> None:
        snapshot = Snapshot(symbol, state.position, self._step.snapshot(symbol))
        for key, value in encode_snapshot(snapshot, fingerprint=self._step.fingerprint):
            self._producer.produce(topics.SNAPSHOTS, value, key=key, partition=number)
        state.snapshotted(symbol, due_s=due_s)
        self.totals.snapshots += 1
        counter("tapewatch_snapshots_written_total").inc()

    # Partitions come and go

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
            for message in self._broker.read_all([TopicPartition(topics.SNAPSHOTS, n) for n in numbers]):
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
                state.without_snapshot(symbol)
        self._partitions[number] = state
        self._symbols[number] = set(state.snapshot_offsets)
        self.totals.restored += len(state.snapshot_offsets)
        _log.info(
            "partition_assigned",
            partition=number,
            markets_restored=len(state.snapshot_offsets),
            committed=state.committed,
            silent_from=state.position,
        )
        gauge("tapewatch_markets").set(sum(len(symbols) for symbols in self._symbols.values()))
        return state.position

    @staticmethod
    def _refuse(number: int, refusal: SnapshotRefusedError) -> None:
        counter("tapewatch_snapshots_refused_total").inc()
        _log.warning("snapshot_refused", partition=number, symbol=refusal.symbol, reason=refusal.reason)

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            self.commit()
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
            self._rewind()

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._partitions.pop(partition.partition, None)
            for symbol in self._symbols.pop(partition.partition, set()):
                self._step.evict(symbol)
        self._moved |= {partition.partition for partition in partitions}
        _log.info("partitions_released", partitions=[p.partition for p in partitions])

    def start_over(self) -> None:
        """Return to the last commit: drop what is uncommitted, restore the state, read again."""
        self._abort()
        self._rewind()

    def _abort(self) -> None:
        if self._is_open:
            self._producer.abort()
            self._is_open = False
        self._timer.committed()
        self.totals.aborts += 1
        counter("tapewatch_commits_total").labels(outcome="aborted").inc()

    def _rewind(self) -> None:
        held = [TopicPartition(topics.TRADES, number) for number in self._partitions]
        self._forget(held)
        if held and not self._consumer.is_member():
            # They are somebody else's already; the next turn joins again and is told what is ours.
            self._is_dropped = True
            return
        for partition, offset in self._assigned(held).items():
            self._consumer.seek(partition, offset)


@contextmanager
def _fatal(operation: str) -> Iterator[None]:
    """Let no error of a rebalance pass for one of reading: half-moved partitions cannot be worked on.

    A restart begins the move anew.
    """
    try:
        yield
    except BrokerError as error:
        raise BrokerFatalError(operation, detail=error.detail) from error
