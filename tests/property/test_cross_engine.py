"""The cross-market step gives the same in any batches, after a restart, in any order within its lateness."""

from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams, LayeredBurstParams
from shared.events import Anomaly, MarketTick
from shared.stream.columns import ALL_MARKETS
from shared.stream.snapshots import decode_state, encode_state
from shared.stream.step import OutputEvent
from tests.data.cross_tapes import moved, quiet, tick
from tests.samples import anomaly

MARKETS = {
    ("binance", "POL-USDT"): 0.25,
    ("coinbase", "POL-USD"): 0.25,
    ("kraken", "POL-USD"): 0.25,
    ("binance", "BTC-USDT"): 100_000.0,
    ("coinbase", "BTC-USD"): 100_050.0,
    **{("binance", f"{coin}-USDT"): 10.0 for coin in ("ADA", "DOT", "SOL", "XRP")},
}
# So that bursts are found on so short a tape, and on so few markets.
BURSTS = LayeredBurstParams(least_markets=2, least_score=1.0, warm_up_s=600)
PARAMS = CrossParams(lateness_s=2.0, layered_burst=BURSTS)


def busy() -> list[MarketTick]:
    ticks = quiet(MARKETS, seconds=1_500, spacing_s=3.0)
    ticks = moved(ticks, 1.03, since_s=700, until_s=760, market=("binance", "POL-USDT"))
    ticks = moved(ticks, 0.98, since_s=730, until_s=790, market=("kraken", "POL-USD"))
    ticks = moved(ticks, 1.05, since_s=1_000, until_s=1_050, market=("coinbase", "BTC-USD"))
    for market in MARKETS:
        ticks = moved(ticks, 0.96, since_s=1_100, until_s=1_150, market=market)
    for number in (1_500, 3_600):
        event = anomaly(f"{number:020}", symbol=ticks[number].symbol, at_us=ticks[number].event_time_us)
        ticks[number] = msgspec.structs.replace(ticks[number], opened=(event,))
    for symbol in ("ADA-USDT", "DOT-USDT", "SOL-USDT"):
        ticks += [tick("binance", symbol, 1_400.0 + number, 10.0, flow=90_000.0) for number in range(4)]
    return sorted(ticks, key=lambda each: each.event_time_us)


TICKS = busy()
WHOLE = CrossEngine(PARAMS).on_batch(TICKS)


def test_the_ticks_make_it_speak() -> None:
    told = {(event.detector, event.episode.phase.value) for event in WHOLE if isinstance(event, Anomaly)}
    names = ("arbitrage", "market_move", "layered_burst")
    assert told >= {(name, phase) for name in names for phase in ("opened", "closed")}
    assert ("whale", "updated") in told
    ids = [event.anomaly_id for event in WHOLE if isinstance(event, Anomaly)]
    assert len(ids) == len(set(ids))


@settings(max_examples=6)
@given(st.lists(st.integers(0, len(TICKS)), max_size=30))
def test_any_split_gives_the_same(cuts: list[int]) -> None:
    engine, events = CrossEngine(PARAMS), list[OutputEvent]()
    for start, end in pairwise([0, *sorted(cuts), len(TICKS)]):
        events += engine.on_batch(TICKS[start:end])
    assert events == WHOLE


@settings(max_examples=6)
@given(st.lists(st.integers(1, len(TICKS)), min_size=1, max_size=4))
def test_a_restart_anywhere_changes_nothing(stops: list[int]) -> None:
    engine, events = CrossEngine(PARAMS), list[OutputEvent]()
    for start, end in pairwise([0, *sorted(stops), len(TICKS)]):
        events += engine.on_batch(TICKS[start:end])
        state = decode_state(encode_state(engine.snapshot(ALL_MARKETS)))
        engine = CrossEngine(PARAMS)
        engine.restore(ALL_MARKETS, state)
    assert events == WHOLE


@settings(max_examples=6)
@given(st.integers(0, 10_000), st.floats(0.0, 1.9))
def test_any_order_within_the_lateness_gives_the_same(seed: int, late_s: float) -> None:
    rng = np.random.default_rng(seed)
    arrivals_us = [tick.event_time_us + 1e6 * late_s * rng.random() for tick in TICKS]
    engine = CrossEngine(PARAMS)
    events = engine.on_batch([TICKS[at] for at in np.argsort(arrivals_us, kind="stable").tolist()])
    assert engine.late_ticks == 0
    # What the last ticks complete may differ by what is still on its way.
    assert events == WHOLE[: len(events)]
    assert len(events) >= len(WHOLE) - 1
