"""Alone or with the market: what is said of an episode that opened on one market."""

import msgspec
import pytest

from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams
from shared.codec import decode, encode
from shared.events import Anomaly, EpisodePhase, MarketTick, Window
from tests.data.cross_tapes import START_S, moved, quiet
from tests.samples import anomaly

COINS = ("ADA", "BTC", "DOT", "ETH", "SOL", "XRP")
MARKETS = {("binance", f"{coin}-USDT"): 10.0 for coin in COINS}
CALM = quiet(MARKETS, seconds=500)
SINCE_S = 400
OWN = ("binance", "ADA-USDT")


def opening(window_s: float) -> Anomaly:
    at_us = round((START_S + SINCE_S + 5) * 1e6)
    found = anomaly(symbol="ADA-USDT", kind="flash_crash", at_us=at_us)
    return msgspec.structs.replace(found, window=Window(start_us=at_us - round(window_s * 1e6), end_us=at_us))


def told(ticks: list[MarketTick], *, window_s: float = 60.0) -> list[Anomaly]:
    """Return what is said when an episode opens five seconds after the moves begin."""
    event = opening(window_s)
    at = next(
        number
        for number, tick in enumerate(ticks)
        if (tick.exchange, tick.symbol) == OWN and tick.event_time_us >= event.event_time_us
    )
    ticks = [*ticks[:at], msgspec.structs.replace(ticks[at], opened=(event,)), *ticks[at + 1 :]]
    found = CrossEngine(CrossParams(enabled=("context",))).on_batch(ticks)
    return [each for each in found if isinstance(each, Anomaly)]


def fallen(coins: tuple[str, ...], by: float) -> list[MarketTick]:
    ticks = CALM
    for coin in coins:
        ticks = moved(ticks, by, since_s=SINCE_S, until_s=600, market=("binance", f"{coin}-USDT"))
    return ticks


def test_a_fall_of_all_is_with_the_market() -> None:
    (update,) = told(fallen(COINS, 0.95))
    event = opening(60.0)
    assert update.episode.phase is EpisodePhase.UPDATED
    assert update.episode.episode_id == event.episode.episode_id
    assert update.anomaly_id != event.anomaly_id
    assert update.severity is event.severity
    assert update.context is not None
    assert update.context.is_market_wide
    assert (update.context.moved_with, update.context.markets) == (5, 5)
    assert update.context.market_return_pct == pytest.approx(-5.0, abs=0.2)
    assert update.reason.startswith(event.reason)
    assert update.reason.endswith("With the market: 5 of 5 other markets fell, median -5.0 % in 60 s.")
    assert decode(encode(update), Anomaly) == update


def test_a_fall_of_one_is_alone() -> None:
    (update,) = told(fallen(("ADA",), 0.95))
    assert update.context is not None
    assert not update.context.is_market_wide
    assert "Alone: the market moved " in update.reason


def test_a_small_move_of_the_market_does_not_explain_a_large_one() -> None:
    ticks = moved(fallen(COINS, 0.995), 0.8, since_s=SINCE_S, until_s=600, market=OWN)
    (update,) = told(ticks)
    assert update.context is not None
    assert not update.context.is_market_wide


def test_the_window_is_that_of_the_episode() -> None:
    windows = {told(CALM, window_s=window_s)[0].context for window_s in (5.0, 40.0, 300.0)}
    assert {context.window_s for context in windows if context is not None} == {10.0, 60.0, 300.0}


def test_without_other_markets_nothing_is_said() -> None:
    few = [tick for tick in fallen(COINS, 0.95) if tick.symbol in {"ADA-USDT", "BTC-USDT", "ETH-USDT"}]
    assert told(few) == []
