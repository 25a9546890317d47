"""Binance's WebSocket protocol without a socket: paths and control messages in, replies and frames out.

Source: web-socket-streams.md of binance-spot-api-docs. A stream that no market has is accepted and stays
silent, as the exchange does it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from simulator.books import BookChange
from simulator.source import MarketTrade

MAX_STREAMS: Final = 1_024

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_COMBINED: Final = "combined"
_MAX_ID_CHARS: Final = 36


class _TradeFrame(msgspec.Struct, gc=False):
    """The fields of `<symbol>@trade` in the exchange's order."""

    event: str = msgspec.field(name="e")
    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    trade_time: int = msgspec.field(name="T")
    is_buyer_maker: bool = msgspec.field(name="m")
    ignore: bool = msgspec.field(name="M")


_encoder: Final = msgspec.json.Encoder()


class FrameForm(Enum):
    """How events are written to a connection: wrapped or not, and in which unit of time."""

    RAW_MS = (False, 1_000)
    RAW_US = (False, 1)
    COMBINED_MS = (True, 1_000)
    COMBINED_US = (True, 1)

    @property
    def is_combined(self) -> bool:
        """Whether events are wrapped with the stream's name."""
        return self.value[0]

    @property
    def us_per_unit(self) -> int:
        """Microseconds per unit of time on the wire."""
        return self.value[1]


def trade_stream(symbol: str) -> str:
    """Return the stream's name of a market's trades (`BTCUSDT` → `btcusdt@trade`)."""
    return f"{symbol.lower()}@trade"


def encode_trade(trade: MarketTrade, form: FrameForm) -> bytes:
    """Return a trade as the frame that the exchange would send."""
    unit = form.us_per_unit
    data = _encoder.encode(
        _TradeFrame(
            "trade",
            trade.event_time_us // unit,
            trade.symbol,
            trade.trade_id,
            trade.price,
            trade.quantity,
            trade.trade_time_us // unit,
            trade.is_buyer_maker,
            True,  # the field that the exchange says to ignore
        )
    )
    return _wrapped(trade_stream(trade.symbol), data) if form.is_combined else data


def depth_stream(symbol: str) -> str:
    """Return the stream's name of a book's changes (`BTCUSDT` → `btcusdt@depth@100ms`)."""
    return f"{symbol.lower()}@depth@100ms"


def ticker_stream(symbol: str) -> str:
    """Return the stream's name of a book's best prices (`BTCUSDT` → `btcusdt@bookTicker`)."""
    return f"{symbol.lower()}@bookTicker"


def encode_depth(change: BookChange, form: FrameForm) -> bytes:
    """Return a book's changes as the frame that the exchange would send."""
    data = _encoder.encode(
        {
            "e": "depthUpdate",
            "E": change.time_us // form.us_per_unit,
            "s": change.symbol,
            "U": change.first_id,
            "u": change.last_id,
            "b": change.bids,
            "a": change.asks,
        }
    )
    return _wrapped(depth_stream(change.symbol), data) if form.is_combined else data


def encode_ticker(change: BookChange, form: FrameForm) -> bytes:
    """Return a book's best prices as the frame that the exchange would send; they must have changed."""
    assert change.best is not None, "the best prices are as before"
    (bid, bid_quantity), (ask, ask_quantity) = change.best
    data = _encoder.encode(
        {"u": change.last_id, "s": change.symbol, "b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity}
    )
    return _wrapped(ticker_stream(change.symbol), data) if form.is_combined else data


def encode_shutdown(now_us: int, form: FrameForm) -> bytes:
    """Return the event that asks clients to open a new connection."""
    data = _encoder.encode({"e": "serverShutdown", "E": now_us // form.us_per_unit})
    return _wrapped("!serverShutdown", data) if form.is_combined else data


def _wrapped(stream: str, data: bytes) -> bytes:
    return b'{"stream":%b,"data":%b}' % (_encoder.encode(stream), data)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a connection's URL asks for.

    Attributes:
        streams: subscribed from the beginning.
        is_combined: whether events are wrapped.
        is_microseconds: the unit of time on the wire, milliseconds otherwise.
    """

    streams: tuple[str, ...]
    is_combined: bool
    is_microseconds: bool


def parse_target(path: str) -> Target | None:
    """Return what a request's path and query ask for, or None when there is nothing at that path.

    Args:
        path: as in the request line; percent-encoding is undone.
    """
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    is_microseconds = query.get("timeUnit", [""])[-1].upper() == "MICROSECOND"
    segments = parts.path.strip("/").split("/")
    match segments:
        case ["ws", *streams]:
            names, is_combined = [unquote(stream) for stream in streams], False
        case ["stream"]:
            names, is_combined = "/".join(query.get("streams", [])).split("/"), True
        case _:
            return None
    streams = [name for name in names if name]
    if len(streams) > MAX_STREAMS:
        return None
    return Target(streams=tuple(streams), is_combined=is_combined, is_microseconds=is_microseconds)


class _ControlError(Exception):
    """A control message is wrong; carries the exchange's code and text."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


class Session:
    """One connection's subscriptions and properties.

    Args:
        target: what its URL asked for.
    """

    def __init__(self, target: Target) -> None:
        self._streams = dict.fromkeys(target.streams)
        self._is_combined = target.is_combined
        self._is_microseconds = target.is_microseconds

    @property
    def form(self) -> FrameForm:
        """How events are written to this connection."""
        return FrameForm((self._is_combined, 1 if self._is_microseconds else 1_000))

    @property
    def streams(self) -> tuple[str, ...]:
        """What is subscribed, in the order of subscribing."""
        return tuple(self._streams)

    def has(self, stream: str) -> bool:
        """Return whether a stream is subscribed."""
        return stream in self._streams

    def handle(self, message: str | bytes) -> bytes:
        """Take a control message and return the reply."""
        request_id: int | str | None = None
        try:
            request = _parse(message)
            request_id = _request_id(request)
            result = self._do(request)
        except _ControlError as error:
            return _encoder.encode({"code": error.code, "msg": error.msg, "id": request_id})
        return _encoder.encode({"result": result, "id": request_id})

    def _do(self, request: dict[str, object]) -> object:
        method = request.get("method")
        if method is None:
            raise _ControlError(2, "Invalid request: missing field `method` at line 1 column 1")
        if method not in _METHODS:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            raise _ControlError(
                2,
                f"Invalid request: unknown variant `{method}`, expected one of {expected} at line 1 column 1",
            )
        params = request.get("params", [])
        if not isinstance(params, list):
            raise _ControlError(2, "Invalid request: invalid type, expected a sequence")
        match method:
            case "SUBSCRIBE":
                self._subscribe(params)
            case "UNSUBSCRIBE":
                for name in _stream_names(params):
                    self._streams.pop(name, None)
            case "LIST_SUBSCRIPTIONS":
                if params:
                    raise _ControlError(2, "Invalid request: too many parameters")
                return list(self._streams)
            case "SET_PROPERTY":
                self._set_property(params)
            case _:
                _check_property(params, count=1)
                return self._is_combined
        return None

    def _subscribe(self, params: list[object]) -> None:
        wanted = dict.fromkeys(_stream_names(params))
        if len(self._streams | wanted) > MAX_STREAMS:
            raise _ControlError(2, f"Invalid request: too many streams, at most {MAX_STREAMS} per connection")
        self._streams |= wanted

    def _set_property(self, params: list[object]) -> None:
        _check_property(params, count=2)
        if len(params) < 2 or not isinstance(params[1], bool):
            raise _ControlError(1, "Invalid value type: expected Boolean")
        self._is_combined = params[1]


def _parse(message: str | bytes) -> dict[str, object]:
    try:
        request = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _ControlError(3, "Invalid JSON: expected value at line 1 column 1") from error
    if not isinstance(request, dict):
        raise _ControlError(2, "Invalid request: invalid type, expected an object")
    return request


def _request_id(request: dict[str, object]) -> int | str | None:
    fault = _ControlError(2, "Invalid request: request ID must be an unsigned integer")
    if "id" not in request:
        raise fault
    request_id = request["id"]
    if request_id is None:
        return None
    if isinstance(request_id, int) and not isinstance(request_id, bool):
        if -(2**63) <= request_id < 2**63:
            return request_id
    elif isinstance(request_id, str) and request_id.isalnum() and len(request_id) <= _MAX_ID_CHARS:
        return request_id
    raise fault


def _stream_names(params: list[object]) -> list[str]:
    names = [name for name in params if isinstance(name, str) and name]
    if not params or len(names) != len(params):
        raise _ControlError(2, "Invalid request: stream names must be non-empty strings")
    return names


def _check_property(params: list[object], *, count: int) -> None:
    if not params or not isinstance(params[0], str):
        raise _ControlError(2, "Invalid request: property name must be a string")
    if len(params) > count:
        raise _ControlError(2, "Invalid request: too many parameters")
    if params[0] != _COMBINED:
        raise _ControlError(0, "Unknown property")
