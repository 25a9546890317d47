"""Where the topic `trades` ends, per market, so that a restarted producer goes on exactly there.

The topic is read backwards, without a group, until every market is found. A market that is not on it starts
afresh, with the history that the settings ask for.
"""

from collections.abc import Collection, Mapping
from typing import Final

from producer.tape import Position
from shared import topics
from shared.clock import Clock
from shared.codec import decode
from shared.errors import BrokerRetriableError, InvalidRecordError
from shared.events import Trade
from shared.stream.broker import Broker, Consumer, TopicPartition

_GIVE_UP_AFTER_S: Final = 10.0
_POLL_S: Final = 0.5
_BATCH_RECORDS: Final = 5_000
_STEP_GROWTH: Final = 4


def last_positions(
    broker: Broker,
    *,
    exchange: str,
    symbols: Collection[str],
    clock: Clock,
    first_step_records: int = 20_000,
) -> dict[str, Position]:
    """Return the last published trade of each market that is on the topic.

    The ends of the partitions are read first, and ever longer stretches before them until every market is
    found: a quiet market's last trade may lie far behind those of its neighbours. So a market that the topic
    has never seen costs one reading of all that is retained.

    Args:
        broker: where the topic is.
        exchange: venue whose trades count.
        symbols: markets that count.
        clock: for the time-out.
        first_step_records: per partition, how much is read first.

    Raises:
        BrokerError: the topic cannot be read to its end.
    """
    found: dict[str, Position] = {}
    consumer = broker.consumer(group=None)
    try:
        bounds = {p: consumer.bounds(p) for p in consumer.partitions_of(topics.TRADES)}
        unread = {p: (first, end) for p, (first, end) in bounds.items() if end > first}
        step = first_step_records
        while unread and found.keys() < set(symbols):
            stretches = {p: (max(first, end - step), end) for p, (first, end) in unread.items()}
            earlier = _read(consumer, stretches, exchange, symbols, clock)
            for symbol, position in earlier.items():
                if symbol not in found or position.event_time_us > found[symbol].event_time_us:
                    found[symbol] = position
            unread = {p: (unread[p][0], start) for p, (start, _) in stretches.items() if start > unread[p][0]}
            step *= _STEP_GROWTH
    finally:
        consumer.close()
    return found


def _read(
    consumer: Consumer,
    stretches: Mapping[TopicPartition, tuple[int, int]],
    exchange: str,
    symbols: Collection[str],
    clock: Clock,
) -> dict[str, Position]:
    """Return the last positions within stretches of offsets, their ends not included."""
    positions: dict[str, Position] = {}
    ends = {partition.partition: end for partition, (_, end) in stretches.items()}
    consumer.assign({partition: start for partition, (start, _) in stretches.items()})
    last_record_s = clock.monotonic_s()
    while ends and clock.monotonic_s() < last_record_s + _GIVE_UP_AFTER_S:
        for message in consumer.consume(_BATCH_RECORDS, _POLL_S):
            last_record_s = clock.monotonic_s()
            end = ends.get(message.partition())
            if end is None or message.offset() >= end:
                continue
            _note(message.value(), exchange, symbols, positions)
            if message.offset() + 1 == end:
                del ends[message.partition()]
    if ends:
        # Half an answer would start the other markets afresh, and publish their last trades twice.
        detail = f"the ends of {len(ends)} partitions of {topics.TRADES} could not be read"
        raise BrokerRetriableError("resume", detail=detail)
    return positions


def _note(payload: bytes, exchange: str, symbols: Collection[str], positions: dict[str, Position]) -> None:
    try:
        trade = decode(payload, Trade)
    except InvalidRecordError:
        # Not ours to judge: whoever consumes the topic sets invalid records aside.
        return
    if trade.exchange != exchange or trade.symbol not in symbols:
        return
    known = positions.get(trade.symbol)
    # A recording that was replayed into the topic is older than what it follows.
    if known is None or trade.event_time_us >= known.event_time_us:
        positions[trade.symbol] = Position(trade.trade_id, trade.event_time_us)
