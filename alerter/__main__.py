"""`python -m alerter`: tell people about anomalies; on the terminal, until a channel is set up.

`python -m alerter check-config` checks the rules and shows who hears what.
`python -m alerter route --market BTC-USDT --kind whale --severity high` shows who would hear of that.
`python -m alerter backtest RECORDING [--against OTHER]` shows what people would have heard.
"""

import json
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
from pydantic import SecretStr
from rich.console import Console

import config
from alerter import rules_view
from alerter.app import WORKER, AlerterParams, run
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.mail import MailParams
from alerter.channels.pagerduty import PagerDutyParams
from alerter.channels.slack import SlackParams, SlackWebhookParams
from alerter.channels.telegram import TelegramParams
from alerter.channels.webhook import WebhookParams
from alerter.inbound.service import InboundParams
from alerter.inbound.slack import SlackInboundParams
from alerter.inbound.telegram import TelegramInboundParams
from alerter.pictures import Pictures
from alerter.rules.file import DEFAULT, WatchedRules
from alerter.rules.matching import Labels
from alerter.rules.tree import Rules
from alerter.tape import Tape
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


@app.command()
def backtest(
    recordings: Annotated[
        list[Path], typer.Argument(exists=True, help="of anomalies, or of trades, which are judged first")
    ],
    rules_path: RulesPath = None,
    against: Annotated[Path | None, typer.Option(help="other file of rules to compare with")] = None,
    plot: Annotated[Path | None, typer.Option(help="picture to write: .html or .png")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="file for the figures")] = None,
    keep: Annotated[Path | None, typer.Option(help="folder to keep the anomalies found in trades")] = None,
) -> None:
    """Show what people would have heard of a recording, and what two sets of rules differ in."""
    from alerter.backtest import figures, source, view  # noqa: PLC0415 - pictures would delay every start
    from alerter.backtest.replay import replay  # noqa: PLC0415 - as above
    from shared import pictures  # noqa: PLC0415 - as above

    with _sentences():
        if plot is not None:
            pictures.check_path(plot)
        settings = config.load()
        chosen = {_name(settings, rules_path): _rules(settings, rules_path)}
        if against is not None:
            chosen[str(against)] = _rules(settings, against)
        anomalies = source.recorded(recordings, keep=keep)
        heard = [replay(anomalies, rules, name=name) for name, rules in chosen.items()]
        found = [figures.figures(each) for each in heard]
        difference = figures.difference(*heard) if len(heard) > 1 else None
        for table in view.tables(found, difference):
            _console().print(table)
        if plot is not None:
            pictures.write(view.figure(heard), plot)
        if to_json is not None:
            to_json.write_text(json.dumps({"rules": found, "difference": difference}, indent=2) + "\n")


def _name(settings: config.Settings, path: Path | None) -> str:
    return str(path or settings.alerter_rules or "default rules")


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
    pictures = Pictures(Tape(database, broker, clock=clock), clock)
    try:
        run(
            broker=broker,
            database=database,
            channels=build_channels(_channels(settings), clock=clock, picture=pictures.of),
            params=AlerterParams(
                instance=f"{socket.gethostname()}-{os.getpid()}",
                watched=watched,
                inbound=_inbound(settings),
            ),
            pictures=pictures,
            clock=clock,
            health=health,
            stop=stop,
        )
    finally:
        database.close()
        if server is not None:
            server.shutdown()


def _channels(settings: config.Settings) -> ChannelsParams:
    channels = ChannelsParams(
        telegram=_telegram(settings),
        telegram_chat_ids=settings.telegram_chat_ids,
        slack=_slack(settings),
        mail=_mail(settings),
        apprise_urls=_secret(settings.apprise_urls).split(),
    )
    if settings.slack_webhook_url is not None:
        params = SlackWebhookParams(url=_secret(settings.slack_webhook_url))
        channels = replace(channels, slack_webhook=params)
    if settings.webhook_url is not None:
        webhook = WebhookParams(url=_secret(settings.webhook_url), secret=_secret(settings.webhook_secret))
        channels = replace(channels, webhook=webhook)
    if settings.pagerduty_routing_key is not None:
        pagerduty = PagerDutyParams(
            routing_key=_secret(settings.pagerduty_routing_key), api_url=settings.pagerduty_api_url
        )
        channels = replace(channels, pagerduty=pagerduty)
    return channels


def _inbound(settings: config.Settings) -> InboundParams:
    inbound = InboundParams(
        slack_signing_secret=_secret(settings.slack_signing_secret),
        slack_endpoint_host=settings.slack_endpoint_host,
        slack_endpoint_port=settings.slack_endpoint_port,
    )
    if (telegram := _telegram(settings)) is not None and telegram.has_buttons:
        listened = TelegramInboundParams(
            telegram=telegram, chats=settings.telegram_chat_ids, users=settings.telegram_user_ids
        )
        inbound = replace(inbound, telegram=listened)
    if (slack := _slack(settings)) is not None and slack.has_buttons:
        app_token = _secret(settings.slack_app_token)
        heard = SlackInboundParams(slack=slack, users=settings.slack_user_ids, app_token=app_token)
        inbound = replace(inbound, slack=heard)
    return inbound


def _telegram(settings: config.Settings) -> TelegramParams | None:
    if settings.telegram_bot_token is None:
        return None
    return TelegramParams(
        token=_secret(settings.telegram_bot_token),
        api_url=settings.telegram_api_url,
        has_buttons=settings.telegram_buttons,
    )


def _slack(settings: config.Settings) -> SlackParams | None:
    if settings.slack_bot_token is None:
        return None
    return SlackParams(
        token=_secret(settings.slack_bot_token),
        channel=settings.slack_channel,
        api_url=settings.slack_api_url,
        has_buttons=bool(settings.slack_app_token or settings.slack_signing_secret),
    )


def _mail(settings: config.Settings) -> MailParams | None:
    if not settings.smtp_host:
        return None
    return MailParams(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=_secret(settings.smtp_password),
        sender=settings.smtp_from,
        recipients=settings.smtp_to,
    )


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


if __name__ == "__main__":
    app()
