"""The simulator over loopback, spoken to by a real WebSocket client and a real HTTP client."""

import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from shared.errors import PortInUseError
from simulator.crowd import MarketParams
from simulator.engine import EngineParams
from simulator.faults import FaultSettings
from simulator.market import MarketSource
from simulator.run import Simulator, SimulatorParams, running_simulator
from simulator.scenarios import ScenarioParams
from simulator.server import SlidingLimit, WebSocketParams, text_frame
from simulator.source import Source
from simulator.weights import WeightParams

DEADLINE_S: Final = 20.0
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
STREAMS: Final = "btcusdt@trade/ethusdt@trade"


def market(
    *, duration_s: float | None = 60.0, rate: float = 20.0, first_event_after_s: float | None = None
) -> Source:
    scenarios = ScenarioParams(first_event_after_s=first_event_after_s)
    return MarketSource(
        MarketParams(
            symbols=SYMBOLS, rate=rate, duration_s=duration_s, history_trades=50, scenarios=scenarios
        )
    )


def params(*, websocket: WebSocketParams | None = None, **engine: Any) -> SimulatorParams:  # noqa: ANN401 - passed on
    engine.setdefault("speed", 100.0)
    return SimulatorParams(websocket=websocket or WebSocketParams(), engine=EngineParams(**engine))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def open_stream(simulator: Simulator, path: str) -> ClientConnection:
    return connect(simulator.ws_url + path, compression=None, max_queue=None, ping_interval=None)


def drain(client: ClientConnection, simulator: Simulator) -> list[dict[str, Any]]:
    """Return every frame until the market has ended and nothing more comes."""
    wait_until(lambda: simulator.state().finished)
    frames = []
    with contextlib.suppress(TimeoutError):
        while True:
            frames.append(json.loads(client.recv(timeout=0.2)))
    return frames


def control(client: ClientConnection, **message: object) -> dict[str, Any]:
    """Send a control message and return the reply to it, passing over events."""
    client.send(json.dumps(message))
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        frame: dict[str, Any] = json.loads(client.recv(timeout=DEADLINE_S))
        if frame.get("id", ...) == message.get("id") and ("result" in frame or "code" in frame):
            return frame
    raise AssertionError("no reply")


@pytest.fixture
def quiet() -> Iterator[Simulator]:
    """Return a simulator whose market is so slow that nothing is sent meanwhile."""
    with running_simulator(params(speed=0.001), market()) as simulator:
        yield simulator


def command(simulator: Simulator, **faults: object) -> httpx.Response:
    return httpx.post(simulator.rest_url + "/simulator/faults", json=faults)


def rest_ids(simulator: Simulator, symbol: str, from_id: int) -> list[int]:
    """Return every id from one on, page by page."""
    ids: list[int] = []
    while True:
        query: dict[str, str | int] = {"symbol": symbol, "fromId": from_id, "limit": 1_000}
        page = httpx.get(simulator.rest_url + "/api/v3/historicalTrades", params=query).json()
        ids += [row["id"] for row in page]
        if len(page) < 1_000:
            return ids
        from_id = ids[-1] + 1


def test_a_combined_stream_brings_every_trade_once_and_rest_agrees() -> None:
    with running_simulator(params(), market()) as simulator:
        with open_stream(simulator, f"/stream?streams={STREAMS}&timeUnit=MICROSECOND") as client:
            frames = drain(client, simulator)
        assert {frame["stream"] for frame in frames} == set(STREAMS.split("/"))
        for symbol in SYMBOLS:
            trades = [frame["data"] for frame in frames if frame["data"]["s"] == symbol]
            ids = [trade["t"] for trade in trades]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert len(ids) == simulator.state().symbols[symbol].trades > 300
            assert rest_ids(simulator, symbol, ids[0]) == ids
            history = rest_ids(simulator, symbol, ids[0] - 50)
            assert history == list(range(ids[0] - 50, ids[-1] + 1))
        assert list(frames[0]["data"]) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
        assert frames[0]["data"]["T"] > 10**15


def test_a_raw_stream_is_bare_and_in_milliseconds() -> None:
    with (
        running_simulator(params(), market()) as simulator,
        open_stream(simulator, "/ws/btcusdt@trade") as client,
    ):
        frame = json.loads(client.recv(timeout=DEADLINE_S))
        assert (frame["e"], frame["s"]) == ("trade", "BTCUSDT")
        assert abs(frame["T"] / 1_000 - time.time()) < 120


def test_time_stands_still_until_someone_subscribes() -> None:
    with running_simulator(params(), market()) as simulator, open_stream(simulator, "/ws") as client:
        assert not simulator.state().started
        assert control(client, method="SUBSCRIBE", params=["nothing@trade"], id=1) == {
            "result": None,
            "id": 1,
        }
        assert not simulator.state().started
        assert control(client, method="SUBSCRIBE", params=["btcusdt@trade"], id=2) == {
            "result": None,
            "id": 2,
        }
        assert simulator.state().started
        assert json.loads(client.recv(timeout=DEADLINE_S))["s"] == "BTCUSDT"


def test_time_can_be_started_at_once_or_by_command() -> None:
    with running_simulator(params(starts_at_once=True), market()) as simulator:
        wait_until(lambda: simulator.state().finished)
    with running_simulator(params(), market()) as simulator:
        assert httpx.post(simulator.rest_url + "/simulator/start").json()["started"] is True
        wait_until(lambda: simulator.state().finished)


def test_control_messages_over_the_wire(quiet: Simulator) -> None:
    with open_stream(quiet, "/stream?streams=btcusdt@trade") as client:
        assert control(client, method="SUBSCRIBE", params=["ethusdt@trade"], id=1) == {
            "result": None,
            "id": 1,
        }
        assert control(client, method="LIST_SUBSCRIPTIONS", id=2) == {
            "result": ["btcusdt@trade", "ethusdt@trade"],
            "id": 2,
        }
        assert control(client, method="GET_PROPERTY", params=["combined"], id=3) == {"result": True, "id": 3}
        error = control(client, method="NOPE", id="a")
        assert (error["code"], error["id"]) == (2, "a")


@pytest.mark.parametrize("path", ["/", "/api", "/stream/x"])
def test_other_paths_are_not_found(quiet: Simulator, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_stream(quiet, path)
    assert refused.value.response.status_code == 404


def test_more_than_five_messages_a_second_end_the_connection(quiet: Simulator) -> None:
    with open_stream(quiet, "/ws") as client:
        for number in range(5):
            control(client, method="LIST_SUBSCRIPTIONS", id=number)
        with pytest.raises(ConnectionClosed) as closed:
            control(client, method="LIST_SUBSCRIPTIONS", id=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_pings_of_the_client_count_as_messages(quiet: Simulator) -> None:
    with open_stream(quiet, "/ws") as client:
        for _ in range(6):
            with contextlib.suppress(ConnectionClosed):
                client.ping()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=DEADLINE_S)


def test_more_connection_attempts_than_allowed_are_refused() -> None:
    websocket = WebSocketParams(attempts_per_5_min=2)
    with running_simulator(params(websocket=websocket), market()) as simulator:
        with open_stream(simulator, "/ws"), open_stream(simulator, "/ws"):
            wait_until(lambda: simulator.state().connections == 2)
        with pytest.raises(InvalidStatus) as refused:
            open_stream(simulator, "/ws")
        assert refused.value.response.status_code == 429


def raw_connection(simulator: Simulator) -> socket.socket:
    """Return a connection that has upgraded and then answers nothing, not even pings."""
    host, _, port = simulator.ws_url.removeprefix("ws://").partition(":")
    raw = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    key = base64.b64encode(b"0123456789abcdef").decode()
    raw.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert raw.recv(4_096).startswith(b"HTTP/1.1 101")
    return raw


def test_a_client_that_does_not_pong_is_disconnected_and_one_that_does_stays() -> None:
    websocket = WebSocketParams(ping_interval_s=0.3, pong_timeout_s=0.5)
    with running_simulator(params(speed=0.001, websocket=websocket), market()) as simulator:
        with raw_connection(simulator) as silent, connect(simulator.ws_url + "/ws") as alive:
            received = b""
            while chunk := silent.recv(4_096):
                received += chunk
            assert received[0] == 0x89, "the first frame is a ping"
            assert alive.ping().wait(DEADLINE_S)
        wait_until(lambda: simulator.state().connections == 0)


def test_connections_end_at_their_lifetime() -> None:
    with (
        running_simulator(params(speed=0.001, connection_lifetime_s=0.1), market()) as simulator,
        open_stream(simulator, "/ws") as client,
        pytest.raises(ConnectionClosed) as closed,
    ):
        client.recv(timeout=DEADLINE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


def test_server_shutdown_is_announced_and_the_connection_closed(quiet: Simulator) -> None:
    with open_stream(quiet, "/stream?streams=btcusdt@trade") as client:
        assert command(quiet, server_shutdown=True, close_after_s=0.05).status_code == 200
        frame = json.loads(client.recv(timeout=DEADLINE_S))
        assert frame["stream"] == "!serverShutdown"
        assert frame["data"]["e"] == "serverShutdown"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=DEADLINE_S)


def test_dropped_and_duplicated_frames_are_told_by_rest_once() -> None:
    faults = FaultSettings(drop=0.1, duplicate=0.1, reorder=0.05)
    with running_simulator(params(faults=faults), market()) as simulator:
        with open_stream(simulator, f"/stream?streams={STREAMS}") as client:
            received = [frame["data"]["t"] for frame in drain(client, simulator)]
        counts = simulator.state().counts
        assert counts["frames_dropped"] > 50
        assert counts["frames_duplicated"] > 50
        assert len(received) == counts["frames_sent"]
        assert len(received) - len(set(received)) == counts["frames_duplicated"]
        for symbol in SYMBOLS:
            told = simulator.state().symbols[symbol]
            assert told.first_id is not None
            assert told.last_id is not None
            assert rest_ids(simulator, symbol, told.first_id) == list(range(told.first_id, told.last_id + 1))
        assert simulator.state().trades_total == len(set(received)) + counts["frames_dropped"]


def test_connections_are_cut_without_a_word(quiet: Simulator) -> None:
    with open_stream(quiet, f"/stream?streams={STREAMS}") as client:
        assert command(quiet, cut_every_s=0.05).json()["counts"]["connections_cut"] in {0, 1}
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=DEADLINE_S)
        assert closed.value.rcvd is None
    wait_until(lambda: simulator_cut(quiet) == 1)


def simulator_cut(simulator: Simulator) -> int:
    return simulator.state().counts["connections_cut"]


def test_a_stalled_market_is_silent_while_the_other_goes_on() -> None:
    with (
        running_simulator(params(speed=1.0), market(duration_s=None, rate=200)) as simulator,
        open_stream(simulator, f"/stream?streams={STREAMS}") as client,
    ):
        client.recv(timeout=DEADLINE_S)
        command(simulator, stall_symbol="ETHUSDT", stall_s=3_600)
        wait_until(lambda: simulator.state().counts["frames_stalled"] > 0)
        last_id = simulator.state().symbols["ETHUSDT"].last_id or 0
        seen = [json.loads(client.recv(timeout=DEADLINE_S))["data"] for _ in range(300)]
        assert all(trade["t"] <= last_id for trade in seen if trade["s"] == "ETHUSDT")
        assert seen[-1]["s"] == "BTCUSDT"
        assert (simulator.state().symbols["ETHUSDT"].last_id or 0) > last_id


def test_requests_are_refused_on_command(quiet: Simulator) -> None:
    url = quiet.rest_url + "/api/v3/ping"
    command(quiet, refuse_status=429, refuse_requests=2, retry_after_s=3)
    answers = [httpx.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert answers[0].json()["code"] == -1003


def test_a_market_can_be_halted_on_command(quiet: Simulator) -> None:
    command(quiet, status_symbol="ETHUSDT", status="HALT")
    url = quiet.rest_url + "/api/v3/exchangeInfo"
    listed = httpx.get(url, params={"symbolStatus": "TRADING"}).json()["symbols"]
    assert [entry["symbol"] for entry in listed] == ["BTCUSDT"]


@pytest.mark.parametrize(
    "body",
    [{"drop": 2}, {"nonsense": 1}, {"stall_symbol": "NOPE"}, {"status_symbol": "BTCUSDT", "status": "X"}],
)
def test_wrong_commands_are_refused_with_a_reason(quiet: Simulator, body: dict[str, object]) -> None:
    answer = command(quiet, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_rest_speaks_microseconds_when_asked_and_counts_weights() -> None:
    weights = WeightParams(weight_per_minute=30)
    with running_simulator(params(weights=weights), market()) as simulator:
        url = simulator.rest_url + "/api/v3/trades"
        answer = httpx.get(
            url, params={"symbol": "BTCUSDT", "limit": 1}, headers={"X-MBX-TIME-UNIT": "MICROSECOND"}
        )
        assert answer.json()[0]["time"] > 10**15
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "25"
        assert httpx.get(simulator.rest_url + "/api/v3/nothing").status_code == 404


def test_the_truth_is_written_as_it_happens(tmp_path: Path) -> None:
    path = tmp_path / "truth" / "truth.jsonl"
    source = market(first_event_after_s=1.0)
    with (
        running_simulator(params(), source, truth_path=path) as simulator,
        open_stream(simulator, f"/stream?streams={STREAMS}&timeUnit=MICROSECOND") as client,
    ):
        frames = drain(client, simulator)
        truth = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert len(truth) == len(simulator.truth)
    whale, crash = truth[:2]
    assert (whale["kind"], whale["market"], crash["kind"]) == ("whale", "BTC-USDT", "flash_crash")
    told = [f["data"] for f in frames if f["data"]["t"] == whale["first_trade_id"]]
    assert [trade["T"] for trade in told] == [whale["start_us"]]


def test_a_port_in_use_is_a_clear_error(quiet: Simulator) -> None:
    ws_port, rest_port = (int(url.rpartition(":")[2]) for url in (quiet.ws_url, quiet.rest_url))
    for ports in (SimulatorParams(port=ws_port), SimulatorParams(rest_port=rest_port)):
        with pytest.raises(PortInUseError, match="is in use"), running_simulator(ports, market()):
            pass


def test_two_connections_get_the_same_trades() -> None:
    with (
        running_simulator(params(), market()) as simulator,
        open_stream(simulator, "/stream?streams=nothing@trade") as late,
    ):
        control(late, method="SUBSCRIBE", params=["btcusdt@trade"], id=1)
        with open_stream(simulator, "/ws/btcusdt@trade") as raw:
            of_raw = {frame["t"] for frame in drain(raw, simulator)}
            of_combined = {frame["data"]["t"] for frame in drain(late, simulator)}
    assert of_raw
    assert of_raw <= of_combined


def test_a_client_that_does_not_read_holds_the_market_and_then_is_cut() -> None:
    with running_simulator(
        params(speed=1_000.0, slow_client_s=0.2), market(duration_s=None, rate=200)
    ) as simulator:
        with raw_connection(simulator) as stuck:
            message = b'{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":1}'
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(message))
            stuck.sendall(b"\x81" + bytes([0x80 | len(message)]) + mask + masked)
            wait_until(lambda: simulator.state().counts["connections_slow"] == 1)
        assert simulator.state().connections == 0


def test_text_frames_of_every_length() -> None:
    assert text_frame(b"a" * 125) == b"\x81\x7d" + b"a" * 125
    assert text_frame(b"a" * 126) == b"\x81\x7e\x00\x7e" + b"a" * 126
    assert text_frame(b"a" * 65_536) == b"\x81\x7f" + (65_536).to_bytes(8, "big") + b"a" * 65_536


def test_a_sliding_limit_forgets() -> None:
    limit = SlidingLimit(count=2, window_us=1_000)
    assert [limit.allows(now_us) for now_us in (0, 1, 2, 1_003, 2_500)] == [True, True, False, True, True]
