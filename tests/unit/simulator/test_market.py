"""The generated market: reproducible, sound, lifelike, and true about what was injected."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from msgspec.structs import astuple

from simulator.crowd import MarketParams
from simulator.market import MarketSource
from simulator.scenarios import ScenarioParams
from simulator.source import Chunk, Injected, MarketTrade

QUIET = ScenarioParams(whales_per_hour=0, crashes_per_hour=0)
HOUR_S = 3_600.0


def play(params: MarketParams) -> Chunk:
    """Return a whole market of bounded duration as one chunk."""
    trades: list[MarketTrade] = []
    injected: list[Injected] = []
    for chunk in MarketSource(params).chunks():
        trades += chunk.trades
        injected += chunk.injected
    return Chunk(trades, injected)


def of(trades: list[MarketTrade], symbol: str) -> list[MarketTrade]:
    return [trade for trade in trades if trade.symbol == symbol]


@pytest.fixture(scope="module")
def quiet_hour() -> list[MarketTrade]:
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    return play(
        MarketParams(symbols=symbols, rate=5, history_trades=0, duration_s=HOUR_S, scenarios=QUIET)
    ).trades


def test_the_same_seed_gives_the_same_market_and_another_one_does_not() -> None:
    params = MarketParams(
        rate=30, duration_s=20, history_trades=50, scenarios=ScenarioParams(whales_per_hour=600)
    )
    source = MarketSource(params)
    first, again = list(source.chunks()), list(source.chunks())
    assert first == again == list(MarketSource(params).chunks())
    assert source.history() == source.history()
    assert play(MarketParams(rate=30, duration_s=20, history_trades=50, seed=2)) != play(params)


def test_markets_follow_each_other_without_a_seam() -> None:
    params = MarketParams(rate=50, duration_s=60, history_trades=300)
    source = MarketSource(params)
    trades = [*source.history(), *(trade for chunk in source.chunks() for trade in chunk.trades)]
    assert all(a.event_time_us <= b.event_time_us for a, b in pairwise(trades))
    for symbol in params.symbols:
        own = of(trades, symbol)
        assert [trade.trade_id for trade in own] == list(range(own[0].trade_id, own[0].trade_id + len(own)))
        assert all(a.trade_time_us <= b.trade_time_us for a, b in pairwise(own))


def test_history_lies_before_the_start_and_is_as_long_as_asked() -> None:
    params = MarketParams(history_trades=500)
    history = MarketSource(params).history()
    assert {symbol: len(of(history, symbol)) for symbol in params.symbols} == dict.fromkeys(
        params.symbols, 500
    )
    assert max(trade.event_time_us for trade in history) < params.start_us
    assert MarketSource(MarketParams(history_trades=0)).history() == []


def test_trades_are_sound_and_on_the_grid(quiet_hour: list[MarketTrade]) -> None:
    for trade in quiet_hour:
        assert trade.trade_time_us + 320 <= trade.event_time_us
        assert len(trade.price.partition(".")[2]) == len(trade.quantity.partition(".")[2]) == 8
        assert float(trade.price) > 0
        assert float(trade.quantity) > 0
    assert all(trade.price.endswith("000000") for trade in of(quiet_hour, "BTCUSDT"))
    assert all(trade.quantity.endswith(".00000000") for trade in of(quiet_hour, "XRPUSDT"))


def test_the_rate_is_about_what_was_asked_for(quiet_hour: list[MarketTrade]) -> None:
    assert 5 * 3 * HOUR_S * 0.6 < len(quiet_hour) < 5 * 3 * HOUR_S * 1.6


def test_arrivals_cluster_sizes_have_tails_and_sides_persist(quiet_hour: list[MarketTrade]) -> None:
    trades = of(quiet_hour, "BTCUSDT")
    times_s = np.array([trade.trade_time_us for trade in trades]) / 1e6
    notional = np.array([float(trade.price) * float(trade.quantity) for trade in trades])
    counts = np.bincount((times_s - times_s[0]).astype(int))
    assert counts.var() / counts.mean() > 4  # 8 to 13 in the recordings; 1 without clustering
    orders = np.flatnonzero(np.diff(times_s, prepend=-1) > 0)
    sides = np.array([trade.is_buyer_maker for trade in trades])[orders].astype(float)
    assert 0.3 < np.corrcoef(sides[:-1], sides[1:])[0, 1] < 0.65  # .36 to .50
    assert 0.45 < sides.mean() < 0.55
    assert 2.0 < np.log(notional).std() < 2.8  # 2.4 to 2.6
    assert np.quantile(notional, 0.99) > 100 * np.median(notional)


def test_volatility_is_that_of_the_profile_and_markets_move_together(quiet_hour: list[MarketTrade]) -> None:
    moves = {}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        trades = of(quiet_hour, symbol)
        seconds = np.array([trade.trade_time_us for trade in trades]) / 1e6
        prices = np.array([float(trade.price) for trade in trades])
        grid = np.arange(np.ceil(seconds[0]), seconds[-1], 10.0)
        moves[symbol] = np.diff(np.log(prices[np.searchsorted(seconds, grid, side="right") - 1]))
    shortest = min(map(len, moves.values()))
    btc, eth = (move[:shortest] for move in moves.values())
    assert 0.01 < btc.std() * np.sqrt(8_640) < 0.07  # 3 % a day, times volatility's own changes
    assert np.corrcoef(btc, eth)[0, 1] > 0.4  # .71


def test_whales_are_where_the_truth_says() -> None:
    params = MarketParams(
        rate=3,
        duration_s=1_800,
        history_trades=0,
        scenarios=ScenarioParams(whales_per_hour=30, crashes_per_hour=0),
    )
    trades, injected, _ = play(params)
    assert len(injected) > 20
    assert {event.kind for event in injected} == {"whale"}
    whale_times = {(event.symbol, event.start_us) for event in injected}
    usual = {
        symbol: np.quantile(
            [
                float(trade.price) * float(trade.quantity)
                for trade in of(trades, symbol)
                if (symbol, trade.trade_time_us) not in whale_times
            ],
            0.99,
        )
        for symbol in params.symbols
    }
    by_id = {(trade.symbol, trade.trade_id): trade for trade in trades}
    for whale in injected:
        assert whale.first_trade_id is not None
        assert whale.last_trade_id is not None
        span = range(whale.first_trade_id, whale.last_trade_id + 1)
        own = [by_id[whale.symbol, trade_id] for trade_id in span]
        assert len(own) == whale.parameters["fills"] == len(span)
        assert {trade.trade_time_us for trade in own} == {whale.start_us} == {whale.end_us}
        assert {trade.is_buyer_maker for trade in own} == {whale.parameters["is_sale"] == 1}
        notional = sum(float(trade.price) * float(trade.quantity) for trade in own)
        assert notional == pytest.approx(whale.parameters["notional"])
        assert notional > 10 * usual[whale.symbol]
    assert {event.parameters["fills"] == 1 for event in injected} == {True, False}


def test_a_crash_falls_and_recovers_as_the_truth_says() -> None:
    scenarios = ScenarioParams(whales_per_hour=0, crashes_per_hour=0, first_event_after_s=30)
    params = MarketParams(
        symbols=("BTCUSDT", "ETHUSDT"), rate=20, duration_s=900, history_trades=0, scenarios=scenarios
    )
    trades, injected, _ = play(params)
    whale, crash = sorted(injected, key=lambda event: event.start_us)
    assert (whale.kind, whale.symbol) == ("whale", "BTCUSDT")
    assert (crash.kind, crash.symbol, crash.market) == ("flash_crash", "ETHUSDT", "ETH-USDT")
    assert crash.start_us == params.start_us + 40_000_000
    own = of(trades, "ETHUSDT")
    times = np.array([trade.trade_time_us for trade in own])
    prices = np.array([float(trade.price) for trade in own])
    before = prices[times < crash.start_us][-1]
    during = (times >= crash.start_us) & (times <= crash.end_us)
    fall_pct = (1 - prices[during].min() / before) * 100
    assert fall_pct == pytest.approx(crash.parameters["depth_pct"], abs=2.5)
    bottom_us = crash.start_us + crash.parameters["fall_s"] * 1e6
    assert abs(times[during][prices[during].argmin()] - bottom_us) < 20e6
    regained = (prices[-1] - prices[during].min()) / (before - prices[during].min())
    assert regained == pytest.approx(crash.parameters["recovery"], abs=0.25)
    falling = (times >= crash.start_us) & (times < bottom_us)
    sales = np.array([trade.is_buyer_maker for trade in own])
    assert sales[falling].mean() > 0.7
    assert falling.sum() / crash.parameters["fall_s"] > 2 * (times < crash.start_us).sum() / 40


def test_the_other_market_does_not_change_when_one_crashes() -> None:
    shaken = ScenarioParams(whales_per_hour=0, crashes_per_hour=0, first_event_after_s=30)
    runs = [
        play(MarketParams(symbols=("BTCUSDT", "ETHUSDT", "XRPUSDT"), duration_s=120, scenarios=scenarios))
        for scenarios in (QUIET, shaken)
    ]
    assert of(runs[0].trades, "XRPUSDT") == of(runs[1].trades, "XRPUSDT")


def test_without_a_duration_it_does_not_end() -> None:
    chunks = list(islice(MarketSource(MarketParams(rate=2_000)).chunks(), 60))
    assert sum(len(chunk.trades) for chunk in chunks) > 50_000


def test_any_symbol_will_do() -> None:
    source = MarketSource(MarketParams(symbols=("DOGEUSDT", "币安人生USDT"), rate=50, duration_s=30))
    doge, named = source.symbols
    assert (doge.base_asset, doge.quote_asset) == ("DOGE", "USDT")
    assert (named.symbol, named.base_asset) == ("币安人生USDT", "币安人生")
    assert {trade.symbol for chunk in source.chunks() for trade in chunk.trades} == {
        "DOGEUSDT",
        "币安人生USDT",
    }


@pytest.mark.parametrize(("symbols", "rate"), [((), 1.0), (("A", "A"), 1.0), (("BTCUSDT",), 0.0)])
def test_parameters_that_make_no_market(symbols: tuple[str, ...], rate: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        MarketParams(symbols=symbols, rate=rate)


def test_venues_have_trades_of_their_own_and_the_first_does_not_mind() -> None:
    alone = MarketParams(
        symbols=("BTCUSDT", "ETHUSDT"), rate=20, duration_s=60, history_trades=50, scenarios=QUIET
    )
    several = replace(alone, exchanges=("binance", "kraken"))
    source = MarketSource(several)
    trades = [*source.history(), *play(several).trades]
    own = {name: [trade for trade in trades if trade.exchange == name] for name in several.exchanges}
    first = [*MarketSource(alone).history(), *play(alone).trades]
    assert {trade.exchange for trade in first} == {""}
    assert [trade[:-1] for trade in map(astuple, first)] == [
        trade[:-1] for trade in map(astuple, own["binance"])
    ]
    for trades_of in own.values():
        for symbol in several.symbols:
            ids = [trade.trade_id for trade in of(trades_of, symbol)]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert len(ids) > 50
    taken = [{(t.trade_id, t.trade_time_us, t.quantity) for t in of(own[name], "BTCUSDT")} for name in own]
    assert not taken[0] & taken[1]
    assert all(a.event_time_us <= b.event_time_us for a, b in pairwise(trades))
    shifted = own["kraken"][0].shifted(5)
    assert shifted.exchange == "kraken"
