"""Starts the whole simulator: in this event loop (`serve`), or in its own thread (`running_simulator`)."""

import asyncio
import errno
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import msgspec

from shared.clock import Clock, SystemClock
from shared.errors import PortInUseError
from simulator import server, web
from simulator.engine import Engine, EngineParams, State
from simulator.faults import FaultCommand
from simulator.server import WebSocketParams
from simulator.source import Injected, Source
from simulator.venue import Venue

# Trades are sent in ticks of this length at least: 200 wake-ups a second, not one per trade.
_TICK_S: Final = 0.005


@dataclass(frozen=True, kw_only=True)
class SimulatorParams:
    """What the simulator needs to run.

    Attributes:
        port: of the first venue's WebSocket; 0: any free one, as for all other venues.
        rest_port: of the first venue's REST and controls; 0: any free one, as for all other venues.
        websocket: the rules for connections, and the address to listen on.
        engine: how the exchange behaves.
    """

    port: int = 0
    rest_port: int = 0
    websocket: WebSocketParams = field(default_factory=WebSocketParams)
    engine: EngineParams = field(default_factory=EngineParams)


class Addresses(NamedTuple):
    """Where one venue listens.

    Attributes:
        ws_url: base of the WebSocket endpoints, as `PRODUCER_WS_URL` wants it.
        rest_url: base of the REST endpoints, as `PRODUCER_REST_URL` wants it.
    """

    ws_url: str
    rest_url: str


class Simulator:
    """A simulator that runs.

    Attributes:
        addresses: of each venue by name.
        ws_url: of the first venue.
        rest_url: of the first venue.
        truth: the injected events that have begun so far.
    """

    def __init__(
        self, *, engine: Engine, addresses: Mapping[str, Addresses], truth: list[Injected], clock: Clock
    ) -> None:
        self.addresses = addresses
        self.ws_url, self.rest_url = next(iter(addresses.values()))
        self.truth = truth
        self._engine = engine
        self._clock = clock

    def state(self) -> State:
        """Return what has happened so far."""
        return self._engine.state()

    def start(self) -> None:
        """Let time run, unless it does."""
        self._engine.start(now_us=self._clock.now_us())

    def command(self, command: FaultCommand) -> None:
        """Misbehave as told.

        Raises:
            ValueError: the command names a market or a status that does not exist.
        """
        self._engine.command(command, now_us=self._clock.now_us())


@asynccontextmanager
async def serve(
    params: SimulatorParams, source: Source, *, truth_path: Path | None = None, clock: Clock | None = None
) -> AsyncIterator[Simulator]:
    """Run a simulator in this event loop while the context is open.

    Args:
        params: what it needs to run.
        source: what it plays.
        truth_path: file for the injected events, a JSON object a line; None: nowhere.
        clock: of the wall; the system's by default.

    Raises:
        PortInUseError: another process listens on one of the ports.
    """
    clock = clock or SystemClock()
    host = params.websocket.host
    truth: list[Injected] = []
    with _truth_writer(truth_path) as write:

        def on_injected(event: Injected) -> None:
            truth.append(event)
            write(event)

        engine = Engine(params.engine, source, on_injected=on_injected, now_us=clock.now_us())
        async with AsyncExitStack() as stack:
            addresses = {}
            ports = (params.port, params.rest_port)
            for name, venue in engine.venues.items():
                rest_socket = stack.enter_context(_bound(host, ports[1]))
                ws_port = await stack.enter_async_context(_listen(engine, venue, params, ports[0], clock))
                await stack.enter_async_context(web.listen(engine, venue, bound=rest_socket, clock=clock))
                rest_port = rest_socket.getsockname()[1]
                addresses[name] = Addresses(f"ws://{host}:{ws_port}", f"http://{host}:{rest_port}")
                ports = (0, 0)
            await stack.enter_async_context(_pumping(engine, clock))
            yield Simulator(engine=engine, addresses=addresses, truth=truth, clock=clock)


@asynccontextmanager
async def _listen(
    engine: Engine, venue: Venue, params: SimulatorParams, port: int, clock: Clock
) -> AsyncIterator[int]:
    try:
        async with server.listen(engine, venue, params.websocket, port=port, clock=clock) as listening:
            yield next(iter(listening.sockets)).getsockname()[1]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port, purpose="the simulator's WebSocket", setting="--port") from error
        raise


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(port, purpose="the simulator's REST", setting="--rest-port") from error
            raise
        yield bound


@contextmanager
def _truth_writer(path: Path | None) -> Iterator[Callable[[Injected], None]]:
    if path is None:
        yield lambda _: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yield lambda event: _write_line(file, event)


def _write_line(file: TextIO, event: Injected) -> None:
    file.write(msgspec.json.encode(event).decode() + "\n")
    # Read by others while the simulator runs.
    file.flush()


@asynccontextmanager
async def _pumping(engine: Engine, clock: Clock) -> AsyncIterator[None]:
    """Play while the context is open; an error of the source ends it, and comes out as itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_pump(engine, clock))
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _pump(engine: Engine, clock: Clock) -> None:
    while True:
        pause_us = engine.pump(now_us=clock.now_us())
        await asyncio.sleep(max(pause_us / 1e6, _TICK_S) if pause_us else 0)


@dataclass(kw_only=True)
class _Startup:
    """What the thread tells whoever started it."""

    ready: threading.Event = field(default_factory=threading.Event)
    simulator: Simulator | None = None
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None
    error: BaseException | None = None


@contextmanager
def running_simulator(
    params: SimulatorParams, source: Source, *, truth_path: Path | None = None
) -> Iterator[Simulator]:
    """Run a simulator in a thread of its own while the context is open, for code without an event loop.

    Reading `state()` from another thread gives numbers that may be some microseconds apart; for commands
    use the control endpoint, `rest_url + "/simulator/faults"`.

    Raises:
        PortInUseError: another process listens on one of the ports.
    """
    startup = _Startup()
    thread = threading.Thread(
        target=lambda: asyncio.run(_run(params, source, truth_path, startup)), name="simulator", daemon=True
    )
    thread.start()
    startup.ready.wait()
    if startup.error is not None:
        thread.join()
        raise startup.error
    assert startup.simulator is not None
    assert startup.loop is not None
    assert startup.stop is not None
    try:
        yield startup.simulator
    finally:
        startup.loop.call_soon_threadsafe(startup.stop.set)
        thread.join()
        if startup.error is not None:
            raise startup.error


async def _run(params: SimulatorParams, source: Source, truth_path: Path | None, startup: _Startup) -> None:
    startup.loop, startup.stop = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with serve(params, source, truth_path=truth_path) as simulator:
            startup.simulator = simulator
            startup.ready.set()
            await startup.stop.wait()
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for this one
        startup.error = error
    finally:
        startup.ready.set()
