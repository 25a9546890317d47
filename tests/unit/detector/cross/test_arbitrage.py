"""Arbitrage: what is an opportunity, what is none, and how it is told."""

import dataclasses

import pytest

from detector.cross.engine import CrossEngine
from detector.cross.params import ArbitrageParams, CrossParams
from shared.events import Anomaly, EpisodePhase, MarketTick, Severity
from tests.data.cross_tapes import START_S, moved, quiet, tick

BINANCE, COINBASE = ("binance", "POL-USDT"), ("coinbase", "POL-USD")
MARKETS = {BINANCE: 0.25, COINBASE: 0.25, ("gemini", "BTC-USD"): 100_000.0}
CALM = quiet(MARKETS, seconds=1_500)
SINCE_S, UNTIL_S = 900, 960


def told(ticks: list[MarketTick], params: ArbitrageParams | None = None) -> list[Anomaly]:
    engine = CrossEngine(CrossParams(arbitrage=params or ArbitrageParams()))
    return [event for event in engine.on_batch(ticks) if isinstance(event, Anomaly)]


def dearer(by: float, since_s: float = SINCE_S, until_s: float = UNTIL_S) -> list[MarketTick]:
    return moved(CALM, by, since_s=since_s, until_s=until_s, market=BINANCE)


def test_calm_markets_are_no_opportunity() -> None:
    assert told(CALM) == []
    assert told(dearer(1.009)) == []


def test_a_difference_opens_and_closes_one_episode() -> None:
    opened, closed = told(dearer(1.03))
    assert opened.kind == opened.detector == "arbitrage"
    assert (opened.episode.phase, closed.episode.phase) == (EpisodePhase.OPENED, EpisodePhase.CLOSED)
    assert opened.anomaly_id != closed.anomaly_id
    assert closed.episode.episode_id == opened.episode.episode_id == opened.anomaly_id
    assert (opened.exchange, opened.symbol) == COINBASE
    assert opened.score == pytest.approx(295.6 - 20.0, abs=15.0)
    assert opened.severity is Severity.HIGH
    # It begins with its first second, and is told when it has lasted and both venues have traded.
    assert START_S + SINCE_S <= opened.episode.opened_us / 1e6 <= START_S + SINCE_S + 2
    assert opened.event_time_us / 1e6 < START_S + SINCE_S + 8
    assert closed.episode.last_us / 1e6 == pytest.approx(START_S + UNTIL_S, abs=4.0)
    assert closed.episode.trades == pytest.approx(60, abs=4)
    assert "dearer on binance (POL-USDT 0.25" in opened.reason
    assert "than on coinbase (POL-USD 0.25" in opened.reason
    assert closed.reason.startswith("Over, after ")


def test_fees_and_the_least_difference_decide() -> None:
    assert told(dearer(1.03), ArbitrageParams(fees_bps=250.0)) == []
    assert told(dearer(1.009), ArbitrageParams(min_net_bps=50.0))


def test_a_silent_venue_is_no_opportunity() -> None:
    silent = [
        each
        for each in dearer(1.03, until_s=1_500)
        if each.exchange != "coinbase" or each.event_time_us < (START_S + SINCE_S) * 1e6
    ]
    assert told(silent) == []


def test_a_blip_is_no_opportunity() -> None:
    blip = dearer(1.03, SINCE_S, SINCE_S + 8)
    assert told(blip, ArbitrageParams(persist_s=12)) == []
    assert told(blip)


def test_what_is_usual_for_a_pair_is_no_opportunity() -> None:
    always = dearer(1.03, since_s=0)
    assert told(moved(always, 1.03, since_s=0, until_s=1_500, market=("gemini", "BTC-USD"))) == []
    wider = moved(always, 1.03, since_s=SINCE_S, until_s=UNTIL_S, market=BINANCE)
    assert told(wider)[0].features["usual_difference_bps"] == pytest.approx(295.6, abs=3.0)


def test_nothing_is_told_before_what_is_usual_is_known() -> None:
    assert told(dearer(1.03, since_s=300, until_s=360)) == []


def test_other_quotes_are_other_markets_unless_they_count_as_one() -> None:
    dear = dearer(1.03)
    apart = dataclasses.replace(ArbitrageParams(), same_quotes=("USD",))
    assert told(dear, apart) == []


def test_a_difference_that_grows_is_told_again_and_one_that_turns_stays_the_same_story() -> None:
    ticks = dearer(1.03)
    ticks = moved(ticks, 1.06, since_s=SINCE_S + 20, until_s=SINCE_S + 40, market=BINANCE)
    ticks = moved(ticks, 1 / 1.15, since_s=SINCE_S + 40, until_s=UNTIL_S, market=BINANCE)
    phases = [anomaly.episode.phase.value for anomaly in told(ticks)]
    assert phases == ["opened", "updated", "closed"]


def test_size_and_age_are_told() -> None:
    features = told(dearer(1.03))[0].features
    assert features["buy_traded"] > 0
    assert features["sell_traded"] > 0
    assert 0 <= features["buy_age_s"] < 30
    assert features["sell_price"] / features["buy_price"] == pytest.approx(1.03, abs=0.002)


def test_a_late_tick_counts_as_a_price_from_then_on() -> None:
    engine = CrossEngine(CrossParams())
    engine.on_batch([*CALM, tick(*BINANCE, 1_490.0, 0.3, trade_id=9_999)])
    assert engine.late_ticks == 1


def test_bounds_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        ArbitrageParams(min_net_bps=0.0)
    with pytest.raises(ValueError, match="positive"):
        ArbitrageParams(stale_s=0.0)
    with pytest.raises(ValueError, match="quote"):
        ArbitrageParams(same_quotes=())
