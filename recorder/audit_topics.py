"""Audits what a broker holds: reads `trades` and `tape-gaps`, without a group and without a trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from recorder.audit import MarketReport, TapeAudit
from shared import topics
from shared.codec import decode
from shared.errors import BrokerRetriableError, InvalidRecordError
from shared.events import TapeGap, Trade
from shared.stream.broker import Broker, Consumer, TopicPartition

_GIVE_UP_AFTER_S: Final = 30.0
_PROGRESS_RECORDS: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class AuditParams:
    """What is audited.

    Attributes:
        from_us: trades that were written to the topic at or after this time; None from the first retained.
        to_us: trades that were written before this time; None up to those that are there now.
        markets: our names of the markets wanted; empty for all.
    """

    from_us: int | None = None
    to_us: int | None = None
    markets: frozenset[str] = frozenset()


class TapeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of the tape.

    Attributes:
        is_whole: that of every market, of which there is at least one.
        records: records read.
        invalid_records: those among them that are no trades; the ids say whether one is missing for it.
        markets: by venue and name.
        markets_absent: markets asked for of which there is no trade.
    """

    is_whole: bool
    records: int
    invalid_records: int
    markets: list[MarketReport]
    markets_absent: list[str]


@dataclass(frozen=True, kw_only=True)
class AuditProgress:
    """How far an audit has come, in records."""

    done: int
    total: int


def audit_topics(
    broker: Broker, params: AuditParams, *, on_progress: Callable[[AuditProgress], None]
) -> TapeReport:
    """Read the tape and what was announced as missing from it, and judge.

    Announcements count whenever they were written: what is missing from the range may be announced later.

    Args:
        broker: where the topics are.
        params: what is audited.
        on_progress: told every few thousand records.

    Raises:
        BrokerError: a topic does not exist or cannot be read.
    """
    audit = TapeAudit()
    consumer = broker.consumer(group=None)
    try:
        ranges = _ranges(consumer, params)
        [gaps_partition] = _partitions(consumer, topics.TAPE_GAPS)
    finally:
        consumer.close()
    total = sum(end - start for start, end in ranges.values())
    records = invalid = 0
    ends = {partition.partition: end for partition, (_, end) in ranges.items()}
    starts = {partition: start for partition, (start, _) in ranges.items()}
    unfinished = set(ends)
    on_progress(AuditProgress(done=0, total=total))
    for message in broker.read_all(list(ranges), starts=starts, give_up_after_s=_GIVE_UP_AFTER_S):
        partition = message.partition()
        # What came since is left to the next audit, or a busy topic would never be read to its end.
        if message.offset() >= ends[partition]:
            unfinished.discard(partition)
            if not unfinished:
                break
            continue
        records += 1
        if records % _PROGRESS_RECORDS == 0:
            on_progress(AuditProgress(done=records, total=total))
        try:
            trade = decode(message.value(), Trade)
        except InvalidRecordError:
            # Whoever consumes the topic sets it aside; here it is counted.
            invalid += 1
            continue
        if not params.markets or trade.symbol in params.markets:
            audit.add(trade, partition=partition)
    # Read last: a gap is announced before the trades behind it.
    markets = audit.reports(_gaps(broker, gaps_partition))
    absent = sorted(params.markets - {market.symbol for market in markets})
    return TapeReport(
        is_whole=bool(markets) and not absent and all(market.is_whole for market in markets),
        records=records,
        invalid_records=invalid,
        markets=markets,
        markets_absent=absent,
    )


def _ranges(consumer: Consumer, params: AuditParams) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset and the one after the last, of every partition that holds anything."""
    partitions = _partitions(consumer, topics.TRADES)
    ranges = {partition: consumer.bounds(partition) for partition in partitions}
    starts = {} if params.from_us is None else consumer.offsets_at(params.from_us, partitions)
    ends = {} if params.to_us is None else consumer.offsets_at(params.to_us, partitions)
    cut = {
        partition: (max(low, starts.get(partition, low)), min(high, ends.get(partition, high)))
        for partition, (low, high) in ranges.items()
    }
    return {partition: (start, end) for partition, (start, end) in cut.items() if start < end}


def _partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    partitions = consumer.partitions_of(topic)
    if not partitions:
        raise BrokerRetriableError("audit", detail=f"topic {topic} does not exist")
    return partitions


def _gaps(broker: Broker, partition: TopicPartition) -> list[TapeGap]:
    gaps = []
    for message in broker.read_all([partition], give_up_after_s=_GIVE_UP_AFTER_S):
        try:
            gaps.append(decode(message.value(), TapeGap))
        except InvalidRecordError:
            # It announces nothing: what it stood for counts as unannounced.
            continue
    return gaps
