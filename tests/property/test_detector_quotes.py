"""The engine of quotes gives the same in any batches, after a restart, and beside any other markets."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.quotes.engine import QuoteEngine, QuoteParams
from detector.quotes.features import QuoteFeatureParams
from shared.events import Anomaly
from shared.stream.snapshots import decode_state, encode_state
from shared.stream.step import OutputEvent
from tests.data.quote_market import busy

PARAMS = QuoteParams(warm_up_quotes=2_000, features=QuoteFeatureParams(warm_up_s=60.0))
QUOTES = busy("layering")
WHOLE = QuoteEngine(PARAMS).on_batch(QUOTES)


def test_the_quotes_make_it_speak() -> None:
    ids = [event.anomaly_id for event in WHOLE if isinstance(event, Anomaly)]
    assert len(ids) >= 2
    assert len(ids) == len(set(ids))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, len(QUOTES)), max_size=30))
def test_any_split_gives_the_same(cuts: list[int]) -> None:
    engine, events = QuoteEngine(PARAMS), list[OutputEvent]()
    for start, end in pairwise([0, *sorted(cuts), len(QUOTES)]):
        events += engine.on_batch(QUOTES[start:end])
    assert events == WHOLE


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, len(QUOTES)), min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(stops: list[int]) -> None:
    engine, events = QuoteEngine(PARAMS), list[OutputEvent]()
    for start, end in pairwise([0, *sorted(stops), len(QUOTES)]):
        events += engine.on_batch(QUOTES[start:end])
        states = {symbol: decode_state(encode_state(engine.snapshot(symbol))) for symbol in engine.symbols()}
        engine = QuoteEngine(PARAMS)
        for symbol, state in states.items():
            engine.restore(symbol, state)
    assert events == WHOLE


def test_a_market_does_not_depend_on_others() -> None:
    symbols = np.array([symbol for _, symbol in QUOTES.venues])[QUOTES.venue]
    alone = QuoteEngine(PARAMS).on_batch(QUOTES.take(np.flatnonzero(symbols == "BTC-USDT")))
    assert alone == [event for event in WHOLE if event.symbol == "BTC-USDT"]
