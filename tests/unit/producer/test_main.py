"""The entry point: settings become parameters, and faults become one sentence and an exit status."""

import os
import subprocess
import sys
from pathlib import Path

import config
from producer.__main__ import params_from

ROOT = Path(__file__).parents[3]


def check(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    known = {name.upper() for name in config.Settings.model_fields}
    environ = {name: value for name, value in os.environ.items() if name.upper() not in known}
    return subprocess.run(
        [sys.executable, "-m", "producer", "--check"],
        env=environ | {"PYTHONPATH": str(ROOT)} | settings,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unreachable_exchange_is_one_sentence_and_a_failure(tmp_path: Path) -> None:
    # Port 1 is reserved and nobody listens there.
    done = check(tmp_path, PRODUCER_REST_URL="http://127.0.0.1:1", PRODUCER_WS_URL="ws://127.0.0.1:1")
    assert done.returncode == 1
    assert "REST cannot be reached: no answer from http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_fault_in_the_settings_is_said(tmp_path: Path) -> None:
    done = check(tmp_path, PRODUCER_REST_WEIGHT_PER_MINUTE="7")
    assert done.returncode == 1
    assert "PRODUCER_REST_WEIGHT_PER_MINUTE" in done.stderr


def test_settings_become_parameters(tmp_path: Path) -> None:
    environ = {
        "PRODUCER_RECONNECT_AFTER_HOURS": "2",
        "PRODUCER_QUEUE_TRADES": "8000",
        "PRODUCER_STALE_MAX_S": "99",
        "PRODUCER_BACKFILL_ON_START_TRADES": "7",
    }
    params = params_from(config.load(environ=environ, folder=tmp_path))
    assert params.feed.reconnect_after_s == 7_200
    assert (params.publisher.queue_trades, params.tape.max_waiting_trades) == (8_000, 2_000)
    assert params.staleness.max_s == 99
    assert (params.tape.backfill_on_start_trades, params.watchdog.first_trades) == (7, 7)
