"""Quotes in, spoofing out: with a sentence, an episode, and snapshots that are refused when damaged."""

import numpy as np
import pytest

from detector.quotes.engine import QuoteEngine, QuoteParams
from detector.quotes.features import QuoteFeatureParams
from detector.quotes.spoofing import Spoofing, SpoofingParams
from shared.errors import SnapshotRefusedError
from shared.events import Anomaly, EpisodePhase
from shared.stream.quotes import QuoteColumns
from shared.stream.step import OutputEvent
from tests.data.quote_market import busy
from tests.stream_steps import make_trade

PARAMS = QuoteParams(warm_up_quotes=12_000, features=QuoteFeatureParams(warm_up_s=60.0))


def told(events: list[OutputEvent]) -> list[Anomaly]:
    return [event for event in events if isinstance(event, Anomaly)]


def test_layering_is_told_once_and_in_words() -> None:
    events = told(QuoteEngine(PARAMS).on_batch(busy("layering")))
    opened = [event for event in events if event.episode.phase is EpisodePhase.OPENED]
    assert [event.symbol for event in opened] == ["BTC-USDT"]
    first = opened[0]
    assert (first.kind, first.detector, first.threshold_on) == ("manipulation", "spoofing", "rarity")
    assert "shows signs of layering" in first.reason
    assert "BTC offered in" in first.reason or "BTC bid in" in first.reason
    assert first.features["layers"] >= 3
    assert first.rarity is not None
    assert first.rarity <= first.threshold
    assert sum(first.contributions.values()) == 1.0
    closed = [event for event in events if event.episode.phase is EpisodePhase.CLOSED]
    assert "quotes in" in closed[0].reason or "1 quote" in closed[0].reason


def test_a_calm_market_is_silent() -> None:
    assert told(QuoteEngine(PARAMS).on_batch(busy(""))) == []


def test_a_damaged_snapshot_is_refused() -> None:
    engine = QuoteEngine(PARAMS)
    engine.on_batch(busy("")[:100])
    state = engine.snapshot("BTC-USDT")
    state["0/features/counts"] = state["0/features/counts"] + 11  # type: ignore[operator]  # an array
    with pytest.raises(SnapshotRefusedError, match="counts"):
        engine.restore("BTC-USDT", state)


def test_settings_of_markets_are_those_of_their_trades() -> None:
    engine = QuoteEngine(PARAMS)
    assert not engine.configure("BTC-USDT", ()).has_changed
    assert engine.shed_levels == 0


def test_parameters_are_part_of_the_fingerprint() -> None:
    other = QuoteParams(features=QuoteFeatureParams(fade_s=50.0))
    assert QuoteEngine(QuoteParams()).fingerprint != QuoteEngine(other).fingerprint


def test_a_trade_is_no_quote() -> None:
    with pytest.raises(AssertionError, match="no quotes"):
        QuoteEngine(PARAMS).on_batch([make_trade("BTC-USDT", 1)])


def test_the_floor_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        Spoofing(SpoofingParams(least_depth=-1.0))


def test_it_warms_up_and_forgets_that() -> None:
    engine = QuoteEngine(PARAMS)
    engine.warm_up()
    assert list(engine.symbols()) == []


def test_columns_keep_what_was_traded_with_its_quote() -> None:
    quotes = busy("spoofing")
    assert isinstance(quotes, QuoteColumns)
    rows = [7, 3, 200]
    taken = quotes.take(np.array(rows))
    for at, row in enumerate(rows):
        mine = slice(*taken.trade_starts[at : at + 2])
        whole = slice(*quotes.trade_starts[row : row + 2])
        np.testing.assert_array_equal(taken.traded[mine], quotes.traded[whole])
