"""The producer as a whole: what is built from what, which loops run, and how it stops.

At the start the venue's markets are asked for until it answers, and the topic is asked where it ends. Then
run, side by side: the connections (those of quotes apart from those of trades), the filling of holes, the
watch on silences, the hand-over to Kafka and the reports. An error in any of them ends all: the supervisor
starts anew, and the tape goes on where the topic ends. A stop closes the connections first and flushes last;
trades that still wait behind a hole are not published, because the next start fetches them in order.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import urlsplit

from producer.backfill import Backfiller, BackfillParams
from producer.backoff import Backoff, BackoffParams
from producer.exchanges.markets import Market
from producer.exchanges.protocol import Venue
from producer.feed import Feed, FeedParams
from producer.pipeline import Pipeline
from producer.publisher import Publisher, PublisherParams
from producer.quotes import BookKeeper, Quotes
from producer.report import Report
from producer.rest import RestClient, RestParams
from producer.resume import last_positions
from producer.staleness import StalenessMonitor, StalenessParams
from producer.tape import Position, Tape, TapeParams
from producer.watchdog import Watchdog, WatchdogParams
from shared.clock import Clock
from shared.errors import BrokerError, ExchangeError
from shared.logs import get_logger
from shared.metrics import Health
from shared.status import StatusReporter
from shared.stream.broker import Broker
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy

_PUMP_S: Final = 0.02
_REPORT_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class QuotesParams:
    """Which quotes are read beside the trades.

    Attributes:
        venue: speaks for the streams of quotes.
        levels: per side, how many of the best levels are published where depth is read.
    """

    venue: Venue
    levels: int = 20


@dataclass(frozen=True, kw_only=True)
class ProducerParams:
    """Everything that can be set.

    Attributes:
        markets: venue-independent names, or `all-usdt`.
        instance: name of this process in its reports.
        feed: connections.
        rest: REST client.
        tape: continuity.
        backfill: filling of holes.
        staleness: when silence is looked into.
        watchdog: how.
        publisher: hand-over to Kafka.
        dead_letters: how many invalid frames are tolerated.
        resume: go on where the topic ends; otherwise start afresh.
        quotes: None: no quotes.
    """

    markets: tuple[str, ...]
    instance: str
    feed: FeedParams
    rest: RestParams
    tape: TapeParams
    backfill: BackfillParams
    staleness: StalenessParams
    watchdog: WatchdogParams
    publisher: PublisherParams
    dead_letters: DeadLetterPolicy
    resume: bool = True
    quotes: QuotesParams | None = None


class ProducerApp:
    """One producer process.

    Args:
        venue: where trades come from.
        broker: where they go.
        params: settings.
        clock: the time.
        health: told that the loop turns.
        random: source of jitter.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        broker: Broker,
        params: ProducerParams,
        clock: Clock,
        health: Health,
        random: Random,
    ) -> None:
        self._venue = venue
        self._broker = broker
        self._params = params
        self._clock = clock
        self._health = health
        self._random = random
        self._log = get_logger(exchange=venue.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, then flush.

        Raises:
            ConfigError: a market that was asked for does not exist.
            BrokerError: Kafka did not take a record.
            DeadLetterLimitError: too many frames are invalid.
        """
        await asyncio.to_thread(self._broker.ensure_topics)
        producers = [self._broker.producer(), self._broker.producer()]
        publisher = Publisher(producers[0], self._params.publisher, clock=self._clock)
        # Signs of life have a producer of their own: theirs may wait for room, that of the trades must not.
        status = StatusReporter(
            producers[1], worker="producer", instance=self._params.instance, clock=self._clock
        )
        quotes = self._params.quotes
        # One client, because the venue's limits are on all questions: it must know those of quotes too.
        venue = self._venue if quotes is None else quotes.venue
        rest = RestClient(venue, self._params.rest, clock=self._clock, random=self._random)
        try:
            await self._until_stopped(stop, self._work(publisher, status, rest), status)
        except BrokerError:
            # There is nobody to flush to.
            raise
        except BaseException:
            await publisher.flush()
            raise
        else:
            await publisher.flush()
            await asyncio.to_thread(producers[1].close)
            self._log.info("stopped", trades_total=publisher.trades_total)
        finally:
            await rest.close()

    async def _until_stopped(
        self, stop: asyncio.Event, work: Coroutine[None, None, None], status: StatusReporter
    ) -> None:
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self._log.info("stopping")
                status.report(state="stopping", figures={})
        finally:
            stopping.cancel()
            await _finish(working)

    async def _work(self, publisher: Publisher, status: StatusReporter, rest: RestClient) -> None:
        markets = await self._load_markets(rest, status)
        positions = await self._load_positions(markets)
        self._log.info("starting", markets=len(markets), resumed=len(positions))
        clock, params = self._clock, self._params
        tape = Tape(params.tape, positions)
        monitor = StalenessMonitor(
            [market.symbol for market in markets], params.staleness, now_s=clock.monotonic_s()
        )
        pipeline = Pipeline(
            exchange=self._venue.name,
            tape=tape,
            publisher=publisher,
            monitor=monitor,
            limit=DeadLetterLimit(params.dead_letters),
            clock=clock,
        )
        feed = Feed(
            venue=self._venue,
            markets=markets,
            params=params.feed,
            clock=clock,
            random=self._random,
            sink=pipeline,
        )
        backfiller = Backfiller(
            rest, pipeline, {market.symbol: market for market in markets}, params.backfill
        )
        pipeline.send_requests_to(backfiller.submit)
        watchdog = Watchdog(
            monitor=monitor,
            source=rest,
            sink=pipeline,
            tape=tape,
            markets=markets,
            params=params.watchdog,
            clock=clock,
            is_listening=lambda: not feed.is_paused,
            replace=lambda symbol: feed.replace(symbol, "stale"),
        )
        quotes = self._quotes(publisher, pipeline)
        report = Report(
            exchange=self._venue.name,
            status=status,
            feed=feed,
            tape=tape,
            pipeline=pipeline,
            publisher=publisher,
            monitor=monitor,
            quotes=quotes,
            symbols=[market.symbol for market in markets],
            clock=clock,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(feed.run())
            group.create_task(backfiller.run())
            group.create_task(watchdog.run())
            group.create_task(self._pump(pipeline, publisher, feed, monitor))
            group.create_task(self._report(report))
            for quote_task in self._quote_tasks(quotes, rest, markets):
                group.create_task(quote_task)

    def _quotes(self, publisher: Publisher, pipeline: Pipeline) -> Quotes | None:
        params = self._params.quotes
        if params is None:
            return None
        quotes = Quotes(
            exchange=self._venue.name,
            levels=params.levels,
            publisher=publisher,
            set_aside=pipeline.set_aside,
        )
        pipeline.tell_trades_to(quotes.on_trades)
        return quotes

    def _quote_tasks(
        self, quotes: Quotes | None, rest: RestClient, markets: Sequence[Market]
    ) -> list[Coroutine[None, None, None]]:
        params = self._params.quotes
        if quotes is None or params is None:
            return []
        feed = Feed(
            venue=params.venue,
            markets=markets,
            params=self._params.feed,
            clock=self._clock,
            random=self._random,
            sink=quotes,
        )
        return [feed.run(), BookKeeper(rest, quotes, markets).run()]

    async def _load_markets(self, rest: RestClient, status: StatusReporter) -> Sequence[Market]:
        """Ask for the venue's markets until it answers; a market that it does not list is a ConfigError."""
        backoff = Backoff(BackoffParams(max_s=self._params.feed.backoff.max_s), self._random)
        while True:
            self._health.beat()
            try:
                listed = await rest.markets()
            except ExchangeError as error:
                wait_s = backoff.on_failure(self._clock.monotonic_s())
                host = urlsplit(self._params.rest.url).netloc
                self._log.error(
                    "exchange_unreachable",
                    host=host,
                    error=str(error),
                    what_to_do="check the network, or set PRODUCER_REST_URL and PRODUCER_WS_URL",
                    retry_in_s=round(wait_s, 1),
                )
                status.report(state="starting", figures={}, detail=f"{host} cannot be reached: {error}")
                await asyncio.sleep(wait_s)
            else:
                return listed.select(self._params.markets)

    async def _load_positions(self, markets: Sequence[Market]) -> Mapping[str, Position]:
        if not self._params.resume:
            return {}
        symbols = {market.symbol for market in markets}
        return await asyncio.to_thread(
            last_positions, self._broker, exchange=self._venue.name, symbols=symbols, clock=self._clock
        )

    async def _pump(
        self, pipeline: Pipeline, publisher: Publisher, feed: Feed, monitor: StalenessMonitor
    ) -> None:
        while True:
            self._health.beat()
            pipeline.tick()
            publisher.pump()
            if publisher.is_full and not feed.is_paused:
                self._log.error("kafka_too_slow", queue_trades=publisher.queued, what="connections closed")
                feed.pause()
            elif feed.is_paused and publisher.has_room:
                self._log.info("kafka_caught_up", queue_trades=publisher.queued)
                monitor.restart(self._clock.monotonic_s())
                feed.resume()
            await asyncio.sleep(_PUMP_S)

    @staticmethod
    async def _report(report: Report) -> None:
        while True:
            report.publish()
            await asyncio.sleep(_REPORT_S)


async def _finish(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its orderly end; raise the first error that ended it."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
