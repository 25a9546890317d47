"""`python -m alerter`: tell people about anomalies; on the terminal, until a channel is set up."""

import os
import signal
import socket
import sys
import threading
from dataclasses import replace

import config
from alerter.app import WORKER, AlerterParams, run
from alerter.channels.configured import ChannelsParams, build_channels
from alerter.channels.slack import SlackParams, SlackWebhookParams
from alerter.channels.telegram import TelegramParams
from alerter.lifecycle import LifecycleParams
from shared import logs, metrics
from shared.clock import SystemClock
from shared.errors import TapewatchError
from shared.store.database import Database
from shared.store.startup import migrate_when_available
from shared.stream.kafka import KafkaBroker


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    settings = config.load_or_exit()
    logs.configure(worker=WORKER, level=settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(settings, stop)
    except TapewatchError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


def _run(settings: config.Settings, stop: threading.Event) -> None:
    clock = SystemClock()
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
            params=AlerterParams(
                instance=f"{socket.gethostname()}-{os.getpid()}",
                lifecycle=LifecycleParams(
                    min_severity=settings.alerter_min_severity, cooldown_s=settings.alerter_cooldown_s
                ),
            ),
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
    main()
