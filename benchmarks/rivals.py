"""Runs the same z-score job on this project and on its peers, each in a process of its own, round by round.

The peers' requirements exclude ours (quixstreams wants an older confluent-kafka), so they live in an
environment of their own, whose interpreter `BENCH_PEERS_PYTHON` names:

    python3 -m venv peers && peers/bin/pip install quixstreams bytewax orjson
    BENCH_PEERS_PYTHON=peers/bin/python python -m benchmarks pipeline
"""

import json
import math
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Row, median_rows
from shared import topics

_ROOT: Final = Path(__file__).resolve().parents[1]
# A peer that takes longer than this for its share is stuck.
_LONGEST_S: Final = 180.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One contestant.

    Attributes:
        name: for people.
        module: of `benchmarks.peers`, without `_job`.
        needs: what its interpreter must be able to import; empty for our own.
        kind: last argument.
        most_trades: of the topic that it is given.
    """

    name: str
    module: str
    needs: str = ""
    kind: str = ""
    most_trades: int = 10**9


JOBS: Final = (
    Job(name="ours, z over 1,000 trades and all else, exactly once", module="own"),
    Job(
        name="bytewax, z over 1,000 trades, at least once",
        module="bytewax",
        needs="bytewax.connectors.kafka.operators, orjson",
    ),
    Job(
        name="quixstreams, three numbers of state, exactly once",
        module="quix",
        needs="quixstreams",
        kind="numbers",
        most_trades=100_000,
    ),
    Job(
        name="quixstreams, z over 1,000 trades, exactly once, windows partly full",
        module="quix",
        needs="quixstreams",
        kind="window",
        most_trades=50_000,
    ),
)


def peers_python() -> str:
    """Return the interpreter that has the peers."""
    return os.environ.get("BENCH_PEERS_PYTHON") or sys.executable


def measure(servers: str, prefix: str, *, trades: int, rounds: int) -> tuple[list[Row], str]:
    """Return the median of every job that can run here, and which are missing.

    Args:
        servers: the broker.
        prefix: of the topics; that of trades is full.
        trades: in the topic.
        rounds: of all jobs, interleaved.
    """
    present = {needs: _has(needs) for needs in {job.needs for job in JOBS}}
    jobs = [job for job in JOBS if present[job.needs]]
    measured = []
    for number in range(rounds):
        rows = []
        for job in jobs:
            print(f"peers, round {number + 1} of {rounds}: {job.name}", file=sys.stderr)
            rows.append(_row(job, servers, prefix, min(trades, job.most_trades)))
        measured.append(rows)
    missing = sorted({job.module for job in JOBS} - {job.module for job in jobs})
    note = "Each in a process of its own, CPU time of all its threads; the first two fifths are a warm-up."
    if missing:
        note += f" Not installed, and so left out: {', '.join(missing)} (BENCH_PEERS_PYTHON)."
    return median_rows(measured), note


def _has(needs: str) -> bool:
    if not needs:
        return True
    command = [peers_python(), "-W", "ignore", "-c", f"import {needs}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own command


def _row(job: Job, servers: str, prefix: str, trades: int) -> Row:
    source, sink = prefix + topics.TRADES, prefix + topics.ANOMALIES
    python = peers_python() if job.needs else sys.executable
    script = ["-W", "ignore", "-m", f"benchmarks.peers.{job.module}_job"]
    command = [python, *script, servers, source, sink, f"bench-{uuid.uuid4().hex}", str(trades), job.kind]
    try:
        ended = subprocess.run(  # noqa: S603 - our own command
            command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired:
        print(f"{job.name} took more than {_LONGEST_S:g} s", file=sys.stderr)
        return _figures(job, math.nan, math.nan, trades)
    if ended.returncode:
        print(f"{job.name} failed:\n{ended.stderr}", file=sys.stderr)
        return _figures(job, math.nan, math.nan, trades)
    spent = json.loads(ended.stdout.splitlines()[-1])
    return _figures(job, spent["cpu_us"], spent["wall_us"], trades)


def _figures(job: Job, cpu_us: float, wall_us: float, trades: int) -> Row:
    return Row(
        name=job.name,
        values={
            "cpu_us_per_trade": cpu_us,
            "trades_per_s_and_core": 1e6 / cpu_us,
            "trades_per_s": 1e6 / wall_us,
            "trades": trades,
        },
    )
