"""`python -m recorder`: store and record what is on the topics; replay a recording; export the store.

And two ways to look at the topics: is the tape whole (`audit`), and what was set aside (`dead-letters`)?
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar

import config
from recorder import audit_view, dead_letters, dead_letters_view
from recorder.audit_topics import AuditParams, audit_topics
from recorder.export import ExportParams, export
from recorder.parquet import ParquetParams, ParquetRecording
from recorder.replay import Progress, ReplayParams, replay
from recorder.sink import GROUP, RECORDED_TOPICS, TOPICS, RecorderSink
from recorder.times import parse_time, shown_time
from shared import logs, metrics, recordings
from shared.clock import SystemClock
from shared.codec import encode
from shared.errors import TapewatchError
from shared.recordings.quotes import quote_files, read_quotes
from shared.status import StatusReporter
from shared.store.database import Database
from shared.store.startup import migrate_when_available
from shared.stream.kafka import KafkaBroker
from shared.stream.sink import SinkParams, SinkRunner

WORKER = "recorder"

# A tape that is not whole is an answer; that there is none is another thing.
NOT_WHOLE, NOT_AUDITED = 1, 2
# Tables need room; a pipe has no width of its own.
PIPE_COLUMNS = 180

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
dead_letters_app = typer.Typer(help="Look at records that were set aside as invalid, and publish them again.")
app.add_typer(dead_letters_app, name="dead-letters")


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Store and record what is on the topics; replay recordings; export, audit, look at dead letters."""
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
        topic_names=(*TOPICS, *RECORDED_TOPICS) if folder else TOPICS,
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
    """Publish recordings into the topics trades and quotes, in time order, event times kept."""
    settings = config.load_or_exit()
    with _faults_in_words(), _stopped_by_signals() as stop, _counting("replayed") as count:
        broker = KafkaBroker(config.kafka_params(settings))
        broker.ensure_topics()
        producer = broker.producer()
        published = replay(
            recordings.read(files, markets=market),
            quotes=read_quotes(quote_files(files), markets=market),
            params=ReplayParams(speed=speed),
            producer=producer,
            clock=SystemClock(),
            stop=stop,
            on_progress=lambda progress: count(_shown(progress)),
        )
        producer.close()
    sys.stdout.write(f"replayed {_counted(published)}{', stopped early' if stop.is_set() else ''}\n")


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


@app.command("audit")
def audit_command(
    since: Annotated[
        str | None, typer.Option("--from", help="written since: 2024-08-09T12:00 (UTC), or 15m, 2h, 1d ago")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="written before; as --from")] = None,
    market: Annotated[list[str] | None, typer.Option(help="only this one, BASE-QUOTE; repeatable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Prove from the topic that the tape is whole. Exit status 0: it is; 1: it is not; 2: no answer.

    Trades that are missing make it not whole even if they were announced on tape-gaps; which were, is shown.
    Nothing is said of what lies before the first or after the last trade of the range.
    """
    now_us = SystemClock().now_us()
    params = AuditParams(
        from_us=_time(since, "--from", now_us),
        to_us=_time(until, "--to", now_us),
        markets=frozenset(market or ()),
    )
    settings = _settings_or_exit(NOT_AUDITED)
    with _faults_in_words(status=NOT_AUDITED), _measuring("audited") as measure:
        broker = KafkaBroker(config.kafka_params(settings))
        report = audit_topics(broker, params, on_progress=lambda p: measure(p.done, p.total))
    if as_json:
        sys.stdout.write(f"{encode(report).decode()}\n")
    else:
        audit_view.show(report, _console())
    if not report.markets or report.markets_absent:
        raise typer.Exit(NOT_AUDITED)
    raise typer.Exit(0 if report.is_whole else NOT_WHOLE)


@dead_letters_app.command("list")
def list_command(
    source: Annotated[str | None, typer.Option(help="only those from this topic or stream")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="only so many, the newest")] = 50,
) -> None:
    """List dead letters: offset, time, source, reason, first bytes."""
    settings = config.load_or_exit()
    with _faults_in_words():
        broker = KafkaBroker(config.kafka_params(settings))
        dead_letters_view.show_list(dead_letters.newest(broker, source=source, limit=limit), _console())


@dead_letters_app.command("show")
def show_command(offset: Annotated[int, typer.Argument(min=0, help="as `list` shows it")]) -> None:
    """Show everything about one dead letter; the payload in hexadecimal where it is no text."""
    settings = config.load_or_exit()
    with _faults_in_words():
        broker = KafkaBroker(config.kafka_params(settings))
        dead_letters_view.show_letter(dead_letters.find(broker, offset), _console())


@dead_letters_app.command("replay")
def replay_letters_command(
    offsets: Annotated[list[int] | None, typer.Argument(min=0, help="as `list` shows them")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all from --source")] = False,
    source: Annotated[str | None, typer.Option(help="topic, with --all")] = None,
    force: Annotated[bool, typer.Option(help="also what is still invalid")] = False,
) -> None:
    """Publish dead letters to the topics they came from, as they were. Exit status 1: some were refused."""
    if bool(offsets) == everything or everything != (source is not None):
        raise typer.BadParameter("give offsets, or --all with --source")
    settings = config.load_or_exit()
    with _faults_in_words():
        broker = KafkaBroker(config.kafka_params(settings))
        if source is None:
            letters = [dead_letters.find(broker, offset) for offset in dict.fromkeys(offsets or ())]
            outcomes = dead_letters.replay(broker, letters, force=force)
        else:
            outcomes = dead_letters.replay(broker, dead_letters.of_source(broker, source), force=force)
    dead_letters_view.show_outcomes(outcomes, _console())
    if any(outcome.refusal for outcome in outcomes):
        raise typer.Exit(1)


def _settings_or_exit(status: int) -> config.Settings:
    try:
        return config.load_or_exit()
    except SystemExit as error:
        raise typer.Exit(status) from error


def _time(text: str | None, option: str, now_us: int) -> int | None:
    try:
        return None if text is None else parse_time(text, now_us=now_us)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS)


def _shown(progress: Progress) -> str:
    return f"{_counted(progress)}, at {shown_time(progress.event_time_us)}"


def _counted(progress: Progress) -> str:
    quotes = f" and {progress.quotes:,} quotes" if progress.quotes else ""
    return f"{progress.trades:,} trades{quotes}"


@contextmanager
def _counting(verb: str) -> Iterator[Callable[[str], None]]:
    """Show a line on the terminal's standard error that is told how far we are."""
    columns = (SpinnerColumn(), TextColumn(verb), TextColumn("{task.description}"), TimeElapsedColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("nothing yet", total=None)
        yield lambda text: bar.update(task, description=text)


@contextmanager
def _measuring(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on the terminal's standard error that is told how much of how much is done."""
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    yield stop


@contextmanager
def _faults_in_words(*, status: int = 1) -> Iterator[None]:
    """Turn errors that are raised on purpose into a sentence and an exit status."""
    try:
        yield
    except TapewatchError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(status) from error


if __name__ == "__main__":
    app()
