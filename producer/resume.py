"""Where the topic `trades` ends, per market, so that a restarted producer goes on exactly there.

The last records of every partition are read, without a group. A market that is not among them starts afresh,
with the history that the settings ask for.
"""

from collections.abc import Collection
from typing import Final

from producer.tape import Position
from shared import topics
from shared.clock import Clock
from shared.codec import decode
from shared.errors import InvalidRecordError
from shared.events import Trade
from shared.stream.broker import Broker

_GIVE_UP_AFTER_S: Final = 10.0
_POLL_S: Final = 0.5
_BATCH_RECORDS: Final = 5_000


def last_positions(
    broker: Broker,
    *,
    exchange: str,
    symbols: Collection[str],
    clock: Clock,
    records_per_partition: int = 20_000,
) -> dict[str, Position]:
    """Return the last published trade of each market that is found near the end of the topic.

    Args:
        broker: where the topic is.
        exchange: venue whose trades count.
        symbols: markets that count.
        clock: for the time-out.
        records_per_partition: how far back to look.

    Raises:
        BrokerError: the topic cannot be read.
    """
    positions: dict[str, Position] = {}
    consumer = broker.consumer(group=None)
    try:
        bounds = {p: consumer.bounds(p) for p in consumer.partitions_of(topics.TRADES)}
        ends = {p.partition: end for p, (first, end) in bounds.items() if end > first}
        consumer.assign(
            {p: max(first, end - records_per_partition) for p, (first, end) in bounds.items() if end > first}
        )
        last_record_s = clock.monotonic_s()
        while ends and clock.monotonic_s() < last_record_s + _GIVE_UP_AFTER_S:
            for message in consumer.consume(_BATCH_RECORDS, _POLL_S):
                last_record_s = clock.monotonic_s()
                _note(message.value(), exchange, symbols, positions)
                if message.offset() + 1 >= ends.get(message.partition(), 0):
                    ends.pop(message.partition(), None)
    finally:
        consumer.close()
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
