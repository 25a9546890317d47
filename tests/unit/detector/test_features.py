"""Features: values by hand, and the rules for late, restarted and overfull windows."""

import math

import numpy as np
import pytest

from detector.features import FEATURES, FeatureParams, Features, Tape, feature_names

START = 1_700_000_000_000_000


def columns(prices: list[float], seconds: list[float], *, sells: list[int] | None = None) -> Tape:
    times_us = [START + round(s * 1e6) for s in seconds]
    n = len(prices)
    return Tape(np.array(prices), np.ones(n), np.array(sells or [0] * n), np.array(times_us))


def updated(tape: Tape, **params: object) -> dict[str, list[float]]:
    features = Features(FeatureParams(**params))  # type: ignore[arg-type]
    rows, _ = features.update(tape)
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
    features = Features(FeatureParams())
    rows, clock_us = features.update(columns([100, 101, 102], [10, 9, 10]))
    assert (clock_us - START).tolist() == [10_000_000] * 3
    assert rows[:, FEATURES.index("count_1s")].tolist() == [1, 2, 3]
    assert rows[:, FEATURES.index("inter_arrival_s")].tolist() == [0, 0, 0]


def test_a_clock_that_was_hours_ahead_starts_the_windows_anew() -> None:
    features = Features(FeatureParams())
    rows, clock_us = features.update(columns([100, 200, 101, 102], [0, 90_000, 1, 2]))
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
    at_once = Features(FeatureParams()).update(tape)[0]
    singly = Features(FeatureParams())
    one_by_one = np.concatenate([singly.update(tape.part(k, k + 1))[0] for k in range(1_000)])
    assert np.array_equal(at_once, one_by_one)


def test_sizes_beyond_any_market_stay_finite() -> None:
    n = 4
    tape = Tape(
        np.array([1e-300, 1e299, 1e-300, 1e299]), np.full(n, 1e8), np.zeros(n, np.int64), np.arange(n)
    )
    assert np.isfinite(Features(FeatureParams()).update(tape)[0]).all()


@pytest.mark.parametrize("damage", ["missing", "type", "shape", "border"])
def test_a_damaged_state_is_refused(damage: str) -> None:
    features = Features(FeatureParams())
    features.update(columns([100, 101], [0, 1]))
    state = features.state()
    if damage == "missing":
        del state["ring"]
    elif damage == "type":
        state["ring"] = np.zeros((2, 4), np.float32)
    elif damage == "shape":
        state["cursor"] = np.zeros(3, np.int64)
    else:
        state["first"] = 1
    with pytest.raises(ValueError, match=r"ring|cursor|windows"):
        Features(FeatureParams()).load_state(state)


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="windows"):
        FeatureParams(windows_s=(1.0, 1.0))
    with pytest.raises(ValueError, match="max_trades"):
        FeatureParams(max_trades=1)


def test_other_windows_have_other_names() -> None:
    assert "drawdown_0.5s" in feature_names((0.5,))
    assert len(set(FEATURES)) == len(FEATURES)


def test_of_equal_extremes_the_latest_counts_also_after_the_window_has_moved() -> None:
    rows = updated(
        columns([1, 3, 3, 1, 2, 3, 1, 2], [0, 0.1, 0.2, 0.3, 0.55, 0.56, 0.57, 0.75]), windows_s=(0.5,)
    )
    assert rows["drawdown_age_0.5s"] == pytest.approx([0, 0, 0, 0.1, 0.35, 0, 0.01, 0.19])
    assert rows["run_up_age_0.5s"] == pytest.approx([0, 0.1, 0.2, 0, 0.25, 0.26, 0, 0.18])
