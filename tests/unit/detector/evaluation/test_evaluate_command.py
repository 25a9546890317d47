"""`python -m detector evaluate`, from files to report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from detector.__main__ import app
from simulator.crowd import MarketParams
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.tapes import write_tape

START_MS = 1_760_054_400_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# Hours into the recording: two falls, of which the first one is labelled, and a label without a fall.
HIT_H, FALSE_H, MISS_H = 20, 30, 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a market that trades every 10 s and falls by a fifth twice, for an hour."""
    times_ms = START_MS + np.arange(48 * 360) * 10_000
    hours = (times_ms - START_MS) / HOUR_MS
    prices = 100.0 * np.exp(np.random.default_rng(5).normal(0.0, 2e-4, len(hours)))
    for begin_h in (HIT_H, FALSE_H):
        depth = np.clip((hours - begin_h) * 60.0, 0.0, 1.0) * 0.2
        prices *= 1.0 - depth * (hours < begin_h + 1)
    path = tmp_path_factory.mktemp("recording") / "A.csv"
    rows = [
        f"AAA/BTC,{time},buy,{price:.8f},1.5" for time, price in zip(times_ms.tolist(), prices, strict=True)
    ]
    path.write_text("symbol,timestamp,side,price,amount\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    lines = [f"AAA-BTC,flash_crash,{START_MS + hour * HOUR_MS},<b>{hour} h</b>" for hour in (HIT_H, MISS_H)]
    path.write_text("symbol,kind,start,id\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    return result.exit_code, result.output


def test_one_hit_one_miss_one_false_alarm(recording: Path, truth: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    code, told = run(
        recording, "--truth", truth, "--report", folder, "--against", "percent", "--against",
        "flash_crash_min_drop_pct=15",
    )  # fmt: skip
    assert code == 0, told
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    ours, percent, deeper = report["scores"]
    assert [score["contestant"] for score in report["scores"]] == [
        "settings",
        "percent",
        "flash_crash_min_drop_pct=15",
    ]
    assert [len(ours[name]) for name in ("hits", "missed", "false")] == [1, 1, 1]
    assert ours["hits"][0]["start"].startswith("2025-10-10 20:00:00")
    assert ours["missed"][0]["start"].startswith("2025-10-11 16:00:00")
    assert ours["false"][0]["time"].startswith("2025-10-11 06:00:")
    measures = {name: measure["value"] for name, measure in ours["measures"].items()}
    assert (measures["recall"], measures["precision"], measures["f1"]) == (0.5, 0.5, 0.5)
    # Recorded is two days; 15 % warm up; an hour and a minute around each label count for nothing.
    days = (48 * 0.85 - 2 * 61 / 60) / 24
    assert ours["watched_market_days"] == pytest.approx(days, abs=1e-3)
    assert measures["false_per_market_day"] == pytest.approx(1 / days, rel=1e-3)
    # 3 % of a fall by 20 % in 60 s, and 10 % by the fixed rule; confirmed by the next trade.
    assert measures["delay_p50_s"] == pytest.approx(15.0, abs=6.0)
    assert deeper["measures"]["delay_p50_s"]["value"] == pytest.approx(35.0, abs=6.0)
    assert percent["measures"]["delay_p50_s"]["value"] < measures["delay_p50_s"]
    assert "flash_crash" in told
    assert "0.500" in told


def test_the_page_needs_nothing_else(recording: Path, truth: Path, tmp_path: Path) -> None:
    assert run(recording, "--truth", truth, "--report", tmp_path, "--pictures", 1)[0] == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text
    assert "<b>40 h</b>" not in text
    assert "&lt;b&gt;40 h&lt;/b&gt;" in text
    for heading in ("Hits: 1", "Missed: 1", "False alarms: 1"):
        assert heading in text
    # One of each, and the chart.
    assert text.count("<svg") == 4
    assert run(recording, "--truth", truth, "--report", tmp_path, "--pictures", 0)[0] == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 1
    assert "1 more without a picture" in text


def test_kinds_and_rules_by_words(recording: Path, truth: Path, tmp_path: Path) -> None:
    code, told = run(
        recording, "--truth", truth, "--report", tmp_path, "--kind", "flash_crash", "--kind", "whale",
        "--rule", "flash_crash.late_s=5",
    )  # fmt: skip
    assert code == 0, told
    crash, whale = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["scores"]
    assert (crash["found"], crash["events"]) == (0, 2)
    assert (whale["events"], whale["false_alarms"]) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "nobody"], "none of the baselines zscore3, percent, refit_forest, la_morgia"),
        (["--against", "budget_per_dya=2"], "Did you mean DETECTOR_BUDGET_PER_DAY"),
        (["--against", "budget_per_day=-2"], "BUDGET_PER_DAY"),
        (["--against", "percent", "--against", "percent"], "compared with itself: percent"),
        (["--rule", "late_s=1"], "KIND.NAME=VALUE"),
        (["--kind", "arbitrage", "--jobs", "2"], "needs --jobs 1"),
    ],
)
def test_wrong_questions_are_told_apart(
    recording: Path, truth: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, told = run(recording, "--truth", truth, "--report", tmp_path / "r", *arguments)
    assert code == 1
    assert said in told
    assert not (tmp_path / "r" / "report.json").exists()


def test_settings_from_a_file(recording: Path, truth: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(
        "detector_flash_crash_drop_pct: 30\ndetector_flash_crash_min_drop_pct: 30\n", encoding="utf-8"
    )
    code, told = run(recording, "--truth", truth, "--report", tmp_path, "--against", path)
    assert code == 0, told
    ours, other = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["scores"]
    assert (ours["found"], other["found"]) == (1, 0)


@pytest.fixture(scope="module")
def spoofed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of a market with its quotes, in which somebody spoofs after 25 minutes."""
    folder = tmp_path_factory.mktemp("spoofed")
    event = Scheduled("spoofing", "BTCUSDT", 1_500.0, 20.0)
    scenarios = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0, scheduled=(event,))
    params = MarketParams(
        symbols=("BTCUSDT",), rate=5.0, seed=9, duration_s=1_800.0, has_quotes=True, scenarios=scenarios
    )
    write_tape(params, folder)
    return folder


def judged(tmp_path: Path, *recordings: Path, truth: Path) -> dict[str, Any]:
    code, told = run(*recordings, "--truth", truth, "--report", tmp_path)
    assert code == 0, told
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.parametrize("names", [("",), ("trades.parquet", "quotes.parquet")])
def test_spoofing_is_found_in_the_quotes_of_a_tape(
    spoofed: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    recordings = [spoofed / name for name in names]
    report = judged(tmp_path, *recordings, truth=spoofed / "truth.jsonl")
    (score,) = report["scores"]
    assert (score["kind"], score["events"], score["found"]) == ("manipulation", 1, 1)
    assert "spoofing" in score["hits"][0]["alarm"]["reason"]
    assert report["quotes"] > 17_000


def test_what_shows_in_quotes_alone_is_left_out_without_them(spoofed: Path, tmp_path: Path) -> None:
    report = judged(tmp_path, spoofed / "trades.parquet", truth=spoofed / "truth.jsonl")
    (score,) = report["scores"]
    assert (score["events"], score["missed"], report["quotes"]) == (0, [], 0)
    assert score["left_out"] == {"seen in quotes alone, and none are given": 1}
    assert "1 event left out: seen in quotes alone" in (tmp_path / "report.html").read_text("utf-8")
