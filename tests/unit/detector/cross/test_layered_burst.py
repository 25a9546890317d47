"""Layered bursts: several markets hit from one side within seconds, and not the market as a whole."""

from functools import cache

import msgspec
import pytest

from detector.cross.engine import CrossEngine
from detector.cross.layered_burst import _log10_tail
from detector.cross.params import CrossParams, LayeredBurstParams
from shared.events import Anomaly, EpisodePhase, MarketTick
from tests.data.cross_tapes import START_S, quiet

COINS = tuple(f"C{number:02}" for number in range(16))
SINCE_S = 1_000
PARAMS = CrossParams(enabled=("layered_burst",), layered_burst=LayeredBurstParams(warm_up_s=800))


@cache
def calm() -> list[MarketTick]:
    markets = {("binance", f"{coin}-USDT"): 10.0 for coin in COINS}
    return quiet(markets, seconds=1_200, spacing_s=3.0)


def hit(
    coins: tuple[str, ...], *, apart_s: float = 0.3, flow: float = 50_000.0, move: float = 1.004
) -> list[MarketTick]:
    """Return the ticks with a burst on each coin, one after the other."""
    ticks = calm()
    bursts = []
    for number, coin in enumerate(coins):
        time_us = round((START_S + SINCE_S + number * apart_s) * 1e6)
        bursts.append(
            MarketTick(
                "binance",
                f"{coin}-USDT",
                10**6,
                10.0 * move,
                1.0,
                flow < 0,
                time_us,
                time_us,
                trades=40,
                notional=abs(flow) / 0.9,
                signed_flow=flow,
            )
        )
    return sorted([*ticks, *bursts], key=lambda tick: tick.event_time_us)


def told(ticks: list[MarketTick]) -> list[Anomaly]:
    found = CrossEngine(PARAMS).on_batch(ticks)
    return [event for event in found if isinstance(event, Anomaly)]


def test_calm_markets_are_no_burst() -> None:
    assert told(calm()) == []


def test_bursts_on_some_markets_within_seconds_are_one_event() -> None:
    anomalies = told(hit(COINS[:6]))
    opened = anomalies[0]
    assert (opened.kind, opened.detector, opened.symbol) == ("manipulation", "layered_burst", "ALL-MARKETS")
    assert opened.event_time_us / 1e6 == pytest.approx(START_S + SINCE_S, abs=6.0)
    assert "markets were bought one-sidedly within 5 s" in opened.reason
    assert {anomaly.episode.episode_id for anomaly in anomalies} == {opened.anomaly_id}
    assert anomalies[-1].episode.phase is EpisodePhase.CLOSED
    assert max(anomaly.features["markets_with_burst"] for anomaly in anomalies) == 6


def test_sales_are_told_as_such() -> None:
    assert "were sold one-sidedly" in told(hit(COINS[:6], flow=-50_000.0, move=0.996))[0].reason


def test_bursts_that_come_apart_are_none() -> None:
    assert told(hit(COINS[:6], apart_s=20.0)) == []


def test_few_markets_are_none() -> None:
    assert told(hit(COINS[:3])) == []


def test_most_of_the_market_is_no_layer() -> None:
    assert told(hit(COINS[:12], apart_s=0.2)) == []


def test_a_market_that_moves_likewise_explains_them() -> None:
    since_us = round((START_S + SINCE_S - 6) * 1e6)
    ticks = [
        msgspec.structs.replace(tick, price=tick.price * 1.004) if tick.event_time_us > since_us else tick
        for tick in hit(COINS[:6], move=1.0)
    ]
    assert told(ticks) == []


def test_bursts_of_both_sides_are_none() -> None:
    two_sided = [
        msgspec.structs.replace(tick, signed_flow=0.0) if tick.trades == 40 else tick
        for tick in hit(COINS[:6])
    ]
    assert told(two_sided) == []


def test_the_tail_of_a_poisson_variable() -> None:
    assert 10 ** _log10_tail(1, 0.01) == pytest.approx(0.00995017, rel=1e-6)
    assert 10 ** _log10_tail(4, 0.5) == pytest.approx(0.00175162, rel=1e-5)
    assert _log10_tail(0, 0.5) == 0.0


def test_one_market_is_no_layer() -> None:
    with pytest.raises(ValueError, match="several"):
        LayeredBurstParams(least_markets=1)
