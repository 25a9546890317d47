"""Kraken Spot, WebSocket v2: the `trade` channel, and the REST questions that fill holes.

Source: docs.kraken.com, `spot-websocket-v2` (trade, heartbeat, status, introduction) and REST `AssetPairs`,
`Trades` of November 2026.

- `side` is the taker's: `buy` means that the taker bought. Numbers are JSON numbers; their digits go straight
  into the nearest float64. A frame may hold several trades, which are not necessarily one taker's order.
- Names: v2 writes `BTC/USD` and `DOGE/USD`, REST `XBTUSD` and `XDGUSD`.
- Continuity: the trade ids of a market follow each other, so a hole is seen at the next trade. Heartbeats
  (each second when there is nothing else) are of the connection and carry no id: a lost last trade is found
  by the watch on silences, or by the next trade, or by the 50 trades that a new subscription begins with.
- REST pages by time, oldest first, after `since` (ns, exclusive), 1,000 at most. It is asked from 1 ms before
  the trade that precedes a hole, so that trades of one instant are not lost between WebSocket and REST, which
  write times with different precision. Without a time the latest 1,000 are all that can be had.
- Errors come with status 200. Public questions: about one a second.
- About 150 connection attempts in 10 minutes and address.
- Frames of v1 (arrays, without trade ids) are ignored: without ids nothing can be proved about them.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NoReturn

import msgspec

from producer.exchanges.frames import (
    INVALID,
    Id,
    IsoTime,
    as_past,
    checked,
    count_ignored,
    page_of,
    shortened,
    to_us,
)
from producer.exchanges.markets import Market, MarketMap
from producer.exchanges.protocol import (
    FrameEvent,
    InvalidFrame,
    OutgoingFrame,
    RestRequest,
    Subscribed,
    SubscriptionRefused,
    TradePage,
    Venue,
)
from shared.errors import ExchangeError, ExchangeUnavailableError, RateLimitedError
from shared.events import Trade

NAME: Final = "kraken"
MAX_MARKETS: Final = 200

_MARKETS_PER_MESSAGE: Final = 50
_MESSAGE_INTERVAL_S: Final = 0.5
_PAGE: Final = 1_000
_OVERLAP_US: Final = 1_000
_RETRY_AFTER_S: Final = 10.0
_ASSETS: Final = {"XBT": "BTC", "XDG": "DOGE"}
_TRADING: Final = frozenset({"online", "limit_only", "reduce_only"})


class _Row(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: float
    qty: float
    trade_id: Id
    timestamp: IsoTime


class _Trades(msgspec.Struct, tag_field="channel", tag="trade"):
    type: Literal["snapshot", "update"]
    data: list[_Row]


class _Heartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat"):
    """The connection lives."""


class _Result(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Other(msgspec.Struct):
    channel: str = ""
    method: str = ""
    success: bool | None = None
    error: str = ""
    symbol: str = ""
    result: _Result | None = None


class _RestRow(msgspec.Struct, array_like=True, gc=False):
    price: float
    volume: float
    time: Annotated[float, msgspec.Meta(ge=0, le=1e10)]
    side: Literal["b", "s"]
    order_type: str
    miscellaneous: str
    trade_id: Id


class _Pair(msgspec.Struct):
    altname: str
    # The dark pools of old had no name in the feed.
    wsname: str = ""
    status: str = "online"


class _Pairs(msgspec.Struct):
    error: list[str]
    result: dict[str, _Pair] = {}


class _RestTrades(msgspec.Struct):
    error: list[str]
    result: dict[str, msgspec.Raw] = {}


_messages: Final = msgspec.json.Decoder(_Trades | _Heartbeat)
_others: Final = msgspec.json.Decoder(_Other)
_pairs: Final = msgspec.json.Decoder(_Pairs)
_rest_answers: Final = msgspec.json.Decoder(_RestTrades)
# Prices and volumes come as JSON strings here: `strict=False` reads them straight into floats.
_rest_rows: Final = msgspec.json.Decoder(list[_RestRow], strict=False)


def stream_name(market: Market) -> str:
    """Return a market's name in the feed (`BTC/USD`)."""
    return market.symbol.replace("-", "/")


class KrakenProtocol:
    """One connection's state: what was asked for, and what was confirmed.

    Args:
        markets: to subscribe to on this connection.
    """

    def __init__(self, markets: Sequence[Market]) -> None:
        self.ignored: Counter[str] = Counter()
        self._by_name = {stream_name(market): market for market in markets}
        self._pending = set(self._by_name)

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        return not self._pending

    def open(self) -> list[OutgoingFrame]:
        """Return the subscribe messages and when each may leave."""
        names = list(self._by_name)
        starts = range(0, len(names), _MARKETS_PER_MESSAGE)
        return [
            OutgoingFrame(
                msgspec.json.encode(
                    {
                        "method": "subscribe",
                        "params": {
                            "channel": "trade",
                            "symbol": names[start : start + _MARKETS_PER_MESSAGE],
                            # What the last connection lost at its end is often among these.
                            "snapshot": True,
                        },
                        "req_id": number,
                    }
                ).decode(),
                (number - 1) * _MESSAGE_INTERVAL_S,
            )
            for number, start in enumerate(starts, start=1)
        ]

    def receive(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        """Return what one frame says; never raises on any bytes."""
        try:
            message = _messages.decode(frame)
        except INVALID as error:
            return self._receive_other(frame, str(error))
        if isinstance(message, _Heartbeat):
            return ()
        events: list[FrameEvent] = []
        for row in message.data:
            market = self._by_name.get(row.symbol)
            if market is None:
                count_ignored(self.ignored, "trade of another market")
            else:
                events.append(checked(_trade(row, market, received_time_us), frame))
        return as_past(events) if message.type == "snapshot" else events

    def _receive_other(self, frame: bytes, fault: str) -> Sequence[FrameEvent]:
        """Sort out what is no message of the feed's channels; slow, because it is rare."""
        try:
            if frame.lstrip().startswith(b"["):
                msgspec.json.decode(frame)
                return count_ignored(self.ignored, "v1")
            other = _others.decode(frame)
        except INVALID as error:
            return (InvalidFrame(frame, str(error)),)
        if other.channel in {"trade", "heartbeat"}:
            return (InvalidFrame(frame, fault),)
        if other.error or other.success is False:
            # It stays pending: a connection without its streams is never taken for a working one.
            market = self._by_name.get(other.symbol)
            return (SubscriptionRefused(() if market is None else (market,), 0, other.error),)
        if other.method == "subscribe" and other.result is not None and other.result.symbol in self._pending:
            self._pending.discard(other.result.symbol)
            return (Subscribed((self._by_name[other.result.symbol],)),)
        return count_ignored(self.ignored, other.channel or other.method or "unknown")


class KrakenRest:
    """How Kraken is asked over HTTP."""

    page_limit = _PAGE
    weight_per_minute = 60
    spacing_s = 1.0
    used_weight_header = ""

    def markets_request(self) -> RestRequest:
        """Return the question for all pairs."""
        return RestRequest("/0/public/AssetPairs", {}, {}, 1)

    def read_markets(self, payload: bytes) -> MarketMap:
        """Return the pairs of an answer.

        Raises:
            ExchangeError: the answer is no list of pairs, or a refusal.
        """
        try:
            answer = _pairs.decode(payload)
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"AssetPairs is invalid: {error}") from error
        if answer.error:
            _refuse(answer.error)
        return MarketMap(NAME, (_market(row) for row in answer.result.values() if "/" in row.wsname))

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None,  # noqa: ARG002 - this venue is asked by time
        after_us: int | None,
        limit: int,  # noqa: ARG002 - the page begins before the wanted trades, so it must not be short
    ) -> RestRequest:
        """Return the question for the trades from shortly before a time on, or for the latest."""
        params = {"pair": market.native, "count": str(_PAGE)}
        if after_us is not None:
            params["since"] = str(max(0, after_us - _OVERLAP_US) * 1_000)
        return RestRequest("/0/public/Trades", params, {}, 1)

    def read_trades(self, payload: bytes, market: Market, *, received_time_us: int) -> TradePage:
        """Return the trades of an answer, ascending by id.

        Raises:
            ExchangeError: the answer is no list of trades, or a refusal.
        """
        try:
            answer = _rest_answers.decode(payload)
            rows = [
                row for name, raw in answer.result.items() if name != "last" for row in _rest_rows.decode(raw)
            ]
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"Trades is invalid: {error}") from error
        if answer.error:
            _refuse(answer.error)
        return page_of((_rest_trade(row, market, received_time_us), row) for row in rows)

    def read_error(self, payload: bytes) -> str:
        """Return the venue's errors, or the beginning of whatever else answered."""
        try:
            return ", ".join(_rest_answers.decode(payload).error) or shortened(payload)
        except INVALID:
            return shortened(payload)


def _market(row: _Pair) -> Market:
    base, quote = (_ASSETS.get(name, name) for name in row.wsname.split("/", maxsplit=1))
    return Market(
        symbol=f"{base}-{quote}",
        native=row.altname,
        quote=quote,
        status=row.status,
        is_trading=row.status in _TRADING,
    )


def _trade(row: _Row, market: Market, received_time_us: int) -> Trade:
    return Trade(
        NAME,
        market.symbol,
        row.trade_id,
        row.price,
        row.qty,
        row.side == "sell",
        to_us(row.timestamp),
        received_time_us,
    )


def _rest_trade(row: _RestRow, market: Market, received_time_us: int) -> Trade:
    return Trade(
        NAME,
        market.symbol,
        row.trade_id,
        row.price,
        row.volume,
        row.side == "s",
        round(row.time * 1e6),
        received_time_us,
    )


def _refuse(errors: list[str]) -> NoReturn:
    """Raise what the venue's errors mean; they come with status 200."""
    words = ", ".join(errors)
    if "Rate limit" in words or "Too many requests" in words:
        raise RateLimitedError(NAME, retry_after_s=_RETRY_AFTER_S, code=200)
    if "EService" in words or "Internal error" in words:
        raise ExchangeUnavailableError(NAME, detail=words)
    raise ExchangeError(NAME, detail=f"refused: {words}")


VENUE: Final = Venue(
    name=NAME,
    max_streams=MAX_MARKETS,
    max_attempts=150,
    attempts_window_s=600.0,
    ws_url="wss://ws.kraken.com",
    rest_url="https://api.kraken.com",
    stream_path="/v2",
    # A heartbeat comes each second when there is nothing else.
    heartbeat_timeout_s=10.0,
    protocol=KrakenProtocol,
    rest=KrakenRest(),
)
