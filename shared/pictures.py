"""Pictures of measurements: one look for all, as a page for the browser or as a PNG for documents.

Colours are those of Okabe and Ito, which stay apart for colour-blind eyes. A page needs no network. A PNG is
what Chromium makes of the page, in few colours, so it needs the tools of the tests: playwright, pillow and a
Chromium.

Reference: M. Okabe, K. Ito, "Color Universal Design", 2008.
"""

import importlib.util
import io
import shutil
from pathlib import Path
from typing import Final

import plotly.graph_objects as go

from shared.errors import TapewatchError, ToolMissingError

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
SKY: Final = "#56B4E9"
BLACK: Final = "#222222"
COLOURS: Final = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)

WIDTH_PX: Final = 1_000
_GRID: Final = "#E5E5E5"
_SUFFIXES: Final = (".html", ".png")
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
# Sharp on screens of twice the density, and still small.
_SCALE: Final = 1.5
_COLOURS_LEFT: Final = 128


def check_path(path: Path) -> None:
    """Refuse a path that no picture can be written to, before anything is computed for it.

    Raises:
        TapewatchError: the suffix is unknown, the folder is missing, or what a PNG needs is not installed.
    """
    if path.suffix not in _SUFFIXES:
        raise TapewatchError(f"{path}: a picture is {' or '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise TapewatchError(f"{path}: there is no folder {path.parent}")
    if path.suffix == ".png":
        _browser()


def style(figure: go.Figure, *, title: str, height_px: int) -> None:
    """Give a figure the common look.

    Args:
        figure: is changed.
        title: what it shows.
        height_px: of the whole picture; the width is `WIDTH_PX`.
    """
    figure.update_layout(
        title={"text": title, "x": 0.01, "font": {"size": 19}},
        font={"family": "DejaVu Sans, Arial, sans-serif", "size": 14, "color": BLACK},
        colorway=list(COLOURS),
        width=WIDTH_PX,
        height=height_px,
        plot_bgcolor="white",
        paper_bgcolor="white",
        margin={"l": 90, "r": 30, "t": 70, "b": 60},
    )
    look = {"showline": True, "linecolor": BLACK, "gridcolor": _GRID, "zeroline": False, "ticks": "outside"}
    figure.update_xaxes(**look, title_font_size=15)
    figure.update_yaxes(**look, title_font_size=15)


def write(figure: go.Figure, path: Path) -> None:
    """Write a figure as a page (`.html`) or as a picture (`.png`).

    Raises:
        TapewatchError: see `check_path`.
    """
    check_path(path)
    if path.suffix == ".html":
        figure.write_html(path, include_plotlyjs=True)
    else:
        _render(figure, path)


def _render(figure: go.Figure, path: Path) -> None:
    # Tools of development, absent from workers.
    from PIL import Image  # noqa: PLC0415 - as above
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - as above

    page_text = figure.to_html(include_plotlyjs=True, config={"staticPlot": True})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser(), args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=_SCALE)
        page.set_content(page_text)
        drawn = page.locator(".js-plotly-plot").screenshot()
        browser.close()
    with Image.open(io.BytesIO(drawn)) as picture:
        few = picture.convert("RGB").quantize(_COLOURS_LEFT, Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)


def _browser() -> str:
    """Return the path of a Chromium."""
    for module in ("playwright", "PIL"):
        if importlib.util.find_spec(module) is None:
            raise ToolMissingError(module, remedy="A PNG needs it: `make install`; or write a .html page.")
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise ToolMissingError("Chromium", remedy="A PNG needs it; or write a .html page.")
    return found
