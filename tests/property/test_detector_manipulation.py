"""A move that was taken back is told the same whatever the batches and the restarts."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from tests.data.driven_tapes import DRIVEN_PARAMS, driven_market

if TYPE_CHECKING:
    from shared.stream.step import OutputEvent

TAPE = driven_market()
WHOLE = Engine(DRIVEN_PARAMS).on_batch(TAPE)
# Most of the tape is quiet: cut where something happens.
PLACES = st.integers(2_500, len(TAPE))


def test_the_tape_has_one() -> None:
    assert len(WHOLE) == 2, "it opens and closes"


@settings(max_examples=25)
@given(st.lists(PLACES, max_size=30))
def test_any_split_gives_the_same_events_and_state(cuts: list[int]) -> None:
    engine, whole = Engine(DRIVEN_PARAMS), Engine(DRIVEN_PARAMS)
    whole.on_batch(TAPE)
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
    assert events == WHOLE
    one, other = engine.snapshot("POL-USDT"), whole.snapshot("POL-USDT")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


@settings(max_examples=25)
@given(st.lists(PLACES, min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(stops: list[int]) -> None:
    events: list[OutputEvent] = []
    engine = Engine(DRIVEN_PARAMS)
    for start, end in pairwise([0, *sorted(stops), len(TAPE)]):
        events += engine.on_batch(TAPE[start:end])
        state = engine.snapshot("POL-USDT")
        engine = Engine(DRIVEN_PARAMS)
        engine.restore("POL-USDT", state)
    assert events == WHOLE
