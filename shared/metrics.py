"""Every Prometheus metric, with its meaning and unit, and the small server that shows them with the health.

`/metrics` is Prometheus' text format; `/healthz` answers 200 while the worker's loop has beaten within
`HEALTHY_WITHIN_S`, else 503. The server listens on loopback unless told otherwise.
"""

import errno
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

from shared.clock import Clock
from shared.errors import PortInUseError

HEALTHY_WITHIN_S: Final = 30.0

CounterName = Literal[
    "tapewatch_trades_published_total",
    "tapewatch_trades_duplicate_total",
    "tapewatch_trades_backfilled_total",
    "tapewatch_trades_late_total",
    "tapewatch_frames_invalid_total",
    "tapewatch_gaps_total",
    "tapewatch_quotes_published_total",
    "tapewatch_quotes_dropped_total",
    "tapewatch_books_resynced_total",
    "tapewatch_reconnects_total",
    "tapewatch_records_consumed_total",
    "tapewatch_events_produced_total",
    "tapewatch_commits_total",
    "tapewatch_retries_total",
    "tapewatch_crashes_total",
    "tapewatch_dead_letters_total",
    "tapewatch_quarantines_total",
    "tapewatch_releases_total",
    "tapewatch_snapshots_written_total",
    "tapewatch_snapshots_refused_total",
    "tapewatch_markets_evicted_total",
    "tapewatch_rows_stored_total",
    "tapewatch_notifications_total",
    "tapewatch_commands_total",
]
GaugeName = Literal[
    "tapewatch_lag_records",
    "tapewatch_lag_seconds",
    "tapewatch_shed_level",
    "tapewatch_markets",
    "tapewatch_settings_version",
    "tapewatch_connections",
    "tapewatch_queue_records",
    "tapewatch_clock_skew_seconds",
    "tapewatch_market_clock_skew_seconds",
    "tapewatch_notifications_pending",
    "tapewatch_channel_up",
]
HistogramName = Literal[
    "tapewatch_batch_seconds",
    "tapewatch_commit_seconds",
    "tapewatch_delivery_seconds",
]

_MEANINGS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "tapewatch_trades_published_total": ("trades written to the topic", ("exchange",)),
    "tapewatch_trades_duplicate_total": (
        "trades dropped because their id was published before",
        ("exchange",),
    ),
    "tapewatch_trades_backfilled_total": ("trades fetched through REST to fill a gap", ("exchange",)),
    "tapewatch_trades_late_total": (
        "live trades older than one of their market before them",
        ("exchange", "symbol"),
    ),
    "tapewatch_frames_invalid_total": ("frames from an exchange that could not be parsed", ("exchange",)),
    "tapewatch_gaps_total": ("gaps that could not be filled", ("exchange",)),
    "tapewatch_quotes_published_total": ("quotes written to the topic", ("exchange",)),
    "tapewatch_quotes_dropped_total": (
        "quotes that were not written because Kafka was too slow",
        ("exchange",),
    ),
    "tapewatch_books_resynced_total": ("snapshots of order books that were taken in", ("exchange",)),
    "tapewatch_reconnects_total": ("connections opened after the first one", ("exchange", "reason")),
    "tapewatch_records_consumed_total": ("records taken from Kafka", ("topic",)),
    "tapewatch_events_produced_total": ("events written to Kafka by a step", ("topic",)),
    "tapewatch_commits_total": ("commits of input offsets", ("outcome",)),
    "tapewatch_retries_total": ("reads and commits done again after an error that may pass", ("worker",)),
    "tapewatch_crashes_total": ("errors that ended a worker's loop", ("worker", "kind")),
    "tapewatch_dead_letters_total": ("invalid records set aside", ("source",)),
    "tapewatch_quarantines_total": ("detectors stopped on a market after an error", ("detector",)),
    "tapewatch_releases_total": ("detectors tried again on a market after their parole", ("detector",)),
    "tapewatch_snapshots_written_total": ("state snapshots written", ()),
    "tapewatch_snapshots_refused_total": ("state snapshots that could not be restored", ()),
    "tapewatch_markets_evicted_total": ("markets forgotten after a long silence", ()),
    "tapewatch_rows_stored_total": ("rows newly stored", ("table",)),
    "tapewatch_notifications_total": ("notifications by channel and outcome", ("channel", "outcome")),
    "tapewatch_commands_total": (
        "what people asked for on a channel: done, unanswered, failed, refused",
        ("channel", "outcome"),
    ),
    "tapewatch_lag_records": (
        "records between the end of the input and the last commit",
        ("topic", "partition"),
    ),
    "tapewatch_lag_seconds": ("time that judging what waits will take, at the present speed", ()),
    "tapewatch_shed_level": ("levels of costly detectors that are paused under overload", ()),
    "tapewatch_settings_version": ("highest version of the settings on detector-config", ()),
    "tapewatch_markets": ("markets worked on", ()),
    "tapewatch_connections": ("open connections to exchanges", ("exchange",)),
    "tapewatch_queue_records": ("records waiting inside the process", ("queue",)),
    "tapewatch_clock_skew_seconds": ("receive time minus event time, latest", ("exchange",)),
    "tapewatch_market_clock_skew_seconds": (
        "receive time minus event time over the latest live trades",
        ("exchange", "symbol", "statistic"),
    ),
    "tapewatch_notifications_pending": ("notifications waiting for delivery", ("channel",)),
    "tapewatch_channel_up": ("1 while a channel takes notifications, 0 once it is dead", ("channel",)),
    "tapewatch_batch_seconds": ("time to process one batch", ("worker",)),
    "tapewatch_commit_seconds": ("time of one commit", ("worker",)),
    "tapewatch_delivery_seconds": ("time of one delivery attempt", ("channel",)),
}

M = TypeVar("M", Counter, Gauge, Histogram)

_lock = threading.Lock()
_made: dict[str, Counter | Gauge | Histogram] = {}


def counter(name: CounterName) -> Counter:
    """Return the process's counter of this name."""
    return _metric(name, Counter)


def gauge(name: GaugeName) -> Gauge:
    """Return the process's gauge of this name."""
    return _metric(name, Gauge)


def histogram(name: HistogramName) -> Histogram:
    """Return the process's histogram of this name, in seconds."""
    return _metric(name, Histogram)


def _metric(name: str, metric_type: type[M]) -> M:
    with _lock:
        if name not in _made:
            meaning, labels = _MEANINGS[name]
            _made[name] = metric_type(name, meaning, labels)
        metric = _made[name]
    assert isinstance(metric, metric_type)
    return metric


class Health:
    """Whether the worker's loop still turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beaten_s = clock.monotonic_s()

    def beat(self) -> None:
        """Say that the loop has turned once more."""
        self._beaten_s = self._clock.monotonic_s()

    def silence_s(self) -> float:
        """Return the seconds since the last beat."""
        return self._clock.monotonic_s() - self._beaten_s


def serve(*, host: str, port: int, health: Health) -> ThreadingHTTPServer | None:
    """Serve `/metrics` and `/healthz` from a daemon thread; port 0 means: do not.

    Raises:
        PortInUseError: another process listens on the port.
    """
    if port == 0:
        return None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            elif self.path == "/healthz":
                silence = health.silence_s()
                body = f"last beat {silence:.1f} s ago\n".encode()
                self._answer(200 if silence < HEALTHY_WITHIN_S else 503, "text/plain", body)
            else:
                self._answer(404, "text/plain", b"/metrics or /healthz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's signature
            """Stay silent: a probe every few seconds is no news."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port, purpose="metrics and health", setting="METRICS_PORT") from error
        raise
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
