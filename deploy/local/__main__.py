"""`python -m deploy.local demo|live`: the whole pipeline on this machine, watched in the terminal."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.live import Live

import config
from dashboard.feed import FeedParams, FeedView, TopicFeed
from dashboard.state import Limits
from deploy.local.screen import Notice, anomaly_line, screen
from deploy.local.stack import Stack, StackParams, dashboard_url
from shared import logs, topics
from shared.clock import SystemClock
from shared.errors import TapewatchError
from shared.stream.kafka import KafkaBroker
from shared.stream.tail import Tail

_REFRESH_S: Final = 0.5
_TABLE_EVERY_S: Final = 15.0
_FOLLOWED: Final = (topics.TRADES, topics.ANOMALIES, topics.WORKER_STATUS, topics.ALERTS)
# Enough to look alive, little enough for a laptop; a whale and a flash crash soon, so that there is
# something to see.
_SIMULATOR: Final = (
    *("--rate", "20", "--speed", "10", "--first-event-after", "240"),
    *("--whales-per-hour", "12", "--crashes-per-hour", "2"),
)
# With several venues; the first as soon as it is known what is usual between them.
_SEVERAL_VENUES: Final = ("--scenario", "arbitrage=0.5", "--event", "arbitrage:{symbol}:900:250")


class Exchange(StrEnum):
    """What `EXCHANGE` may be, for the command line."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    KRAKEN = "kraken"


app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
Seconds = Annotated[float, typer.Option("--for", min=0, help="stop after so many seconds; 0: at Ctrl-C")]
Also = Annotated[
    list[Exchange] | None,
    typer.Option(help="another venue to read beside the one of the settings; may be repeated"),
]
Folder = Annotated[Path, typer.Option(help="for logs, database and broker")]


@app.command()
def demo(seconds: Seconds = 0, data_dir: Folder = Path("data/demo"), also: Also = None) -> None:
    """Run everything on a simulated market; the folder is emptied first."""
    _run("demo", seconds, data_dir.resolve(), also or [])


@app.command()
def live(seconds: Seconds = 0, data_dir: Folder = Path("data/live"), also: Also = None) -> None:
    """Run everything on the exchange of the settings; the folder keeps what was recorded."""
    _run("live", seconds, data_dir.resolve(), also or [])


def _run(mode: Literal["demo", "live"], seconds: float, data_dir: Path, also: Sequence[str]) -> None:
    settings = config.load_or_exit()
    logs.configure(worker="local", level="error")
    console = Console()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if mode == "live":
        for exchange in (settings.exchange, *also):
            _check_exchange(console, exchange)
    stack = Stack(
        _stack_params(mode, settings, data_dir, also),
        tell=lambda sentence: console.print(f"… {sentence}"),
        clock=SystemClock(),
    )
    failure: TapewatchError | None = None
    try:
        stack.start()
        _watch(stack, settings, console=console, stop=stop, mode=mode, seconds=seconds)
    except TapewatchError as error:
        failure = error
    finally:
        console.print("… stopping")
        console.print(f"stopped {stack.stop()} processes; logs are in {stack.log_dir}")
    if failure is not None:
        Console(stderr=True).print(f"[bold red]{mode}:[/] ", end="")
        sys.stderr.write(f"{failure}\n")
        raise SystemExit(1) from failure


def _check_exchange(console: Console, exchange: str) -> None:
    """Try to reach an exchange before anything is started: without it nothing else makes sense."""
    console.print(f"… trying to reach {exchange}")
    checked = subprocess.run(
        [sys.executable, "-m", "producer", "--check"],
        env={**os.environ, "EXCHANGE": exchange},
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        sys.stderr.write(f"live: {checked.stderr.strip().splitlines()[-1]}\n")
        raise SystemExit(1)
    console.print(checked.stdout.strip())


def _stack_params(
    mode: Literal["demo", "live"], settings: config.Settings, data_dir: Path, also: Sequence[str]
) -> StackParams:
    is_set = settings.model_fields_set
    others = tuple(venue for venue in dict.fromkeys(also) if venue != settings.exchange)
    symbols = [name.replace("-", "") for name in settings.exchange_markets]
    return StackParams(
        mode=mode,
        data_dir=data_dir,
        dashboard_port=settings.dashboard_port,
        external_servers=settings.kafka_bootstrap_servers if "kafka_bootstrap_servers" in is_set else "",
        topic_prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
        database_url=os.environ.get("DATABASE_URL", ""),
        also=others,
        simulator=(
            *(*_SIMULATOR, "--venue", settings.exchange),
            *("--symbols", ",".join(symbols)),
            *(word.format(symbol=symbols[0]) for word in _SEVERAL_VENUES if others),
        ),
    )


def _watch(
    stack: Stack,
    settings: config.Settings,
    *,
    console: Console,
    stop: threading.Event,
    mode: str,
    seconds: float,
) -> None:
    clock = SystemClock()
    broker = KafkaBroker(config.kafka_params(settings, bootstrap_servers=stack.broker.bootstrap_servers))

    def follow(since_us: int) -> Tail:
        broker.ensure_topics()
        return Tail(broker, _FOLLOWED, since_us=since_us)

    feed = TopicFeed(open_source=follow, params=FeedParams(limits=Limits(history_s=900)), clock=clock)
    feed.start()
    began_s = time.monotonic()

    def notice() -> Notice:
        return Notice(
            title=f"Tapewatch {mode}",
            dashboard_url=dashboard_url(settings.dashboard_port),
            broker=stack.broker_words,
            elapsed_s=time.monotonic() - began_s,
            restarts=stack.restarts,
            log_dir=str(stack.log_dir),
        )

    def is_over() -> bool:
        return stop.is_set() or bool(seconds and time.monotonic() - began_s > seconds)

    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, vertical_overflow="crop") as shown:
                while not is_over():
                    stack.watch()
                    shown.update(screen(feed.view().data, notice(), now_us=clock.now_us()), refresh=True)
                    stop.wait(_REFRESH_S)
        else:
            plain = _PlainOutput(console)
            while not is_over():
                stack.watch()
                plain.show(feed.view(), notice(), now_us=clock.now_us())
                stop.wait(_REFRESH_S)
    finally:
        feed.stop()


class _PlainOutput:
    """For a pipe or a log: each anomaly on a line of its own as it is found, the tables now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: set[str] = set()
        self._next_table_s = 0.0

    def show(self, feed: FeedView, notice: Notice, *, now_us: int) -> None:
        for episode in reversed(feed.data.episodes):
            if episode.first.anomaly_id not in self._shown:
                self._shown.add(episode.first.anomaly_id)
                self._console.print(anomaly_line(episode), soft_wrap=True, markup=False, highlight=False)
        if notice.elapsed_s >= self._next_table_s:
            self._next_table_s = notice.elapsed_s + _TABLE_EVERY_S
            self._console.print(screen(feed.data, notice, now_us=now_us))


if __name__ == "__main__":
    app()
