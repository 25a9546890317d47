"""The picture of a day of whales: its largest trades, the episodes, and what they were told by."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from detector.online.protocol import AFTER_S
from shared import pictures
from shared.events import EpisodePhase

if TYPE_CHECKING:
    from benchmarks.whales import Played

_SHOWN: Final = 50_000.0


def draw(path: Path, day: "Played") -> None:
    """Draw a day.

    Args:
        path: to write.
        day: what was traded and told.
    """
    large = np.flatnonzero(day.notionals >= _SHOWN)
    drawn = go.Figure()
    drawn.add_scatter(
        x=day.times_us[large].astype("datetime64[us]"),
        y=day.notionals[large],
        mode="markers",
        name="single trades",
        marker={"size": 5, "color": pictures.SKY},
    )
    opened = [e for e in day.events if e.episode.phase == EpisodePhase.OPENED]
    sequels = [e for e in day.events if AFTER_S in e.features]
    drawn.add_scatter(
        x=np.array([e.window.start_us for e in sequels], "datetime64[us]"),
        y=[abs(e.features["after_order"]) for e in sequels],
        mode="markers",
        name="orders put together, told with what followed",
        marker={"size": 9, "symbol": "diamond-open", "color": pictures.PURPLE, "line": {"width": 2}},
    )
    drawn.add_scatter(
        x=np.array([e.event_time_us for e in opened], "datetime64[us]"),
        y=[e.score for e in opened],
        mode="markers",
        name="alarms, at the size when they were told",
        marker={"size": 14, "symbol": "circle-open", "color": pictures.RED, "line": {"width": 3}},
    )
    for first_us, last_us in day.spans():
        edges = np.array([first_us, last_us], "datetime64[us]")
        drawn.add_vrect(x0=edges[0], x1=edges[1], fillcolor=pictures.ORANGE, opacity=0.15, line_width=0)
    date = np.datetime64(int(day.times_us[0]), "us").astype("datetime64[D]")
    pictures.style(drawn, title=f"Whales on BTC-USDC, {date}; episodes are shaded", height_px=560)
    drawn.update_xaxes(title="UTC")
    drawn.update_yaxes(title="notional, USDC", type="log")
    drawn.update_layout(legend={"orientation": "h", "y": -0.18})
    pictures.write(drawn, path)
