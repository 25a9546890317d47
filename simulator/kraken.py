"""Kraken Spot as a venue: WebSocket v2's `trade` channel, `AssetPairs` and `Trades`.

Source: docs.kraken.com, spot-websocket-v2 and REST. Errors of REST have status 200; `side` is the taker's;
numbers of the feed are JSON numbers, written digit by digit.
"""

from collections.abc import Hashable, Mapping
from typing import Final

import msgspec

from simulator.source import MarketTrade, SymbolInfo
from simulator.tape import Tape
from simulator.venue import Request, Response, Session, Statuses, iso_time
from simulator.weights import Refusal, WeightLimiter

MAX_COUNT: Final = 1_000
SNAPSHOT_TRADES: Final = 50
STATUSES: Final = ("online", "cancel_only", "post_only", "limit_only", "reduce_only")
_OLD_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_HEARTBEAT: Final = b'{"channel":"heartbeat"}'
_FORM: Final = "update"

_encode: Final = msgspec.json.Encoder().encode


class _Params(msgspec.Struct):
    channel: str = ""
    symbol: list[str] = []
    snapshot: bool = False


class _Request(msgspec.Struct):
    method: str
    params: _Params = msgspec.field(default_factory=_Params)
    req_id: int | None = None


class KrakenSession:
    """One connection's subscriptions.

    Args:
        venue: answers.
    """

    form: Hashable = _FORM

    def __init__(self, venue: "Kraken") -> None:
        self._venue = venue
        self._symbols: dict[str, None] = {}

    def wants(self, symbol: str) -> bool:
        """Return whether a market's trades are subscribed."""
        return symbol in self._symbols

    @property
    def is_subscribed(self) -> bool:
        """Whether anything is: only then there are heartbeats."""
        return bool(self._symbols)

    def control(self, message: str | bytes) -> list[bytes]:
        """Take a message of the client and return the frames that answer it."""
        try:
            request = msgspec.json.decode(message, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [_encode({"error": "Malformed request", "method": "error", "success": False})]
        head: dict[str, object] = {"method": request.method}
        if request.req_id is not None:
            head["req_id"] = request.req_id
        match request.method:
            case "ping":
                return [_encode(head | {"method": "pong"})]
            case "subscribe" | "unsubscribe":
                return [
                    frame for name in request.params.symbol for frame in self._change(name, request, head)
                ]
            case _:
                return [_encode(head | {"error": "Unsupported method", "success": False})]

    def _change(self, name: str, request: _Request, head: dict[str, object]) -> list[bytes]:
        symbol = self._venue.symbol_of(name)
        if request.params.channel != "trade":
            return [_encode(head | {"error": "Channel not supported", "success": False, "symbol": name})]
        if symbol is None:
            words = f"Currency pair not supported {name}"
            return [_encode(head | {"error": words, "success": False, "symbol": name})]
        result = {"channel": "trade", "snapshot": request.params.snapshot, "symbol": name}
        answer = _encode(head | {"result": result, "success": True})
        if request.method == "unsubscribe":
            self._symbols.pop(symbol, None)
            return [answer]
        self._symbols[symbol] = None
        return [answer, *(self._venue.snapshot(symbol) if request.params.snapshot else [])]


class Kraken:
    """Kraken Spot.

    Args:
        symbols: the markets.
        tapes: one per market.
        limiter: of the requests, each of weight 1.
    """

    rest_prefix = "/0/public"

    def __init__(
        self, *, symbols: tuple[SymbolInfo, ...], tapes: Mapping[str, Tape], limiter: WeightLimiter
    ) -> None:
        self._symbols = symbols
        self._tapes = tapes
        self._limiter = limiter
        self._statuses = Statuses(tuple(tapes), STATUSES)
        self._names = {info.symbol: f"{info.base_asset}/{info.quote_asset}" for info in symbols}
        self._by_name = {name: symbol for symbol, name in self._names.items()}
        self._by_altname = {_altname(info): info.symbol for info in symbols}

    def symbol_of(self, name: str) -> str | None:
        """Return the market of a name in the feed (`BTC/USD`), if there is one."""
        return self._by_name.get(name)

    def open(self, path: str) -> KrakenSession | None:
        """Return the session of a new connection, or None when there is nothing at that path."""
        return KrakenSession(self) if path == "/v2" else None

    def encode(self, trade: MarketTrade, form: Hashable) -> bytes:
        """Return a trade as a frame of its own."""
        return self._frame([trade], str(form))

    def snapshot(self, symbol: str) -> list[bytes]:
        """Return the latest trades of a market, as a subscription may begin with them."""
        return [self._frame(self._tapes[symbol].latest(SNAPSHOT_TRADES), "snapshot")]

    def heartbeats(self, session: Session, *, market_time_us: int) -> list[bytes]:  # noqa: ARG002 - as in `Venue`
        """Return the connection's heartbeat, if anything is subscribed."""
        assert isinstance(session, KrakenSession)
        return [_HEARTBEAT] if session.is_subscribed else []

    def shutdown(self, form: Hashable, *, market_time_us: int) -> list[bytes]:  # noqa: ARG002 - as in `Venue`
        """Return nothing: this venue announces no end."""
        return []

    def set_status(self, symbol: str, status: str) -> None:
        """Change a pair's status.

        Raises:
            ValueError: there is no such market or no such status.
        """
        self._statuses.set(symbol, status)

    def answer(self, request: Request, *, now_us: int, market_time_us: int) -> Response:  # noqa: ARG002 - as in `Venue`
        """Answer a REST request."""
        refusal = self._limiter.charge(1, now_us=now_us)
        if refusal is not None:
            return self.refuse(refusal)
        match request.endpoint:
            case "AssetPairs":
                return _ok({_altname(info): self._pair(info) for info in self._symbols})
            case "Trades":
                return self._trades(request.query)
            case _:
                return _fault("EGeneral:Unknown method")

    def refuse(self, refusal: Refusal) -> Response:  # noqa: ARG002 - as in `Venue`
        """Return the venue's answer to one who asks too much."""
        return _fault("EGeneral:Too many requests")

    def _trades(self, query: Mapping[str, str]) -> Response:
        symbol = self._by_altname.get(query.get("pair", ""))
        if symbol is None:
            return _fault("EQuery:Unknown asset pair")
        count, since = query.get("count", str(MAX_COUNT)), query.get("since")
        if not (count.isdecimal() and 1 <= int(count) <= MAX_COUNT and (since is None or since.isdecimal())):
            return _fault("EGeneral:Invalid arguments")
        tape = self._tapes[symbol]
        if since is None:
            trades = tape.latest(int(count))
        else:
            trades = tape.between(int(since) // 1_000 + 1, 2**62, int(count))
        last = trades[-1].trade_time_us * 1_000 if trades else int(since or 0)
        return _ok({query["pair"]: [_row(trade) for trade in trades], "last": str(last)})

    def _frame(self, trades: list[MarketTrade], kind: str) -> bytes:
        rows = [
            {
                "symbol": self._names[trade.symbol],
                "side": "sell" if trade.is_buyer_maker else "buy",
                "price": msgspec.Raw(trade.price.encode()),
                "qty": msgspec.Raw(trade.quantity.encode()),
                "ord_type": "limit",
                "trade_id": trade.trade_id,
                "timestamp": iso_time(trade.trade_time_us),
            }
            for trade in trades
        ]
        return _encode({"channel": "trade", "type": kind, "data": rows})

    def _pair(self, info: SymbolInfo) -> dict[str, object]:
        base, quote = _old(info.base_asset), _old(info.quote_asset)
        return {
            "altname": _altname(info),
            "wsname": f"{base}/{quote}",
            "base": base,
            "quote": quote,
            "tick_size": info.tick,
            "status": self._statuses[info.symbol],
        }


def _old(asset: str) -> str:
    return _OLD_NAMES.get(asset, asset)


def _altname(info: SymbolInfo) -> str:
    return f"{_old(info.base_asset)}{_old(info.quote_asset)}"


def _row(trade: MarketTrade) -> list[object]:
    seconds, micros = divmod(trade.trade_time_us, 1_000_000)
    time = msgspec.Raw(f"{seconds}.{micros:06d}".encode())
    side = "s" if trade.is_buyer_maker else "b"
    return [trade.price, trade.quantity, time, side, "l", "", trade.trade_id]


def _fault(words: str) -> Response:
    return Response(status=200, body=_encode({"error": [words]}))


def _ok(result: object) -> Response:
    return Response(status=200, body=_encode({"error": [], "result": result}))
