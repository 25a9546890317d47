"""The command line, as processes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from typer.testing import CliRunner
from websockets.sync.client import connect

from simulator.__main__ import app

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


def refused(*arguments: str) -> str:
    """Run the command in this process and return what it says; it must refuse."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    return result.output


def test_a_market_is_served_and_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    arguments = ("--symbols", "btcusdt,ETHUSDT", "--rate", "50", "--speed", "20", "--history", "10")
    with started("market", *arguments, "--first-event-after", "1", "--truth", str(truth)) as told:
        with connect(told["ws_url"] + "/stream?streams=btcusdt@trade", max_queue=None) as client:
            assert json.loads(client.recv(timeout=20))["stream"] == "btcusdt@trade"
        state = httpx.get(told["rest_url"] + "/simulator/state").json()
        assert set(state["symbols"]) == {"BTCUSDT", "ETHUSDT"}
        port = told["ws_url"].rpartition(":")[2]
        sentence = refused("market", "--symbols", "BTCUSDT", "--history", "0", "--port", port)
        assert f"port {port}" in sentence
        assert "--port" in sentence


def test_a_recording_is_served_and_rest_stays_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(FRAME)
    arguments = ("recording", str(path), "--speed", "10")
    with (
        started(*arguments, end_with=signal.SIGINT) as told,
        connect(told["ws_url"] + "/ws/btcusdt@trade", max_queue=None) as client,
    ):
        assert json.loads(client.recv(timeout=20))["t"] == 7
        assert httpx.get(told["rest_url"] + "/simulator/state").json()["finished"] is True
        trades = httpx.get(told["rest_url"] + "/api/v3/trades", params={"symbol": "BTCUSDT"}).json()
        assert [trade["id"] for trade in trades] == [7]


def test_a_missing_recording_or_market_is_a_sentence(tmp_path: Path) -> None:
    assert "missing" in refused("recording", str(tmp_path / "missing"))
    assert "at least one" in refused("market", "--symbols", ",")
