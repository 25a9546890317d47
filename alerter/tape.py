"""The trades around an event, for the picture of an alert, read when somebody asks.

First from the store, where the recorder keeps them; else from the topic `trades`, for as long as it is
retained. Nothing is held in memory for it, and the alerter reads no trade that nobody wants to see.
"""

from typing import Final

import structlog

from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.codec import decode
from shared.errors import BrokerError, InvalidRecordError, StoreUnavailableError
from shared.events import Anomaly, Trade
from shared.store import queries
from shared.store.database import Database
from shared.stream.broker import Broker, Consumer, TopicPartition

# A busy market makes some thousand trades a minute; more would not be seen in a picture anyway.
_MOST_TRADES: Final = 400_000
_AT_ONCE: Final = 20_000
# Trades are written to the topic a little after they happened, and clocks differ.
_SLACK_US: Final = 10 * MICROSECONDS_PER_SECOND
_log = structlog.get_logger()


class Tape:
    """Reads the trades around an event. Blocks; not for an event loop.

    Args:
        database: the store.
        broker: with the topic `trades`; None to read the store alone.
        clock: the time.
        patience_s: most time that reading the topic may take.
    """

    def __init__(
        self, database: Database, broker: Broker | None, *, clock: Clock, patience_s: float = 5.0
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._patience_s = patience_s

    def around(self, anomaly: Anomaly, *, since_us: int, until_us: int) -> list[Trade]:
        """Return the trades of the anomaly's market on its venue, in time order; none when there are none.

        Args:
            anomaly: whose market.
            since_us: event time of the first one, included.
            until_us: event time of the last one, not included.
        """
        return self._stored(anomaly, since_us, until_us) or self._published(anomaly, since_us, until_us)

    def _stored(self, anomaly: Anomaly, since_us: int, until_us: int) -> list[Trade]:
        try:
            with self._database.session(read_only=True) as session:
                trades = queries.trades(
                    session,
                    symbol=anomaly.symbol,
                    exchange=anomaly.exchange,
                    since_us=since_us,
                    until_us=until_us,
                    limit=_MOST_TRADES,
                )
        except StoreUnavailableError:
            # The topic has them too.
            return []
        # The recorder may be behind, and then the event itself is missing.
        has_event = bool(trades) and trades[-1].event_time_us >= anomaly.event_time_us
        return trades if has_event else []

    def _published(self, anomaly: Anomaly, since_us: int, until_us: int) -> list[Trade]:
        if self._broker is None:
            return []
        consumer = self._broker.consumer(group=None)
        try:
            partitions = consumer.partitions_of(topics.TRADES)
            starts = consumer.offsets_at(since_us - _SLACK_US, partitions)
            consumer.assign(starts)
            ends = {partition: consumer.bounds(partition)[1] for partition in partitions}
            trades = self._read(consumer, anomaly, until_us, {p: e for p, e in ends.items() if starts[p] < e})
        except BrokerError as error:
            # Without a picture the explanation still stands; it says that there is none.
            _log.warning("trades_unreadable", symbol=anomaly.symbol, detail=str(error))
            return []
        finally:
            consumer.close()
        shown = (trade for trade in trades if since_us <= trade.event_time_us < until_us)
        return sorted(shown, key=lambda trade: (trade.event_time_us, trade.trade_id))

    def _read(
        self, consumer: Consumer, anomaly: Anomaly, until_us: int, left: dict[TopicPartition, int]
    ) -> list[Trade]:
        key = anomaly.symbol.encode()
        trades: list[Trade] = []
        deadline_s = self._clock.monotonic_s() + self._patience_s
        while left and len(trades) < _MOST_TRADES and self._clock.monotonic_s() < deadline_s:
            for message in consumer.consume(_AT_ONCE, 0.2):
                partition = TopicPartition(topics.TRADES, message.partition())
                if message.offset() + 1 >= left.get(partition, 0):
                    left.pop(partition, None)
                # What is not of this market is not even decoded.
                if message.key() != key or (trade := _trade(message.value())) is None:
                    continue
                if trade.exchange == anomaly.exchange:
                    trades.append(trade)
                if trade.event_time_us > until_us + _SLACK_US:
                    # All trades of a market are in one partition, in order.
                    return trades
        return trades


def _trade(payload: bytes | None) -> Trade | None:
    try:
        return decode(payload, Trade)
    except InvalidRecordError:
        # The detector sets it aside; here it is only not drawn.
        return None
