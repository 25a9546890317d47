"""The HTTP side: the venue's REST endpoints, and the simulator's own controls under `/simulator`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.clock import Clock
from simulator.engine import Engine
from simulator.faults import FaultCommand
from simulator.venue import Request as VenueRequest
from simulator.venue import Venue

_JSON = "application/json;charset=UTF-8"


class _Server(uvicorn.Server):
    """A server that leaves signals to the entry point."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def build_app(engine: Engine, venue: Venue, *, clock: Clock) -> Starlette:
    """Return the HTTP application over a venue of an engine."""

    async def api(request: Request) -> Response:
        answer = engine.request(
            venue,
            VenueRequest(
                endpoint=request.path_params["endpoint"],
                query=dict(request.query_params),
                is_microseconds=request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND",
            ),
            now_us=clock.now_us(),
        )
        return Response(answer.body, answer.status, headers=dict(answer.headers), media_type=_JSON)

    async def faults(request: Request) -> Response:
        try:
            command = msgspec.json.decode(await request.body(), type=FaultCommand)
            engine.command(command, now_us=clock.now_us())
        except (msgspec.DecodeError, ValueError) as error:
            return Response(msgspec.json.encode({"error": str(error)}), 400, media_type=_JSON)
        return _state()

    async def state(_: Request) -> Response:
        return _state()

    async def start(_: Request) -> Response:
        engine.start(now_us=clock.now_us())
        return _state()

    def _state() -> Response:
        return Response(msgspec.json.encode(engine.state(venue)), media_type=_JSON)

    return Starlette(
        routes=[
            Route("/simulator/faults", faults, methods=["POST"]),
            Route("/simulator/start", start, methods=["POST"]),
            Route("/simulator/state", state, methods=["GET"]),
            Route(f"{venue.rest_prefix}/{{endpoint:path}}", api, methods=["GET"]),
        ]
    )


@asynccontextmanager
async def listen(engine: Engine, venue: Venue, *, bound: socket.socket, clock: Clock) -> AsyncIterator[None]:
    """Answer HTTP requests to a venue of an engine on a bound socket while the context is open."""
    # Listening now and not when uvicorn gets to it: whoever is told the address can connect at once.
    bound.listen(128)
    config = uvicorn.Config(
        build_app(engine, venue, clock=clock),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
