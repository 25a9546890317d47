"""Reading trades: from the consumer's records to columns, with what is no trade set apart.

An `Intake` is all that a runner knows of reading. `MessageIntake` works on every broker; a faster one may
read librdkafka's batches without a Python object per record, and gives the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.codec import INVALID, decode, decoder
from shared.errors import InvalidRecordError
from shared.events import MarketTick, Trade
from shared.stream.broker import Consumer, Message
from shared.stream.columns import TickColumns, TradeColumns

IntVector: TypeAlias = NDArray[np.int64]
E = TypeVar("E", bound=msgspec.Struct)


class TradeBatch(NamedTuple):
    """What one read brought, the records of a partition in their order.

    Attributes:
        partitions: n, of each trade.
        offsets: n, of each trade.
        trades: n sound ones.
        invalid: records that are no trades, to be set aside.
        positions: per partition that was read, the next offset after this batch; invalid records count.
    """

    partitions: IntVector
    offsets: IntVector
    trades: TradeColumns
    invalid: list[Message]
    positions: dict[int, int]

    def of(self, partitions: set[int]) -> "TradeBatch":
        """Return the part of the batch that comes from these partitions."""
        at = np.flatnonzero(np.isin(self.partitions, sorted(partitions)))
        return TradeBatch(
            partitions=self.partitions[at],
            offsets=self.offsets[at],
            trades=self.trades.take(at),
            invalid=[message for message in self.invalid if message.partition() in partitions],
            positions={number: next_ for number, next_ in self.positions.items() if number in partitions},
        )


def joined(parts: Sequence[TradeBatch]) -> TradeBatch:
    """Return what several reads brought as one batch; there is one at least."""
    if len(parts) == 1:
        return parts[0]
    positions: dict[int, int] = {}
    for part in parts:
        positions |= part.positions
    return TradeBatch(
        partitions=np.concatenate([part.partitions for part in parts]),
        offsets=np.concatenate([part.offsets for part in parts]),
        trades=TradeColumns.joined([part.trades for part in parts]),
        invalid=[message for part in parts for message in part.invalid],
        positions=positions,
    )


class Intake(Protocol):
    """Reads trades from the partitions that its consumer holds."""

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first.

        Rebalance callbacks are called from within, as by `Consumer.consume`.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
            BrokerFatalError: the consumer cannot go on.
        """
        ...


class MessageIntake:
    """The intake for every broker: one `Message` and one `Trade` per record.

    Args:
        consumer: subscribed to `trades`.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first."""
        return batch_of(self._consumer.consume(max_records, timeout_s))


class TickIntake:
    """The intake of market ticks, which are trades too; for every broker.

    Args:
        consumer: subscribed to `market-ticks`.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def read(self, max_records: int, timeout_s: float) -> TradeBatch:
        """Return up to `max_records` records, waiting at most `timeout_s` for the first."""
        messages = self._consumer.consume(max_records, timeout_s)
        return batch_of(messages, event=MarketTick, columns=TickColumns.of)


@overload
def batch_of(messages: Sequence[Message]) -> TradeBatch: ...


@overload
def batch_of(
    messages: Sequence[Message], *, event: type[E], columns: Callable[[Sequence[E]], TradeColumns]
) -> TradeBatch: ...


def batch_of(
    messages: Sequence[Message],
    *,
    event: type[msgspec.Struct] = Trade,
    columns: Callable[[Sequence[Any]], TradeColumns] = TradeColumns.of,
) -> TradeBatch:
    """Return the records as a batch.

    Args:
        messages: the records.
        event: what they hold.
        columns: makes columns of these.
    """
    partitions = np.array([message.partition() for message in messages], np.int64)
    offsets = np.array([message.offset() for message in messages], np.int64)
    positions = positions_of(partitions, offsets)
    decode_trade = decoder(event).decode
    try:
        trades = [decode_trade(message.value()) for message in messages]
    except INVALID:
        # One of them is invalid: go one by one, so that only that one is set aside.
        kept = [_decoded(message, event) for message in messages]
        sound = np.array([trade is not None for trade in kept], np.bool_)
        invalid = [message for message, trade in zip(messages, kept, strict=True) if trade is None]
        sound_ones = columns([trade for trade in kept if trade is not None])
        return TradeBatch(partitions[sound], offsets[sound], sound_ones, invalid, positions)
    return TradeBatch(partitions, offsets, columns(trades), [], positions)


def _decoded(message: Message, event: type[E]) -> E | None:
    try:
        return decode(message.value(), event)
    except InvalidRecordError:
        return None


def positions_of(partitions: IntVector, offsets: IntVector) -> dict[int, int]:
    """Return, per partition that was read, the next offset after these records."""
    # Records come in stretches of one partition, so only the last of each is looked at.
    if not len(partitions):
        return {}
    lasts = [*np.flatnonzero(np.diff(partitions)).tolist(), -1]
    return {int(partitions[last]): int(offsets[last]) + 1 for last in lasts}


def rows_of(batch: TradeBatch, start: int, stop: int) -> TradeBatch:
    """Return consecutive trades of a batch; the positions of the last part are those of the whole."""
    partitions, offsets = batch.partitions[start:stop], batch.offsets[start:stop]
    is_last = stop == len(batch.trades)
    ends = dict(zip(partitions.tolist(), (offsets + 1).tolist(), strict=True))
    return TradeBatch(
        partitions=partitions,
        offsets=offsets,
        trades=batch.trades[start:stop],
        invalid=[],
        positions=batch.positions if is_last else ends,
    )
