"""What the parsers of all venues share: bounded types, times, and the sorting of what is not for us."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from producer.exchanges.protocol import FrameEvent, InvalidFrame, PastTrades, TradePage
from shared.codec import trade_fault
from shared.events import Trade

# What a decoder raises on foreign bytes.
INVALID: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Beyond these a number could not be written to the topic, or would not be a time.
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
EpochTime = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
IsoTime = Annotated[datetime, msgspec.Meta(tz=True)]

_SHOWN_BYTES: Final = 200
_MAX_IGNORED_KINDS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(time: datetime) -> int:
    """Return a time as microseconds since the epoch, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def checked(trade: Trade, payload: bytes) -> Trade | InvalidFrame:
    """Return the trade, or its bytes with the reason when a number in it is unusable."""
    fault = trade_fault(trade)
    return trade if fault is None else InvalidFrame(payload, fault)


def page_of(rows: Iterable[tuple[Trade, msgspec.Struct]]) -> TradePage:
    """Return a page, ascending by id, of trades with the rows of the answer that they were read from."""
    page = TradePage([], [])
    for trade, row in sorted(rows, key=lambda pair: pair[0].trade_id):
        fault = trade_fault(trade)
        if fault is None:
            page.trades.append(trade)
        else:
            page.invalid.append(InvalidFrame(msgspec.json.encode(row), fault))
    return page


def as_past(events: list[FrameEvent]) -> Sequence[FrameEvent]:
    """Return the same events with their trades as past ones."""
    trades = tuple(event for event in events if type(event) is Trade)
    others = [event for event in events if type(event) is not Trade]
    return [PastTrades(trades), *others] if trades else others


def count_ignored(ignored: Counter[str], kind: str) -> tuple[()]:
    """Count a frame that says nothing to us, in a bounded number of kinds, and return no events."""
    known = kind in ignored or len(ignored) < _MAX_IGNORED_KINDS
    ignored[kind if known else "other"] += 1
    return ()


def shortened(payload: bytes) -> str:
    """Return the beginning of a body that is not what was asked for."""
    return payload[:_SHOWN_BYTES].decode(errors="replace").strip() or "no explanation"
