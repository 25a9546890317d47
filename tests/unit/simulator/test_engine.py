"""The exchange without sockets, time as a value."""

import json

from simulator.binance import BinanceSession
from simulator.crowd import MarketParams
from simulator.engine import Engine, EngineParams
from simulator.market import MarketSource
from simulator.scenarios import ScenarioParams
from simulator.streams import Target

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


class FakeLink:
    """Takes frames; what it is said to have unsent is the test's choice."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.unsent = 0
        self.ended = ""

    def write(self, payloads: list[bytes]) -> None:
        self.frames += payloads

    def unsent_bytes(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.ended = "closed"

    def cut(self) -> None:
        self.ended = "cut"


def engine(**params: float) -> Engine:
    market = MarketParams(
        symbols=("BTCUSDT",), rate=50, duration_s=10, history_trades=10, scenarios=ScenarioParams()
    )
    return Engine(
        EngineParams(**params),  # type: ignore[arg-type]  # only numbers are given here
        MarketSource(market),
        on_injected=lambda _: None,
        now_us=NOW,
    )


def connected(exchange: Engine) -> FakeLink:
    link = FakeLink()
    target = Target(streams=("btcusdt@trade",), is_combined=False, is_microseconds=True)
    exchange.connect(exchange.venues["binance"], BinanceSession(target), link, now_us=NOW)
    return link


def times_us(link: FakeLink) -> list[int]:
    return [json.loads(frame)["E"] for frame in link.frames]


def test_a_slow_client_holds_the_market_back_and_loses_nothing() -> None:
    exchange = engine()
    link = connected(exchange)
    exchange.pump(now_us=NOW + 1 * SECOND)
    before = len(link.frames)
    assert before > 0
    link.unsent = 10**9
    for second in range(2, 7):
        exchange.pump(now_us=NOW + second * SECOND)
    assert len(link.frames) == before
    link.unsent = 0
    exchange.pump(now_us=NOW + 6 * SECOND)
    assert len(link.frames) == before, "the five seconds of waiting did not count"
    exchange.pump(now_us=NOW + 7 * SECOND)
    assert max(times_us(link)) <= NOW + 2 * SECOND
    exchange.pump(now_us=NOW + 16 * SECOND)
    assert exchange.state().finished
    assert len(link.frames) == exchange.state().trades_total
    ids = [json.loads(frame)["t"] for frame in link.frames]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_client_that_stays_slow_is_cut() -> None:
    exchange = engine(slow_client_s=3.0)
    link = connected(exchange)
    link.unsent = 10**9
    for second in range(4):
        exchange.pump(now_us=NOW + second * SECOND)
    assert link.ended == ""
    exchange.pump(now_us=NOW + 4 * SECOND)
    assert link.ended == "cut"
    assert exchange.state().counts["connections_slow"] == 1


def test_connections_are_closed_at_their_age() -> None:
    exchange = engine(connection_lifetime_s=5.0)
    link = connected(exchange)
    exchange.pump(now_us=NOW + 5 * SECOND - 1)
    assert link.ended == ""
    exchange.pump(now_us=NOW + 5 * SECOND)
    assert link.ended == "closed"
    assert exchange.state().connections == 0


def test_nothing_is_due_again_before_the_pause_it_asks_for() -> None:
    exchange = engine()
    link = connected(exchange)
    now_us = NOW
    while not exchange.state().finished:
        pause_us = exchange.pump(now_us=now_us)
        sent = len(link.frames)
        if pause_us > 1:
            exchange.pump(now_us=now_us + pause_us - 1)
            assert len(link.frames) == sent
        now_us += max(pause_us, 1)
