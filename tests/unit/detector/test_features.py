"""Features: values by hand, and the rules for late, restarted and overfull windows."""

import math

import numpy as np
import pytest

from detector.arrays import FloatMatrix, IntVector
from detector.features import FEATURES, FeatureParams, Features, Tape, all_feature_names, feature_names
from detector.runs import Runs

START = 1_700_000_000_000_000


def columns(prices: list[float], seconds: list[float], *, sells: list[int] | None = None) -> Tape:
    times_us = [START + round(s * 1e6) for s in seconds]
    n = len(prices)
    return Tape(np.array(prices, np.float64), np.ones(n), np.array(sells or [0] * n), np.array(times_us))


def made(**params: object) -> Features:
    features = Features(FeatureParams(**params))  # type: ignore[arg-type]
    features.open(0, identity="x")
    return features


def learn(features: Features, tape: Tape) -> tuple[FloatMatrix, IntVector]:
    return features.update(Runs.single(0, len(tape.prices)), tape)


def updated(tape: Tape, **params: object) -> dict[str, list[float]]:
    features = made(**params)
    rows, _ = learn(features, tape)
    return {name: rows[:, at].tolist() for at, name in enumerate(features.names)}


def test_a_trade_counts_in_windows_younger_than_their_length() -> None:
    rows = updated(columns([100, 101, 99, 100], [0, 0.999, 1.0, 10.5]))
    assert rows["count_1s"] == [1, 2, 2, 1]
    assert rows["count_10s"] == [1, 2, 3, 3]
    assert rows["notional_1s"] == [100, 201, 200, 100]
    assert rows["count_300s"] == [1, 2, 3, 4]


def test_returns_drawdown_and_run_up_are_against_the_window() -> None:
    rows = updated(columns([100, 110, 88, 99], [0, 1, 2, 3]))
    assert rows["return_60s"] == pytest.approx([0, 0.1, -0.12, -0.01])
    assert rows["drawdown_60s"] == pytest.approx([0, 0, -0.2, -0.1])
    assert rows["drawdown_age_60s"] == pytest.approx([0, 0, 1, 2])
    assert rows["run_up_60s"] == pytest.approx([0, 0.1, 0, 0.125])
    assert rows["run_up_age_60s"] == pytest.approx([0, 1, 0, 1])
    steps = [math.log(110 / 100), math.log(88 / 110), math.log(99 / 88)]
    assert rows["volatility_60s"][3] == pytest.approx(math.hypot(*steps))
    assert rows["log_return"] == pytest.approx([0, *steps])


def test_flow_is_signed_by_the_taker() -> None:
    rows = updated(columns([100, 100, 100], [0, 1, 2], sells=[0, 1, 1]))
    assert rows["signed_flow"] == [100, -100, -100]
    assert rows["imbalance_10s"] == pytest.approx([1, 0, -1 / 3])
    assert rows["inter_arrival_s"] == pytest.approx([0, 1, 1])


def test_rush_orders_are_trades_of_one_side_at_one_instant() -> None:
    rows = updated(columns([100] * 6, [0, 0, 0, 0, 1, 1], sells=[0, 0, 1, 1, 1, 1]))
    assert rows["rush_orders"] == [1, 2, 1, 2, 1, 2]


def test_a_late_trade_counts_as_if_it_came_at_the_latest_time() -> None:
    rows, clock_us = learn(made(), columns([100, 101, 102], [10, 9, 10]))
    assert (clock_us - START).tolist() == [10_000_000] * 3
    assert rows[:, FEATURES.index("count_1s")].tolist() == [1, 2, 3]
    assert rows[:, FEATURES.index("inter_arrival_s")].tolist() == [0, 0, 0]


def test_a_clock_that_was_hours_ahead_starts_the_windows_anew() -> None:
    rows, clock_us = learn(made(), columns([100, 200, 101, 102], [0, 90_000, 1, 2]))
    assert ((clock_us - START) / 1e6).tolist() == [0, 90_000, 1, 2]
    assert rows[:, FEATURES.index("count_300s")].tolist() == [1, 1, 1, 2]
    assert rows[:, FEATURES.index("log_return")][2] == 0


def test_an_overfull_window_lets_its_oldest_trades_go() -> None:
    rows = updated(columns([100 + k for k in range(40)], [0.01 * k for k in range(40)]), max_trades=8)
    assert rows["count_300s"] == [min(k + 1, 8) for k in range(40)]
    assert rows["notional_1s"][-1] == sum(range(132, 140))
    assert rows["return_300s"][-1] == pytest.approx(139 / 132 - 1)


def test_memory_grows_without_a_trace_in_the_results() -> None:
    prices = [100.0 + (k * 7919) % 13 for k in range(1_000)]
    tape = columns(prices, [0.05 * k for k in range(1_000)])
    at_once = learn(made(), tape)[0]
    singly = made()
    one_by_one = np.concatenate([learn(singly, tape.part(k, k + 1))[0] for k in range(1_000)])
    assert np.array_equal(at_once, one_by_one)


def test_sizes_beyond_any_market_stay_finite() -> None:
    n = 4
    tape = Tape(
        np.array([1e-300, 1e299, 1e-300, 1e299]), np.full(n, 1e8), np.zeros(n, np.int64), np.arange(n)
    )
    assert np.isfinite(
        learn(made(columns=all_feature_names((1.0, 60.0)), windows_s=(1.0, 60.0)), tape)[0]
    ).all()


@pytest.mark.parametrize("damage", ["missing", "type", "shape", "first", "marks", "nothing"])
def test_a_damaged_state_is_refused(damage: str) -> None:
    features = made()
    learn(features, columns([100, 101], [0, 1]))
    state = features.state(0)
    match damage:
        case "missing":
            del state["trades"]
        case "type":
            state["trades"] = np.zeros((2, 6), np.float32)
        case "shape":
            state["cursor"] = np.zeros(3, np.int64)
        case "first":
            state["first"] = 1
        case "marks":
            state["marks"] = np.full((4, 2), 3)
        case "nothing":
            state |= {"first": 2, "times": np.zeros(0, np.int64), "trades": np.zeros((0, 6))}
    with pytest.raises(ValueError, match=r"trades|cursor|windows"):
        made().load_state(0, state)


def test_markets_grow_leave_and_come_without_touching_each_other() -> None:
    names = all_feature_names((1.0, 60.0))
    features = Features(FeatureParams(windows_s=(1.0, 60.0), columns=names))
    alone: dict[int, Features] = {}
    rng = np.random.default_rng(1)
    clock_s = dict.fromkeys(range(6), 0.0)
    for turn in range(40):
        slot = turn % 6
        if turn % 11 == 0:
            if slot in alone:
                features.close(slot)
            features.open(slot, identity="x")
            alone[slot] = made(windows_s=(1.0, 60.0), columns=names)
        batch, sizes = [], []
        for market in alone:
            n = int(rng.integers(1, 80))
            seconds = clock_s[market] + np.cumsum(rng.exponential(0.1, n))
            clock_s[market] = float(seconds[-1])
            batch.append(columns(rng.lognormal(4, 0.1, n).tolist(), seconds.tolist()))
            sizes.append(n)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        together = Tape(*(np.concatenate(parts) for parts in zip(*batch, strict=True)))
        rows, clock_us = features.update(Runs(np.array(list(alone)), starts), together)
        for at, (market, own) in enumerate(alone.items()):
            expected, expected_clock = learn(own, batch[at])
            assert np.array_equal(rows[starts[at] : starts[at + 1]], expected)
            assert np.array_equal(clock_us[starts[at] : starts[at + 1]], expected_clock)
            state, other = features.state(market), own.state(0)
            assert all(np.array_equal(state[key], other[key]) for key in other)


def test_spans_of_markets_that_left_are_used_again() -> None:
    features = made()
    learn(features, columns([100.0] * 1_000, [0.01 * k for k in range(1_000)]))
    size = len(features._pool.times)
    for _ in range(50):
        features.close(0)
        features.open(0, identity="y")
        learn(features, columns([100.0] * 1_000, [0.01 * k for k in range(1_000)]))
    assert len(features._pool.times) == size


def test_columns_that_are_asked_for_come_alone_and_in_order() -> None:
    rows = updated(columns([100, 102, 104], [0, 1, 2]), columns=("std_10s", "vwap_10s", "log_return"))
    assert list(rows) == ["std_10s", "vwap_10s", "log_return"]
    assert rows["std_10s"] == pytest.approx([0, math.sqrt(2), 2])
    assert rows["vwap_10s"] == pytest.approx([100, 101, 102])


def test_volume_and_its_price_by_hand() -> None:
    tape = Tape(
        np.array([10.0, 20.0]), np.array([3.0, 1.0]), np.array([0, 1]), np.array([START, START + 500_000])
    )
    rows = updated(tape, columns=all_feature_names((10.0,)), windows_s=(10.0,))
    assert rows["quantity_10s"] == [3, 4]
    assert updated(tape, columns=("quantity",), windows_s=(10.0,))["quantity"] == tape.quantities.tolist()
    assert rows["vwap_10s"] == [10, 12.5]
    assert rows["vwap_deviation_10s"] == pytest.approx([0, 0.6])
    assert rows["signed_flow_10s"] == [30, 10]
    assert rows["rate_10s"] == pytest.approx([0.1, 0.2])
    assert (rows["high_10s"], rows["low_10s"], rows["mean_10s"]) == ([10, 20], [10, 10], [10, 15])


def test_rush_orders_are_counted_in_windows() -> None:
    rows = updated(columns([100] * 5, [0, 0, 0, 1, 5]), columns=("rush_orders_2s",), windows_s=(2.0,))
    assert rows["rush_orders_2s"] == [0, 1, 2, 2, 0]


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="windows"):
        FeatureParams(windows_s=(1.0, 1.0))
    with pytest.raises(ValueError, match="max_trades"):
        FeatureParams(max_trades=1)
    with pytest.raises(ValueError, match="mean_7s"):
        FeatureParams(columns=("mean_7s",))


def test_other_windows_have_other_names() -> None:
    assert "drawdown_0.5s" in feature_names((0.5,))
    assert len(set(FEATURES)) == len(FEATURES)


def test_of_equal_extremes_the_latest_counts_also_after_the_window_has_moved() -> None:
    rows = updated(
        columns([1, 3, 3, 1, 2, 3, 1, 2], [0, 0.1, 0.2, 0.3, 0.55, 0.56, 0.57, 0.75]), windows_s=(0.5,)
    )
    assert rows["drawdown_age_0.5s"] == pytest.approx([0, 0, 0, 0.1, 0.35, 0, 0.01, 0.19])
    assert rows["run_up_age_0.5s"] == pytest.approx([0, 0.1, 0.2, 0, 0.25, 0.26, 0, 0.18])
