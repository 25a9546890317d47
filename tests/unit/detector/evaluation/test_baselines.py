"""Baselines against what they are said to be."""

import numpy as np
import pytest

from detector.evaluation import baselines
from detector.evaluation.contestants import Baseline, baseline_alarms
from detector.evaluation.events import ANY_KIND, Span
from detector.evaluation.tapes import MarketTape

SECOND = 1_000_000


def tape(prices: np.ndarray, *, step_s: int = 10) -> MarketTape:
    times_us = np.arange(len(prices), dtype=np.int64) * step_s * SECOND
    return MarketTape(
        "binance", "A-BTC", times_us, prices, np.ones(len(prices)), (Span(0, int(times_us[-1]) + 1),)
    )


def noisy(count: int) -> np.ndarray:
    return 100.0 * np.exp(np.random.default_rng(3).normal(0.0, 1e-4, count))


def test_a_z_score_is_of_the_returns_before() -> None:
    prices = noisy(200)
    found = baselines.zscores(tape(prices), window_trades=50)
    returns = np.diff(np.log(prices), prepend=np.log(prices[0]))
    assert np.isnan(found[:50]).all()
    for at in (50, 120, 199):
        before = returns[at - 50 : at]
        assert found[at] == pytest.approx((returns[at] - before.mean()) / before.std(ddof=1))


def test_a_change_is_from_the_last_trade_old_enough() -> None:
    found = baselines.change_in(tape(np.array([1.0, 2.0, 3.0, 4.0, 6.0])), seconds=25.0)
    assert np.isnan(found[:3]).all()
    assert found[3:].tolist() == [3.0, 2.0]


def test_episodes_end_after_a_minute_without() -> None:
    times_us = np.array([0, 10, 70, 131, 400], np.int64) * SECOND
    flags = np.array([True, True, True, True, False])
    assert baselines.openings(times_us, flags) == [(0, 70 * SECOND), (131 * SECOND, 131 * SECOND)]
    assert baselines.openings(times_us, ~flags) == [(400 * SECOND, 400 * SECOND)]
    assert baselines.openings(times_us, np.zeros(5, np.bool_)) == []


def test_rises_are_pumps_and_falls_crashes() -> None:
    prices = np.concatenate([np.full(20, 100.0), np.full(20, 104.0), np.full(20, 99.0)])
    found = baseline_alarms(Baseline.PERCENT, tape(prices))
    assert [(alarm.kind, alarm.time_us // SECOND) for alarm in found] == [
        ("pump_dump", 200),
        ("flash_crash", 400),
    ]


def test_the_z_score_sees_a_jump() -> None:
    prices = noisy(1_500)
    prices[1_200:] *= 1.05
    found = baseline_alarms(Baseline.ZSCORE3, tape(prices))
    assert {alarm.kind for alarm in found} == {ANY_KIND}
    assert any(alarm.time_us == 12_000 * SECOND for alarm in found)


def test_the_forest_sees_a_jump_and_knows_no_later_trade() -> None:
    pytest.importorskip("sklearn")
    prices = noisy(1_300)
    prices[1_250:] *= 1.05
    found = baselines.isolated(tape(prices))
    assert found[1_250]
    assert not found[:1_000].any()
    assert (baselines.isolated(tape(prices[:1_251])) == found[:1_251]).all()
