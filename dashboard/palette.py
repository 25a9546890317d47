"""Colours that colour-blind people can tell apart, for light and dark.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), darkened or lightened where text on the
theme's background would otherwise be faint. `.streamlit/config.toml` holds the same values for all that
Streamlit draws; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final, Literal

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of one theme, as `#rrggbb`."""

    background: str
    panel: str
    border: str
    text: str
    muted: str
    up: str
    down: str
    accent: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How anomalies of one kind are drawn: told apart by shape as well as by colour."""

    symbol: str
    light: str
    dark: str

    def color(self, theme: ThemeName) -> str:
        """Return the colour for a theme."""
        return self.dark if theme == "dark" else self.light


PALETTES: Final[dict[ThemeName, Palette]] = {
    "light": Palette(
        background="#ffffff",
        panel="#f4f6f8",
        border="#dce1e7",
        text="#171c22",
        muted="#5b6673",
        up="#007a59",
        down="#b84a00",
        accent="#0072b2",
    ),
    "dark": Palette(
        background="#0d1117",
        panel="#151b23",
        border="#262e38",
        text="#dbe2ea",
        muted="#8b97a5",
        up="#1fbf92",
        down="#f0803c",
        accent="#56b4e9",
    ),
}

_MARKS: Final = {
    "combined": Mark(symbol="diamond", light="#c98200", dark="#f0b429"),
    "whale": Mark(symbol="circle", light="#0072b2", dark="#56b4e9"),
    "flash_crash": Mark(symbol="triangle-down", light="#a8327a", dark="#e58fbd"),
    "pump_dump": Mark(symbol="triangle-up", light="#00735c", dark="#1fbf92"),
    "wash_trading": Mark(symbol="hourglass", light="#7a5195", dark="#b9a3e3"),
    "manipulation": Mark(symbol="bowtie", light="#a65628", dark="#e0a575"),
    "zscore": Mark(symbol="square", light="#5b6673", dark="#c3ccd6"),
    "forest": Mark(symbol="hexagon", light="#8a6d00", dark="#f0e442"),
}
_SPARE_MARKS: Final = (
    Mark(symbol="star", light="#a8327a", dark="#e58fbd"),
    Mark(symbol="pentagon", light="#0072b2", dark="#56b4e9"),
    Mark(symbol="cross", light="#8a6d00", dark="#f0e442"),
    Mark(symbol="hourglass", light="#c98200", dark="#f0b429"),
)


def mark(kind: str) -> Mark:
    """Return how anomalies of a kind are drawn; one that is not known gets a spare mark, always the same."""
    return _MARKS.get(kind) or _SPARE_MARKS[sum(kind.encode()) % len(_SPARE_MARKS)]
