"""Run the simulator: `python -m simulator market` or `python -m simulator recording FILE...`.

When it listens it prints one line of JSON with `ws_url` and `rest_url` of the first venue, and in `venues`
those of each; it runs until SIGTERM or Ctrl-C. `python -m simulator tape DIR` writes a generated market and
its truth into files instead.
"""

import asyncio
import functools
import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import TapewatchError
from simulator.crowd import MarketParams
from simulator.engine import EngineParams
from simulator.events.catalogue import SCENARIOS
from simulator.faults import FaultSettings
from simulator.market import MarketSource
from simulator.order_flow import SECONDS_PER_DAY
from simulator.recordings import RecordingParams, RecordingSource
from simulator.run import SimulatorParams, serve
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.server import WebSocketParams
from simulator.source import Source
from simulator.tapes import write_tape
from simulator.venue import VenueName
from simulator.weights import WeightParams

app = typer.Typer(
    help="A market that speaks an exchange's WebSocket and REST protocols on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Share = Annotated[float, typer.Option(min=0, max=1, help="share of frames, drawn for each connection")]


Symbols = Annotated[str, typer.Option(help="the venue's names, separated by commas")]
_FIVE = "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT"
Rate = Annotated[float, typer.Option(min=0.01, help="trades per market and market second")]
Seed = Annotated[int, typer.Option(min=0, help="of the market")]
Whales = Annotated[float, typer.Option(min=0, help="per market, in market time")]
Crashes = Annotated[float, typer.Option(min=0, help="per market, in market time")]
Scenario = Annotated[
    list[str] | None,
    typer.Option("--scenario", help=f"NAME=PER_HOUR, again for more; there are {', '.join(SCENARIOS)}"),
]
HasQuotes = Annotated[bool, typer.Option("--quotes", help="order books of Binance too, ten times a second")]
Event = Annotated[
    list[str] | None, typer.Option("--event", help="NAME:SYMBOL:MARKET_SECOND[:STRENGTH], again for more")
]


def _server_params(
    *,
    venue: Annotated[
        list[VenueName] | None,
        typer.Option(
            help="whose protocols to speak, binance unless named; again for more, each with its own trades"
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="of the WebSocket; 0: any free one")] = 0,
    rest_port: Annotated[int, typer.Option(min=0, max=65_535, help="of REST and controls; 0: any")] = 0,
    speed: Annotated[float, typer.Option(min=1e-3, help="market seconds per second")] = 1.0,
    fault_seed: Annotated[int, typer.Option(min=0, help="of the faults")] = 1,
    start_at_once: Annotated[bool, typer.Option("--start-at-once", help="before anyone subscribes")] = False,
    drop: Share = 0.0,
    duplicate: Share = 0.0,
    reorder: Share = 0.0,
    malformed: Share = 0.0,
    cut_every: Annotated[float, typer.Option(min=0, help="cut connections at this age, s; 0: never")] = 0.0,
    ping_interval: Annotated[float, typer.Option(min=0.05, help="between two pings, s")] = 20.0,
    pong_timeout: Annotated[
        float, typer.Option(min=0.05, help="close without a pong for this long, s")
    ] = 60.0,
    connection_lifetime: Annotated[float, typer.Option(min=0.1, help="close at this age, s")] = 86_400.0,
    weight_per_minute: Annotated[int, typer.Option(min=1, help="REST weight allowed")] = 6_000,
) -> SimulatorParams:
    """Return the options that every source has, as parameters."""
    return SimulatorParams(
        port=port,
        rest_port=rest_port,
        websocket=WebSocketParams(host=host, ping_interval_s=ping_interval, pong_timeout_s=pong_timeout),
        engine=EngineParams(
            venues=tuple(dict.fromkeys(venue or [VenueName.BINANCE])),
            speed=speed,
            seed=fault_seed,
            starts_at_once=start_at_once,
            connection_lifetime_s=connection_lifetime,
            weights=WeightParams(weight_per_minute=weight_per_minute),
            faults=FaultSettings(
                drop=drop, duplicate=duplicate, reorder=reorder, malformed=malformed, cut_every_s=cut_every
            ),
        ),
    )


def _with_server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_server_params`; it gets the result as its first argument.

    typer reads options from a signature and has no way to share them between commands.
    """
    shared = inspect.signature(_server_params).parameters
    own = [p for name, p in inspect.signature(command).parameters.items() if name != "server"]

    @functools.wraps(command)
    def wrapper(**values: object) -> None:
        server = _server_params(**{name: values.pop(name) for name in shared})  # type: ignore[arg-type]  # typer has checked them
        command(server=server, **values)

    wrapper.__signature__ = inspect.Signature([*own, *shared.values()])  # type: ignore[attr-defined]  # read by typer
    wrapper.__annotations__ = {p.name: p.annotation for p in (*own, *shared.values())}
    return wrapper


@app.command()
@_with_server_options
def market(
    *,
    server: SimulatorParams,
    symbols: Symbols = _FIVE,
    rate: Rate = 20.0,
    seed: Seed = 1,
    history: Annotated[int, typer.Option(min=0, help="trades per market before the start")] = 2_000,
    duration: Annotated[float, typer.Option(min=0, help="market seconds; 0: without end")] = 0.0,
    whales_per_hour: Whales = 6.0,
    crashes_per_hour: Crashes = 1.0,
    scenario: Scenario = None,
    event: Event = None,
    quotes: HasQuotes = False,
    first_event_after: Annotated[
        float | None, typer.Option(min=0, help="market second of a first whale; a crash follows 10 s later")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="file for the injected events, JSON Lines")] = None,
) -> None:
    """Serve a generated market with injected events: whales and flash crashes unless told otherwise."""

    def source() -> MarketSource:
        scenarios = ScenarioParams(
            whales_per_hour=whales_per_hour,
            crashes_per_hour=crashes_per_hour,
            first_event_after_s=first_event_after,
            per_hour=_per_hour(scenario or ()),
            scheduled=_scheduled(event or ()),
        )
        params = MarketParams(
            symbols=_names(symbols),
            exchanges=server.engine.venues,
            rate=rate,
            seed=seed,
            history_trades=history,
            duration_s=duration or None,
            has_quotes=quotes,
            scenarios=scenarios,
        )
        return MarketSource(params)

    _run(server, source, truth)


@app.command()
@_with_server_options
def recording(
    files: Annotated[list[Path], typer.Argument(help="raw frames, archive files, Parquet, CSV streams")],
    *,
    server: SimulatorParams,
    restamp: Annotated[bool, typer.Option("--restamp", help="move the first trade to now")] = False,
) -> None:
    """Serve recordings on their own timeline; REST goes on answering when they have ended."""
    venue, *others = server.engine.venues
    if others:
        raise typer.BadParameter("a recording holds the trades of one venue; run one simulator for each")
    params = RecordingParams(paths=tuple(files), is_restamped=restamp, exchange=venue)
    _run(server, lambda: RecordingSource(params), None)


@app.command()
def tape(
    folder: Annotated[Path, typer.Argument(help="where trades.parquet and truth.jsonl are written")],
    *,
    symbols: Symbols = _FIVE,
    venues: Annotated[str, typer.Option(help="of every market; those after the first follow it")] = "binance",
    rate: Rate = 1.0,
    seed: Seed = 1,
    days: Annotated[float, typer.Option(min=0.001, help="of market time")] = 1.0,
    whales_per_hour: Whales = 0.0,
    crashes_per_hour: Crashes = 0.0,
    scenario: Scenario = None,
    event: Event = None,
    quotes: HasQuotes = False,
) -> None:
    """Write a generated market as a recording, with the truth about its events, as fast as it can be drawn.

    `python -m detector evaluate DIR/trades.parquet --truth DIR/truth.jsonl` scores detectors on it.
    """
    try:
        scenarios = ScenarioParams(
            whales_per_hour=whales_per_hour,
            crashes_per_hour=crashes_per_hour,
            per_hour=_per_hour(scenario or ()),
            scheduled=_scheduled(event or ()),
        )
        params = MarketParams(
            symbols=_names(symbols),
            exchanges=tuple(venues.split(",")),
            rate=rate,
            seed=seed,
            duration_s=days * SECONDS_PER_DAY,
            has_quotes=quotes,
            scenarios=scenarios,
        )
        written = write_tape(params, folder)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    sys.stdout.write(json.dumps(written._asdict()) + "\n")


def _names(symbols: str) -> tuple[str, ...]:
    return tuple(name.strip().upper() for name in symbols.split(",") if name.strip())


def _per_hour(words: Iterable[str]) -> tuple[tuple[str, float], ...]:
    pairs = [word.partition("=") for word in words]
    return tuple((name, _number(rate, of=f"{name}=")) for name, _, rate in pairs)


def _scheduled(words: Iterable[str]) -> tuple[Scheduled, ...]:
    events = []
    for word in words:
        parts = word.split(":")
        if not 3 <= len(parts) <= 4:
            raise ValueError(f"an event is NAME:SYMBOL:MARKET_SECOND[:STRENGTH], not {word!r}")
        name, symbol, *numbers = parts
        at_s, strength, *_ = [*(_number(number, of=word) for number in numbers), None]
        events.append(Scheduled(name, symbol.upper(), at_s, strength))
    return tuple(events)


def _number(text: str, *, of: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ValueError(f"{of}: {text!r} is no number") from error
    if not 0 <= number < float("inf"):
        raise ValueError(f"{of}: {text} is below 0 or without end")
    return number


def _run(params: SimulatorParams, make_source: Callable[[], Source], truth_path: Path | None) -> None:
    try:
        asyncio.run(_serve(params, make_source(), truth_path))
    except (TapewatchError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


async def _serve(params: SimulatorParams, source: Source, truth_path: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(params, source, truth_path=truth_path) as simulator:
        venues = {name: addresses._asdict() for name, addresses in simulator.addresses.items()}
        first = {"ws_url": simulator.ws_url, "rest_url": simulator.rest_url}
        sys.stdout.write(json.dumps({**first, "venues": venues}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    app()
