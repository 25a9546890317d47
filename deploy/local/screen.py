"""What `make demo` shows: markets, anomalies as they are found, workers. Pure: a view in, rich out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dashboard import formats
from dashboard.state import EpisodeView, MarketView, View
from shared.events import Severity, WorkerStatus

_ANOMALIES_SHOWN: Final = 10
_RATE_OVER_S: Final = 10
_STYLES: Final = {
    Severity.LOW: "dim",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "bold yellow",
    Severity.CRITICAL: "bold red",
}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What stands above the tables.

    Attributes:
        title: what is running.
        dashboard_url: where the dashboard is.
        broker: which broker it runs on, in words.
        elapsed_s: since the start.
        restarts: workers restarted so far.
        log_dir: where the workers' logs are.
    """

    title: str
    dashboard_url: str
    broker: str
    elapsed_s: float
    restarts: int
    log_dir: str


def screen(view: View, notice: Notice, *, now_us: int) -> RenderableType:
    """Return the whole screen."""
    return Group(
        _head(notice, view),
        _markets(view),
        _anomalies(view.episodes[:_ANOMALIES_SHOWN], found=len(view.episodes)),
        _workers([worker.latest for worker in view.workers], now_us=now_us),
    )


def anomaly_line(episode: EpisodeView) -> str:
    """Return one line of plain text about an episode, for output that is no terminal."""
    why = episode.why
    return f"{formats.utc_stamp(why.event_time_us)}  {why.severity:<8}  {why.kind:<12}  {episode.reason}"


def _head(notice: Notice, view: View) -> RenderableType:
    restarts = f", {notice.restarts} restarts" if notice.restarts else ""
    lines = [
        Text.assemble("Dashboard: ", (notice.dashboard_url, "bold cyan underline")),
        Text(f"{view.trades:,} trades seen in {notice.elapsed_s:.0f} s through {notice.broker}{restarts}"),
        Text(f"Logs: {notice.log_dir}    Ctrl-C stops everything", style="dim"),
    ]
    return Panel(Group(*lines), title=notice.title, title_align="left")


def _markets(view: View) -> RenderableType:
    table = Table(title="Markets", title_justify="left", expand=True)
    table.add_column("market")
    for name in ("last", "change", "trades/s", "volume", "anomalies"):
        table.add_column(name, justify="right")
    for market in view.markets.values():
        table.add_row(*_market_row(market, view.pace.speed))
    if not view.markets:
        table.add_row("waiting for the first trade", *[""] * 5)
    return table


def _market_row(market: MarketView, speed: float | None) -> Sequence[RenderableType]:
    bars = market.bars
    first = float(bars.open[0]) if len(bars.open) else market.last_price
    change_pct = (market.last_price / first - 1) * 100 if first else 0.0
    recent = bars.start_s >= (bars.start_s[-1] - _RATE_OVER_S) if len(bars.start_s) else []
    per_market_second = float(bars.count[recent].sum()) / _RATE_OVER_S if len(bars.start_s) else 0.0
    style = "green" if change_pct > 0 else "red" if change_pct < 0 else ""
    return (
        market.symbol,
        formats.price(market.last_price),
        Text(formats.signed_pct(change_pct), style=style),
        formats.rate(per_market_second * (speed or 1.0)),
        formats.compact(float((bars.volume * bars.close).sum())),
        str(len(market.episodes)) if market.episodes else "",
    )


def _anomalies(episodes: Sequence[EpisodeView], *, found: int) -> RenderableType:
    table = Table(title=f"Anomalies ({found})", title_justify="left", expand=True)
    table.add_column("event time, UTC", no_wrap=True)
    table.add_column("severity")
    table.add_column("kind")
    table.add_column("why", ratio=1)
    for episode in episodes:
        latest = episode.latest
        table.add_row(
            formats.utc_time(latest.event_time_us),
            Text(latest.severity, style=_STYLES[latest.severity]),
            formats.words(latest.kind),
            Text(episode.reason),
        )
    if not episodes:
        table.add_row("", "", "", Text("none yet: the detectors are learning what is normal", style="dim"))
    return table


def _workers(workers: Sequence[WorkerStatus], *, now_us: int) -> RenderableType:
    parts = []
    for status in workers:
        age_s = max(0.0, (now_us - status.time_us) / 1e6)
        style = "green" if status.state == "running" and age_s < 10 else "yellow"
        parts.append(Text.assemble((f"● {status.worker}", style), f" {status.state}, {age_s:.0f} s ago   "))
    return Text.assemble(*parts) if parts else Text("workers are starting", style="dim")
