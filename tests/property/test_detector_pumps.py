"""A pump is told the same whatever the batches, the restarts and the other markets."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from shared.events import Anomaly
from tests.data.pump_tapes import PUMP_PARAMS, PUMP_US, pumped_market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.stream.step import OutputEvent

TAPE = pumped_market(until_us=PUMP_US + 600_000_000)
WHOLE = Engine(PUMP_PARAMS).on_batch(TAPE)
# Most of the tape is quiet: cut where something happens.
PLACES = st.integers(400, len(TAPE))


def told(events: "Sequence[OutputEvent]") -> list[tuple[int, float, str]]:
    """Return what is said about the market; ids are of the engine's parameters too."""
    return [
        (event.trade_id, event.score, event.reason)
        for event in events
        if isinstance(event, Anomaly) and event.symbol == "FUEL-BTC"
    ]


def test_the_tape_has_a_pump() -> None:
    assert len(WHOLE) >= 3


@settings(max_examples=25)
@given(st.lists(PLACES, max_size=30))
def test_any_split_gives_the_same_events_and_state(cuts: list[int]) -> None:
    engine, whole = Engine(PUMP_PARAMS), Engine(PUMP_PARAMS)
    whole.on_batch(TAPE)
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
    assert events == WHOLE
    one, other = engine.snapshot("FUEL-BTC"), whole.snapshot("FUEL-BTC")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


@settings(max_examples=25)
@given(st.lists(PLACES, min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(stops: list[int]) -> None:
    events: list[OutputEvent] = []
    engine = Engine(PUMP_PARAMS)
    for start, end in pairwise([0, *sorted(stops), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
        states = {symbol: engine.snapshot(symbol) for symbol in engine.symbols()}
        engine = Engine(PUMP_PARAMS)
        for symbol, state in states.items():
            engine.restore(symbol, state)
    assert events == WHOLE


@settings(max_examples=10)
@given(st.lists(PLACES, max_size=20))
def test_other_markets_and_detectors_change_nothing(cuts: list[int]) -> None:
    other = pumped_market(symbol="NAV-BTC", seed=2)
    every = replace(PUMP_PARAMS, enabled=("combined", "whale", "flash_crash", "pump_dump"))
    engine = Engine(every)
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), len(TAPE)]):
        events += engine.on_batch([*other[start:end], *TAPE[start:end]])
    pumps = [event for event in events if isinstance(event, Anomaly) and event.detector == "pump_dump"]
    assert told(pumps) == told(WHOLE)
    assert any(event.symbol == "NAV-BTC" for event in pumps)
