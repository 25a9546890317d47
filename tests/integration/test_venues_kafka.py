"""Producers of several venues on one real Kafka, as processes: the tape is whole, or says where it is not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.kafka.broker import RunningBroker
from tests.deadlines import eventually

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
VENUES = ("coinbase", "kraken")
MARKETS = ("BTC-USDT", "ETH-USDT")
MARKET_OPTIONS = "--symbols BTCUSDT,ETHUSDT --rate 20 --history 300 --speed 5 --duration 120"
WITHIN_S = 120.0


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.communicate(timeout=60)


class Stage:
    """A simulated market for each venue, and the topic to which their producers write."""

    def __init__(self, stack: ExitStack, kafka: RunningBroker, prefix: str, options: str) -> None:
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_PARTITIONS": "3",
            "MARKETS": ",".join(MARKETS),
        }
        self.urls: dict[str, dict[str, str]] = {}
        for venue in VENUES:
            arguments = f"simulator market --venue {venue} {MARKET_OPTIONS} {options}".split()
            market = stack.enter_context(process(*arguments))
            assert market.stdout is not None
            self.urls[venue] = json.loads(market.stdout.readline())

    @contextmanager
    def producers(self, **environment: str) -> Iterator[None]:
        with ExitStack() as stack:
            for venue, urls in self.urls.items():
                settings = {
                    **self.environment,
                    "EXCHANGE": venue,
                    "PRODUCER_WS_URL": urls["ws_url"],
                    "PRODUCER_REST_URL": urls["rest_url"],
                    "PRODUCER_STALE_MIN_S": "2",
                    "PRODUCER_STALE_MAX_S": "5",
                    **environment,
                }
                stack.enter_context(process("producer", **settings))
            yield

    def fault(self, **command: object) -> None:
        for urls in self.urls.values():
            httpx.post(f"{urls['rest_url']}/simulator/faults", json=command).raise_for_status()

    def state(self, venue: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.urls[venue]['rest_url']}/simulator/state").raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def have_played(self, trades: int) -> bool:
        return all(self.state(venue)["trades_total"] >= trades for venue in VENUES)

    def ends(self) -> dict[tuple[str, str], int]:
        """Return the last id of each market of each venue once all has been played, else nothing."""
        states = {venue: self.state(venue) for venue in VENUES}
        if not all(state["finished"] for state in states.values()):
            return {}
        return {
            (venue, market): state["symbols"][market.replace("-", "")]["last_id"]
            for venue, state in states.items()
            for market in MARKETS
        }

    def audit(self) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
        """Return the exit status of `recorder audit`, and what it says about each market."""
        done = subprocess.run(
            [sys.executable, "-m", "recorder", "audit", "--json"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        markets = json.loads(done.stdout)["markets"] if done.stdout else []
        return done.returncode, {(market["exchange"], market["symbol"]): market for market in markets}

    def await_end(self) -> None:
        """Wait until the topic ends where the venues do."""

        def has_ended() -> bool:
            ends = self.ends()
            if not ends:
                return False
            _, markets = self.audit()
            return {name: market["last_id"] for name, market in markets.items()} == ends

        eventually(has_ended, seconds=WITHIN_S, about="the topic ends where the venues do")


@pytest.fixture
def stage(kafka: RunningBroker, kafka_topic_prefix: str, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, kafka, kafka_topic_prefix, request.param)


@pytest.mark.parametrize("stage", ["--drop 0.01 --duplicate 0.01"], indirect=True)
def test_the_tape_is_whole_over_disconnects_lost_frames_and_a_restart(stage: Stage) -> None:
    with stage.producers():
        eventually(lambda: stage.have_played(800), seconds=WITHIN_S, about="a first stretch")
        stage.fault(cut_now=True)
        eventually(lambda: stage.have_played(1_600), seconds=WITHIN_S, about="a second stretch")
    played = max(stage.state(venue)["trades_total"] for venue in VENUES)
    eventually(lambda: stage.have_played(played + 200), seconds=WITHIN_S, about="trades without us")
    with stage.producers():
        stage.await_end()
    status, markets = stage.audit()
    assert status == 0, markets
    assert set(markets) == {(venue, market) for venue in VENUES for market in MARKETS}
    for market in markets.values():
        assert not market["missing"]
        assert market["trades"] > 2_000


@pytest.mark.parametrize("stage", [""], indirect=True)
def test_what_may_not_be_fetched_is_reported_as_a_gap(stage: Stage) -> None:
    with stage.producers():
        eventually(lambda: stage.have_played(800), seconds=WITHIN_S, about="a first stretch")
    played = max(stage.state(venue)["trades_total"] for venue in VENUES)
    eventually(lambda: stage.have_played(played + 400), seconds=WITHIN_S, about="trades without us")
    with stage.producers(PRODUCER_BACKFILL_MAX_TRADES="5"):
        stage.await_end()
    status, markets = stage.audit()
    assert status == 1
    for market in markets.values():
        [hole] = market["missing"]
        assert hole["is_announced"]
        assert "more than the 5 that are filled" in hole["reason"]
        assert (market["missing_unannounced"], market["duplicate_ids"]) == (0, [])
