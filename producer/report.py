"""What the producer tells about itself: status events and metrics."""

from collections.abc import Sequence

from producer.feed import Feed
from producer.pipeline import Pipeline
from producer.publisher import Publisher
from producer.quotes import Quotes
from producer.staleness import StalenessMonitor
from producer.tape import Tape
from producer.timing import Timing
from shared.clock import Clock
from shared.metrics import CounterName, counter, gauge
from shared.status import StatusReporter


class Report:
    """Gathers figures and publishes them.

    Args:
        exchange: venue.
        status: publishes, not more often than is due.
        feed: knows the connections.
        tape: knows ids and duplicates.
        pipeline: knows gaps and skew.
        publisher: knows the queue.
        monitor: knows the silences.
        quotes: knows what became of quotes; None where none are read.
        symbols: markets to tell about.
        clock: the time.
    """

    def __init__(
        self,
        *,
        exchange: str,
        status: StatusReporter,
        feed: Feed,
        tape: Tape,
        pipeline: Pipeline,
        publisher: Publisher,
        monitor: StalenessMonitor,
        quotes: Quotes | None,
        symbols: Sequence[str],
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._status = status
        self._feed = feed
        self._tape = tape
        self._pipeline = pipeline
        self._publisher = publisher
        self._monitor = monitor
        self._quotes = quotes
        self._symbols = tuple(symbols)
        self._clock = clock
        self._counted: dict[CounterName, int] = {}
        self._late: dict[str, int] = {}
        self._said_s = clock.monotonic_s()
        self._said_trades = 0
        gauge("tapewatch_markets").set(len(self._symbols))

    def publish(self) -> None:
        """Update the metrics, and publish a status if one is due."""
        self._update_metrics()
        state, detail = self._state()
        if not self._status.is_due(state):
            return
        now_s = self._clock.monotonic_s()
        elapsed_s = max(now_s - self._said_s, 1e-3)
        trades = self._publisher.trades_total
        rate = (trades - self._said_trades) / elapsed_s
        self._said_s, self._said_trades = now_s, trades
        self._status.report(
            state=state,
            detail=detail,
            figures={
                "trades_total": trades,
                "trades_per_s": round(rate, 1),
                "duplicates_total": self._tape.duplicates_total,
                "backfilled_total": self._pipeline.backfilled_total,
                "gaps_total": self._pipeline.gaps_total,
                "invalid_total": self._pipeline.invalid_total,
                "reconnects_total": self._feed.reconnects_total,
                "connections": self._feed.open_connections,
                "queue_trades": self._publisher.queued,
                "waiting_trades": self._tape.waiting_total,
                "skew_ms": self._pipeline.skew_us / 1_000,
                **self._quote_figures(),
            },
            markets={symbol: self._market(symbol, now_s) for symbol in self._symbols},
        )

    def _market(self, symbol: str, now_s: float) -> dict[str, float]:
        figures = {"silence_s": round(self._monitor.silence_s(symbol, now_s), 1)}
        last = self._tape.last_published(symbol)
        if last is not None:
            figures["last_trade_id"] = last
        timing = self._pipeline.timing.timing(symbol)
        if timing is not None:
            figures["skew_min_ms"] = timing.skew_min_us / 1_000
            figures["skew_median_ms"] = timing.skew_median_us / 1_000
            figures["late_total"] = timing.late_total
            self._show(symbol, timing)
        return figures

    def _quote_figures(self) -> dict[str, float]:
        if self._quotes is None:
            return {}
        counts = self._quotes.counts
        return {
            "quotes_total": counts.published,
            "quotes_dropped_total": counts.dropped,
            "books_resynced_total": counts.resynced,
        }

    def _show(self, symbol: str, timing: Timing) -> None:
        labels = {"exchange": self._exchange, "symbol": symbol}
        skew = gauge("tapewatch_market_clock_skew_seconds")
        skew.labels(**labels, statistic="min").set(timing.skew_min_us / 1e6)
        skew.labels(**labels, statistic="median").set(timing.skew_median_us / 1e6)
        grown = timing.late_total - self._late.get(symbol, 0)
        self._late[symbol] = timing.late_total
        counter("tapewatch_trades_late_total").labels(**labels).inc(grown)

    def _state(self) -> tuple[str, str]:
        if self._feed.is_paused:
            return "degraded", "Kafka is too slow: connections are closed until the queue has room"
        missing = len(self._feed.slots) - sum(slot.open_connections > 0 for slot in self._feed.slots)
        if missing:
            reason = self._feed.last_failure or "connecting"
            return "degraded", f"{missing} of {len(self._feed.slots)} connections are down: {reason}"
        return "running", ""

    def _update_metrics(self) -> None:
        label = {"exchange": self._exchange}
        totals: dict[CounterName, int] = {
            "tapewatch_trades_published_total": self._publisher.trades_total,
            "tapewatch_trades_duplicate_total": self._tape.duplicates_total,
            "tapewatch_trades_backfilled_total": self._pipeline.backfilled_total,
        }
        if self._quotes is not None:
            counts = self._quotes.counts
            totals["tapewatch_quotes_published_total"] = counts.published
            totals["tapewatch_quotes_dropped_total"] = counts.dropped
            totals["tapewatch_books_resynced_total"] = counts.resynced
        for name, total in totals.items():
            counter(name).labels(**label).inc(total - self._counted.get(name, 0))
        self._counted = totals
        gauge("tapewatch_connections").labels(**label).set(self._feed.open_connections)
        gauge("tapewatch_queue_records").labels(queue="kafka").set(self._publisher.queued)
        gauge("tapewatch_queue_records").labels(queue="tape").set(self._tape.waiting_total)
        gauge("tapewatch_clock_skew_seconds").labels(**label).set(self._pipeline.skew_us / 1e6)
