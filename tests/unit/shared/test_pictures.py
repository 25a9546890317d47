"""Pictures: where they may be written, and that a page is whole."""

from pathlib import Path

import plotly.graph_objects as go
import pytest

from shared import pictures
from shared.errors import TapewatchError


def line() -> go.Figure:
    drawn = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="a line"))
    pictures.style(drawn, title="two points", height_px=300)
    return drawn


@pytest.mark.parametrize(
    ("name", "said"), [("picture.gif", ".html or .png"), ("nowhere/picture.html", "no folder")]
)
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(TapewatchError, match=said):
        pictures.check_path(tmp_path / name)


def test_a_png_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TapewatchError, match="is not installed"):
        pictures.check_path(tmp_path / "picture.png")


def test_a_page_needs_no_network(tmp_path: Path) -> None:
    pictures.write(line(), tmp_path / "picture.html")
    page = (tmp_path / "picture.html").read_text(encoding="utf-8")
    assert "two points" in page
    assert "a line" in page
    assert '<script src="http' not in page
