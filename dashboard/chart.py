"""The price chart of one market: candles, volume and anomaly marks, as plain data for Plotly.

Text from outside is escaped, because Plotly reads a little HTML in hovers. `uirevision` changes only with
what is shown; until then `components/chart.js` keeps the reader's pan and zoom over the updates.
"""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dashboard import formats
from dashboard.bars import Bars
from dashboard.palette import PALETTES, Palette, ThemeName, mark
from dashboard.state import EpisodeView, MarketView
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Severity

HEIGHT_PX: Final = 424
# Seconds of the shown window per length of bar: about 200 candles, which a screen can resolve.
SPANS_S: Final = {1: 240, 5: 900, 60: 86_400}
_MARK_SIZES: Final = {Severity.LOW: 9, Severity.MEDIUM: 11, Severity.HIGH: 13, Severity.CRITICAL: 16}
_FONT: Final = "'Source Sans', sans-serif"
_HOVER_COLUMNS: Final = 62

PlotData = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ChartParams:
    """What is drawn.

    Attributes:
        interval_s: length of a bar.
        theme: light or dark.
        view_id: changes when the reader asks to follow the market again.
    """

    interval_s: int = 5
    theme: ThemeName = "light"
    view_id: int = 0


def price_chart(market: MarketView, params: ChartParams) -> PlotData:
    """Return the figure of a market.

    Args:
        market: its bars and episodes; times are event time.
        params: what is drawn.
    """
    palette = PALETTES[params.theme]
    bars = market.bars.every(params.interval_s)
    traces: list[PlotData] = []
    if len(bars):
        traces = [_candles(bars, palette), _volume(bars, palette)]
        oldest_us = int(bars.start_s[0]) * MICROSECONDS_PER_SECOND
        shown = [episode for episode in market.episodes if episode.first.event_time_us >= oldest_us]
        traces += _marks(shown, params.theme)
    return {"data": traces, "layout": _layout(market, bars, params)}


def hover_text(episode: EpisodeView) -> str:
    """Return what is shown over a mark, escaped, as Plotly's HTML."""
    told = episode.latest
    kind, rarity = formats.words(told.kind), formats.rarity(told.episode.peak_rarity)
    kind = f"{kind} (on trial)" if told.shadow else kind
    lines = [
        f"<b>{_escaped(f'{told.severity.value.upper()} · {kind} · {rarity}')}</b>",
        *map(_escaped, textwrap.wrap(episode.reason, _HOVER_COLUMNS)),
        _escaped(
            f"{formats.utc_stamp(episode.first.event_time_us)} · {formats.price(episode.first.price)} · "
            f"{formats.count(told.episode.trades)} trades"
        ),
    ]
    return "<br>".join(lines)


def _candles(bars: Bars, palette: Palette) -> PlotData:
    return {
        "type": "candlestick",
        "name": "price",
        "x": _milliseconds(bars),
        "open": bars.open.tolist(),
        "high": bars.high.tolist(),
        "low": bars.low.tolist(),
        "close": bars.close.tolist(),
        # Rising candles are hollow: the direction can be read without colour.
        "increasing": {"line": {"color": palette.up, "width": 1.2}, "fillcolor": palette.background},
        "decreasing": {"line": {"color": palette.down, "width": 1.2}, "fillcolor": palette.down},
        "whiskerwidth": 0,
        "showlegend": False,
    }


def _volume(bars: Bars, palette: Palette) -> PlotData:
    rising = bars.close >= bars.open
    return {
        "type": "bar",
        "name": "volume",
        "x": _milliseconds(bars),
        "y": bars.volume.tolist(),
        "yaxis": "y2",
        "marker": {
            "color": np.where(rising, palette.up, palette.down).tolist(),
            "opacity": 0.55,
            "line": {"width": 0},
        },
        "text": [formats.compact(float(volume)) for volume in bars.volume],
        "textposition": "none",
        "hovertemplate": "volume %{text}<extra></extra>",
        "showlegend": False,
    }


def _marks(episodes: Sequence[EpisodeView], theme: ThemeName) -> list[PlotData]:
    by_kind: dict[str, list[EpisodeView]] = {}
    for episode in episodes:
        by_kind.setdefault(episode.first.kind, []).append(episode)
    return [_marks_of(kind, found, theme) for kind, found in sorted(by_kind.items())]


def _marks_of(kind: str, episodes: Sequence[EpisodeView], theme: ThemeName) -> PlotData:
    look = mark(kind)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _escaped(formats.words(kind)),
        "x": [episode.first.event_time_us / 1_000 for episode in episodes],
        "y": [episode.first.price for episode in episodes],
        "text": [hover_text(episode) for episode in episodes],
        "hovertemplate": "%{text}<extra></extra>",
        "cliponaxis": True,
        "marker": {
            "symbol": look.symbol,
            "opacity": 1,
            "size": [_MARK_SIZES[episode.worst.severity] for episode in episodes],
            "color": look.color(theme),
            "line": {"width": 1.5, "color": PALETTES[theme].background},
        },
    }


def _layout(market: MarketView, bars: Bars, params: ChartParams) -> PlotData:
    palette = PALETTES[params.theme]
    grid = {"gridcolor": palette.border, "gridwidth": 1, "zeroline": False, "linecolor": palette.border}
    spike = {"showspikes": True, "spikemode": "across", "spikesnap": "cursor", "spikethickness": 1}
    crosshair = {**spike, "spikecolor": palette.muted, "spikedash": "dot"}
    # y is the price, on the right as traders have it; y2 is the volume.
    return {
        "height": HEIGHT_PX,
        "margin": {"l": 4, "r": 4, "t": 26, "b": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": palette.muted},
        "dragmode": "pan",
        "hovermode": "closest",
        "hoverdistance": 30,
        "bargap": 0.25,
        "uirevision": f"{market.symbol}/{params.interval_s}/{params.view_id}",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}},
        "hoverlabel": {
            "bgcolor": palette.panel,
            "bordercolor": palette.muted,
            "font": {"family": _FONT, "size": 13, "color": palette.text},
            "align": "left",
        },
        "xaxis": {
            **grid,
            **crosshair,
            "type": "date",
            "anchor": "y2",
            "range": _time_range(bars, params),
            "rangeslider": {"visible": False},
            "automargin": True,
        },
        "yaxis": {
            **grid,
            **crosshair,
            "side": "right",
            "domain": [0.21, 1],
            "range": _price_range(bars, params),
            "tickformat": f",.{formats.price_decimals(market.last_price)}f",
            "automargin": True,
        },
        "yaxis2": {
            **grid,
            "side": "right",
            "domain": [0, 0.17],
            **_volume_ticks(bars, params),
            "fixedrange": True,
            "automargin": True,
        },
        "shapes": _last_price_line(market, palette) if len(bars) else [],
        "annotations": _last_price_tag(market, bars, palette) if len(bars) else [],
    }


def _last_price_line(market: MarketView, palette: Palette) -> list[PlotData]:
    line = {"color": palette.accent, "width": 1, "dash": "dot"}
    price = market.last_price
    return [
        {
            "type": "line",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": price,
            "y1": price,
            "line": line,
            "layer": "below",
        }
    ]


def _last_price_tag(market: MarketView, bars: Bars, palette: Palette) -> list[PlotData]:
    typical = float(bars.close[-1])
    return [
        {
            "xref": "paper",
            "yref": "y",
            "x": 1,
            "y": market.last_price,
            "xanchor": "left",
            "showarrow": False,
            "text": formats.price(market.last_price, reference=typical),
            "font": {"size": 12, "color": palette.background},
            "bgcolor": palette.accent,
            "borderpad": 2,
        }
    ]


def _time_range(bars: Bars, params: ChartParams) -> list[float] | None:
    if not len(bars):
        return None
    end_s = float(bars.start_s[-1]) + params.interval_s
    begin_s = max(end_s - SPANS_S[params.interval_s], float(bars.start_s[0]) - params.interval_s)
    # Few bars would be drawn as wide as a hand: at least sixty fit.
    begin_s = min(begin_s, end_s - 60 * params.interval_s)
    return [begin_s * 1_000, (end_s + 0.02 * (end_s - begin_s)) * 1_000]


def _price_range(bars: Bars, params: ChartParams) -> list[float] | None:
    if not len(bars):
        return None
    shown = _shown(bars, params)
    low, high = float(shown.low.min()), float(shown.high.max())
    # A market that stood still still gets an axis with room around its price.
    margin = 0.06 * (high - low) or 0.0005 * high
    return [low - margin, high + margin]


def _volume_ticks(bars: Bars, params: ChartParams) -> PlotData:
    largest = float(_shown(bars, params).volume.max()) if len(bars) else 0.0
    ticks = [largest / 2, largest]
    return {
        "range": [0, 1.08 * largest or 1],
        "tickvals": ticks,
        "ticktext": [formats.compact(tick) for tick in ticks],
    }


def _shown(bars: Bars, params: ChartParams) -> Bars:
    return bars.since(int(bars.start_s[-1]) - SPANS_S[params.interval_s])


def _milliseconds(bars: Bars) -> list[int]:
    milliseconds: list[int] = (bars.start_s * 1_000).tolist()
    return milliseconds


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
