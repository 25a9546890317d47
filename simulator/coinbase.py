"""Coinbase Exchange as a venue: `matches` and `heartbeat`, products and their trades.

Source: docs.cdp.coinbase.com/exchange, websocket-feed and rest-api. `sequence` grows by more than one from
match to match, as it does where the orders between are not subscribed; `side` is the maker's.
"""

from collections.abc import Hashable, Mapping
from typing import Final
from uuid import UUID

import msgspec

from simulator.source import MarketTrade, SymbolInfo
from simulator.tape import Tape
from simulator.venue import Request, Response, Session, Statuses, iso_time
from simulator.weights import Refusal, WeightLimiter

MAX_LIMIT: Final = 1_000
STATUSES: Final = ("online", "offline", "internal", "delisted")
_CHANNELS: Final = ("matches", "heartbeat")
_FORM: Final = "match"
_SEQUENCE_STEP: Final = 7

_encode: Final = msgspec.json.Encoder().encode


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Request(msgspec.Struct):
    type: str
    product_ids: list[str] = []
    channels: list[str | _Channel] = []


class CoinbaseSession:
    """One connection's subscriptions.

    Args:
        venue: answers.
    """

    form: Hashable = _FORM

    def __init__(self, venue: "Coinbase") -> None:
        self._venue = venue
        self._channels: dict[str, dict[str, None]] = {name: {} for name in _CHANNELS}

    def wants(self, symbol: str) -> bool:
        """Return whether a market's matches are subscribed."""
        return symbol in self._channels["matches"]

    def beats(self) -> list[str]:
        """Return the markets whose heartbeats are subscribed."""
        return list(self._channels["heartbeat"])

    def control(self, message: str | bytes) -> list[bytes]:
        """Take a message of the client and return the frames that answer it."""
        try:
            request = msgspec.json.decode(message, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [_error("Malformed JSON", "")]
        if request.type not in {"subscribe", "unsubscribe"}:
            return [_error("Invalid message", f"{request.type} is not a valid type")]
        wanted: list[tuple[str, str]] = []
        for channel in request.channels:
            name = channel if isinstance(channel, str) else channel.name
            products = request.product_ids if isinstance(channel, str) else channel.product_ids
            if name not in self._channels:
                return [_error("Failed to subscribe", f"{name} is not a valid channel")]
            for product in products or request.product_ids:
                symbol = self._venue.symbol_of(product)
                if symbol is None:
                    return [_error("Failed to subscribe", f"{product} is not a valid product")]
                wanted.append((name, symbol))
        return self._change(wanted, is_subscribed=request.type == "subscribe")

    def _change(self, wanted: list[tuple[str, str]], *, is_subscribed: bool) -> list[bytes]:
        news = []
        for name, symbol in wanted:
            if not is_subscribed:
                self._channels[name].pop(symbol, None)
            elif symbol not in self._channels[name]:
                self._channels[name][symbol] = None
                news += [symbol] if name == "matches" else []
        channels = [
            {"name": name, "product_ids": [self._venue.native_of(symbol) for symbol in symbols]}
            for name, symbols in self._channels.items()
            if symbols
        ]
        last = [frame for symbol in news for frame in self._venue.last_match(symbol)]
        return [_encode({"type": "subscriptions", "channels": channels}), *last]


class Coinbase:
    """Coinbase Exchange.

    Args:
        symbols: the markets.
        tapes: one per market.
        limiter: of the requests, each of weight 1.
    """

    rest_prefix = ""

    def __init__(
        self, *, symbols: tuple[SymbolInfo, ...], tapes: Mapping[str, Tape], limiter: WeightLimiter
    ) -> None:
        self._symbols = symbols
        self._tapes = tapes
        self._limiter = limiter
        self._statuses = Statuses(tuple(tapes), STATUSES)
        self._natives = {info.symbol: f"{info.base_asset}-{info.quote_asset}" for info in symbols}
        self._by_native = {native: symbol for symbol, native in self._natives.items()}

    def native_of(self, symbol: str) -> str:
        """Return the product's id."""
        return self._natives[symbol]

    def symbol_of(self, native: str) -> str | None:
        """Return the market of a product's id, if there is one."""
        return self._by_native.get(native)

    def open(self, path: str) -> CoinbaseSession | None:
        """Return the session of a new connection, or None when there is nothing at that path."""
        return CoinbaseSession(self) if path == "/" else None

    def encode(self, trade: MarketTrade, form: Hashable) -> bytes:
        """Return a trade as `match` or, in that form, as `last_match`."""
        return _encode(
            {
                "type": form,
                "trade_id": trade.trade_id,
                "maker_order_id": str(UUID(int=2 * trade.trade_id)),
                "taker_order_id": str(UUID(int=2 * trade.trade_id + 1)),
                "side": _makers_side(trade),
                "size": trade.quantity,
                "price": trade.price,
                "product_id": self._natives[trade.symbol],
                "sequence": trade.trade_id * _SEQUENCE_STEP,
                "time": iso_time(trade.trade_time_us),
            }
        )

    def last_match(self, symbol: str) -> list[bytes]:
        """Return the latest trade of a market, as a subscription begins with it."""
        return [self.encode(trade, "last_match") for trade in self._tapes[symbol].latest(1)]

    def heartbeats(self, session: Session, *, market_time_us: int) -> list[bytes]:
        """Return a heartbeat for each product that is subscribed, with its last trade's id."""
        assert isinstance(session, CoinbaseSession)
        return [
            _encode(
                {
                    "type": "heartbeat",
                    "last_trade_id": last,
                    "product_id": self._natives[symbol],
                    "sequence": last * _SEQUENCE_STEP + 1,
                    "time": iso_time(market_time_us),
                }
            )
            for symbol in session.beats()
            if (last := self._tapes[symbol].last_id) is not None
        ]

    def shutdown(self, form: Hashable, *, market_time_us: int) -> list[bytes]:  # noqa: ARG002 - as in `Venue`
        """Return nothing: this venue announces no end."""
        return []

    def set_status(self, symbol: str, status: str) -> None:
        """Change a product's status.

        Raises:
            ValueError: there is no such market or no such status.
        """
        self._statuses.set(symbol, status)

    def answer(self, request: Request, *, now_us: int, market_time_us: int) -> Response:  # noqa: ARG002 - as in `Venue`
        """Answer a REST request."""
        refusal = self._limiter.charge(1, now_us=now_us)
        if refusal is not None:
            return self.refuse(refusal)
        match request.endpoint.split("/"):
            case ["products"]:
                return _ok([self._product(info) for info in self._symbols])
            case ["products", product, "trades"]:
                symbol = self._by_native.get(product)
                return _message(404, "NotFound") if symbol is None else self._trades(symbol, request.query)
            case _:
                return _message(404, "Route not found")

    def refuse(self, refusal: Refusal) -> Response:
        """Return the venue's answer to one who asks too much; it does not say how long to wait."""
        return _message(429, f"Public rate limit exceeded ({refusal.status})")

    def _trades(self, symbol: str, query: Mapping[str, str]) -> Response:
        limit, after = query.get("limit", str(MAX_LIMIT)), query.get("after")
        if not (limit.isdecimal() and 1 <= int(limit) <= MAX_LIMIT and (after is None or after.isdecimal())):
            return _message(400, "Invalid pagination")
        tape = self._tapes[symbol]
        trades = tape.latest(int(limit)) if after is None else tape.before_id(int(after), int(limit))
        return _ok(
            [
                {
                    "trade_id": trade.trade_id,
                    "side": _makers_side(trade),
                    "size": trade.quantity,
                    "price": trade.price,
                    "time": iso_time(trade.trade_time_us),
                }
                for trade in reversed(trades)
            ]
        )

    def _product(self, info: SymbolInfo) -> dict[str, object]:
        return {
            "id": self._natives[info.symbol],
            "base_currency": info.base_asset,
            "quote_currency": info.quote_asset,
            "quote_increment": info.tick,
            "base_increment": info.step,
            "display_name": f"{info.base_asset}/{info.quote_asset}",
            "post_only": False,
            "limit_only": False,
            "cancel_only": False,
            "status": self._statuses[info.symbol],
            "trading_disabled": False,
        }


def _makers_side(trade: MarketTrade) -> str:
    return "buy" if trade.is_buyer_maker else "sell"


def _error(message: str, reason: str) -> bytes:
    return _encode({"type": "error", "message": message, "reason": reason})


def _message(status: int, message: str) -> Response:
    return Response(status=status, body=_encode({"message": message}))


def _ok(value: object) -> Response:
    return Response(status=200, body=_encode(value))
