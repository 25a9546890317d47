"""`Runner`: everything impure around a `Step`, so that the step can stay pure.

Read, step, produce, snapshots, commit, backpressure, shutdown; in this order and in one thread. `intake.py`
reads and decodes, `assignment.py` owns what happens when partitions come and go, `snapshot_writer.py` what is
kept of the state. With `exactly_once`, events, snapshots, dead letters and input offsets are one Kafka
transaction. With `at_least_once`, events are flushed before offsets, and offsets before snapshots; what a
crash repeats has the same content-derived ids.

Events of one batch become visible together with their input offsets, or not at all. When a transaction must
be aborted, the runner forgets its state and restores it from the last commit, exactly as after a restart.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog

from shared import topics
from shared.clock import Clock
from shared.codec import decode, encode
from shared.errors import BrokerAbortableError, BrokerRetriableError, InvalidRecordError
from shared.events import Quarantine
from shared.metrics import Health, counter, gauge, histogram
from shared.stream.assignment import Assignment
from shared.stream.broker import Broker, Consumer, Message, TopicPartition
from shared.stream.columns import TradeColumns
from shared.stream.commit import CommitPolicy, CommitTimer
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy, dead_letter
from shared.stream.eviction import EvictionPolicy
from shared.stream.intake import Intake, MessageIntake, TradeBatch
from shared.stream.overload import Overload, OverloadPolicy
from shared.stream.replay import move_on
from shared.stream.retry import Backoff
from shared.stream.settings_feed import Refusal, SettingsFeed
from shared.stream.settling import Settler
from shared.stream.snapshot_writer import SnapshotPolicy, SnapshotWriter, note_eviction
from shared.stream.step import OutputEvent, Step

_FLUSH_S = 30.0
_DELAYS_KEPT = 1_000
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class RunnerParams:
    """How a step is run.

    Attributes:
        group: consumer group.
        source: topic that is read, of trades or of what is a trade too.
        kept_in: topic of the snapshots, with as many partitions as the source.
        instance: this process; its transactional id is made from it.
        guarantee: `exactly_once` or `at_least_once`.
        batch_records: most records in one call of the step.
        poll_s: longest wait for records.
        commit: when to commit.
        snapshots: how often, and for how long at a time, snapshots are written.
        eviction: when a silent market is forgotten.
        dead_letters: how many invalid records are tolerated.
        overload: when costly detectors pause.
    """

    group: str = "detector"
    source: str = topics.TRADES
    kept_in: str = topics.SNAPSHOTS
    instance: str = "1"
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    batch_records: int = 1_000
    poll_s: float = 0.1
    commit: CommitPolicy = field(default_factory=CommitPolicy)
    snapshots: SnapshotPolicy = field(default_factory=SnapshotPolicy)
    eviction: EvictionPolicy = field(default_factory=EvictionPolicy)
    dead_letters: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)
    overload: OverloadPolicy = field(default_factory=OverloadPolicy)


@dataclass
class Totals:
    """What a runner has done since it began; read by status reports and benchmarks."""

    trades: int = 0
    events: int = 0
    commits: int = 0
    aborts: int = 0
    dead_letters: int = 0


@dataclass
class _Outputs:
    """What a batch gave."""

    records: int = 0
    bytes: int = 0


class Runner:
    """Runs one step over the partitions of a topic of trades that this process is given.

    Args:
        broker: where the topics are.
        step: what is run.
        params: how.
        clock: the time.
        health: is told of every turn.
        intake: makes what reads the consumer's partitions.
        settings: tells of settings that change at run time.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        step: Step,
        params: RunnerParams,
        clock: Clock,
        health: Health,
        intake: Callable[[Consumer], Intake] = MessageIntake,
        settings: SettingsFeed | None = None,
    ) -> None:
        self._step = step
        self._params = params
        self._clock = clock
        self._health = health
        self._is_transactional = params.guarantee == "exactly_once"
        identity = f"{params.group}-{params.instance}" if self._is_transactional else None
        self._producer = broker.producer(transactional_id=identity)
        self._consumer = broker.consumer(group=params.group)
        self._intake = intake(self._consumer)
        self._timer = CommitTimer(params.commit)
        self._limit = DeadLetterLimit(params.dead_letters)
        self._settler = Settler(step, settings, eviction=params.eviction, is_atomic=self._is_transactional)
        self._overload = Overload(params.overload, levels=step.shed_levels)
        self._snapshots = SnapshotWriter(
            self._producer,
            step,
            clock,
            policy=params.snapshots,
            eviction=params.eviction,
            is_atomic=self._is_transactional,
            topic=params.kept_in,
        )
        self._assignment = Assignment(
            broker=broker,
            consumer=self._consumer,
            step=step,
            commit=self.commit,
            abort=self._abort,
            source=params.source,
            kept_in=params.kept_in,
        )
        self._states = self._assignment.states
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
        try:
            self._run(stop, after_turn)
        except Exception as error:
            # The fourth fate: the process ends, and whoever supervises it starts another.
            kind = type(error).__name__
            counter("tapewatch_crashes_total").labels(worker=self._params.group, kind=kind).inc()
            _log.error("runner_crashed", kind=kind, detail=str(error))
            raise

    def _run(self, stop: threading.Event, after_turn: Callable[[], None]) -> None:
        self.start()
        backoff = Backoff()
        while not stop.is_set():
            self._health.beat()
            try:
                self.turn()
            except BrokerAbortableError as error:
                _log.warning("transaction_aborted", detail=error.detail)
                self.start_over()
            except BrokerRetriableError as error:
                self._retrying(error)
                stop.wait(backoff.next_s())
                self.start_over()
            else:
                backoff.reset()
            after_turn()
        self.close()

    def _retrying(self, error: BrokerRetriableError) -> None:
        counter("tapewatch_retries_total").labels(worker=self._params.group).inc()
        _log.warning("broker_unavailable", detail=error.detail)

    def start(self) -> None:
        """Join the group; partitions arrive during the following turns. Joining again is harmless."""
        if not self._is_started:
            self._is_started = True
            self._consumer.subscribe([self._params.source], self._assignment.listener())

    def turn(self) -> int:
        """Do one round: read, step, produce and, when due, commit; return the number of records."""
        self._watch_settings()
        wait_s = self._timer.wait_s(self._clock.monotonic_s(), at_most_s=self._params.poll_s)
        batch = self._read(wait_s)
        records = 0 if batch is None else len(batch.trades) + len(batch.invalid)
        if batch is not None and records:
            started_s = self._clock.monotonic_s()
            outputs = self._process(batch)
            now_s = self._clock.monotonic_s()
            self._timer.processed(
                records=records, outputs=outputs.records, output_bytes=outputs.bytes, now_s=now_s
            )
            self._overload.processed(records=records, busy_s=now_s - started_s)
            self._count(records, outputs.records)
            histogram("tapewatch_batch_seconds").labels(worker=self._params.group).observe(now_s - started_s)
        if self._timer.is_pending() and self._timer.is_due(self._clock.monotonic_s()):
            self.commit()
        if self._overload.is_due(self._clock.monotonic_s()):
            self._watch_load()
        return records

    def _read(self, wait_s: float) -> TradeBatch | None:
        self._assignment.before_read()
        try:
            batch = self._intake.read(self._params.batch_records, wait_s)
        except BrokerRetriableError as error:
            # Reading resumes by itself where it stopped; nothing in hand is affected.
            self._retrying(error)
            return None
        return self._assignment.still_valid(batch)

    def _watch_settings(self) -> None:
        """Look for new settings; they take effect at a commit, before anything more is read."""
        if not self._states:
            return
        try:
            refusals = self._settler.poll(self._clock.monotonic_s())
        except BrokerRetriableError as error:
            if not self._settler.is_open:
                raise
            # The known ones hold; nothing in hand is affected.
            self._retrying(error)
            return
        for refusal in refusals:
            self._refuse_settings(refusal)
        if refusals or self._settler.is_due(self._states):
            self.commit()

    def _refuse_settings(self, refusal: Refusal) -> None:
        self._open()
        message, error = refusal
        _log.warning("settings_invalid", offset=message.offset(), reason=error.reason)
        letter = dead_letter(
            message,
            error,
            source=topics.DETECTOR_CONFIG,
            reader=self._params.group,
            time_us=self._clock.now_us(),
        )
        self._producer.produce(topics.DEAD_LETTERS, encode(letter), key=topics.DETECTOR_CONFIG.encode())

    def _watch_load(self) -> None:
        waiting = sum(self.lag_records().values())
        if self._overload.measured(waiting, now_s=self._clock.monotonic_s()):
            self._step.shed(self.shed_level)
            _log.warning(
                "shed_level_changed", level=self.shed_level, lag_records=waiting, lag_s=round(self.lag_s, 1)
            )
        gauge("tapewatch_lag_seconds").set(self.lag_s)
        gauge("tapewatch_shed_level").set(self.shed_level)

    @property
    def source(self) -> str:
        """Return the topic that is read."""
        return self._params.source

    @property
    def lag_s(self) -> float:
        """Time that judging what waits will take, at the present speed."""
        return self._overload.lag_s

    @property
    def shed_level(self) -> int:
        """How much work the step sheds; 0 for none."""
        return self._overload.level

    def close(self) -> None:
        """Commit what is pending and leave the group."""
        self.commit()
        self._settler.close()
        self._consumer.close()
        self._producer.close()

    def start_over(self) -> None:
        """Return to the last commit: drop what is uncommitted, restore the state, read again."""
        self._abort()
        self._assignment.rewind()

    def lag_records(self) -> dict[int, int]:
        """Return, per partition of the source, how many records wait."""
        return {
            number: self._consumer.lag(TopicPartition(self._params.source, number), state.position)
            for number, state in self._states.items()
        }

    def markets(self) -> int:
        """Return how many markets have state."""
        return sum(len(state.traded_us) for state in self._states.values())

    def snapshots_written(self) -> int:
        """Return how many snapshots were written since the start."""
        return self._snapshots.written

    def markets_evicted(self) -> int:
        """Return how many markets' memory was given back since the start, for their silence."""
        return self._snapshots.evicted

    def latency_p99_ms(self) -> float | None:
        """Return the 99th percentile of the time from receipt to judgement, over the latest batches."""
        delays = sorted(self._delays_ms)
        return delays[int(0.99 * (len(delays) - 1))] if delays else None

    # Processing

    def _process(self, batch: TradeBatch) -> _Outputs:
        """Judge a batch; return what came of it."""
        self._open()
        outputs = _Outputs()
        for message in batch.invalid:
            self._set_aside(message)
        for portion in move_on(batch, self._states, self._params.eviction):
            for number, changes in portion.changes.items():
                for event in self._settler.catch_up(self._states[number], changes):
                    outputs.records += 1
                    outputs.bytes += self._publish(event)
            for number, symbol in portion.gone:
                self._step.evict(symbol)
                note_eviction(number, symbol)
            for symbol, configs in portion.newcomers:
                self._step.configure(symbol, configs)
            if portion.silent:
                self._step.on_batch(portion.silent)
            if portion.audible:
                self._judge(portion.audible, outputs)
        return outputs

    def _judge(self, trades: TradeColumns, outputs: _Outputs) -> None:
        for event in self._step.on_batch(trades):
            outputs.records += 1
            outputs.bytes += self._publish(event)
        self._delays_ms.append((self._clock.now_us() - int(trades.received_us[-1])) / 1_000)

    def _set_aside(self, message: Message) -> None:
        """Keep an invalid record as a dead letter, unless that was done before a restart."""
        if message.offset() < self._states[message.partition()].committed:
            return
        source = self._params.source
        fault = _fault_of(message, source)
        _log.warning(
            "record_invalid", partition=message.partition(), offset=message.offset(), reason=fault.reason
        )
        letter = dead_letter(
            message,
            fault,
            source=source,
            reader=self._params.group,
            time_us=self._clock.now_us(),
        )
        self._producer.produce(topics.DEAD_LETTERS, encode(letter), key=source.encode())
        self.totals.dead_letters += 1
        self._limit.note(self._clock.monotonic_s())

    def _publish(self, event: OutputEvent) -> int:
        """Produce an event; return its size in bytes."""
        topic = topics.topic_of(type(event))
        value = encode(event)
        self._producer.produce(topic, value, key=event.symbol.encode())
        counter("tapewatch_events_produced_total").labels(topic=topic).inc()
        if isinstance(event, Quarantine):
            _note_quarantine(event)
        return len(value)

    def _count(self, records: int, events: int) -> None:
        counter("tapewatch_records_consumed_total").labels(topic=self._params.source).inc(records)
        self.totals.trades += records
        self.totals.events += events

    # Commit

    def _open(self) -> None:
        if self._is_transactional and not self._is_open:
            self._producer.begin()
            self._is_open = True

    def commit(self) -> None:
        """Make everything processed so far visible and durable."""
        is_settling = self._settler.is_due(self._states)
        if not self._states or not (self._timer.is_pending() or self._is_open or is_settling):
            return
        self._open()
        started_s = self._clock.monotonic_s()
        offsets = {
            TopicPartition(self._params.source, number): max(state.position, state.committed)
            for number, state in self._states.items()
        }
        if self._is_transactional:
            self._settle()
            self._snapshots.write(self._states)
            self._producer.commit(offsets, self._consumer)
            self._is_open = False
        else:
            self._flush()
            self._consumer.commit(offsets)
            # After that: one whom the group has dropped fails there, and must not put its older state behind
            # its successor's. A snapshot that a crash prevents only means that more is read again.
            self._snapshots.write(self._states)
            self._flush()
        for partition, offset in offsets.items():
            self._states[partition.partition].commit(offset)
        if is_settling and not self._is_transactional:
            # Only now, as whoever reads again begins where these settings do; and tells again what they end.
            self._settle()
            self._flush()
        self._timer.committed()
        self.totals.commits += 1
        counter("tapewatch_commits_total").labels(outcome="committed").inc()
        histogram("tapewatch_commit_seconds").labels(worker=self._params.group).observe(
            self._clock.monotonic_s() - started_s
        )

    def _settle(self) -> None:
        events = self._settler.settle(self._states)
        self._settler.write(self._producer, self._states)
        if not self._is_transactional:
            self._flush()
        for event in events:
            self._publish(event)

    def _flush(self) -> None:
        if self._producer.flush(_FLUSH_S):
            raise BrokerRetriableError("flush", detail=f"records not acknowledged within {_FLUSH_S:g} s")

    def _abort(self) -> None:
        if self._is_open:
            self._producer.abort()
            self._is_open = False
        self._timer.committed()
        self.totals.aborts += 1
        counter("tapewatch_commits_total").labels(outcome="aborted").inc()


def _fault_of(message: Message, source: str) -> InvalidRecordError:
    event = topics.spec(source).event
    assert event is not None, f"{source} holds no events"
    try:
        decode(message.value(), event)
    except InvalidRecordError as error:
        return error
    raise AssertionError("an intake called a sound record invalid")


def _note_quarantine(event: Quarantine) -> None:
    log = _log.bind(symbol=event.symbol, detector=event.detector)
    if event.released:
        counter("tapewatch_releases_total").labels(detector=event.detector).inc()
        log.info("detector_released")
    else:
        counter("tapewatch_quarantines_total").labels(detector=event.detector).inc()
        log.error("detector_quarantined", error=event.error, until_us=event.until_us)
