"""Events to bytes and back, the one check of numbers, and ids derived from content.

msgspec checks bounds when it decodes, not when a struct is built, and it writes NaN as null. So a trade is
checked by `trade_fault` where it enters the system (the producer) and where it is judged (the engine); every
other event is built by our own code from checked trades.
"""

import math
from functools import cache
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

from shared.errors import InvalidRecordError
from shared.events import Trade

E = TypeVar("E", bound=msgspec.Struct)

# What a decoder raises on foreign bytes: no value at all is a TypeError, a value nested without end a
# RecursionError.
INVALID: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)

_encoder: Final = msgspec.json.Encoder()


@cache
def decoder(event_type: type[E]) -> msgspec.json.Decoder[E]:
    """Return the decoder of an event type; one is made per type and process."""
    return msgspec.json.Decoder(event_type)


def encode(event: msgspec.Struct) -> bytes:
    """Return the event as JSON, the form that is on the topics."""
    return _encoder.encode(event)


def decode(payload: bytes | None, event_type: type[E]) -> E:
    """Return the event that the bytes hold; a record may also hold none at all.

    Raises:
        InvalidRecordError: the bytes are no JSON, lack a field, or a value is out of bounds.
    """
    if payload is None:
        raise InvalidRecordError("the record has no value", payload=b"")
    try:
        event: E = decoder(event_type).decode(payload)
    except INVALID as error:
        raise InvalidRecordError(str(error), payload=payload) from error
    return event


def trade_fault(trade: Trade) -> str | None:
    """Return what makes a trade unusable, or None when it is sound.

    A price and a quantity must be finite and positive; nothing downstream checks that again.
    """
    if not (math.isfinite(trade.price) and trade.price > 0):
        return f"price {trade.price} is not a positive finite number"
    if not (math.isfinite(trade.quantity) and trade.quantity > 0):
        return f"quantity {trade.quantity} is not a positive finite number"
    if not math.isfinite(trade.price * trade.quantity):
        return f"notional of {trade.price} x {trade.quantity} is not finite"
    if trade.trade_id < 0 or trade.event_time_us < 0:
        return f"trade_id {trade.trade_id} or event_time_us {trade.event_time_us} is negative"
    return None


def content_id(*parts: str | int) -> str:
    """Return 20 hexadecimal digits that depend on the parts and on nothing else."""
    digest = blake2b(digest_size=10)
    for part in parts:
        encoded = str(part).encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def anomaly_id(*, fingerprint: str, exchange: str, symbol: str, trade_id: int, phase: str) -> str:
    """Return the id of an anomaly event: the same trade judged by the same detector gives the same id.

    The episode's phase is part of it, because one trade may close one episode and open the next.
    """
    return content_id(fingerprint, exchange, symbol, trade_id, phase)
