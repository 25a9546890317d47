"""Moves of the whole market: told once, with their direction, size and leaders, not for one market's own."""

import pytest

from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams, MarketMoveParams
from shared.events import Anomaly, EpisodePhase, MarketTick
from tests.data.cross_tapes import START_S, moved, quiet

COINS = ("ADA", "BTC", "DOT", "ETH", "SOL", "XRP")
MARKETS = {("binance", f"{coin}-USDT"): 10.0 for coin in COINS}
CALM = quiet(MARKETS, seconds=1_300)
SINCE_S = 800


def told(ticks: list[MarketTick], params: MarketMoveParams | None = None) -> list[Anomaly]:
    engine = CrossEngine(CrossParams(enabled=("market_move",), market_move=params or MarketMoveParams()))
    return [event for event in engine.on_batch(ticks) if isinstance(event, Anomaly)]


def fallen(coins: tuple[str, ...], by: float = 0.97) -> list[MarketTick]:
    ticks = CALM
    for number, coin in enumerate(coins):
        market = ("binance", f"{coin}-USDT")
        ticks = moved(ticks, by - number * 0.001, since_s=SINCE_S, until_s=2_000, market=market)
    return ticks


def test_a_calm_market_does_not_move() -> None:
    assert told(CALM) == []


def test_a_fall_of_all_is_one_story() -> None:
    anomalies = told(fallen(COINS))
    opened = anomalies[0]
    assert {anomaly.episode.episode_id for anomaly in anomalies} == {opened.anomaly_id}
    assert anomalies[-1].episode.phase is EpisodePhase.CLOSED
    assert (opened.symbol, opened.exchange, opened.kind) == ("ALL-MARKETS", "all", "market_move")
    assert opened.event_time_us / 1e6 == pytest.approx(START_S + SINCE_S, abs=4.0)
    assert opened.reason.startswith("The market fell: ")
    worst = max(anomalies, key=lambda anomaly: anomaly.score)
    assert worst.features["market_return"] < -0.02
    assert worst.features["markets"] == 6
    assert worst.features["return_XRP"] == pytest.approx(-0.036, abs=0.002)


def test_a_rise_is_told_as_one() -> None:
    assert told(fallen(COINS, by=1.04))[0].reason.startswith("The market rose: ")


def test_what_some_markets_do_is_no_move_of_the_market() -> None:
    assert told(fallen(COINS[:3])) == []


def test_too_few_markets_are_no_market() -> None:
    assert told(fallen(COINS), MarketMoveParams(least_markets=7)) == []


def test_nothing_is_told_before_it_is_known_what_is_usual() -> None:
    early = CALM
    for coin in COINS:
        early = moved(early, 0.95, since_s=400, until_s=2_000, market=("binance", f"{coin}-USDT"))
    assert told(early) == []


def test_a_share_is_a_share() -> None:
    with pytest.raises(ValueError, match="least_share"):
        MarketMoveParams(least_share=1.5)
