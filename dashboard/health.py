"""What the page says about the pipeline: is the feed fresh, do the workers live, what was lost."""

from collections.abc import Mapping, Sequence
from typing import Final

from dashboard import formats
from dashboard.feed import Connection, ConnectionState, FeedView
from dashboard.panels import Cell, Column, Figure, Grid, Row, Strip, Tone
from dashboard.state import Pace, View, WorkerView
from dashboard.views import RATE_WINDOW_S, recent_episodes
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Severity

# Workers speak every two seconds.
WORKER_STALE_AFTER_S: Final = 10.0
# A process that was replaced by a younger one of its role is forgotten after so long.
_REPLACED_FORGOTTEN_S: Final = 60.0
_NO_TRADES_AFTER_S: Final = 10.0
# Beyond these the venue's clock is not late or early: it is a simulation's or a recording's.
_OTHER_CLOCK_S: Final = 3_600.0
_SPED_UP: Final = 1.5
_SKEW_WARN_S: Final = 5.0

_RATE_FIGURES: Final = ("trades_per_s", "records_per_s")
_TOTAL_FIGURES: Final = ("trades_total", "records_total")
_DEAD_FIGURES: Final = ("dead_letters_total", "invalid_total")

WORKER_COLUMNS: Final = (
    Column(label="Worker", kind="text", align="left"),
    Column(label="State", kind="pill", align="left"),
    Column(label="Heard", title="since its last sign of life, by our clock"),
    Column(label="Tr/s", title="trades worked on per second"),
    Column(label="Lag", title="records that wait in its topics"),
    Column(label="p99 ms", title="99th percentile of its latency", minor=True),
    Column(label="Gaps", title="gaps in the tape that could not be filled"),
    Column(label="Dead", title="records it set aside as invalid"),
)
_CONNECTION_WORDS: Final[Mapping[ConnectionState, tuple[str, Tone, str]]] = {
    ConnectionState.STOPPED: (
        "Feed stopped",
        "bad",
        "The feed has stopped; its error is in the log. Restart the dashboard.",
    ),
    ConnectionState.CONNECTING: ("Connecting", "accent", "Connecting to Kafka."),
    ConnectionState.CATCHING_UP: ("Catching up", "accent", ""),
}
_STATE_TONES: Final[Mapping[str, Tone]] = {
    "running": "good",
    "starting": "accent",
    "degraded": "warn",
    "stopping": "muted",
}


def freshness(feed: FeedView, *, now_us: int) -> tuple[str, Tone, str]:
    """Return the feed's state in a word, its tone, and a sentence when something is wrong.

    Args:
        feed: what the feed gave.
        now_us: our clock.
    """
    connection = feed.connection
    age_s = _age_s(connection.answered_us, now_us)
    if connection.state is ConnectionState.UNREACHABLE:
        return "Kafka unreachable", "bad", _unreachable(connection, age_s=age_s, now_us=now_us)
    if connection.state in _CONNECTION_WORDS:
        return _CONNECTION_WORDS[connection.state]
    silence_s = _age_s(feed.data.pace.last_received_us, now_us)
    if silence_s is None:
        return "No trades yet", "warn", _waiting(feed.data)
    if silence_s > _NO_TRADES_AFTER_S:
        said = f"No trade has come in for {formats.duration(silence_s)}: prices and rates are that old."
        return "No trades", "warn", said
    return "Live", "good", ""


def masthead(feed: FeedView, *, now_us: int) -> Strip:
    """Return the line at the top of the page."""
    view = feed.data
    pill, tone, note = freshness(feed, now_us=now_us)
    recent = recent_episodes(view)
    serious = sum(episode.worst.severity.rank >= Severity.HIGH.rank for episode in recent)
    lag = [lag for worker in view.workers if (lag := _lag(worker.latest.figures)) is not None]
    missing = sum(max(0, gap.last_missing_id - gap.first_missing_id + 1) for gap in view.gaps)
    return Strip(
        heading="Tapewatch",
        pill=pill,
        pill_tone=tone,
        note=note,
        note_tone=tone,
        stale=tone == "bad" or pill == "No trades",
        figures=(
            Figure(
                label=f"event time, {formats.utc_date(view.now_us)}" if view.now_us else "event time",
                value=f"{formats.utc_time(view.now_us)} UTC" if view.now_us else formats.MISSING,
                title="time of the latest trade, by the venue's clock",
            ),
            _clock_figure(view.pace),
            Figure(
                label="trades/s in",
                value=formats.rate(throughput(view.pace, now_us=now_us)),
                title=f"received per second of our clock, over the last {RATE_WINDOW_S} s",
            ),
            Figure(label="markets", value=formats.count(len(view.markets))),
            Figure(
                label=f"anomalies, {formats.duration(view.history_s)}",
                value=formats.count(len(recent)),
                title="episodes within the history",
            ),
            Figure(label="high or critical", value=formats.count(serious), tone="bad" if serious else ""),
            Figure(
                label="lag, records",
                value=formats.count(max(lag)) if lag else formats.MISSING,
                title="records that wait for the slowest worker",
            ),
            Figure(label="missing trades", value=formats.count(missing), tone="warn" if missing else ""),
            Figure(
                label="dead letters",
                value=formats.count(view.dead_letters),
                tone="warn" if view.dead_letters else "",
            ),
        ),
    )


def throughput(pace: Pace, *, now_us: int) -> float:
    """Return trades received per second of our clock, over the last whole seconds."""
    now_s = now_us // MICROSECONDS_PER_SECOND
    seconds = range(now_s - RATE_WINDOW_S, now_s)
    return sum(pace.trades_by_second.get(second, 0) for second in seconds) / RATE_WINDOW_S


def worker_grid(view: View, *, now_us: int) -> Grid:
    """Return every worker process with its figures; one that fell silent is drawn as stale.

    Args:
        view: the snapshot.
        now_us: our clock.
    """
    workers = [worker for worker in view.workers if not _is_replaced(worker, view.workers, now_us=now_us)]
    stopped = len(view.quarantines)
    note = f"{stopped} detector{'s' if stopped != 1 else ''} quarantined" if stopped else ""
    return Grid(
        caption="Pipeline",
        note=note,
        columns=WORKER_COLUMNS,
        rows=tuple(_worker_row(worker, now_us=now_us) for worker in workers),
        empty="No worker has given a sign of life.",
    )


def rate_per_s(worker: WorkerView) -> float | None:
    """Return a worker's trades per second: as it says, or from how its total has grown."""
    figures = worker.latest.figures
    for name in _RATE_FIGURES:
        if name in figures:
            return figures[name]
    for name in _TOTAL_FIGURES:
        for before in worker.earlier:
            elapsed_us = worker.latest.time_us - before.time_us
            if name in figures and name in before.figures and elapsed_us > 0:
                grown = figures[name] - before.figures[name]
                return max(0.0, grown) * MICROSECONDS_PER_SECOND / elapsed_us
    return None


def _worker_row(worker: WorkerView, *, now_us: int) -> Row:
    status = worker.latest
    age_s = _age_s(status.time_us, now_us) or 0.0
    is_stale = age_s > WORKER_STALE_AFTER_S
    has_stopped = is_stale and status.state == "stopping"
    state = "stopped" if has_stopped else "silent" if is_stale else status.state
    silent_tone: Tone = "muted" if has_stopped else "bad"
    tone = silent_tone if is_stale else _STATE_TONES.get(status.state, "warn")
    uptime = formats.duration(_age_s(status.started_us, now_us))
    figures = status.figures
    p99_ms = next((figures[name] for name in figures if name.endswith("p99_ms")), None)
    per_second = None if is_stale else rate_per_s(worker)
    return Row(
        row_id=f"{status.worker}/{status.instance}",
        stale=is_stale,
        cells=(
            Cell(text=status.worker, title=f"{status.instance}, up {uptime}{_all_figures(figures)}"),
            Cell(text=state, tone=tone, title=status.detail),
            Cell(text=formats.duration(age_s), order=age_s, tone="bad" if is_stale else ""),
            _number(per_second, formats.rate(per_second)),
            _number(_lag(figures), formats.count(_lag(figures))),
            _number(p99_ms, formats.compact(p99_ms)),
            _loss(_total(worker, "gaps_total")),
            _loss(_total(worker, *_DEAD_FIGURES)),
        ),
    )


def _number(value: float | None, text: str) -> Cell:
    return Cell(text=text, order=value, tone="muted" if value is None else "")


def _loss(value: float | None) -> Cell:
    return Cell(text=formats.count(value), order=value, tone="warn" if value else "muted")


def _total(worker: WorkerView, *names: str) -> float | None:
    status = worker.latest
    for name in names:
        if name in status.figures:
            return status.figures[name]
        per_market = [figures[name] for figures in status.markets.values() if name in figures]
        if per_market:
            return sum(per_market)
    return None


def _lag(figures: Mapping[str, float]) -> float | None:
    return figures.get("lag_records")


def _all_figures(figures: Mapping[str, float]) -> str:
    return "".join(f"\n{formats.words(name)}: {value:,.6g}" for name, value in sorted(figures.items()))


def _is_replaced(worker: WorkerView, workers: Sequence[WorkerView], *, now_us: int) -> bool:
    status = worker.latest
    if (_age_s(status.time_us, now_us) or 0.0) < _REPLACED_FORGOTTEN_S:
        return False
    return any(
        other.latest.worker == status.worker and other.latest.started_us > status.started_us
        for other in workers
    )


def _clock_figure(pace: Pace) -> Figure:
    if pace.speed is not None and pace.speed > _SPED_UP:
        speed = f"{pace.speed:,.0f}" if pace.speed >= 10 else f"{pace.speed:.1f}"
        return Figure(
            label="event clock",
            value=f"{speed} x real time",
            tone="accent",
            title="event time runs faster than ours: a simulation or a recording",
        )
    skew_s = pace.skew_s
    if skew_s is not None and abs(skew_s) > _OTHER_CLOCK_S:
        side = "behind" if skew_s > 0 else "ahead"
        return Figure(
            label="event clock",
            value=f"{formats.duration(abs(skew_s))} {side}",
            tone="accent",
            title="event time is not ours: a simulation or a recording",
        )
    is_off = skew_s is not None and abs(skew_s) > _SKEW_WARN_S
    return Figure(
        label="clock skew",
        value=formats.span_ms(skew_s),
        tone="warn" if is_off else "",
        title="receive time minus event time of the newest trade; negative when the venue's clock is ahead",
    )


def _unreachable(connection: Connection, *, age_s: float | None, now_us: int) -> str:
    retry_us = connection.retry_us
    wait_s = 0.0 if retry_us is None else (retry_us - now_us) / MICROSECONDS_PER_SECOND
    following = f"trying again in {formats.duration(wait_s)}" if wait_s > 0 else "trying again"
    shown = "" if age_s is None else f" What is shown is {formats.duration(age_s)} old."
    return f"{connection.detail}; {following}.{shown}"


def _waiting(view: View) -> str:
    if not view.workers:
        return (
            "Connected to Kafka, but no worker has given a sign of life. Is the pipeline started (make demo)?"
        )
    return "Connected to Kafka; workers are up, and the first trade is awaited."


def _age_s(time_us: int | None, now_us: int) -> float | None:
    # Another machine's clock may be ahead of ours; nothing is younger than now.
    return None if time_us is None else max(0.0, (now_us - time_us) / MICROSECONDS_PER_SECOND)
