"""Windows against exact sums: through spikes, at every split, and after every restart."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.arrays import FloatVector
from detector.features import CLOCK_RESTART_US, FeatureParams, Features, Tape, all_feature_names
from detector.runs import Runs

WINDOWS_S = (0.5, 3.0)
PARAMS = FeatureParams(windows_s=WINDOWS_S, max_trades=64, columns=all_feature_names(WINDOWS_S))
AT = {name: k for k, name in enumerate(PARAMS.names)}
EXACT = 1e-9

Trades = list[tuple[float, float, bool, int]]


def trades_at(prices: st.SearchStrategy[float]) -> st.SearchStrategy[Trades]:
    trade = st.tuples(
        prices,
        st.sampled_from([1e-6, 0.1, 1.0, 3.7, 1e12]),
        st.booleans(),
        # Late trades too, a day's silence, and a clock that was hours ahead.
        st.sampled_from([0, 0, 1, 100_000, 400_000, 2_000_000, -300_000, 86_400_000_000, -7_200_000_000]),
    )
    return st.lists(trade, min_size=1, max_size=150)


# Any price; prices that repeat, so that highs and lows have equals; usual ones with spikes; and prices that
# are large against their changes, down to the last digit.
TRADES = st.one_of(
    trades_at(st.floats(1e-8, 1e8)),
    trades_at(st.sampled_from([1.0, 2.0, 3.0])),
    trades_at(st.one_of(st.floats(95.0, 105.0), st.sampled_from([1e12, 1e-8]))),
    trades_at(st.sampled_from([1e8, math.nextafter(1e8, 0), 1e8 + 1e-6, 99_999_999.0])),
)


def tape_of(trades: Trades) -> Tape:
    prices, quantities, sells, gaps = zip(*trades, strict=True)
    return Tape(
        np.array(prices),
        np.array(quantities),
        np.array(sells, np.int64),
        10**15 + np.cumsum(gaps, dtype=np.int64),
    )


def made() -> Features:
    features = Features(PARAMS)
    features.open(0, identity="x")
    return features


def clock_of(times_us: list[int]) -> tuple[list[int], list[int]]:
    """Return the times after the rule for late trades, and for each trade where its windows may begin."""
    clock, begins, latest, begin = [], [], None, 0
    for i, time_us in enumerate(times_us):
        if latest is not None and latest - time_us > CLOCK_RESTART_US:
            begin, latest = i, time_us
        latest = time_us if latest is None else max(latest, time_us)
        clock.append(latest)
        begins.append(begin)
    return clock, begins


def variance(values: FloatVector) -> float:
    """Return the sample variance, in rational numbers."""
    exact = [Fraction(float(value)) for value in values]
    if len(exact) < 2:
        return 0.0
    mean = sum(exact) / len(exact)
    return float(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))


def log_returns(prices: FloatVector, begins: list[int]) -> FloatVector:
    steps = [0.0]
    for i, (before, after) in enumerate(pairwise(prices.tolist()), start=1):
        change = float((Fraction(after) - Fraction(before)) / Fraction(before))
        steps.append(
            0.0 if begins[i] == i else math.log1p(change) if change > -0.5 else math.log(after / before)
        )
    return np.array(steps)


def close(value: float, exact: float, *, scale: float = 0.0) -> bool:
    return math.isclose(value, exact, rel_tol=EXACT, abs_tol=EXACT * scale)


@given(TRADES)
def test_windows_agree_with_exact_sums_through_spikes(trades: Trades) -> None:
    tape = tape_of(trades)
    rows, clock_us = made().update(Runs.single(0, len(trades)), tape)
    clock, begins = clock_of(tape.times_us.tolist())
    assert clock_us.tolist() == clock
    steps = log_returns(tape.prices, begins)
    runs = rows[:, AT["rush_orders"]]
    assert np.allclose(rows[:, AT["log_return"]], steps, rtol=EXACT, atol=0)
    for window_s in WINDOWS_S:
        for i in range(len(trades)):
            inside = [
                k
                for k in range(max(begins[i], i - PARAMS.max_trades + 1), i + 1)
                if clock[k] > clock[i] - round(window_s * 1e6)
            ]
            row = {name: rows[i, AT[f"{name}_{window_s:g}s"]] for name in NAMES}
            check_sums(row, tape, inside, steps, runs)
            check_prices(row, tape, inside, steps)
            assert row["rate"] == len(inside) / window_s
            newest_high = max(k for k in inside if tape.prices[k] == row["high"])
            newest_low = max(k for k in inside if tape.prices[k] == row["low"])
            assert row["drawdown_age"] == (clock[i] - clock[newest_high]) * 1e-6
            assert row["run_up_age"] == (clock[i] - clock[newest_low]) * 1e-6


NAMES = [name.removesuffix("_3s") for name in AT if name.endswith("_3s")]


def check_sums(
    row: dict[str, float], tape: Tape, inside: list[int], steps: FloatVector, runs: FloatVector
) -> None:
    notional = (tape.prices * tape.quantities)[inside]
    exact, quantity = math.fsum(notional), math.fsum(tape.quantities[inside])
    signed = math.fsum(np.where(tape.sells[inside], -notional, notional))
    last = float(tape.prices[inside[-1]])
    assert row["count"] == len(inside)
    assert close(row["notional"], exact)
    assert close(row["quantity"], quantity)
    assert close(row["signed_flow"], signed, scale=exact)
    assert close(row["imbalance"], signed / exact, scale=1)
    assert close(row["vwap"], exact / quantity)
    assert close(row["vwap_deviation"], min(last / (exact / quantity) - 1, 1e12), scale=1)
    assert close(row["volatility"], math.sqrt(math.fsum(steps[inside] ** 2)))
    assert row["rush_orders"] == sum(runs[k] > 1 for k in inside)


def check_prices(row: dict[str, float], tape: Tape, inside: list[int], steps: FloatVector) -> None:
    prices = tape.prices[inside]
    last = Fraction(float(prices[-1]))

    def change(before: float) -> float:
        return min(float(last / Fraction(float(before)) - 1), 1e12)

    assert (row["high"], row["low"]) == (prices.max(), prices.min())
    assert close(row["drawdown"], change(prices.max()))
    assert close(row["run_up"], change(prices.min()))
    assert close(row["return"], change(prices[0]))
    assert close(row["mean"], math.fsum(prices) / len(prices))
    assert close(row["std"], math.sqrt(variance(prices)))
    assert close(
        row["return_std"], math.sqrt(variance(steps[inside])), scale=float(np.abs(steps).max()) * 1e-6
    )


@given(TRADES, st.lists(st.integers(0, 200), max_size=6))
def test_splits_and_restarts_leave_no_trace(trades: Trades, cuts: list[int]) -> None:
    tape = tape_of(trades)
    whole = made()
    expected, expected_clock = whole.update(Runs.single(0, len(trades)), tape)
    parts, clocks = [], []
    features = made()
    for a, b in pairwise([0, *sorted(c % (len(trades) + 1) for c in cuts), len(trades)]):
        rows, clock = features.update(Runs.single(0, b - a), tape.part(a, b))
        parts.append(rows)
        clocks.append(clock)
        state = features.state(0)
        features = made()
        features.load_state(0, state)
    assert np.array_equal(np.concatenate(parts), expected)
    assert np.array_equal(np.concatenate(clocks), expected_clock)
    ended, direct = features.state(0), whole.state(0)
    assert ended.keys() == direct.keys()
    assert all(np.array_equal(ended[key], direct[key]) for key in direct)


def test_a_spike_leaves_no_trace_after_days() -> None:
    rng = np.random.default_rng(1)
    n = 30_000
    prices = np.maximum(rng.normal(100.0, 1.0, n), 1.0)
    prices[[3, 15_000]] = 1e12
    times_us = 10**15 + np.cumsum(rng.exponential(10_000_000.0, n)).astype(np.int64)
    features = Features(
        FeatureParams(windows_s=(1_000.0,), columns=("std_1000s", "mean_1000s", "count_1000s"))
    )
    features.open(0, identity="x")
    tape = Tape(prices, np.ones(n), np.zeros(n, np.int64), times_us)
    rows, _ = features.update(Runs.single(0, n), tape)
    for i in range(500, n, 997):
        inside = prices[(times_us > times_us[i] - 10**9) & (times_us <= times_us[i])]
        assert rows[i, 2] == len(inside)
        assert close(rows[i, 0], math.sqrt(variance(inside)))
        assert close(rows[i, 1], math.fsum(inside) / len(inside))
