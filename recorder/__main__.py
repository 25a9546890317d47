"""`python -m recorder`: store and record what is on the topics; replay a recording; export the store."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

import config
from recorder.export import ExportParams, export
from recorder.parquet import ParquetParams, ParquetRecording
from recorder.replay import Progress, ReplayParams, replay
from recorder.sink import GROUP, TOPICS, RecorderSink
from shared import logs, metrics, recordings
from shared.clock import MICROSECONDS_PER_SECOND, SystemClock
from shared.errors import TapewatchError
from shared.status import StatusReporter
from shared.store.database import Database
from shared.store.startup import migrate_when_available
from shared.stream.kafka import KafkaBroker
from shared.stream.sink import SinkParams, SinkRunner

WORKER = "recorder"

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Store and record what is on the topics; replay a recording; export the store."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Store everything that is on the topics until stopped. This is the default."""
    settings = config.load_or_exit()
    logs.configure(worker=WORKER, level=settings.log_level)
    with _faults_in_words(), _stopped_by_signals() as stop:
        _run(settings, stop)


def _run(settings: config.Settings, stop: threading.Event) -> None:
    clock = SystemClock()
    health = metrics.Health(clock)
    server = metrics.serve(host=settings.metrics_host, port=settings.metrics_port, health=health)
    database = Database(settings.database_url.get_secret_value())
    if not migrate_when_available(database, stop):
        return
    folder = settings.recorder_parquet_dir
    broker = KafkaBroker(config.kafka_params(settings))
    broker.ensure_topics()
    producer = broker.producer()
    instance = f"{socket.gethostname()}-{os.getpid()}"
    reporter = StatusReporter(producer, worker=WORKER, instance=instance, clock=clock)

    def report(*, figures: Mapping[str, float], state: str, detail: str) -> None:
        if reporter.is_due(state):
            shown = {**figures, "lag_records": runner.lag_records()}
            reporter.report(figures=shown, state=state, detail=detail)

    runner = SinkRunner(
        broker=broker,
        sink=RecorderSink(
            database=database,
            recording=ParquetRecording(ParquetParams(folder=Path(folder)), clock=clock) if folder else None,
            report=report,
        ),
        group=GROUP,
        topic_names=TOPICS,
        params=SinkParams(batch_records=settings.recorder_batch_records),
        clock=clock,
        health=health,
    )
    log = logs.get_logger()
    log.info("recorder_started", store=database.shown_url, parquet_folder=folder or None)
    try:
        runner.run(stop)
        log.info("recorder_stopped")
        reporter.report(figures={}, state="stopping", detail="asked to stop")
    finally:
        producer.close()
        if server is not None:
            server.shutdown()


@app.command("replay")
def replay_command(
    files: Annotated[list[Path], typer.Argument(exists=True, help="recordings, in any known form")],
    speed: Annotated[
        float, typer.Option(min=0, max=1e9, help="times real speed; 0: as fast as possible")
    ] = 1,
    market: Annotated[list[str] | None, typer.Option(help="only this one, BASE-QUOTE; repeatable")] = None,
) -> None:
    """Publish recordings into the topic trades, in time order, event times kept."""
    settings = config.load_or_exit()
    with _faults_in_words(), _stopped_by_signals() as stop, _counting("replayed") as count:
        broker = KafkaBroker(config.kafka_params(settings))
        broker.ensure_topics()
        producer = broker.producer()
        published = replay(
            recordings.read(files, markets=market),
            params=ReplayParams(speed=speed),
            producer=producer,
            clock=SystemClock(),
            stop=stop,
            on_progress=lambda progress: count(_shown(progress)),
        )
        producer.close()
    sys.stdout.write(f"replayed {published:,} trades{', stopped early' if stop.is_set() else ''}\n")


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="where the recordings go")],
    market: Annotated[list[str] | None, typer.Option(help="only this one, BASE-QUOTE; repeatable")] = None,
) -> None:
    """Write what the store holds as Parquet recordings."""
    settings = config.load_or_exit()
    with _faults_in_words(), _counting("exported") as count:
        database = Database(settings.database_url.get_secret_value())
        database.migrate()
        params = ExportParams(folder=folder, markets=frozenset(market or ()))
        done = export(database, params, on_hour=lambda symbol, trades: count(f"{trades:,} of {symbol}"))
        database.close()
    sys.stdout.write(
        f"exported {done.trades:,} trades and {done.anomalies:,} anomalies in {done.files:,} files\n"
    )


def _shown(progress: Progress) -> str:
    at = datetime.fromtimestamp(progress.event_time_us / MICROSECONDS_PER_SECOND, UTC)
    return f"{progress.trades:,} trades, at {at:%Y-%m-%d %H:%M:%S}"


@contextmanager
def _counting(verb: str) -> Iterator[Callable[[str], None]]:
    """Show a line on the terminal's standard error that is told how far we are."""
    columns = (SpinnerColumn(), TextColumn(verb), TextColumn("{task.description}"), TimeElapsedColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("nothing yet", total=None)
        yield lambda text: bar.update(task, description=text)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    yield stop


@contextmanager
def _faults_in_words() -> Iterator[None]:
    """Turn errors that are raised on purpose into a sentence and exit status 1."""
    try:
        yield
    except TapewatchError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
