"""`make demo` and `make live` as a person runs them: processes, screen, stop, and clear sentences."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]


def environ(**settings: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "160", "PYTHONUNBUFFERED": "1", **settings}


def run_to_end(*argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *argv],
        cwd=ROOT,
        env=environ(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def descendants(pid: int) -> set[int]:
    """Return the process ids of all processes below this one."""
    listing = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="],  # noqa: S607 - POSIX names the tool, not its folder
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def is_alive(pid: int) -> bool:
    stat = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],  # noqa: S607 - as above
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return bool(stat.strip()) and not stat.startswith("Z")


@pytest.fixture
def demo(tmp_path: Path, free_port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    output = tmp_path / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "demo", "--data-dir", str(tmp_path / "demo")],
            cwd=ROOT,
            env=environ(DASHBOARD_PORT=str(free_port)),
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    yield process, output
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def test_the_demo_shows_anomalies_and_a_dashboard_and_stops_everything(
    demo: tuple[subprocess.Popen[bytes], Path], free_port: int
) -> None:
    process, output = demo

    def has_found_something() -> bool:
        assert process.poll() is None, output.read_text()
        text = output.read_text()
        # An anomaly on a line of its own, and the table of markets, which comes every few seconds.
        return bool(re.search(r"(flash_crash|whale|combined)\s+[A-Z]+-USDT", text)) and "│ BTC-USDT" in text

    eventually(has_found_something, seconds=120, about="an anomaly on the screen", every_s=0.5)
    assert f"http://127.0.0.1:{free_port}" in output.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/_stcore/health", timeout=10) as answer:
        assert answer.status == 200

    started = descendants(process.pid)
    assert len(started) >= 7
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    eventually(
        lambda: not any(is_alive(pid) for pid in started), seconds=10, about="every process to be gone"
    )
    assert "stopped 7 processes" in output.read_text() or "stopped 8 processes" in output.read_text()


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_to_end("demo", "--data-dir", str(tmp_path / "demo"), DASHBOARD_PORT=str(port))
    assert result.returncode == 1
    assert f"port {port}, needed for the dashboard, is in use" in result.stderr
    assert "DASHBOARD_PORT" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_an_exchange_that_cannot_be_reached_is_one_sentence(tmp_path: Path, free_port: int) -> None:
    result = run_to_end(
        "live", "--data-dir", str(tmp_path / "live"), PRODUCER_REST_URL=f"http://127.0.0.1:{free_port}"
    )
    assert result.returncode == 1
    assert f"127.0.0.1:{free_port}" in result.stderr
    assert "PRODUCER_REST_URL" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert not (tmp_path / "live").exists(), "nothing is started without an exchange"
