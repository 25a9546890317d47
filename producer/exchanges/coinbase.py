"""Coinbase Exchange: `matches` and `heartbeat` over one WebSocket, and the REST questions that fill holes.

Source: docs.cdp.coinbase.com/exchange, `websocket-feed` (overview, channels, rate limits) and `rest-api`
(products, product trades, pagination, rate limits) of November 2026.

- `side` is the maker's, over WebSocket and REST: `sell` means that the taker bought. Frames of Advanced
  Trade's `market_trades` are read too (recordings hold them); their side is the maker's as well: of 78 trades
  recorded in August 2026, 73 lay at the quote of their side (`test_recordings.py` counts them).
- Continuity: the trade ids of a product follow each other, so a hole is seen at the next trade. A heartbeat
  tells each product's last trade id every second, so a lost last trade is seen within a second; 0, which the
  venue has sent for months on end, says nothing. `sequence` counts all order messages of a product, of which
  `matches` are a few: it proves nothing here and is not used.
- A subscription begins with the `last_match` of each product: no news, but what overlaps.
- REST pages by trade id, newest first: trades before `after`, 1,000 at most; of any age. Public questions
  are limited to 10 a second and address; we ask half as often.
- 8 connection attempts a second and address; a subscription must be sent within 5 s.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

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
    LatestTrade,
    OutgoingFrame,
    RestRequest,
    Subscribed,
    SubscriptionRefused,
    TradePage,
    Venue,
)
from shared.errors import ExchangeError
from shared.events import Trade

NAME: Final = "coinbase"
MAX_MARKETS: Final = 200

_CHANNELS: Final = ("matches", "heartbeat")
_MARKETS_PER_MESSAGE: Final = 50
_MESSAGE_INTERVAL_S: Final = 0.1

Side = Literal["buy", "sell", "BUY", "SELL"]


class _Match(msgspec.Struct, tag_field="type", tag="match", gc=False):
    product_id: str
    trade_id: Id
    price: float
    size: float
    side: Side
    time: IsoTime


class _LastMatch(_Match, tag="last_match", gc=False):
    """The latest match before the subscription."""


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    product_id: str
    last_trade_id: Id = 0


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    channels: list[_Channel]


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _AdvancedTrade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: Id
    price: float
    size: float
    side: Side
    time: IsoTime


class _AdvancedEvent(msgspec.Struct):
    type: Literal["snapshot", "update"]
    trades: list[_AdvancedTrade]


class _AdvancedFrame(msgspec.Struct):
    events: list[_AdvancedEvent]


class _Kind(msgspec.Struct):
    type: str = ""
    channel: str = ""


class _RestTrade(msgspec.Struct, gc=False):
    trade_id: Id
    price: float
    size: float
    side: Side
    time: IsoTime


class _Product(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    status: str = "online"
    trading_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False


class _Refusal(msgspec.Struct):
    message: str


_Message = _Match | _LastMatch | _Heartbeat | _Subscriptions | _Error

# Prices and quantities come as JSON strings: `strict=False` reads them straight into floats.
_messages: Final = msgspec.json.Decoder(_Message, strict=False)
_advanced_frames: Final = msgspec.json.Decoder(_AdvancedFrame, strict=False)
_kinds: Final = msgspec.json.Decoder(_Kind)
_rest_trades: Final = msgspec.json.Decoder(list[_RestTrade], strict=False)
_products: Final = msgspec.json.Decoder(list[_Product])
_refusals: Final = msgspec.json.Decoder(_Refusal)
_OUR_TYPES: Final = frozenset({"match", "last_match", "heartbeat", "subscriptions", "error"})


class CoinbaseProtocol:
    """One connection's state: what was asked for, and what was confirmed.

    Args:
        markets: to subscribe to on this connection.
    """

    def __init__(self, markets: Sequence[Market]) -> None:
        self.ignored: Counter[str] = Counter()
        self._by_native = {market.native: market for market in markets}
        self._pending = {(channel, native) for channel in _CHANNELS for native in self._by_native}

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        return not self._pending

    def open(self) -> list[OutgoingFrame]:
        """Return the subscribe messages and when each may leave."""
        natives = list(self._by_native)
        starts = range(0, len(natives), _MARKETS_PER_MESSAGE)
        return [
            OutgoingFrame(
                msgspec.json.encode(
                    {
                        "type": "subscribe",
                        "product_ids": natives[start : start + _MARKETS_PER_MESSAGE],
                        "channels": _CHANNELS,
                    }
                ).decode(),
                number * _MESSAGE_INTERVAL_S,
            )
            for number, start in enumerate(starts)
        ]

    def receive(self, frame: bytes, received_time_us: int) -> Sequence[FrameEvent]:
        """Return what one frame says; never raises on any bytes."""
        try:
            message = _messages.decode(frame)
        except INVALID as error:
            return self._receive_other(frame, received_time_us, str(error))
        match message:
            case _LastMatch():
                return as_past(self._trades([message], frame, received_time_us))
            case _Match():
                return self._trades([message], frame, received_time_us)
            case _Heartbeat():
                return self._heartbeat(message)
            case _Subscriptions():
                return self._confirm(message)
            case _:
                return (SubscriptionRefused((), 0, f"{message.message}: {message.reason}"),)

    def _trades(
        self, rows: Iterable[_Match | _AdvancedTrade], frame: bytes, received_time_us: int
    ) -> list[FrameEvent]:
        events: list[FrameEvent] = []
        for row in rows:
            market = self._by_native.get(row.product_id)
            if market is None:
                count_ignored(self.ignored, "trade of another market")
            else:
                events.append(checked(_trade(row, market, received_time_us), frame))
        return events

    def _heartbeat(self, heartbeat: _Heartbeat) -> Sequence[FrameEvent]:
        market = self._by_native.get(heartbeat.product_id)
        if market is None or not heartbeat.last_trade_id:
            return count_ignored(self.ignored, "heartbeat without a trade of ours")
        return (LatestTrade(market.symbol, heartbeat.last_trade_id),)

    def _confirm(self, answer: _Subscriptions) -> Sequence[FrameEvent]:
        confirmed = {(channel.name, native) for channel in answer.channels for native in channel.product_ids}
        news = {native for channel, native in self._pending & confirmed if channel == "matches"}
        self._pending -= confirmed
        return (Subscribed(tuple(self._by_native[native] for native in sorted(news))),)

    def _receive_other(self, frame: bytes, received_time_us: int, fault: str) -> Sequence[FrameEvent]:
        """Sort out what is no message of ours; slow, because it is rare."""
        try:
            kind = _kinds.decode(frame)
            if kind.type in _OUR_TYPES:
                return (InvalidFrame(frame, fault),)
            if kind.channel != "market_trades":
                return count_ignored(self.ignored, kind.type or kind.channel or "unknown")
            advanced = _advanced_frames.decode(frame)
        except INVALID as error:
            return (InvalidFrame(frame, str(error)),)
        # The newest comes first.
        rows = [row for event in advanced.events for row in reversed(event.trades)]
        trades = self._trades(rows, frame, received_time_us)
        is_snapshot = any(event.type == "snapshot" for event in advanced.events)
        return as_past(trades) if is_snapshot else trades


def _trade(row: _Match | _AdvancedTrade | _RestTrade, market: Market, received_time_us: int) -> Trade:
    # The venue names the maker's side.
    is_buyer_maker = row.side in {"buy", "BUY"}
    return Trade(
        NAME,
        market.symbol,
        row.trade_id,
        row.price,
        row.size,
        is_buyer_maker,
        to_us(row.time),
        received_time_us,
    )


class CoinbaseRest:
    """How Coinbase is asked over HTTP."""

    page_limit = 1_000
    weight_per_minute = 300
    spacing_s = 0.2
    used_weight_header = ""

    def markets_request(self) -> RestRequest:
        """Return the question for all products."""
        return RestRequest("/products", {}, {}, 1)

    def read_markets(self, payload: bytes) -> MarketMap:
        """Return the products of an answer.

        Raises:
            ExchangeError: the answer is no list of products.
        """
        try:
            products = _products.decode(payload)
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"products is invalid: {error}") from error
        return MarketMap(
            NAME,
            (
                Market(
                    symbol=f"{row.base_currency}-{row.quote_currency}",
                    native=row.id,
                    quote=row.quote_currency,
                    status=row.status,
                    is_trading=row.status == "online"
                    and not (row.trading_disabled or row.cancel_only or row.post_only),
                )
                for row in products
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
        params = {"limit": str(min(limit, self.page_limit))}
        if from_id is not None:
            # A page holds what is older than `after`, newest first: ids follow each other, so this one ends
            # just where the wanted trades begin, or earlier when the venue has not come so far yet.
            params["after"] = str(from_id + min(limit, self.page_limit))
        return RestRequest(f"/products/{market.native}/trades", params, {}, 1)

    def read_trades(self, payload: bytes, market: Market, *, received_time_us: int) -> TradePage:
        """Return the trades of an answer, ascending by id.

        Raises:
            ExchangeError: the answer is no list of trades.
        """
        try:
            rows = _rest_trades.decode(payload)
        except INVALID as error:
            raise ExchangeError(NAME, detail=f"trades is invalid: {error}") from error
        return page_of((_trade(row, market, received_time_us), row) for row in rows)

    def read_error(self, payload: bytes) -> str:
        """Return the venue's message, or the beginning of whatever else answered."""
        try:
            return _refusals.decode(payload).message
        except INVALID:
            return shortened(payload)


VENUE: Final = Venue(
    name=NAME,
    max_streams=MAX_MARKETS,
    max_attempts=8,
    attempts_window_s=1.0,
    ws_url="wss://ws-feed.exchange.coinbase.com",
    rest_url="https://api.exchange.coinbase.com",
    stream_path="",
    # Each product's heartbeat comes every second.
    heartbeat_timeout_s=10.0,
    protocol=CoinbaseProtocol,
    rest=CoinbaseRest(),
)
