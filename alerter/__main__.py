"""`python -m alerter`: tell people about anomalies; on the terminal, until a channel is set up.

`python -m alerter check-config` checks the rules and shows who hears what.
`python -m alerter route --market BTC-USDT --kind whale --severity high` shows who would hear of that.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from rich.console import Console

import config
from alerter import rules_view
from alerter.app import WORKER, AlerterParams, run
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.slack import SlackParams, SlackWebhookParams
from alerter.channels.telegram import TelegramParams
from alerter.rules.file import DEFAULT, WatchedRules
from alerter.rules.matching import Labels
from alerter.rules.tree import Rules
from shared import logs, metrics
from shared.clock import SystemClock
from shared.errors import TapewatchError
from shared.events import Severity
from shared.store.database import Database
from shared.store.startup import migrate_when_available
from shared.stream.kafka import KafkaBroker

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
RulesPath: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="file of rules; by default that of ALERTER_RULES")
]
# A pipe has no width: tables need room all the same.
_PIPE_WIDTH: Final = 160


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Tell people about anomalies until SIGINT or SIGTERM."""
    if context.invoked_subcommand is not None:
        return
    settings = config.load_or_exit()
    logs.configure(worker=WORKER, level=settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _sentences():
        _run(settings, stop)


@app.command("check-config")
def check_config(rules_path: RulesPath = None) -> None:
    """Check the rules; show every route, and channels that are named but not set up."""
    with _sentences():
        settings = config.load()
        _console().print(*rules_view.checked(_rules(settings, rules_path)), sep="\n")


@app.command()
def route(
    market: Annotated[str, typer.Option(help="BASE-QUOTE")],
    kind: Annotated[str, typer.Option(help="of anomaly: whale, flash_crash, ...")],
    severity: Annotated[Severity, typer.Option()] = Severity.HIGH,
    exchange: Annotated[str, typer.Option()] = "binance",
    rules_path: RulesPath = None,
) -> None:
    """Show who would hear of an anomaly, when, and through which routes."""
    with _sentences():
        rules = _rules(config.load(), rules_path)
        labels = Labels(market, exchange, kind, severity)
        _console().print(rules_view.heard(rules, labels, now_us=SystemClock().now_us()))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell errors in their own words, and fail."""
    try:
        yield
    except TapewatchError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


def _rules(settings: config.Settings, path: Path | None) -> Rules:
    names = [channel.name for channel in build_channels(_channels(settings))]
    return Rules(_watched(settings, path).file, channels=names)


def _watched(settings: config.Settings, path: Path | None = None) -> WatchedRules:
    chosen = path or (Path(settings.alerter_rules) if settings.alerter_rules else DEFAULT)
    return WatchedRules(
        chosen, min_severity=settings.alerter_min_severity, cooldown_s=settings.alerter_cooldown_s
    )


def _run(settings: config.Settings, stop: threading.Event) -> None:
    clock = SystemClock()
    watched = _watched(settings)
    health = metrics.Health(clock)
    server = metrics.serve(host=settings.metrics_host, port=settings.metrics_port, health=health)
    database = Database(settings.database_url.get_secret_value())
    if not migrate_when_available(database, stop):
        return
    broker = KafkaBroker(config.kafka_params(settings))
    broker.ensure_topics()
    try:
        run(
            broker=broker,
            database=database,
            channels=build_channels(_channels(settings)),
            params=AlerterParams(instance=f"{socket.gethostname()}-{os.getpid()}", watched=watched),
            clock=clock,
            health=health,
            stop=stop,
        )
    finally:
        database.close()
        if server is not None:
            server.shutdown()


def _channels(settings: config.Settings) -> ChannelsParams:
    channels = ChannelsParams(telegram_chat_ids=settings.telegram_chat_ids)
    if (token := settings.telegram_bot_token) is not None:
        telegram = TelegramParams(token=token.get_secret_value(), api_url=settings.telegram_api_url)
        channels = replace(channels, telegram=telegram)
    if (token := settings.slack_bot_token) is not None:
        slack = SlackParams(
            token=token.get_secret_value(), channel=settings.slack_channel, api_url=settings.slack_api_url
        )
        channels = replace(channels, slack=slack)
    if (url := settings.slack_webhook_url) is not None:
        channels = replace(channels, slack_webhook=SlackWebhookParams(url=url.get_secret_value()))
    return channels


if __name__ == "__main__":
    app()
