"""Faster intakes: trades are scanned out of bytes into columns, and no `Trade` is made of them.

`ScanIntake` works on every broker, over its messages. `LibraryIntake` also does without the messages: it
reads librdkafka's batches (`librdkafka.py`). Both give what `MessageIntake` gives, and pass the same tests.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import structlog

from shared import topics
from shared.errors import BrokerRetriableError, PrerequisiteError
from shared.stream import librdkafka
from shared.stream.broker import Consumer, TopicPartition
from shared.stream.intake import Intake, MessageIntake, TradeBatch, joined, positions_of
from shared.stream.kafka import CLIENT_ID, PACKAGE, KafkaConsumer
from shared.stream.records import Records
from shared.stream.scan import CAN_SCAN, TradeScanner

# So many records are copied and scanned at a time: librdkafka's headers and the bytes of more leave the cache
# in between.
_CHUNK: Final = 256
# The consumer's own queue, where rebalances arrive, is looked at this often while no records come.
_SLICE_S = 0.02
_log = structlog.get_logger()


class ScanIntake:
    """The intake for every broker, over its messages.

    Args:
        consumer: subscribed to `trades`.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._scanner = TradeScanner()

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first."""
        return _batch_of(Records.of(self._consumer.consume(max_records, timeout_s)), self._scanner)


class LibraryIntake:
    """The intake for Apache Kafka that reads librdkafka's batches.

    Args:
        consumer: not yet subscribed; closing it closes this.

    Raises:
        PrerequisiteError: the library cannot be used in this way here.
    """

    def __init__(self, consumer: Consumer) -> None:
        if not isinstance(consumer, KafkaConsumer):
            raise PrerequisiteError("fast reads need a Kafka consumer")
        library = librdkafka.loaded(PACKAGE)
        handle = librdkafka.handle_of(consumer.client, library, client_id=CLIENT_ID)
        self._queue = librdkafka.RecordQueue(library, handle, topic=consumer.name_on_broker(topics.TRADES))
        self._consumer = consumer
        self._scanner = TradeScanner()
        consumer.divert(self)

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
            BrokerFatalError: the consumer cannot go on.
        """
        left_s = timeout_s
        while True:
            # All callbacks run in here, and no record is in hand while they do.
            self._consumer.serve()
            wait_s = min(left_s, _SLICE_S)
            batch = self._chunk(min(max_records, _CHUNK), wait_s, in_hand=0)
            left_s -= wait_s
            if batch.positions or left_s <= 0:
                return self._filled(batch, max_records)

    def _filled(self, first: TradeBatch, max_records: int) -> TradeBatch:
        """Return a first chunk with those that wait behind it, in all up to `max_records` records."""
        parts, size = [first], len(first.trades) + len(first.invalid)
        is_full = size == _CHUNK
        while is_full and size < max_records:
            wanted = min(max_records - size, _CHUNK)
            parts.append(self._chunk(wanted, 0.0, in_hand=size))
            found = len(parts[-1].trades) + len(parts[-1].invalid)
            is_full = found == wanted
            size += found
        return joined(parts)

    def _chunk(self, max_records: int, wait_s: float, *, in_hand: int) -> TradeBatch:
        records, faults = self._queue.read(max_records, wait_s)
        if faults:
            self._judge(faults, is_empty=not (in_hand or len(records)))
        return _batch_of(records, self._scanner, goes_on=in_hand > 0)

    def _judge(self, faults: Sequence[librdkafka.PartitionFault], *, is_empty: bool) -> None:
        errors = [self._consumer.fault(fault.code, fault.reason) for fault in faults]
        for error in errors:
            if is_empty or not isinstance(error, BrokerRetriableError):
                raise error

    def divert(self, partitions: Sequence[TopicPartition]) -> None:
        """Take over partitions that will be assigned next."""
        self._queue.divert([p.partition for p in partitions if p.topic == topics.TRADES])

    def release(self, partitions: Sequence[TopicPartition]) -> None:
        """Give back partitions that will be unassigned next."""
        self._queue.release([p.partition for p in partitions if p.topic == topics.TRADES])

    def close(self) -> None:
        """Give the queue back; the consumer will be closed next."""
        self._queue.close()


def _batch_of(records: Records, scanner: TradeScanner, *, goes_on: bool = False) -> TradeBatch:
    trades, invalid = scanner.scan(records, goes_on=goes_on)
    partitions, offsets = records.partitions, records.offsets
    positions = positions_of(partitions, offsets)
    if not len(invalid):
        return TradeBatch(partitions, offsets, trades, [], positions)
    return TradeBatch(
        np.delete(partitions, invalid),
        np.delete(offsets, invalid),
        trades,
        [records.message(at) for at in invalid.tolist()],
        positions,
    )


def scanning(consumer: Consumer) -> Intake:
    """Return the intake that scans the consumer's messages where this machine can, else the plain one."""
    if CAN_SCAN:
        return ScanIntake(consumer)
    _log.info("fast_reads_off", reason="big-endian machine")
    return MessageIntake(consumer)


def fastest(consumer: Consumer) -> Intake:
    """Return the fastest intake that works for this consumer here, and say so in the log."""
    try:
        return LibraryIntake(consumer)
    except PrerequisiteError as reason:
        _log.info("fast_reads_over_messages", reason=str(reason))
        return scanning(consumer)


def warm_up() -> None:
    """Compile, or load from the cache, what would otherwise be compiled when the first trades come."""
    librdkafka.warm_up()
    TradeScanner().scan(Records.of([]))


_BY_SETTING: Final[Mapping[str, Callable[[Consumer], Intake]]] = {
    "off": MessageIntake,
    "scan": scanning,
    "auto": fastest,
}


def chosen(setting: Literal["off", "scan", "auto"]) -> Callable[[Consumer], Intake]:
    """Return what makes the intake.

    Args:
        setting: KAFKA_FAST_READS: `off` for the plain one, `scan` for the one over messages, `auto` for the
            fastest.
    """
    return _BY_SETTING[setting]
