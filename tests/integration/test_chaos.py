"""The short form of `make chaos`, five minutes in all: each kind of fault, and the same verdict."""

import sys
from pathlib import Path

import pytest

from tests.chaos.drive import run
from tests.chaos.schedule import ScheduleParams, make_schedule
from tests.chaos.stage import StageParams

# Its feed takes four minutes; the rest is patience with slow machines.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]

KINDS = {
    "SIGKILL worker",
    "SIGSTOP worker",
    "SIGTERM worker",
    "SIGKILL broker",
    "disk full broker",
    "slow broker",
    "locked store",
    "poison trades",
}
FEED_S = 240.0
SEED = 7
# Bursts come on top: they nearly triple it.
RATE = 900.0


def test_nothing_is_lost_doubled_or_different_whatever_breaks(
    tmp_path: Path,
    local_kafka_prerequisites: None,  # noqa: ARG001 - skips
) -> None:
    params = StageParams(folder=tmp_path, seed=SEED, feed_s=FEED_S, trades_per_s=RATE)
    schedule = make_schedule(
        ScheduleParams(
            seed=SEED, length_s=FEED_S - 15, longest_gap_s=10, longest_slowness_s=12, longest_lock_s=45
        )
    )
    lines: list[str] = []
    report = run(params, schedule, lines.append)
    # Shown when the test fails.
    sys.stdout.write("\n".join([*map(str, schedule), *lines, *report.lines()]))
    assert report.verdict.faults == []
    assert report.done.keys() == {fault.kind for fault in schedule} == KINDS
    assert len(report.verdict.anomalies) > 100, "there is too little to agree on"
    assert report.verdict.trades > 2_000 * FEED_S
