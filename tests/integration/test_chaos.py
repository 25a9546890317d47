"""The short form of `make chaos`: every kind of fault at least once, and the same verdict."""

import sys
from pathlib import Path

import pytest

from tests.chaos.drive import run
from tests.chaos.schedule import ScheduleParams, make_schedule
from tests.chaos.stage import StageParams

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(600)]

FEED_S = 70.0


def test_nothing_is_lost_doubled_or_different_whatever_breaks(
    tmp_path: Path,
    local_kafka_prerequisites: None,  # noqa: ARG001 - skips
) -> None:
    params = StageParams(folder=tmp_path, seed=7, feed_s=FEED_S)
    schedule = make_schedule(ScheduleParams(seed=7, length_s=FEED_S - 10, longest_gap_s=12))
    lines: list[str] = []
    report = run(params, schedule, lines.append)
    # Shown when the test fails.
    sys.stdout.write("\n".join([*map(str, schedule), *lines, *report.lines()]))
    assert report.verdict.faults == []
    assert {"SIGKILL broker", "SIGKILL worker", "SIGSTOP worker", "SIGTERM worker"} <= report.done.keys()
    assert len(report.verdict.anomalies) > 100, "there is too little to agree on"
    assert report.verdict.trades > 2_000 * FEED_S
