"""A tiny exchange inside the test process: Binance's streams and REST on one loopback port, with faults."""

import json
from collections import deque
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web


@dataclass(frozen=True)
class Refusal:
    """One answer of REST that is no sound one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"


class StubExchange:
    """Keeps a tape per market, sends it to subscribers, answers questions about it.

    Attributes:
        dropped: (native, id) that are never sent, though REST has them.
        absent: (native, id) that REST does not have.
        refusals: answers that REST gives first, in order.
        statuses: market statuses by native name.
        books: answers of REST to a question for a market's order book.
        is_silent: subscriptions are not confirmed and nothing is sent.
    """

    def __init__(self, natives: list[str]) -> None:
        self.statuses = dict.fromkeys(natives, "TRADING")
        self.tapes: dict[str, list[dict[str, object]]] = {native: [] for native in natives}
        self.books: dict[str, dict[str, object]] = {}
        self.dropped: set[tuple[str, int]] = set()
        self.absent: set[tuple[str, int]] = set()
        self.refusals: deque[Refusal] = deque()
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.messages: list[str] = []
        self.paths: list[str] = []
        self.accepted_total = 0
        self.closed_total = 0
        self.is_silent = False
        self.refuses_connections = False
        self.is_gone = False
        self.answers_pings = True
        self.answer: dict[str, object] = {"result": None}
        self.subscribers: list[tuple[web.WebSocketResponse, set[str]]] = []
        self.heartbeat_s: float | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/exchangeInfo", self._exchange_info)
        app.router.add_get("/api/v3/historicalTrades", self._historical_trades)
        app.router.add_get("/api/v3/depth", self._depth)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.abort_all()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def trade(self, native: str, *, number: int | None = None, copies: int = 1) -> int:
        """Make one trade and send it; return its id."""
        tape = self.tapes[native]
        last = tape[-1]["id"] if tape else 999
        assert isinstance(last, int)
        number = last + 1 if number is None else number
        tape.append({"id": number, "price": "100.5", "qty": "0.25", "time": number, "isBuyerMaker": True})
        for _ in range(copies):
            if (native, number) not in self.dropped:
                await self.send_trade(native, number)
        return number

    async def send_trade(self, native: str, number: int) -> None:
        """Send a trade, whether it is on the tape or not."""
        await self.send(
            native, json.dumps({"stream": f"{native.lower()}@trade", "data": event(native, number)})
        )

    async def send(self, native: str, text: str, *, stream: str = "trade") -> None:
        """Send any text to the subscribers of a market."""
        for socket, streams in list(self.subscribers):
            if not self.is_silent and f"{native.lower()}@{stream}" in streams and not socket.closed:
                await socket.send_str(text)

    async def announce_shutdown(self) -> None:
        data = {"e": "serverShutdown", "E": 1770123456789}
        for socket, _ in list(self.subscribers):
            await socket.send_str(json.dumps({"stream": "!serverShutdown", "data": data}))

    def abort_all(self) -> None:
        """Cut all connections without a word."""
        for socket, _ in self.subscribers:
            writer = socket._writer
            if writer is not None and writer.transport is not None:
                writer.transport.abort()
        self.subscribers.clear()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.accepted_total += 1
        self.paths.append(request.path_qs)
        if self.refuses_connections:
            return web.Response(status=503)
        socket = web.WebSocketResponse(heartbeat=self.heartbeat_s, autoping=self.answers_pings)
        await socket.prepare(request)
        streams: set[str] = set()
        self.subscribers.append((socket, streams))
        async for message in socket:
            if message.type is WSMsgType.PING:
                continue
            if message.type is not WSMsgType.TEXT:
                break
            self.messages.append(message.data)
            if self.is_silent:
                continue
            call = json.loads(message.data)
            streams.update(call["params"])
            await socket.send_str(json.dumps(self.answer | {"id": call["id"]}))
        self.closed_total += 1
        return socket

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.asked.append((request.path, dict(request.query), request.headers.get("X-MBX-TIME-UNIT", "")))
        if not self.refusals:
            return None
        refusal = self.refusals.popleft()
        return web.Response(status=refusal.status, headers=refusal.headers, text=refusal.body)

    async def _exchange_info(self, request: web.Request) -> web.Response:
        rows = [
            {"symbol": n, "status": s, "baseAsset": n.removesuffix("USDT"), "quoteAsset": "USDT"}
            for n, s in self.statuses.items()
        ]
        return self._refusal(request) or web.json_response({"symbols": rows, "timezone": "UTC"})

    async def _depth(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response(self.books[request.query["symbol"]])

    async def _historical_trades(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        native, limit = request.query["symbol"], int(request.query["limit"])
        rows = [row for row in self.tapes[native] if (native, row["id"]) not in self.absent]
        if "fromId" in request.query:
            rows = [row for row in rows if int(str(row["id"])) >= int(request.query["fromId"])][:limit]
        else:
            rows = rows[-limit:]
        return web.json_response(rows, headers={"X-MBX-USED-WEIGHT-1M": "25"})


def event(native: str, number: int) -> dict[str, object]:
    """Return a trade event; its time is its id in ms, so that no two differ by much."""
    return {
        "e": "trade",
        "E": number,
        "s": native,
        "t": number,
        "p": "100.5",
        "q": "0.25",
        "T": number,
        "m": True,
        "M": True,
    }
