import json
from pathlib import Path

import msgspec
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from alerter.__main__ import app
from alerter.backtest import view
from alerter.backtest.figures import difference, figures, longest_burst
from alerter.backtest.replay import Replay, replay
from alerter.rules.file import parse
from alerter.rules.tree import Rules
from shared.events import Anomaly, EpisodePhase, Severity
from shared.recordings.anomalies import to_batch
from tests.unit.alerter.examples import EVENT_US, anomaly

RUNNER = CliRunner()


def found(name: str, seconds: float, *, symbol: str = "BTC-USDT", **fields: object) -> Anomaly:
    event = anomaly(name, symbol=symbol, **fields)  # type: ignore[arg-type]  # those of `anomaly`
    at_us = EVENT_US + round(seconds * 1_000_000)
    opened_us = at_us - 2_000_000
    episode = msgspec.structs.replace(event.episode, opened_us=opened_us, last_us=at_us)
    return msgspec.structs.replace(event, event_time_us=at_us, episode=episode)


RECORDED = [
    found("a", 0),
    found("b", 10, symbol="ETH-USDT", kind="flash_crash", severity=Severity.CRITICAL),
    found("c", 20, symbol="ETH-USDT", kind="combined"),
    found("low", 30, symbol="SOL-USDT", severity=Severity.LOW),
    found("b-over", 90, symbol="ETH-USDT", kind="flash_crash", phase=EpisodePhase.CLOSED, episode_id="b"),
]


def heard(text: str = "", name: str = "rules") -> Replay:
    return replay(RECORDED, Rules(parse(text, name=name), channels=["chat", "pager"]), name=name)


def test_figures_say_what_people_would_have_heard() -> None:
    told = figures(heard("inhibit: [{source: {kind: flash_crash}, target: {kind: combined}}]"))
    assert (told["anomalies"], told["alerts"], told["notifications"]) == (5, 4, 3)
    assert told["by_channel"] == {"chat": 3, "pager": 3}
    assert told["by_day_and_market"] == {"2026-09-21": {"BTC-USDT": 1, "ETH-USDT": 2}}
    assert told["not_told"] == {"below the least severity": 1, "inhibited": 1, "told already": 1}
    # The one that was inhibited is told when the crash is over, a minute later.
    assert told["first_notification_s"] == {"median": 2.0, "p95": 65.0, "longest": 72.0}
    assert json.loads(json.dumps(told)) == told


def test_the_worst_minute_is_found() -> None:
    assert longest_burst(heard().rung) == {
        "notifications": 2,
        "within_s": 60,
        "from": "2026-09-21 14:13:20 UTC",
    }
    assert longest_burst([])["notifications"] == 0


def test_two_sets_of_rules_are_compared_by_what_they_tell() -> None:
    told = difference(heard(), heard("min_severity: critical", "strict"))
    assert told["told_by_both"] == 1
    assert told["told_only_by_the_second"] == []
    assert [
        line.split(" UTC ")[1] for line in msgspec.convert(told["told_only_by_the_first"], list[str])
    ] == [
        "BTC-USDT whale high",
        "ETH-USDT combined high",
    ]


def test_the_picture_shows_every_notification() -> None:
    one, other = heard(), heard("flood: {markets: 2}", "digests")
    drawn = view.figure([one, other])
    assert isinstance(drawn, go.Figure)
    marks = [t for t in drawn.data if isinstance(t, go.Scatter) and t.name != "anomaly"]
    assert sum(len(mark.x) for mark in marks) == len(one.rung) + len(other.rung)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "anomalies.parquet"
    pq.write_table(pa.Table.from_batches([to_batch(RECORDED)]), path)
    return path


def test_the_command_prints_tables_and_writes_picture_and_json(recording: Path, tmp_path: Path) -> None:
    strict, plot, figures_file = tmp_path / "strict.yaml", tmp_path / "heard.html", tmp_path / "heard.json"
    strict.write_text("min_severity: critical")
    done = RUNNER.invoke(
        app,
        [
            "backtest",
            str(recording),
            "--against",
            str(strict),
            "--plot",
            str(plot),
            "--json",
            str(figures_file),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "only the first would have told" in done.output
    assert plot.stat().st_size > 10_000
    written = json.loads(figures_file.read_text())
    assert [rules["notifications"] for rules in written["rules"]] == [3, 1]


def test_check_config_shows_the_routes_or_the_fault(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("route: {routes: [{name: whales, match: {kind: whale}, channels: [telegram:7]}]}")
    bad.write_text("min_severity: low\nroute: {chanels: []}")
    done = RUNNER.invoke(app, ["check-config", "--config", str(good)])
    assert done.exit_code == 0, done.output
    assert "whales" in done.output
    assert "No channel that is set up is meant by 'telegram:7'." in done.output
    refused = RUNNER.invoke(app, ["check-config", "--config", str(bad)])
    assert refused.exit_code == 1
    assert f"{bad}, line 2: route.chanels: there is no such field" in refused.output


def test_route_shows_who_would_hear() -> None:
    asked = ["route", "--market", "BTC-USDT", "--kind", "whale", "--severity"]
    assert "console" in RUNNER.invoke(app, [*asked, "critical"]).output
    assert "Nobody: severity low is below medium." in RUNNER.invoke(app, [*asked, "low"]).output
