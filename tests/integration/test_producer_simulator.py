"""The producer against the project's own simulator, in its own process, with every fault that it knows."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest

from producer.app import ProducerApp, ProducerParams
from producer.backfill import BackfillParams
from producer.backoff import BackoffParams
from producer.connection import ConnectionParams
from producer.exchanges import binance, coinbase, kraken
from producer.exchanges.protocol import Venue
from producer.feed import FeedParams
from producer.publisher import PublisherParams
from producer.rest import RestParams
from producer.staleness import StalenessParams
from producer.tape import TapeParams
from producer.watchdog import WatchdogParams
from shared.clock import SystemClock
from shared.codec import decode
from shared.events import TapeGap, Trade
from shared.metrics import Health
from shared.stream.broker import TopicPartition
from shared.stream.dead_letters import DeadLetterPolicy
from shared.stream.memory import MemoryBroker

ROOT = Path(__file__).parents[2]
MARKETS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
DURATION_S = 60
SPEED = 20
DEADLINE_S = 60.0


VENUES = {venue.name: venue for venue in (binance.VENUE, coinbase.VENUE, kraken.VENUE)}


@dataclass(frozen=True)
class Simulator:
    venue: Venue
    ws_url: str
    rest_url: str

    def fault(self, **command: object) -> None:
        httpx.post(f"{self.rest_url}/simulator/faults", json=command).raise_for_status()

    def ends(self) -> dict[str, int] | None:
        """Return the last id of each market when all has been played, else None."""
        state = httpx.get(f"{self.rest_url}/simulator/state").raise_for_status().json()
        if not state["finished"]:
            return None
        return {symbol: state["symbols"][symbol.replace("-", "")]["last_id"] for symbol in MARKETS}


@pytest.fixture
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    venue, misbehaviour = request.param if isinstance(request.param, tuple) else ("binance", request.param)
    options = " ".join(
        (
            f"market --venue {venue} --symbols BTCUSDT,ETHUSDT,SOLUSDT --rate 30 --history 2000",
            f"--duration {DURATION_S} --speed {SPEED}",
            misbehaviour,
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *options.split()], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        yield Simulator(VENUES[venue], urls["ws_url"], urls["rest_url"])
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def params_for(simulator: Simulator) -> ProducerParams:
    return ProducerParams(
        markets=MARKETS,
        instance="test",
        feed=FeedParams(
            connection=ConnectionParams(url=simulator.ws_url, settle_s=0.5),
            backoff=BackoffParams(base_s=0.2, max_s=0.5),
            streams_per_connection=2,
        ),
        rest=RestParams(
            url=simulator.rest_url,
            weight_per_minute=simulator.venue.rest.weight_per_minute,
            base_delay_s=0.05,
        ),
        tape=TapeParams(backfill_on_start_trades=500, grace_s=0.1),
        backfill=BackfillParams(page_limit=simulator.venue.rest.page_limit),
        staleness=StalenessParams(min_s=1, max_s=5, grace_s=0.5),
        watchdog=WatchdogParams(),
        publisher=PublisherParams(),
        dead_letters=DeadLetterPolicy(limit=10_000),
    )


def ids(broker: MemoryBroker) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {symbol: [] for symbol in MARKETS}
    for partition in broker.partitions_of("trades"):
        for message in broker.read_all([partition]):
            trade = decode(message.value(), Trade)
            found[trade.symbol].append(trade.trade_id)
    return found


def run_until_complete(
    simulator: Simulator, broker: MemoryBroker, *, misbehave: Callable[[], None] = lambda: None
) -> None:
    """Run a producer until the topic ends where the simulator's tape does, after it has ended."""

    async def run() -> None:
        clock = SystemClock()
        app = ProducerApp(
            venue=simulator.venue,
            broker=broker,
            params=params_for(simulator),
            clock=clock,
            health=Health(clock),
            random=Random(1),  # noqa: S311 - jitter
        )
        stop = asyncio.Event()
        task = asyncio.create_task(app.run(stop))
        deadline_s = clock.monotonic_s() + DEADLINE_S
        while not all(ids(broker).values()):
            assert clock.monotonic_s() < deadline_s, "no trade arrived"
            await asyncio.sleep(0.05)
        await asyncio.to_thread(misbehave)
        try:
            while True:
                ends = await asyncio.to_thread(simulator.ends)
                ours = {symbol: numbers[-1] for symbol, numbers in ids(broker).items()}
                if ours == ends:
                    return
                assert not task.done(), "the producer ended"
                assert clock.monotonic_s() < deadline_s, (ends, ours)
                await asyncio.sleep(0.2)
        finally:
            stop.set()
            await task

    asyncio.run(run())


def assert_once_each_in_order(broker: MemoryBroker) -> None:
    for symbol, numbers in ids(broker).items():
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), symbol
        assert len(numbers) > DURATION_S * 10, symbol


def gaps(broker: MemoryBroker) -> list[TapeGap]:
    return [decode(m.value(), TapeGap) for m in broker.read_all([TopicPartition("tape-gaps", 0)])]


@pytest.mark.integration
@pytest.mark.parametrize(
    "simulator",
    [
        "--drop 0.05 --duplicate 0.05 --reorder 0.05 --malformed 0.01",
        "--cut-every 0.7 --drop 0.01 --duplicate 0.01",
        "--connection-lifetime 1",
        "--ping-interval 0.1 --pong-timeout 0.3",
        ("coinbase", "--drop 0.05 --duplicate 0.05 --reorder 0.05 --malformed 0.01"),
        ("coinbase", "--cut-every 0.7 --drop 0.01 --duplicate 0.01"),
        ("kraken", "--drop 0.05 --duplicate 0.05 --reorder 0.05 --malformed 0.01"),
        ("kraken", "--cut-every 0.7 --drop 0.01 --duplicate 0.01"),
    ],
    indirect=True,
    ids=str,
)
def test_every_trade_arrives_once_and_in_order(simulator: Simulator) -> None:
    broker = MemoryBroker(partitions=4)
    run_until_complete(simulator, broker)
    assert_once_each_in_order(broker)
    assert gaps(broker) == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("simulator", "command"),
    [
        ("--drop 0.02", {"refuse_status": 429, "refuse_requests": 5, "retry_after_s": 1}),
        ("--drop 0.02", {"refuse_status": 418, "refuse_requests": 2, "retry_after_s": 1}),
        ("", {"stall_symbol": "ETHUSDT", "stall_s": 30}),
        ("", {"server_shutdown": True, "close_after_s": 1}),
        ("", {"cut_now": True}),
        (("coinbase", "--drop 0.02"), {"refuse_requests": 1}),
        (("coinbase", ""), {"stall_symbol": "ETHUSDT", "stall_s": 30}),
        (("coinbase", ""), {"cut_now": True}),
        (("kraken", "--drop 0.02"), {"refuse_requests": 1}),
        (("kraken", ""), {"stall_symbol": "ETHUSDT", "stall_s": 30}),
        (("kraken", ""), {"cut_now": True}),
    ],
    indirect=["simulator"],
    ids=str,
)
def test_a_fault_in_the_middle_leaves_no_trace(simulator: Simulator, command: dict[str, object]) -> None:
    broker = MemoryBroker(partitions=4)
    run_until_complete(simulator, broker, misbehave=lambda: simulator.fault(**command))
    assert_once_each_in_order(broker)
    assert gaps(broker) == []
