"""`python -m deploy.kafka start|stop|status`: a broker in the background, for development, on loopback."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deploy.kafka import background, builtin
from deploy.kafka.broker import topic_partitions
from deploy.kafka.java import default_cache_dir
from shared.errors import PrerequisiteError, ToolMissingError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


class Kind(StrEnum):
    """Which broker to run."""

    AUTO = "auto"
    APACHE_KAFKA = "apache-kafka"
    BUILTIN = "builtin"


Folder = Annotated[Path | None, typer.Option(help="Keeps data and logs.  [default: the user's cache folder]")]


def _folder(given: Path | None) -> Path:
    return given or default_cache_dir() / "broker"


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)


@app.command()
def start(
    kind: Annotated[Kind, typer.Option(help="Which broker.")] = Kind.AUTO,
    port: Annotated[int, typer.Option(help="Where clients connect; 0 for any free port.", min=0)] = 9092,
    partitions: Annotated[int, typer.Option(help="Of trades; the built-in cluster only.", min=1)] = 12,
    folder: Folder = None,
) -> None:
    """Start a broker, and return when it answers."""
    place = _folder(folder)
    if broker := background.running(place):
        typer.echo(f"Already running: {broker.kind} at {broker.bootstrap_servers}, process {broker.pid}.")
        return
    try:
        broker = _start(kind, place, port=port, partitions=partitions)
    except PrerequisiteError as error:
        _tell(f"error: {error}")
        sys.exit(1)
    typer.echo(f"{broker.kind} answers at {broker.bootstrap_servers} (process {broker.pid}, {place}).")
    typer.echo(f"export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}")
    if broker.kind == "builtin":
        typer.echo("export PROCESSING_GUARANTEE=at_least_once")


def _start(kind: Kind, place: Path, *, port: int, partitions: int) -> background.BackgroundBroker:
    if kind is not Kind.BUILTIN:
        try:
            return background.start_apache(place, port=port, tell=_tell)
        except ToolMissingError as error:
            if kind is not Kind.AUTO:
                raise
            _tell(str(error))
    _tell(builtin.LIMITS)
    return background.start_builtin(place, partitions=topic_partitions(prefix="", partitions=partitions))


@app.command()
def stop(folder: Folder = None) -> None:
    """Stop the broker; a local Apache Kafka's data stay."""
    broker = background.stop(_folder(folder))
    typer.echo("None is running." if broker is None else f"Stopped {broker.kind}, process {broker.pid}.")


@app.command()
def status(folder: Folder = None) -> None:
    """Say which broker runs; exit with 1 when none answers."""
    broker = background.running(_folder(folder))
    if broker is None:
        typer.echo("None is running.")
        sys.exit(1)
    answers = broker.answers()
    state = "answers" if answers else "runs, but does not answer"
    typer.echo(f"{broker.kind} {state} at {broker.bootstrap_servers} (process {broker.pid}).")
    sys.exit(0 if answers else 1)


if __name__ == "__main__":
    app()
