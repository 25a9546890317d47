"""From what a frame says to what is published: the tape, the watch on silences and the publisher, joined.

Plain method calls, no waiting: the receive loop of a connection ends here.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from producer.exchanges.protocol import FrameEvent, InvalidFrame, LatestTrade, PastTrades
from producer.publisher import Publisher
from producer.staleness import StalenessMonitor
from producer.tape import FillRequest, Tape, TapeOutput
from producer.timing import TimingMonitor
from shared.clock import Clock
from shared.events import DeadLetter, TapeGap, Trade
from shared.logs import get_logger
from shared.metrics import counter
from shared.stream.dead_letters import DeadLetterLimit, cut_to_fit

_ROOM_POLL_S: Final = 0.05


class Pipeline:
    """Takes events of connections and pages of REST; implements `FeedSink` and `TapeSide`.

    Attributes:
        backfilled_total: trades that REST brought and the feed had not.
        gaps_total: ranges that were published as gaps.
        invalid_total: frames that were set aside.
        skew_us: receive time minus event time of the latest live trade.
        timing: the same per market, over a window.

    Args:
        exchange: venue.
        tape: continuity.
        publisher: to Kafka.
        monitor: watch on silences.
        limit: on invalid frames.
        clock: the time.
    """

    def __init__(
        self,
        *,
        exchange: str,
        tape: Tape,
        publisher: Publisher,
        monitor: StalenessMonitor,
        limit: DeadLetterLimit,
        clock: Clock,
    ) -> None:
        self.backfilled_total = 0
        self.gaps_total = 0
        self.invalid_total = 0
        self.skew_us = 0
        self.timing = TimingMonitor()
        self._exchange = exchange
        self._tape = tape
        self._publisher = publisher
        self._monitor = monitor
        self._limit = limit
        self._clock = clock
        self._submit: Callable[[FillRequest], None] | None = None
        self._tell: Callable[[Sequence[Trade]], None] | None = None
        self._log = get_logger(exchange=exchange)

    def send_requests_to(self, submit: Callable[[FillRequest], None]) -> None:
        """Say who fills holes; it needs this object, so it comes later. Needed before the first `tick`."""
        self._submit = submit

    def tell_trades_to(self, tell: Callable[[Sequence[Trade]], None]) -> None:
        """Say who wants to know of every trade that is published."""
        self._tell = tell

    def on_events(self, events: Sequence[FrameEvent]) -> None:
        """Take what one frame says.

        Raises:
            BrokerError: an earlier record could not be delivered.
            DeadLetterLimitError: too many frames are invalid.
        """
        now_s = self._clock.monotonic_s()
        trades: list[Trade] = []
        for event in events:
            if type(event) is Trade:
                self._monitor.on_trade(event.symbol, now_s)
                self.timing.on_trade(
                    event.symbol,
                    event_time_us=event.event_time_us,
                    received_time_us=event.received_time_us,
                )
                self.skew_us = event.received_time_us - event.event_time_us
                trades.append(event)
            elif isinstance(event, PastTrades):
                # They say nothing about the market's pace, nor about the way of a trade.
                trades += event.trades
            elif isinstance(event, LatestTrade):
                self._tape.expect(event.symbol, event.trade_id, now_s=now_s)
            elif isinstance(event, InvalidFrame):
                self.set_aside(event, f"{self._exchange}:websocket")
        if trades:
            self._apply(self._tape.feed(trades, now_s=now_s))

    def tick(self) -> None:
        """Do what time demands."""
        self._apply(self._tape.tick(now_s=self._clock.monotonic_s()))

    def first_missing(self, request: FillRequest) -> int | None:
        """Return the first id of a request that is still wanted."""
        return self._tape.first_missing(request)

    def highest_seen(self, symbol: str) -> int:
        """Return the newest id of a market that is known, or one below its first."""
        return self._tape.highest_seen(symbol) or 0

    def time_before(self, symbol: str, trade_id: int) -> int | None:
        """Return the event time of a trade before an id, if one is known."""
        return self._tape.time_before(symbol, trade_id)

    def is_missing(self, trade: Trade) -> bool:
        """Return whether a trade lies in a hole."""
        return self._tape.is_missing(trade)

    def on_backfilled(self, trades: Sequence[Trade], invalid: Sequence[InvalidFrame]) -> None:
        """Take a page of REST."""
        for row in invalid:
            self.set_aside(row, f"{self._exchange}:rest")
        duplicates = self._tape.duplicates_total
        self._apply(self._tape.feed(trades, now_s=self._clock.monotonic_s()))
        self.backfilled_total += len(trades) - (self._tape.duplicates_total - duplicates)

    def on_fill_ended(self, request: FillRequest, *, reason: str, is_absent: bool) -> None:
        """Take the news that nothing more will come for a request."""
        self._apply(self._tape.end_fill(request, reason=reason, is_absent=is_absent))

    async def wait_for_room(self) -> None:
        """Return when the publisher can take another page."""
        while self._publisher.is_full:  # noqa: ASYNC110 - a level, not an event: it falls as Kafka takes records
            await asyncio.sleep(_ROOM_POLL_S)

    def set_aside(self, frame: InvalidFrame, source: str) -> None:
        """Publish a frame that is invalid as a dead letter.

        Raises:
            DeadLetterLimitError: too many frames are invalid.
        """
        self.invalid_total += 1
        counter("tapewatch_frames_invalid_total").labels(exchange=self._exchange).inc()
        letter = cut_to_fit(
            DeadLetter(
                source=source,
                partition=-1,
                offset=-1,
                key=b"",
                payload=frame.payload,
                reason=frame.reason,
                time_us=self._clock.now_us(),
            )
        )
        self._publisher.publish(letter, key=source)
        self._limit.note(self._clock.monotonic_s())

    def _apply(self, output: TapeOutput) -> None:
        self._publisher.publish_trades(output.trades)
        if self._tell is not None:
            self._tell(output.trades)
        for request in output.requests:
            assert self._submit is not None, "nobody fills holes yet"
            self._submit(request)
        for restart in output.restarts:
            self._log.warning(
                "trade_ids_restarted",
                symbol=restart.symbol,
                expected_id=restart.expected_id,
                seen_id=restart.seen_id,
            )
        for missing in output.unfilled:
            gap = TapeGap(
                exchange=self._exchange,
                symbol=missing.symbol,
                first_missing_id=missing.first_id,
                last_missing_id=missing.last_id,
                reason=missing.reason,
                detected_time_us=self._clock.now_us(),
            )
            self.gaps_total += 1
            counter("tapewatch_gaps_total").labels(exchange=self._exchange).inc()
            self._log.error(
                "tape_gap",
                symbol=gap.symbol,
                first_missing_id=gap.first_missing_id,
                last_missing_id=gap.last_missing_id,
                reason=gap.reason,
            )
            self._publisher.publish(gap, key=gap.symbol)
