"""Settings per market: what a change keeps, what it starts afresh, and that batches do not matter."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.market_engines import MarketEngines
from detector.settings import SETTINGS
from shared.events import Anomaly, DetectorConfig, SettingValue, Trade
from shared.stream.step import OutputEvent, State
from tests.data.detector_tapes import SMALL, altered, crash, market

COUNT = 1_000
OTHER: dict[str, SettingValue] = {
    "enabled": ["combined", "whale", "flash_crash"],
    "shadow": ["whale"],
    "budget_per_day": 50.0,
    "min_move_pct": 1.0,
    "whale_min_notional": 5_000.0,
    "whale_quiet_s": 500.0,
    "flash_crash_min_drop_pct": 2.0,
    "flash_crash_drop_pct": 4.0,
    "episode_quiet_s": 5.0,
    "parole_s": 60.0,
    "warm_up_trades": 300,
    "flash_crash_window_s": 120.0,
    "zscore_window_trades": 80,
    "zscore_robust": True,
    "zscore_seasonal": True,
    "forest_trees": 6,
    "forest_window_trades": 256,
}
# What each setting starts afresh; those that are not here start nothing.
AFRESH = {
    "warm_up_trades": {"zscore", "forest", "whale", "flash_crash"},
    "flash_crash_window_s": {"features", "zscore", "forest", "whale", "flash_crash"},
    "zscore_window_trades": {"zscore"},
    "zscore_robust": {"zscore"},
    "zscore_seasonal": {"zscore"},
    "forest_trees": {"forest"},
    "forest_window_trades": {"forest"},
}


def busy(symbol: str, seed: int) -> list[Trade]:
    trades = crash(market(COUNT, seed=seed, symbol=symbol), at=500, depth=0.05, length=30)
    trades = crash(trades, at=800, depth=0.03, length=10)
    return [altered(t, quantity=500.0) if t.trade_id in {400, 650, 900} else t for t in trades]


TAPE = sorted(
    [
        trade
        for seed, symbol in enumerate(("BTC-USDT", "ETH-USDT", "SOL-BTC"))
        for trade in busy(symbol, seed)
    ],
    key=lambda trade: trade.event_time_us,
)


def configs(values: dict[str, SettingValue], scope: str = "default") -> tuple[DetectorConfig, ...]:
    markets = ["*-BTC"] if scope.startswith("class:") else []
    return (DetectorConfig(scope=scope, settings=values, markets=markets, version=1, time_us=0),)


def memory(state: State, stage: str) -> State:
    """Return what a stage remembers, without what it has told."""
    return {
        key: value
        for key, value in state.items()
        if key.startswith(f"0/{stage}/") and "/episode/" not in key and "/muted/" not in key
    }


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_every_setting_is_tried() -> None:
    assert OTHER.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_change_keeps_the_memory_of_what_it_does_not_concern(name: str) -> None:
    tape = busy("BTC-USDT", 0)
    changing, untouched = MarketEngines(SMALL), MarketEngines(SMALL)
    for engines in (changing, untouched):
        engines.on_batch(tape[:600])
    before = untouched.snapshot("BTC-USDT")
    assert changing.configure("BTC-USDT", configs({name: OTHER[name]})).has_changed
    after = changing.snapshot("BTC-USDT")
    for stage in ("features", "budget", "zscore", "forest", "whale", "flash_crash"):
        is_same = same(memory(before, stage), memory(after, stage))
        assert is_same == (stage not in AFRESH.get(name, set())), stage
    changing.on_batch(tape[600:])
    untouched.on_batch(tape[600:])
    # A fall that runs is one by the threshold that it began under.
    if name not in AFRESH and name != "flash_crash_drop_pct":
        for stage in ("features", "budget", "zscore", "forest", "whale", "flash_crash"):
            assert same(
                memory(untouched.snapshot("BTC-USDT"), stage), memory(changing.snapshot("BTC-USDT"), stage)
            ), stage


def test_what_is_found_under_other_settings_never_has_the_same_id() -> None:
    tape = busy("BTC-USDT", 0)
    plain = {e.anomaly_id: e for e in MarketEngines(SMALL).on_batch(tape) if isinstance(e, Anomaly)}
    for name, value in OTHER.items():
        engines = MarketEngines(SMALL)
        engines.configure("BTC-USDT", configs({name: value}))
        for event in engines.on_batch(tape):
            if isinstance(event, Anomaly) and event.anomaly_id in plain:
                assert event == plain[event.anomaly_id], name


def test_a_setting_speaks_for_its_market_alone() -> None:
    plain = MarketEngines(SMALL).on_batch(TAPE)
    engines = MarketEngines(SMALL)
    for symbol in ("BTC-USDT", "ETH-USDT", "SOL-BTC"):
        engines.configure(symbol, configs({"enabled": ["whale"]}, "class:on-bitcoin"))
    found = engines.on_batch(TAPE)
    assert [e for e in found if e.symbol != "SOL-BTC"] == [e for e in plain if e.symbol != "SOL-BTC"]
    assert {e.detector for e in plain if e.symbol == "SOL-BTC" and isinstance(e, Anomaly)} > {"whale"}
    assert {e.detector for e in found if e.symbol == "SOL-BTC" and isinstance(e, Anomaly)} == {"whale"}


changes = st.lists(
    st.tuples(
        st.integers(0, len(TAPE)),
        st.sampled_from(["default", "class:on-bitcoin", "market:ETH-USDT"]),
        st.sampled_from(sorted(OTHER.items(), key=lambda pair: pair[0])),
    ),
    max_size=4,
)


def run(
    orders: list[tuple[int, str, tuple[str, SettingValue]]], cuts: list[int], *, restarts: bool
) -> tuple[list[OutputEvent], dict[str, State]]:
    """Return what is found and remembered when settings change before some trades."""
    engines, current = MarketEngines(SMALL), dict[str, DetectorConfig]()
    events: list[OutputEvent] = []
    known: set[str] = set()
    for start, stop in pairwise(sorted({0, len(TAPE), *cuts, *(at for at, _, _ in orders)})):
        for _, scope, (name, value) in [order for order in orders if order[0] == start]:
            [current[scope]] = configs({name: value}, scope)
            for symbol in sorted(known):
                events += engines.configure(symbol, tuple(current.values())).events
        newcomers = {trade.symbol for trade in TAPE[start:stop]} - known
        for symbol in newcomers:
            engines.configure(symbol, tuple(current.values()))
        known |= newcomers
        events += engines.on_batch(TAPE[start:stop])
        if restarts:
            states = {symbol: engines.snapshot(symbol) for symbol in engines.symbols()}
            engines = MarketEngines(SMALL)
            for symbol, state in states.items():
                engines.restore(symbol, state)
    return events, {symbol: engines.snapshot(symbol) for symbol in sorted(engines.symbols())}


@settings(max_examples=12)
@given(changes, st.lists(st.integers(0, len(TAPE)), max_size=6), st.sampled_from(["goes on", "restarts"]))
def test_batches_and_restarts_change_nothing(
    orders: list[tuple[int, str, tuple[str, SettingValue]]], cuts: list[int], life: str
) -> None:
    whole, states = run(orders, [], restarts=False)
    parts, other_states = run(orders, cuts, restarts=life == "restarts")
    assert whole == parts
    assert states.keys() == other_states.keys()
    assert all(same(states[symbol], other_states[symbol]) for symbol in states)
