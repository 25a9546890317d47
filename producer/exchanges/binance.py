"""Binance Spot: `@trade` streams over one combined WebSocket, and the REST questions that fill holes.

Source: binance-spot-api-docs, `web-socket-streams.md`, `rest-api.md`, `enums.md` and CHANGELOG of July 2026.

- Streams are named in lower case; symbols may be any Unicode text.
- Microseconds are asked for. A time below 1e14 is in milliseconds all the same (1e14 µs is March 1973, 1e14
  ms is the year 5138, so the two cannot be confused) and is multiplied: recordings from before 2025 and
  endpoints that ignore the wish stay readable.
- A server takes 5 messages a second from a connection, its pongs and close included, so subscriptions leave
  at 3 a second; 1,024 streams fit on a connection; 300 may be opened in 5 minutes from one address.
- Trades carry no order ids since June 2024; those of old recordings are ignored with all unknown fields.
- `blockTrade` events are off-book and have ids of their own: they are never mixed into the trades.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from producer.exchanges.frames import INVALID, EpochTime, Id, checked, count_ignored, page_of, shortened
from producer.exchanges.markets import Market, MarketMap
from producer.exchanges.protocol import (
    FrameEvent,
    InvalidFrame,
    OutgoingFrame,
    RestRequest,
    ShutdownAnnounced,
    Subscribed,
    SubscriptionRefused,
    TradePage,
    Venue,
)
from shared.errors import ExchangeError
from shared.events import Trade

NAME: Final = "binance"
STREAM_PATH: Final = "/stream?timeUnit=MICROSECOND"
MAX_STREAMS: Final = 1_024
MAX_ATTEMPTS: Final = 300
ATTEMPTS_WINDOW_S: Final = 300.0
WEIGHT_PER_MINUTE: Final = 6_000

_STREAMS_PER_MESSAGE: Final = 100
_MESSAGE_INTERVAL_S: Final = 1 / 3
_MILLISECONDS_BELOW: Final = 10**14
_TIME_HEADERS: Final = {"X-MBX-TIME-UNIT": "MICROSECOND"}


class _TradeData(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: Id
    p: float
    q: float
    T: EpochTime
    m: bool


class _TradeFrame(msgspec.Struct, gc=False):
    data: _TradeData


class _Refusal(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Envelope(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    code: int | None = None
    msg: str = ""
    error: _Refusal | None = None


class _Kind(msgspec.Struct):
    e: str = ""
    E: int = 0


class _RestTrade(msgspec.Struct, gc=False):
    id: Id
    price: float
    qty: float
    time: EpochTime
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class _RestSymbol(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815 - the venue's name, here and below
    quoteAsset: str  # noqa: N815


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_RestSymbol]


# Prices and quantities come as JSON strings: `strict=False` reads them straight into floats.
_trade_frames: Final = msgspec.json.Decoder(_TradeFrame, strict=False)
_raw_trades: Final = msgspec.json.Decoder(_TradeData, strict=False)
_envelopes: Final = msgspec.json.Decoder(_Envelope)
_kinds: Final = msgspec.json.Decoder(_Kind)
_rest_trades: Final = msgspec.json.Decoder(list[_RestTrade], strict=False)
_rest_infos: Final = msgspec.json.Decoder(_ExchangeInfo)
_refusals: Final = msgspec.json.Decoder(_Refusal)


def to_us(time: int) -> int:
    """Return a time of the venue in microseconds; below 1e14 it is taken to be in milliseconds."""
    return time * 1_000 if time < _MILLISECONDS_BELOW else time


def stream_of(market: Market, stream: str = "trade") -> str:
    """Return the name of one of a market's streams."""
    return f"{market.native.lower()}@{stream}"


class BinanceProtocol:
    """One connection's state: what was asked for, and what was confirmed.

    Args:
        markets: to subscribe to on this connection.
        stream: which of each market's streams.

    Raises:
        ValueError: there are more markets than a connection may hold.
    """

    def __init__(self, markets: Sequence[Market], *, stream: str = "trade") -> None:
        if len(markets) > MAX_STREAMS:
            raise ValueError(f"{len(markets)} streams do not fit on a connection: {MAX_STREAMS} do")
        self.ignored: Counter[str] = Counter()
        self._stream = stream
        self._by_native = {market.native: market for market in markets}
        self._pending = {
            number: tuple(markets[start : start + _STREAMS_PER_MESSAGE])
            for number, start in enumerate(range(0, len(markets), _STREAMS_PER_MESSAGE), start=1)
        }

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        return not self._pending

    def open(self) -> list[OutgoingFrame]:
        """Return the SUBSCRIBE messages and when each may leave."""
        return [
            OutgoingFrame(
                msgspec.json.encode(
                    {
                        "method": "SUBSCRIBE",
                        "params": [stream_of(market, self._stream) for market in markets],
                        "id": number,
                    }
                ).decode(),
                (number - 1) * _MESSAGE_INTERVAL_S,
            )
            for number, markets in self._pending.items()
        ]

    def receive(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        """Return what one frame says; never raises on any bytes."""
        try:
            data = _trade_frames.decode(frame).data
        except INVALID as error:
            return self._receive_other(frame, received_time_us, str(error))
        return self._trade(data, frame, received_time_us)

    def _trade(self, data: _TradeData, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        market = self._by_native.get(data.s)
        if market is None:
            return count_ignored(self.ignored, "trade of another market")
        trade = Trade(NAME, market.symbol, data.t, data.p, data.q, data.m, to_us(data.T), received_time_us)
        return (checked(trade, frame),)

    def _receive_other(self, frame: bytes, received_time_us: int, fault: str) -> Sequence[FrameEvent]:
        """Sort out what is no sound trade in the combined form; slow, because it is rare."""
        try:
            if frame.lstrip().startswith(b"["):
                msgspec.json.decode(frame)
                return count_ignored(self.ignored, "array")
            envelope = _envelopes.decode(frame)
            body = bytes(envelope.data) if envelope.data else frame
            kind = _Kind() if body.startswith(b"[") else _kinds.decode(body)
        except INVALID as error:
            return (InvalidFrame(frame, str(error)),)
        if kind.e == self._stream and envelope.data:
            return (InvalidFrame(frame, fault),)
        if kind.e == self._stream:
            return self._raw_trade(frame, received_time_us)
        if kind.e == "serverShutdown":
            return (ShutdownAnnounced(to_us(kind.E)),)
        return self._answer(envelope) or count_ignored(
            self.ignored, kind.e or envelope.stream.rpartition("@")[2] or "unknown"
        )

    def _answer(self, envelope: _Envelope) -> Sequence[FrameEvent] | None:
        """Match an answer with the request of its id; None when the frame is no answer."""
        number = envelope.id if isinstance(envelope.id, int) else None
        refusal = envelope.error
        if refusal is None and envelope.code is not None:
            refusal = _Refusal(envelope.code, envelope.msg)
        if refusal is not None:
            # It stays pending: a connection without its streams is never taken for a working one.
            markets = () if number is None else self._pending.get(number, ())
            return (SubscriptionRefused(markets, refusal.code, refusal.msg),)
        if envelope.result and number in self._pending:
            return (Subscribed(self._pending.pop(number)),)
        return None

    def _raw_trade(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        try:
            data = _raw_trades.decode(frame)
        except INVALID as error:
            return (InvalidFrame(frame, str(error)),)
        return self._trade(data, frame, received_time_us)


class BinanceRest:
    """How Binance is asked over HTTP."""

    page_limit = 1_000
    weight_per_minute = WEIGHT_PER_MINUTE
    spacing_s = 0.0
    used_weight_header = "X-MBX-USED-WEIGHT-1M"

    def markets_request(self) -> RestRequest:
        """Return the question for all symbols."""
        return RestRequest("/api/v3/exchangeInfo", {}, {}, 20)

    def read_markets(self, payload: bytes) -> MarketMap:
        """Return the symbols of an answer.

        Raises:
            ExchangeError: the answer is no list of symbols.
        """
        try:
            symbols = _rest_infos.decode(payload).symbols
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"exchangeInfo is invalid: {error}") from error
        return MarketMap(
            NAME,
            (
                Market(
                    symbol=f"{row.baseAsset}-{row.quoteAsset}",
                    native=row.symbol,
                    quote=row.quoteAsset,
                    status=row.status,
                    is_trading=row.status == "TRADING",
                )
                for row in symbols
            ),
        )

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None,
        after_us: int | None,  # noqa: ARG002 - for venues that are asked by time
        limit: int,
    ) -> RestRequest:
        """Return the question for up to `limit` trades from an id on, included, or for the latest."""
        params = {"symbol": market.native, "limit": str(min(limit, self.page_limit))}
        if from_id is not None:
            params["fromId"] = str(from_id)
        return RestRequest("/api/v3/historicalTrades", params, _TIME_HEADERS, 25)

    def read_trades(self, payload: bytes, market: Market, *, received_time_us: int) -> TradePage:
        """Return the trades of an answer, ascending by id.

        Raises:
            ExchangeError: the answer is no list of trades.
        """
        try:
            rows = _rest_trades.decode(payload)
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"historicalTrades is invalid: {error}") from error
        return page_of(
            (
                Trade(
                    NAME,
                    market.symbol,
                    row.id,
                    row.price,
                    row.qty,
                    row.isBuyerMaker,
                    to_us(row.time),
                    received_time_us,
                ),
                row,
            )
            for row in rows
        )

    def read_error(self, payload: bytes) -> str:
        """Return the venue's code and message, or the beginning of whatever else answered."""
        try:
            refusal = _refusals.decode(payload)
        except INVALID:
            return shortened(payload)
        return f"{refusal.msg} ({refusal.code})"


VENUE: Final = Venue(
    name=NAME,
    max_streams=MAX_STREAMS,
    max_attempts=MAX_ATTEMPTS,
    attempts_window_s=ATTEMPTS_WINDOW_S,
    ws_url="wss://stream.binance.com:9443",
    rest_url="https://api.binance.com",
    stream_path=STREAM_PATH,
    heartbeat_timeout_s=None,
    protocol=BinanceProtocol,
    rest=BinanceRest(),
)
