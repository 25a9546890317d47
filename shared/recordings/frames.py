"""Raw WebSocket frames of Binance as they were received, kept line by line.

A line is a frame, optionally after the time it was received (an integer; its digits tell the unit):

    1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade",...}}
    {"e":"trade","E":1649877625157,"s":"ALPINEBTC","t":1264398,...}

Files that hold one JSON array of frames are read too. Compression (gzip, zstd) is told by content.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zstandard

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings.markets import market_of

EXCHANGE: Final = "binance"

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"

# Times are told by magnitude: as microseconds, these would lie in 1973 and 5138.
_FIRST_US: Final = 100_000_000_000_000
_FIRST_NS: Final = 100_000_000_000_000_000


class Frame(NamedTuple):
    """One frame as the venue sent it.

    Attributes:
        received_us: when it was received; None when the recording does not say.
        payload: its bytes.
    """

    received_us: int | None
    payload: bytes


class _Envelope(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Head(msgspec.Struct, gc=False):
    e: str = ""


class _TradeData(msgspec.Struct, gc=False):
    """`@trade` and `@aggTrade`; in the first, old frames carry the seller's order id as `a`."""

    s: str
    p: float
    q: float
    T: int
    m: bool
    t: int = -1
    a: int = -1


# Prices are strings on the wire; `strict=False` reads them as numbers.
_envelope: Final = msgspec.json.Decoder(_Envelope)
_head: Final = msgspec.json.Decoder(_Head)
_trade_data: Final = msgspec.json.Decoder(_TradeData, strict=False)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def to_us(time: int) -> int:
    """Return a time in milli-, micro- or nanoseconds since the epoch as microseconds, told by magnitude."""
    if time < _FIRST_US:
        return time * 1_000
    return time if time < _FIRST_NS else time // 1_000


def open_text(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes, decompressed when it is gzip or zstd.

    Raises:
        OSError: it cannot be opened.
    """
    raw = path.open("rb")
    magic = raw.peek(4)[:4]
    if magic.startswith(_GZIP):
        raw.close()
        return io.BufferedReader(gzip.GzipFile(path))
    if magic == _ZSTD:
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield every frame of a file in its order, whatever stream it belongs to.

    Raises:
        RecordingError: a line is no frame, or compressed data is damaged; what was sound is yielded first.
    """
    number = 0
    try:
        with open_text(path) as lines:
            if lines.peek(1)[:1] == b"[":
                yield from (Frame(None, bytes(frame)) for frame in _array.decode(lines.read()))
                return
            for line in lines:
                number += 1
                if line := line.strip():
                    yield _frame(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise RecordingError(str(path), reason=f"line {number}: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise RecordingError(str(path), reason=f"after line {number}: {error}") from error


def _frame(line: bytes) -> Frame:
    if line.startswith(b"{"):
        return Frame(None, line)
    received, _, payload = line.partition(b" ")
    if not payload.startswith(b"{"):
        raise ValueError(f"is no frame: {line[:60]!r}")
    return Frame(to_us(int(received)), payload)


def read_trades(path: Path) -> Iterator[Trade]:
    """Yield the trades among a file's frames in its order; other streams are passed over.

    The time of receiving is the recording's, or the time of the trade where the recording does not say.

    Raises:
        RecordingError: a line is no frame, or a trade lacks a field.
    """
    for frame in read_frames(path):
        # A cheap necessary condition: depth and ticker frames are most of a recording.
        if b'rade"' not in frame.payload:
            continue
        try:
            trade = _trade(frame)
        except msgspec.DecodeError as error:
            raise RecordingError(str(path), reason=f"{error}: {frame.payload[:80]!r}") from error
        if trade is not None:
            yield trade


def _trade(frame: Frame) -> Trade | None:
    envelope = _envelope.decode(frame.payload)
    payload = bytes(envelope.data) if envelope.stream else frame.payload
    event = _head.decode(payload).e
    if event not in {"trade", "aggTrade"}:
        return None
    data = _trade_data.decode(payload)
    event_time_us = to_us(data.T)
    return Trade(
        exchange=EXCHANGE,
        symbol=market_of(data.s),
        trade_id=data.t if event == "trade" else data.a,
        price=data.p,
        quantity=data.q,
        is_buyer_maker=data.m,
        event_time_us=event_time_us,
        received_time_us=event_time_us if frame.received_us is None else frame.received_us,
    )
