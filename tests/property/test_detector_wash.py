"""A wash is told the same whatever the batches, the restarts and the other markets."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from shared.events import Anomaly, EpisodePhase
from tests.data.wash_tapes import SMALL_WASH_PARAMS, thin_market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.stream.step import OutputEvent

TAPE = [*thin_market(1_200, washed=(300, 900))]
WHOLE = Engine(SMALL_WASH_PARAMS).on_batch(TAPE)
PLACES = st.integers(0, len(TAPE))


def told(events: "Sequence[OutputEvent]") -> list[tuple[int, float, str]]:
    """Return what is said about the market; ids are of the engine's parameters too."""
    return [
        (event.trade_id, event.score, event.reason)
        for event in events
        if isinstance(event, Anomaly) and event.symbol == "ALPINE-BTC"
    ]


def test_the_tape_has_a_wash() -> None:
    phases = [event.episode.phase for event in WHOLE if isinstance(event, Anomaly)]
    assert phases[0] == EpisodePhase.OPENED


@settings(max_examples=25)
@given(st.lists(PLACES, max_size=30))
def test_any_split_gives_the_same_events_and_state(cuts: list[int]) -> None:
    engine, whole = Engine(SMALL_WASH_PARAMS), Engine(SMALL_WASH_PARAMS)
    whole.on_batch(TAPE)
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
    assert events == WHOLE
    one, other = engine.snapshot("ALPINE-BTC"), whole.snapshot("ALPINE-BTC")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


@settings(max_examples=25)
@given(st.lists(PLACES, min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(stops: list[int]) -> None:
    events: list[OutputEvent] = []
    engine = Engine(SMALL_WASH_PARAMS)
    for start, end in pairwise([0, *sorted(stops), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
        states = {symbol: engine.snapshot(symbol) for symbol in engine.symbols()}
        engine = Engine(SMALL_WASH_PARAMS)
        for symbol, state in states.items():
            engine.restore(symbol, state)
    assert events == WHOLE


@settings(max_examples=10)
@given(st.lists(PLACES, max_size=20))
def test_other_markets_and_detectors_change_nothing(cuts: list[int]) -> None:
    other = thin_market(1_200, symbol="NAV-BTC", seed=2, washed=(0, 1_200))
    every = replace(SMALL_WASH_PARAMS, enabled=("whale", "flash_crash", "pump_dump", "wash_trading"))
    engine = Engine(every)
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), len(TAPE)]):
        events += engine.on_batch([*other[start:end], *TAPE[start:end]])
    washes = [event for event in events if isinstance(event, Anomaly) and event.detector == "wash_trading"]
    assert told(washes) == told(WHOLE)
    assert any(event.symbol == "NAV-BTC" for event in washes)
