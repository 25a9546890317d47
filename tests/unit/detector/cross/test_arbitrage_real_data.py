"""Arbitrage on the crash of 2025-10-10: nothing before it, and nearly all of what there was."""

from pathlib import Path

import pytest

from benchmarks.arbitrage import score, told
from detector.cross.params import CrossParams

pytestmark = pytest.mark.real_data


def test_the_crash_is_covered_and_the_calm_before_is_silent(real_data_dir: Path) -> None:
    folder = real_data_dir / "crash-2025-10-10"
    paths = [*folder.glob("*_SKYUSDT.csv.gz"), *folder.glob("*_SKY-USD.csv.gz")]
    measured = told(paths, CrossParams(enabled=("arbitrage",)))
    calm, crash, _ = score(measured, calm_until="20:30", crash=("21:10", "21:40"))
    assert calm.values["episodes"] == 0
    assert crash.values["seconds"] > 500
    assert crash.values["covered_pct"] > 95
    assert crash.values["live_covered_pct"] > 95
