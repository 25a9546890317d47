"""What the page says about markets and anomalies: pure functions from a snapshot to rows and figures."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from dashboard import formats
from dashboard.bars import Bars
from dashboard.panels import Cell, Column, Figure, Grid, Row, Strip, Tone
from dashboard.state import EpisodeView, MarketView, View
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Alert, AlertState, EpisodePhase, Severity

RATE_WINDOW_S: Final = 10
# Event time without a trade after which a market's row is drawn as old.
SILENT_AFTER_S: Final = 30.0
ANOMALY_ROWS: Final = 200
# Instead of what became of its alert: there is none.
ON_TRIAL: Final = "on trial"
_SPARK_POINTS: Final = 48
SEVERITY_TONES: Final[dict[Severity, Tone]] = {
    Severity.LOW: "muted",
    Severity.MEDIUM: "accent",
    Severity.HIGH: "warn",
    Severity.CRITICAL: "bad",
}

MARKET_COLUMNS: Final = (
    Column(label="Market", kind="text", align="left"),
    Column(label="Last", kind="price", title="price of the latest trade, in quote units"),
    Column(label="Chg", title="change over the history shown"),
    Column(label="Turnover", title="volume over the history shown, in quote units", minor=True),
    Column(label="Tr/s", title=f"trades per second of event time, over the last {RATE_WINDOW_S} s"),
    Column(label="Anom", title="anomaly episodes in the history shown"),
    Column(label="Trend", kind="spark", title="price over the history shown"),
)


def choose_market(view: View, wanted: str | None) -> str | None:
    """Return the market to show: the wanted one, else the one with the largest turnover; None without any."""
    if wanted in view.markets:
        return wanted
    if not view.markets:
        return None
    return max(view.markets.values(), key=lambda market: float(market.bars.notional.sum())).symbol


def market_grid(view: View, *, chosen: str | None, is_stale: bool = False) -> Grid:
    """Return all markets, in the order of the alphabet: by any figure, rows would hop about every second.

    Args:
        view: the snapshot.
        chosen: the market that the chart shows.
        is_stale: whether all of the snapshot is old.
    """
    return Grid(
        caption="Markets",
        note=f"last {formats.duration(view.history_s)} of event time",
        columns=MARKET_COLUMNS,
        rows=tuple(
            _market_row(market, view, is_chosen=symbol == chosen, is_stale=is_stale)
            for symbol, market in view.markets.items()
        ),
        empty="No market has traded yet.",
        is_choice=True,
    )


def quote(market: MarketView, view: View, *, is_stale: bool = False) -> Strip:
    """Return the line above the chart.

    Args:
        market: the market.
        view: the snapshot.
        is_stale: whether all of the snapshot is old.
    """
    bars = market.bars
    change_pct = _change_pct(bars)
    silence_s = _silence_s(market, view)
    reference = market.last_price
    figures: tuple[Figure, ...] = (
        Figure(label="high", value=formats.price(_highest(bars), reference=reference)),
        Figure(label="low", value=formats.price(_lowest(bars), reference=reference)),
        Figure(
            label="volume",
            value=formats.compact(float(bars.volume.sum())),
            title=f"base units; {formats.compact(float(bars.notional.sum()))} in quote units",
        ),
        Figure(label="trades/s", value=formats.rate(_rate(bars, view))),
    )
    if market.missing_trades:
        missing = formats.count(market.missing_trades)
        said = "trades the venue made that could not be had"
        figures += (Figure(label="missing", value=missing, tone="warn", title=said),)
    is_silent = silence_s > SILENT_AFTER_S
    return Strip(
        heading=market.symbol,
        lead=formats.price(market.last_price),
        lead_tone=_direction(market.last_price - market.previous_price),
        figures=(
            Figure(label="change", value=formats.signed_pct(change_pct), tone=_direction(change_pct)),
            *figures,
        ),
        pill=f"silent {formats.duration(silence_s)}" if is_silent else market.exchange,
        pill_tone="warn" if is_silent else "muted",
        stale=is_silent or is_stale,
    )


def latest_story(market: MarketView, view: View) -> Strip:
    """Return the latest anomaly of a market as a sentence, or the sentence that there is none."""
    recent = _recent(market.episodes, view)
    if not recent:
        return Strip(
            heading="",
            note=f"No anomaly on {market.symbol} in the last {formats.duration(view.history_s)}.",
            note_tone="muted",
        )
    episode = recent[0]
    return Strip(
        heading="",
        pill=episode.worst.severity.value,
        pill_tone=SEVERITY_TONES[episode.worst.severity],
        figures=(
            Figure(label="", value=formats.utc_time(episode.latest.event_time_us)),
            Figure(label="", value=formats.words(episode.latest.kind)),
        ),
        note=episode.reason,
    )


def anomaly_table(episodes: Sequence[EpisodeView], *, market: str | None = None) -> pd.DataFrame:
    """Return the latest episodes, one a row, for `st.dataframe`.

    Args:
        episodes: latest first.
        market: only this market's; None for all.
    """
    shown = [e for e in episodes if market is None or e.latest.symbol == market][:ANOMALY_ROWS]
    times_us = [e.latest.event_time_us for e in shown]
    return pd.DataFrame(
        {
            "time": pd.to_datetime(times_us, unit="us", utc=True).as_unit("us"),
            "severity": [[e.worst.severity.value] for e in shown],
            "market": [e.latest.symbol for e in shown],
            "kind": [formats.words(e.latest.kind) for e in shown],
            "reason": [e.reason for e in shown],
            "rarity": pd.Series([_one_in(e.latest.episode.peak_rarity) for e in shown], dtype="float64"),
            "lasted": [_lasted(e) for e in shown],
            "alert": [ON_TRIAL if e.latest.shadow else alert_text(e.alert) for e in shown],
        }
    )


def anomaly_summary(episodes: Sequence[EpisodeView]) -> Strip:
    """Return the heading of the table of anomalies: how many there are of each severity."""
    by_severity = Counter(episode.worst.severity for episode in episodes)
    return Strip(
        heading="Anomalies",
        figures=tuple(
            Figure(
                label=severity.value,
                value=formats.count(by_severity[severity]),
                tone=SEVERITY_TONES[severity] if by_severity[severity] else "muted",
            )
            for severity in reversed(Severity)
        ),
    )


def alert_text(alert: Alert | None) -> str:
    """Return what became of an episode's alert: where it was sent (`telegram, slack`), or its state."""
    if alert is None:
        return formats.MISSING
    if alert.state is AlertState.FIRING and alert.channels:
        return ", ".join(alert.channels)
    return alert.state.value


def recent_episodes(view: View) -> tuple[EpisodeView, ...]:
    """Return the episodes that had an event within the history."""
    return _recent(view.episodes, view)


def _market_row(market: MarketView, view: View, *, is_chosen: bool, is_stale: bool) -> Row:
    bars = market.bars
    change_pct = _change_pct(bars)
    turnover = float(bars.notional.sum())
    per_second = _rate(bars, view)
    episodes = _recent(market.episodes, view)
    worst = max((episode.worst.severity for episode in episodes), key=lambda s: s.rank, default=Severity.LOW)
    silence_s = _silence_s(market, view)
    return Row(
        row_id=market.symbol,
        selected=is_chosen,
        stale=is_stale or silence_s > SILENT_AFTER_S,
        cells=(
            Cell(
                text=market.symbol, title=f"{market.exchange}; last trade {formats.duration(silence_s)} ago"
            ),
            Cell(text=formats.price(market.last_price), order=market.last_price),
            Cell(text=formats.signed_pct(change_pct), order=change_pct, tone=_direction(change_pct)),
            Cell(text=formats.compact(turnover), order=turnover),
            Cell(text=formats.rate(per_second), order=per_second),
            Cell(
                text=str(len(episodes)) if episodes else formats.MISSING,
                order=len(episodes),
                tone=SEVERITY_TONES[worst] if episodes else "muted",
            ),
            Cell(points=sparkline(bars), tone=_direction(change_pct), order=change_pct),
        ),
    )


def sparkline(bars: Bars) -> tuple[float, ...]:
    """Return the closing prices at even steps of time, scaled to 0..1; empty below two bars."""
    if len(bars) < 2:
        return ()
    steps = np.linspace(bars.start_s[0], bars.start_s[-1], min(_SPARK_POINTS, len(bars)))
    closes = bars.close[np.searchsorted(bars.start_s, steps, side="right") - 1]
    low, high = closes.min(), closes.max()
    if low == high:
        return (0.5,) * len(closes)
    return tuple(np.round((closes - low) / (high - low), 3).tolist())


def _recent(episodes: Sequence[EpisodeView], view: View) -> tuple[EpisodeView, ...]:
    if view.now_us is None:
        return tuple(episodes)
    since_us = view.now_us - view.history_s * MICROSECONDS_PER_SECOND
    return tuple(episode for episode in episodes if episode.latest.event_time_us >= since_us)


def _change_pct(bars: Bars) -> float:
    # To the two decimals that are shown, so that 0.00 has no direction.
    return round(100 * (float(bars.close[-1]) / float(bars.open[0]) - 1), 2) if len(bars) else math.nan


def _highest(bars: Bars) -> float | None:
    return float(bars.high.max()) if len(bars) else None


def _lowest(bars: Bars) -> float | None:
    return float(bars.low.min()) if len(bars) else None


def _rate(bars: Bars, view: View) -> float:
    if view.now_us is None:
        return 0.0
    since_s = view.now_us // MICROSECONDS_PER_SECOND - RATE_WINDOW_S
    # The running second is not over, so the window is the ten before it.
    recent = bars.since(since_s)
    complete = recent.start_s < since_s + RATE_WINDOW_S
    return float(recent.count[complete].sum()) / RATE_WINDOW_S


def _silence_s(market: MarketView, view: View) -> float:
    if view.now_us is None:
        return 0.0
    return max(0.0, (view.now_us - market.last_event_us) / MICROSECONDS_PER_SECOND)


def _direction(difference: float) -> Tone:
    if difference > 0:
        return "up"
    return "down" if difference < 0 else ""


def _one_in(probability: float | None) -> float | None:
    return None if probability is None or probability <= 0 or probability >= 1 else 1 / probability


def _lasted(episode: EpisodeView) -> str:
    told = episode.latest.episode
    lasted = formats.duration((told.last_us - told.opened_us) / MICROSECONDS_PER_SECOND)
    return lasted if told.phase is EpisodePhase.CLOSED else f"{lasted}, open"
