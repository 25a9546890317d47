"""Same input, same output: whatever the batches, the restarts, and the other markets."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from shared import codec
from shared.events import Anomaly, EpisodePhase, Trade
from shared.stream.columns import TradeColumns
from shared.stream.step import OutputEvent, State
from tests.data.detector_tapes import SMALL, altered, crash, market

COUNT = 1_500


def busy_market(seed: int, *, symbol: str = "BTC-USDT") -> list[Trade]:
    """Return a market in which every detector finds something."""
    trades = crash(market(COUNT, seed=seed, symbol=symbol), at=900, depth=0.05, length=40)
    trades = crash(trades, at=920, depth=0.12, length=10)
    trades = crash(trades, at=1_200, depth=0.03, length=5)
    trades = crash(trades, at=1_350, depth=-0.12, length=60)
    whales = {700: 500.0, 701: 1e6, 1_000: 500.0}
    return [altered(t, quantity=whales.get(t.trade_id, t.quantity)) for t in trades]


TAPES = {seed: busy_market(seed) for seed in range(3)}
WHOLE = {seed: Engine(SMALL).on_batch(tape) for seed, tape in TAPES.items()}


def same_state(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[key], other[key], equal_nan=False) for key in one
    )


def test_the_tapes_make_every_detector_speak_in_every_phase() -> None:
    told = {
        (event.detector, event.episode.phase)
        for events in WHOLE.values()
        for event in events
        if isinstance(event, Anomaly)
    }
    assert {detector for detector, _ in told} == set(SMALL.enabled)
    assert {phase for _, phase in told} == set(EpisodePhase)


@settings(max_examples=25)
@given(st.sampled_from(sorted(TAPES)), st.lists(st.integers(0, COUNT), max_size=40))
def test_any_split_gives_the_same_events_and_state(seed: int, cuts: list[int]) -> None:
    tape = TAPES[seed]
    whole, part = Engine(SMALL), Engine(SMALL)
    whole.on_batch(tape)
    events: list[OutputEvent] = []
    edges = [0, *sorted(cuts), COUNT]
    for start, end in pairwise(edges):
        events += part.on_batch(tape[start:end])
    assert events == WHOLE[seed]
    assert same_state(part.snapshot("BTC-USDT"), whole.snapshot("BTC-USDT"))


@settings(max_examples=25)
@given(st.sampled_from(sorted(TAPES)), st.lists(st.integers(0, COUNT), min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(seed: int, stops: list[int]) -> None:
    tape = TAPES[seed]
    events: list[OutputEvent] = []
    engine = Engine(SMALL)
    edges = [0, *sorted(stops), COUNT]
    for start, end in pairwise(edges):
        events += engine.on_batch(tape[start:end])
        states = {symbol: engine.snapshot(symbol) for symbol in engine.symbols()}
        engine = Engine(SMALL)
        for symbol, state in states.items():
            engine.restore(symbol, state)
    assert events == WHOLE[seed]


@settings(max_examples=10)
@given(st.integers(0, 1_000))
def test_other_markets_in_the_batch_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tapes = {"BTC-USDT": TAPES[0], "ETH-USDT": busy_market(8, symbol="ETH-USDT")}
    mixed: list[Trade] = []
    left = {symbol: list(tape) for symbol, tape in tapes.items()}
    while any(left.values()):
        symbol = str(rng.choice([s for s, tape in left.items() if tape]))
        mixed.append(left[symbol].pop(0))
    events = Engine(SMALL).on_batch(mixed)
    assert [event for event in events if event.symbol == "BTC-USDT"] == WHOLE[0]
    order = {(trade.symbol, trade.trade_id): at for at, trade in enumerate(mixed)}
    places = [order[event.symbol, event.trade_id] for event in events]
    assert places == sorted(places)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 400)), min_size=3, max_size=8))
def test_markets_that_come_and_go_leave_no_trace(visits: list[tuple[str, int]]) -> None:
    """Slots are given back and used again, in any order; a market that comes back begins anew."""
    tape, expected = TAPES[0], WHOLE[0]
    engine = Engine(SMALL)
    events: list[OutputEvent] = []
    for number, (symbol, length) in enumerate(visits):
        guest = busy_market(9, symbol=symbol)[:length]
        start, end = COUNT * number // len(visits), COUNT * (number + 1) // len(visits)
        told = engine.on_batch([*guest, *tape[start:end]])
        events += [event for event in told if event.symbol == "BTC-USDT"]
        assert [event for event in told if event.symbol == symbol] == Engine(SMALL).on_batch(guest)
        state = engine.snapshot("BTC-USDT")
        engine.evict(symbol)
        engine.restore("BTC-USDT", state)
    assert events == expected
    assert same_state(engine.snapshot("BTC-USDT"), state)


@settings(max_examples=10)
@given(st.lists(st.integers(0, COUNT), max_size=20))
def test_columns_give_what_trades_give(cuts: list[int]) -> None:
    engine = Engine(SMALL)
    columns = TradeColumns.of(TAPES[1])
    events: list[OutputEvent] = []
    for start, end in pairwise([0, *sorted(cuts), COUNT]):
        events += engine.on_batch(columns[start:end])
    assert events == WHOLE[1]


def test_events_survive_the_wire() -> None:
    for event in WHOLE[0]:
        assert codec.decode(codec.encode(event), type(event)) == event
