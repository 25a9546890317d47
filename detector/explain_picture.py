"""The picture of an explanation: price, scores, rarity and threshold, episodes, and what drove the scores."""

from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from detector.arrays import FloatVector, IntVector
from detector.catalogue import CATALOGUE
from detector.explain import Explanation
from detector.explain_source import utc
from shared import pictures
from shared.events import Anomaly

# More points than pixels show nothing more: of each part of the time, the lowest and the highest remain.
_PARTS: Final = 600
_HEIGHT_PX: Final = 1_150
# The shares stand apart: their axis is not time. The gap above them has no plot in it.
_HEIGHTS: Final = [0.24, 0.13, 0.13, 0.18, 0.13, 0.03, 0.16]
# Other patterns share one colour: each has a lane of its own.
_COLOURS: Final = {
    "zscore": pictures.BLUE,
    "forest": pictures.GREEN,
    "combined": pictures.RED,
    "whale": pictures.PURPLE,
    "flash_crash": pictures.ORANGE,
}
_TITLES: Final = {
    "zscore": "z-score",
    "forest": "forest",
    "flash_crash": "flash crash",
    "pump_dump": "pump",
    "wash_trading": "wash",
}
_LANES: Final = tuple(entry.name for entry in CATALOGUE)
_SCORED: Final = ("zscore", "forest")
_RARE: Final = ("zscore", "forest", "combined")
_PRICE, _ZSCORE, _FOREST, _RARITY, _EPISODES, _GAP, _SHARES = range(1, 8)


def figure(explanation: Explanation) -> go.Figure:
    """Return the picture of the time around the moment, and of the shares in the scores at the moment."""
    trade = explanation.trade
    drawn = make_subplots(
        rows=7,
        cols=1,
        row_heights=_HEIGHTS,
        vertical_spacing=0.03,
    )
    title = f"{trade.symbol} on {trade.exchange}, around {utc(trade.event_time_us)}"
    pictures.style(drawn, title=title, height_px=_HEIGHT_PX)
    _draw_course(drawn, explanation)
    _draw_episodes(drawn, explanation.anomalies)
    _draw_shares(drawn, explanation)
    _place_axes(drawn, explanation)
    return drawn


def thinned(
    times_us: IntVector, values: FloatVector, *, parts: int = _PARTS, is_lowest_only: bool = False
) -> IntVector:
    """Return the places of the lowest and the highest value of each part of the time, ascending.

    Args:
        times_us: n times.
        values: n values; NaN are left out.
        parts: of equal length.
        is_lowest_only: whether the highest are left out.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= parts:
        return known
    since_us = times_us[known] - times_us[known].min()
    part = since_us * parts // (since_us.max() + 1)
    order = np.lexsort((values[known], part))
    edges = np.flatnonzero(np.diff(part[order]))
    lowest, highest = np.concatenate([[0], edges + 1]), np.append(edges, len(order) - 1)
    kept: IntVector = np.unique(known[order[lowest if is_lowest_only else np.append(lowest, highest)]])
    return kept


def _draw_course(drawn: go.Figure, explanation: Explanation) -> None:
    course = explanation.course
    _line(drawn, _PRICE, course.times_us, course.prices, name="price", colour=pictures.BLACK)
    for row, name in zip((_ZSCORE, _FOREST), _SCORED, strict=True):
        if name in course.scores:
            _line(drawn, row, course.times_us, course.scores[name], name=name, colour=_COLOURS[name])
    for name in _RARE:
        if name in course.rarities:
            _line(
                drawn,
                _RARITY,
                course.times_us,
                course.rarities[name],
                name=name,
                colour=_COLOURS[name],
                is_rarity=True,
            )
    kept = thinned(course.times_us, course.thresholds)
    drawn.add_scatter(
        x=course.times_us[kept].astype("datetime64[us]"),
        y=course.thresholds[kept],
        name="threshold (alert budget)",
        mode="lines",
        line={"color": pictures.BLACK, "width": 1.4, "dash": "dash"},
        row=_RARITY,
        col=1,
    )


def _line(
    drawn: go.Figure,
    row: int,
    times_us: IntVector,
    values: FloatVector,
    *,
    name: str,
    colour: str,
    is_rarity: bool = False,
) -> None:
    # Of rarities, only the rarest of each part matter, and their lines must not hide one another.
    kept = thinned(times_us, values, parts=_PARTS // 4 if is_rarity else _PARTS, is_lowest_only=is_rarity)
    drawn.add_scatter(
        x=times_us[kept].astype("datetime64[us]"),
        y=values[kept],
        name=_TITLES.get(name, name),
        mode="lines",
        line={"color": colour, "width": 1.4, "shape": "hv" if is_rarity else "linear"},
        showlegend=is_rarity,
        row=row,
        col=1,
    )


def _draw_episodes(drawn: go.Figure, anomalies: list[Anomaly]) -> None:
    """Draw each episode as a bar from its first to its last trade, and a mark wherever something was told."""
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    for event in anomalies:
        spans[event.detector, event.episode.episode_id] = (event.episode.opened_us, event.episode.last_us)
    for (detector, _), span in spans.items():
        drawn.add_scatter(
            x=np.array(span).astype("datetime64[us]"),
            y=[_TITLES.get(detector, detector)] * 2,
            mode="lines",
            line={"color": _COLOURS.get(detector, pictures.SKY), "width": 9},
            hoverinfo="skip",
            showlegend=False,
            row=_EPISODES,
            col=1,
        )
    if not anomalies:
        return
    told = sorted(anomalies, key=lambda event: event.event_time_us)
    drawn.add_scatter(
        x=np.array([event.event_time_us for event in told], np.int64).astype("datetime64[us]"),
        y=[_TITLES.get(event.detector, event.detector) for event in told],
        mode="markers",
        marker={"symbol": "line-ns", "size": 13, "line": {"color": pictures.BLACK, "width": 1.5}},
        text=[f"{event.episode.phase}: {event.reason}" for event in told],
        hoverinfo="text+x",
        showlegend=False,
        row=_EPISODES,
        col=1,
    )


def _draw_shares(drawn: go.Figure, explanation: Explanation) -> None:
    shares = {
        verdict.detector: verdict.contributions
        for verdict in explanation.verdicts
        if verdict.detector in _SCORED
    }
    features = list(dict.fromkeys(name for columns in shares.values() for name in columns))
    for detector, contributions in shares.items():
        drawn.add_bar(
            x=features,
            y=[100.0 * contributions.get(feature, np.nan) for feature in features],
            name=_TITLES.get(detector, detector),
            marker={"color": _COLOURS[detector]},
            showlegend=False,
            row=_SHARES,
            col=1,
        )


def _place_axes(drawn: go.Figure, explanation: Explanation) -> None:
    quote = explanation.trade.symbol.partition("-")[2]
    for row, title in (
        (_PRICE, f"price, {quote}"),
        (_ZSCORE, "z-score"),
        (_FOREST, "forest score"),
        (_RARITY, "rarity<br>(episodes per trade)"),
        (_EPISODES, "episodes"),
        (_SHARES, "share of score, %"),
    ):
        drawn.update_yaxes(title={"text": title, "font": {"size": 13}}, row=row, col=1)
    # What is rare stands high, as what is strange does above.
    drawn.update_yaxes(type="log", autorange="reversed", exponentformat="power", dtick=2, row=_RARITY, col=1)
    drawn.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[_TITLES.get(name, name) for name in _LANES],
        range=[-0.6, len(_LANES) - 0.4],
        title="",
        row=_EPISODES,
        col=1,
    )
    moment_ms = explanation.trade.event_time_us / 1_000
    drawn.update_xaxes(visible=False, row=_GAP, col=1)
    drawn.update_yaxes(visible=False, row=_GAP, col=1)
    for row in range(_PRICE, _EPISODES + 1):
        drawn.update_xaxes(matches="x", showticklabels=row == _EPISODES, row=row, col=1)
        drawn.add_vline(
            x=moment_ms, line={"color": pictures.BLACK, "width": 1, "dash": "dot"}, row=row, col=1
        )
    drawn.update_xaxes(
        title={"text": "event time, UTC", "standoff": 0, "font": {"size": 14}}, row=_EPISODES, col=1
    )
    at = utc(explanation.trade.event_time_us)
    drawn.update_xaxes(
        title={"text": f"features, at {at} (dotted line above)", "font": {"size": 14}}, row=_SHARES, col=1
    )
    drawn.update_layout(
        bargap=0.35, legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}
    )
