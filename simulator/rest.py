"""Binance's REST endpoints as a pure function of the trades so far: query in, status, headers and body out.

Source: rest-api.md and errors.md of binance-spot-api-docs. aggTrades are answered with one trade each, so
that `f` and `l` are the trade's own id.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NoReturn

import msgspec

from simulator.books import Books
from simulator.source import MarketTrade, SymbolInfo
from simulator.tape import Tape
from simulator.venue import Request, Response, Statuses
from simulator.weights import WEIGHTS, Refusal, WeightLimiter

DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 1_000
STATUSES: Final = ("TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY")

_EIGHT_DECIMALS: Final = Decimal("0.00000001")


class _RequestError(Exception):
    """The request is wrong; carries Binance's code and text."""

    def __init__(self, code: int, msg: str, *, status: int = 400) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status


class Rest:
    """The endpoints over a set of tapes.

    Args:
        symbols: the markets.
        tapes: one tape per market, by the venue's name.
        limiter: of the weights.
        books: of all markets.
    """

    def __init__(
        self,
        *,
        symbols: tuple[SymbolInfo, ...],
        tapes: Mapping[str, Tape],
        limiter: WeightLimiter,
        books: Books | None = None,
    ) -> None:
        self._books = books or Books()
        self._symbols = {info.symbol: info for info in symbols}
        self._statuses = Statuses(tuple(self._symbols), STATUSES)
        self._tapes = tapes
        self._limiter = limiter

    def set_status(self, symbol: str, status: str) -> None:
        """Change what `exchangeInfo` says about a market.

        Raises:
            ValueError: there is no such market or no such status.
        """
        self._statuses.set(symbol, status)

    def handle(self, request: Request, *, now_us: int, market_time_us: int) -> Response:
        """Answer a request.

        Args:
            request: what is asked.
            now_us: wall-clock time, for the weights.
            market_time_us: the venue's own time, for `time` and `exchangeInfo`.
        """
        weight = WEIGHTS.get(request.endpoint, 1)
        refusal = self._limiter.charge(weight, now_us=now_us)
        headers = {
            "X-MBX-USED-WEIGHT": str(self._limiter.used),
            "X-MBX-USED-WEIGHT-1M": str(self._limiter.used),
        }
        if refusal is not None:
            return refused(refusal, headers=headers)
        try:
            body = self._answer(request, market_time_us)
        except _RequestError as error:
            return _error(error.status, error.code, error.msg, headers)
        return Response(status=200, body=body, headers=headers)

    def _answer(self, request: Request, market_time_us: int) -> bytes:  # noqa: PLR0911 - one for each endpoint
        unit = 1 if request.is_microseconds else 1_000
        query = request.query
        match request.endpoint:
            case "ping":
                return b"{}"
            case "time":
                return _json({"serverTime": market_time_us // unit})
            case "exchangeInfo":
                return _json(self._exchange_info(query, market_time_us // unit))
            case "trades":
                trades = self._tape(query).latest(_limit(query))
                return _json([_trade(trade, unit) for trade in trades])
            case "historicalTrades":
                tape, limit, from_id = self._tape(query), _limit(query), _integer(query, "fromId")
                trades = tape.latest(limit) if from_id is None else tape.from_id(from_id, limit)
                return _json([_trade(trade, unit) for trade in trades])
            case "depth":
                self._tape(query)
                last_id, bids, asks = self._books.whole(query["symbol"], _limit(query))
                return _json({"lastUpdateId": last_id, "bids": bids, "asks": asks})
            case "aggTrades":
                return _json([_agg_trade(trade, unit) for trade in self._agg_trades(query)])
            case _:
                raise _RequestError(-1000, f"No such endpoint: {request.endpoint}", status=404)

    def _tape(self, query: Mapping[str, str]) -> Tape:
        symbol = query.get("symbol", "")
        if not symbol:
            _missing("symbol")
        if symbol not in self._tapes:
            raise _RequestError(-1121, "Invalid symbol.")
        return self._tapes[symbol]

    def _agg_trades(self, query: Mapping[str, str]) -> list[MarketTrade]:
        tape, limit = self._tape(query), _limit(query)
        from_id = _integer(query, "fromId")
        start, end = _time(query, "startTime"), _time(query, "endTime")
        if from_id is not None:
            if start is not None or end is not None:
                raise _RequestError(-1128, "Combination of optional parameters invalid.")
            return tape.from_id(from_id, limit)
        if start is not None:
            return tape.between(start[0], 2**62 if end is None else end[1], limit)
        if end is not None:
            return tape.until(end[1], limit)
        return tape.latest(limit)

    def _exchange_info(self, query: Mapping[str, str], server_time: int) -> dict[str, object]:
        chosen = self._chosen(query)
        return {
            "timezone": "UTC",
            "serverTime": server_time,
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
                {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
            ],
            "exchangeFilters": [],
            "symbols": [_symbol(info, self._statuses[info.symbol]) for info in chosen],
        }

    def _chosen(self, query: Mapping[str, str]) -> list[SymbolInfo]:
        named = [name for name in ("symbol", "symbols", "symbolStatus") if name in query]
        if len(named) > 1:
            raise _RequestError(-1128, "Combination of optional parameters invalid.")
        if "symbolStatus" in query:
            wanted = query["symbolStatus"]
            if wanted not in STATUSES:
                raise _RequestError(-1122, "Invalid symbolStatus.")
            return [info for info in self._symbols.values() if self._statuses[info.symbol] == wanted]
        if "symbol" in query:
            names = [query["symbol"]]
        elif "symbols" in query:
            names = _names(query["symbols"])
        else:
            return list(self._symbols.values())
        if any(name not in self._symbols for name in names):
            raise _RequestError(-1121, "Invalid symbol.")
        return [self._symbols[name] for name in names]


def refused(refusal: Refusal, *, headers: Mapping[str, str]) -> Response:
    """Return Binance's answer to one who asks too much."""
    if refusal.status == 418:
        msg = (
            f"Way too much request weight used; IP banned until {refusal.until_us // 1_000}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
    else:
        msg = (
            "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
    headers = {**headers, "Retry-After": str(refusal.retry_after_s)}
    return _error(refusal.status, -1003, msg, headers)


def _error(status: int, code: int, msg: str, headers: Mapping[str, str]) -> Response:
    return Response(status=status, body=_json({"code": code, "msg": msg}), headers=headers)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _missing(name: str) -> NoReturn:
    raise _RequestError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _RequestError(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        )
    return int(text)


def _limit(query: Mapping[str, str]) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise _RequestError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _time(query: Mapping[str, str], name: str) -> tuple[int, int] | None:
    """Return the first and last microsecond that a time means; its digits tell milli- from microseconds."""
    time = _integer(query, name)
    if time is None:
        return None
    return (time, time) if time >= 10**14 else (time * 1_000, time * 1_000 + 999)


def _names(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError as error:
        raise _RequestError(
            -1100, "Illegal characters found in parameter 'symbols'; legal range is a JSON list."
        ) from error


def _trade(trade: MarketTrade, unit: int) -> dict[str, object]:
    quote = (Decimal(trade.price) * Decimal(trade.quantity)).quantize(_EIGHT_DECIMALS)
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.quantity,
        "quoteQty": f"{quote:f}",
        "time": trade.trade_time_us // unit,
        "isBuyerMaker": trade.is_buyer_maker,
        "isBestMatch": True,
    }


def _agg_trade(trade: MarketTrade, unit: int) -> dict[str, object]:
    return {
        "a": trade.trade_id,
        "p": trade.price,
        "q": trade.quantity,
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.trade_time_us // unit,
        "m": trade.is_buyer_maker,
        "M": True,
    }


def _symbol(info: SymbolInfo, status: str) -> dict[str, object]:
    return {
        "symbol": info.symbol,
        "status": status,
        "baseAsset": info.base_asset,
        "baseAssetPrecision": 8,
        "quoteAsset": info.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": info.tick,
                "maxPrice": "1000000.0",
                "tickSize": info.tick,
            },
            {"filterType": "LOT_SIZE", "minQty": info.step, "maxQty": "9000000.0", "stepSize": info.step},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }
