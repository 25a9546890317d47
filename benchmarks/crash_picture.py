"""The picture of a crash: the price, and when what was told."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import plotly.graph_objects as go

from shared import pictures
from shared.events import EpisodePhase

if TYPE_CHECKING:
    from benchmarks.crashes import Day

# 2025-10-10, 20:30 to 23:00.
_FROM_US: Final = 1_760_128_200_000_000
_UNTIL_US: Final = 1_760_137_200_000_000
_LOOKS: Final = {
    EpisodePhase.OPENED: ("circle", "told"),
    EpisodePhase.UPDATED: ("diamond-open", "deeper, or what followed"),
    EpisodePhase.CLOSED: ("x", "over"),
}
_COLOURS: Final = {"flash_crash": pictures.RED, "spike": pictures.GREEN}


def draw(path: Path, day: "Day") -> None:
    """Draw a market through the crash.

    Args:
        path: to write.
        day: of the crash.
    """
    start_us, end_us = _FROM_US, _UNTIL_US
    chosen = np.flatnonzero((day.times_us >= start_us) & (day.times_us < end_us))
    seconds = day.times_us[chosen] // 1_000_000
    last = chosen[np.append(seconds[1:] != seconds[:-1], True)]
    drawn = go.Figure()
    drawn.add_scatter(
        x=day.times_us[last].astype("datetime64[us]"),
        y=day.prices[last],
        name="price",
        line={"color": pictures.BLACK, "width": 1.2},
    )
    for kind, colour in _COLOURS.items():
        for phase, (symbol, label) in _LOOKS.items():
            events = [
                e
                for e in day.events
                if (e.kind, e.episode.phase) == (kind, phase) and start_us <= e.event_time_us < end_us
            ]
            drawn.add_scatter(
                x=np.array([e.event_time_us for e in events], "datetime64[us]"),
                y=[e.price for e in events],
                name=f"{kind.replace('_', ' ')}: {label}",
                mode="markers",
                marker={"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2}},
            )
    pictures.style(drawn, title=f"{day.name} on 2025-10-10, and what was told", height_px=560)
    drawn.update_xaxes(title="UTC")
    drawn.update_yaxes(title="price")
    drawn.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.99})
    pictures.write(drawn, path)
