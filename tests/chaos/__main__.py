"""`python -m tests.chaos`: break the pipeline, then prove that nothing is lost, doubled or different.

It prints seed, schedule, progress and a verdict; its exit status is 0 only if the verdict is good.
"""

import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from tests.chaos.drive import run
from tests.chaos.schedule import ScheduleParams, make_schedule
from tests.chaos.stage import Guarantee, StageParams

# Before the market ends, so that the last fault is felt while it trades.
_CALM_S = 10.0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(
    minutes: Annotated[float, typer.Option(min=1, help="how long the market trades")] = 5.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="of market, faults and schedule; any if none")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="trades per second; bursts come on top")] = 1_600.0,
    mode: Annotated[Guarantee, typer.Option(help="how the detectors commit")] = "exactly_once",
    folder: Annotated[
        Path | None, typer.Option(help="for logs and data, kept; none: a temporary one")
    ] = None,
) -> None:
    """Run the pipeline on a real Kafka under a schedule of faults, and judge what came of it."""
    # Drawn here, so that any failure can be repeated from what was printed.
    seed = Random().randrange(10**6) if seed is None else seed  # noqa: S311 - a schedule is no secret
    params = StageParams(
        folder=folder or Path(tempfile.mkdtemp(prefix="tapewatch-chaos-")),
        seed=seed,
        feed_s=minutes * 60,
        trades_per_s=rate,
        guarantee=mode,
    )
    params.folder.mkdir(parents=True, exist_ok=True)
    schedule = make_schedule(
        ScheduleParams(
            seed=seed, length_s=params.feed_s - _CALM_S, session_timeout_s=params.session_timeout_s
        )
    )
    _say(f"seed {seed}, {minutes:g} minutes, logs in {params.folder}; the schedule:")
    for fault in schedule:
        _say(f"  {fault}")
    report = run(params, schedule, _say)
    for line in report.lines():
        _say(line)
    raise SystemExit(bool(report.verdict.faults))


if __name__ == "__main__":
    typer.run(main)
