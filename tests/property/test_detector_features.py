"""Windows against exact sums: through spikes, at every split, and after every restart."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.features import FeatureParams, Features, Tape

PARAMS = FeatureParams(windows_s=(0.5, 3.0), max_trades=64)


def trades_at(prices: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[float, float, bool, int]]]:
    trade = st.tuples(
        prices,
        st.sampled_from([1e-6, 0.1, 1.0, 3.7, 1e12]),
        st.booleans(),
        st.sampled_from([0, 0, 1, 100_000, 400_000, 2_000_000]),
    )
    return st.lists(trade, min_size=1, max_size=150)


# Any price, and prices that repeat, so that highs and lows have equals.
TRADES = st.one_of(trades_at(st.floats(1e-8, 1e8)), trades_at(st.sampled_from([1.0, 2.0, 3.0])))


def tape_of(trades: list[tuple[float, float, bool, int]]) -> Tape:
    prices, quantities, sells, gaps = zip(*trades, strict=True)
    return Tape(
        np.array(prices),
        np.array(quantities),
        np.array(sells, np.int64),
        10**15 + np.cumsum(gaps, dtype=np.int64),
    )


def split(tape: Tape, cuts: list[int]) -> list[Tape]:
    edges = [0, *sorted(c % (len(tape.prices) + 1) for c in cuts), len(tape.prices)]
    return [tape.part(a, b) for a, b in pairwise(edges) if a < b]


@given(TRADES)
def test_windows_agree_with_exact_sums_through_spikes(trades: list[tuple[float, float, bool, int]]) -> None:
    tape = tape_of(trades)
    features = Features(PARAMS)
    rows, _ = features.update(tape)
    at = {name: k for k, name in enumerate(features.names)}
    notional = tape.prices * tape.quantities
    steps = np.diff(np.log(tape.prices), prepend=np.log(tape.prices[0]))
    for window_s in PARAMS.windows_s:
        label = f"{window_s:g}s"
        for i in range(len(trades)):
            young = tape.times_us > tape.times_us[i] - round(window_s * 1e6)
            inside = [k for k in np.flatnonzero(young[: i + 1]) if i - k < PARAMS.max_trades]
            exact = math.fsum(notional[inside])
            signed = math.fsum(-notional[k] if tape.sells[k] else notional[k] for k in inside)
            prices = tape.prices[inside]
            row = rows[i]
            assert row[at[f"count_{label}"]] == len(inside)
            assert math.isclose(row[at[f"notional_{label}"]], exact, rel_tol=1e-12)
            assert math.isclose(row[at[f"imbalance_{label}"]], signed / exact, rel_tol=1e-9, abs_tol=1e-12)
            volatility = math.sqrt(math.fsum(steps[k] ** 2 for k in inside))
            assert math.isclose(row[at[f"volatility_{label}"]], volatility, rel_tol=1e-9, abs_tol=1e-15)
            last = tape.prices[i]
            assert row[at[f"drawdown_{label}"]] == last / prices.max() - 1
            assert row[at[f"run_up_{label}"]] == min(last / prices.min() - 1, 1e12)
            newest_high = max(k for k in inside if tape.prices[k] == prices.max())
            age_s = (tape.times_us[i] - tape.times_us[newest_high]) * 1e-6
            assert row[at[f"drawdown_age_{label}"]] == age_s


@given(TRADES, st.lists(st.integers(0, 200), max_size=6))
def test_splits_and_restarts_leave_no_trace(
    trades: list[tuple[float, float, bool, int]], cuts: list[int]
) -> None:
    tape = tape_of(trades)
    whole = Features(PARAMS)
    expected, expected_clock = whole.update(tape)
    parts, clocks = [], []
    features = Features(PARAMS)
    for part in split(tape, cuts):
        rows, clock = features.update(part)
        parts.append(rows)
        clocks.append(clock)
        state = features.state()
        features = Features(PARAMS)
        features.load_state(state)
    assert np.array_equal(np.concatenate(parts), expected)
    assert np.array_equal(np.concatenate(clocks), expected_clock)
    ended, direct = features.state(), whole.state()
    assert ended.keys() == direct.keys()
    assert all(np.array_equal(ended[key], direct[key]) for key in direct)
