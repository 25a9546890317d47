"""`python -m producer`: trades from the exchange to Kafka; with `--check`, one attempt to reach it."""

import asyncio
import os
import signal
import sys
from random import Random
from typing import Annotated

import typer

import config
from producer.app import ProducerApp, ProducerParams, QuotesParams
from producer.backfill import BackfillParams
from producer.backoff import BackoffParams
from producer.check import check
from producer.connection import ConnectionParams
from producer.exchanges import binance, binance_quotes, coinbase, kraken
from producer.feed import FeedParams
from producer.publisher import PublisherParams
from producer.rest import RestClient, RestParams
from producer.staleness import StalenessParams
from producer.tape import TapeParams
from producer.watchdog import WatchdogParams
from shared import logs, metrics
from shared.clock import SystemClock
from shared.errors import TapewatchError
from shared.stream.dead_letters import DeadLetterPolicy
from shared.stream.kafka import KafkaBroker

_VENUES = {venue.name: venue for venue in (binance.VENUE, coinbase.VENUE, kraken.VENUE)}


def params_from(settings: config.Settings) -> ProducerParams:
    """Return the worker's parameters from the settings."""
    venue = _VENUES[settings.exchange]
    return ProducerParams(
        markets=settings.exchange_markets,
        instance=f"{settings.exchange}-{os.getpid()}",
        feed=FeedParams(
            connection=ConnectionParams(url=settings.producer_ws_url or venue.ws_url),
            backoff=BackoffParams(
                max_s=settings.producer_backoff_max_s, healthy_after_s=settings.producer_healthy_after_s
            ),
            streams_per_connection=settings.producer_streams_per_connection,
            reconnect_after_s=settings.producer_reconnect_after_hours * 3_600,
        ),
        rest=RestParams(
            url=settings.producer_rest_url or venue.rest_url,
            weight_per_minute=min(settings.producer_rest_weight_per_minute, venue.rest.weight_per_minute),
        ),
        tape=TapeParams(
            backfill_on_start_trades=settings.producer_backfill_on_start_trades,
            backfill_max_trades=settings.producer_backfill_max_trades,
            max_waiting_trades=max(1_000, settings.producer_queue_trades // 4),
        ),
        backfill=BackfillParams(page_limit=venue.rest.page_limit),
        staleness=StalenessParams(min_s=settings.producer_stale_min_s, max_s=settings.producer_stale_max_s),
        watchdog=WatchdogParams(first_trades=settings.producer_backfill_on_start_trades),
        publisher=PublisherParams(queue_trades=settings.producer_queue_trades),
        dead_letters=DeadLetterPolicy(),
        quotes=None
        if settings.producer_quotes == "off"
        else QuotesParams(
            venue=binance_quotes.venue(settings.producer_quotes), levels=settings.producer_quote_levels
        ),
    )


async def _run(settings: config.Settings) -> None:
    clock = SystemClock()
    health = metrics.Health(clock)
    metrics.serve(host=settings.metrics_host, port=settings.metrics_port, health=health)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = ProducerApp(
        venue=_VENUES[settings.exchange],
        broker=KafkaBroker(config.kafka_params(settings)),
        params=params_from(settings),
        clock=clock,
        health=health,
        random=Random(),  # noqa: S311 - jitter, not cryptography
    )
    await app.run(stop)


async def _check(settings: config.Settings) -> str:
    params, venue, clock = params_from(settings), _VENUES[settings.exchange], SystemClock()
    rest = RestClient(venue, params.rest, clock=clock, random=Random())  # noqa: S311 - jitter
    try:
        return await check(
            venue=venue, rest=rest, connection=params.feed.connection, markets=params.markets, clock=clock
        )
    finally:
        await rest.close()


def main(
    only_check: Annotated[bool, typer.Option("--check", help="Try once to reach the exchange.")] = False,
) -> None:
    """Bring every trade of the configured markets to Kafka, until stopped."""
    settings = config.load_or_exit()
    logs.configure(worker="producer", level=settings.log_level)
    try:
        if only_check:
            print(asyncio.run(_check(settings)))  # noqa: T201 - the check's answer is for people
        else:
            asyncio.run(_run(settings))
    except TapewatchError as error:
        if not only_check:
            logs.get_logger().error("producer_failed", error=str(error), kind=type(error).__name__)
        print(error, file=sys.stderr)  # noqa: T201 - a sentence for whoever started us
        raise SystemExit(1) from error


if __name__ == "__main__":
    typer.run(main)
