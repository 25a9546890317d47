"""The command line, as processes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import connect

FRAME = (
    b'1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT",'
    b'"t":7,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}\n'
)
ROOT = Path(__file__).parents[3]


@contextmanager
def started(*arguments: str, end_with: signal.Signals = signal.SIGTERM) -> Iterator[dict[str, str]]:
    """Run the command until the block ends; it must then stop cleanly."""
    command = [sys.executable, "-m", "simulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(end_with)
            process.communicate(timeout=20)
    assert process.returncode == 0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.run(command, capture_output=True, cwd=ROOT, text=True, timeout=60, check=False)


def test_a_market_is_served_and_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    arguments = ("--symbols", "btcusdt,ETHUSDT", "--rate", "50", "--speed", "20", "--history", "10")
    with started("market", *arguments, "--first-event-after", "1", "--truth", str(truth)) as told:
        with connect(told["ws_url"] + "/stream?streams=btcusdt@trade") as client:
            assert json.loads(client.recv(timeout=20))["stream"] == "btcusdt@trade"
        state = httpx.get(told["rest_url"] + "/simulator/state").json()
        assert set(state["symbols"]) == {"BTCUSDT", "ETHUSDT"}
        port = told["ws_url"].rpartition(":")[2]
        refused = run("market", "--symbols", "BTCUSDT", "--port", port)
        assert refused.returncode == 1
        assert f"port {port}" in refused.stderr
        assert "--port" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_recording_is_served_and_rest_stays_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(FRAME)
    arguments = ("recording", str(path), "--speed", "10")
    with (
        started(*arguments, end_with=signal.SIGINT) as told,
        connect(told["ws_url"] + "/ws/btcusdt@trade") as client,
    ):
        assert json.loads(client.recv(timeout=20))["t"] == 7
        assert httpx.get(told["rest_url"] + "/simulator/state").json()["finished"] is True
        trades = httpx.get(told["rest_url"] + "/api/v3/trades", params={"symbol": "BTCUSDT"}).json()
        assert [trade["id"] for trade in trades] == [7]


def test_a_missing_recording_is_a_sentence(tmp_path: Path) -> None:
    refused = run("recording", str(tmp_path / "missing"))
    assert refused.returncode == 1
    assert "missing" in refused.stderr
    assert "Traceback" not in refused.stderr
