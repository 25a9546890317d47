"""A PNG is what a real Chromium makes of the page."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from shared import pictures
from tests.unit.shared.test_pictures import line

pytestmark = pytest.mark.integration


def test_a_png_is_small_and_not_blank(tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")
    path = tmp_path / "picture.png"
    pictures.write(line(), path)
    with Image.open(path) as picture:
        assert picture.size == (1_500, 450)
        assert len(picture.getcolors() or []) > 2
    assert path.stat().st_size < 50_000
