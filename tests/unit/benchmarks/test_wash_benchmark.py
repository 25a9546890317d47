"""The benchmark of wash trading: its reference, its statistics, and what it plants."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.wash import _auc, _scores, fit
from benchmarks.wash_order_ids import neighbours
from benchmarks.wash_planted import WAYS, planted
from benchmarks.wash_windows import Windows, batches, disjoint, judge
from detector.kernels import wash as kernel
from detector.patterns import wash_reference
from detector.patterns.wash_trading import WashTradingParams, ordinary_markets
from shared.stream.columns import TradeColumns
from tests.data.wash_tapes import thin_market


def windows(market: str, values: list[float]) -> Windows:
    n = len(values)
    table = np.repeat(np.array(values)[:, None], kernel.TESTS, axis=1)
    return Windows(market, table[:, 0], table, table, np.arange(n, dtype=np.float64), np.ones(n), 0, 1.0)


def test_a_reference_holds_what_shares_reach_with_markets_alike() -> None:
    rare = windows("rare", np.linspace(2.0, 3.0, 10).tolist())
    usual = windows("usual", np.linspace(0.0, 1.0, 1_000).tolist())
    table, _ = fit([rare, usual])
    reached = dict(zip(wash_reference.SHARES, table[0].tolist(), strict=True))
    assert reached[1.0] == 0.0
    assert reached[0.5] == 2.0, "half of the weight is one market's ten windows"
    assert reached[0.1] == pytest.approx(2.0 + 8 / 9)
    assert reached[0.05] == reached[0.005] == 3.0


def test_an_auc_counts_markets_alike_and_ties_half() -> None:
    assert _auc(np.array([1.0]), [np.array([0.0]), np.full(100, 2.0)]) == 0.5
    assert _auc(np.array([1.0, 2.0]), [np.array([1.0])]) == 0.75


def test_windows_that_share_no_trade_are_a_window_apart() -> None:
    assert disjoint(windows("any", [0.0] * 6)).tolist() == [1, 5]


def test_scores_anew_are_those_of_the_detector() -> None:
    tape = TradeColumns.of(thin_market(4_000, washed=(1_000, 3_000)))
    judged = judge("washed", batches(tape))
    assert judged is not None
    assert judged.alarms == 1
    assert len(judged.scores) == (4_000 - 1_024) // 256 + 1
    again = _scores(judged, judged.logs, ordinary_markets(WashTradingParams().weights))
    assert again == pytest.approx(judged.scores, rel=1e-6)
    for k in range(len(judged.values)):
        for test, value in enumerate(judged.values[k].tolist()):
            surprise = kernel.surprise(ordinary_markets(WashTradingParams().weights), test, value)
            assert surprise == pytest.approx(judged.logs[k, test], abs=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_planted_is_so_much_of_the_second_half_and_in_time(way: str) -> None:
    tape = TradeColumns.of(thin_market(8_000))
    washed = planted(tape, way=way, share=0.25, seed=1)
    assert len(washed) == pytest.approx(6_144 + 1_024, abs=2)
    assert (np.diff(washed.times_us) >= 0).all()
    assert np.array_equal(washed.prices[:3_000], tape.prices[4_000 - 3_072 : 4_000 - 72])
    assert set(washed.prices.tolist()) <= set(tape.prices.tolist())


def test_neighbouring_order_ids_are_counted(tmp_path: Path) -> None:
    frames = [{"b": 10 * n, "a": 10 * n + (1 if n % 4 else 9), "q": "47.58", "m": True} for n in range(400)]
    frames += [{"b": 10 * n, "a": 10 * n + 100, "q": "100.0", "m": True} for n in range(300)]
    path = tmp_path / "frames.json"
    path.write_text(json.dumps(frames))
    repeated, others = neighbours(path)
    assert repeated.values["trades"] == 400
    assert repeated.values["ids 1 apart or less"] == 0.75
    assert repeated.values["ids 10 apart or less"] == 1.0
    assert others.values["trades"] == 300
    assert others.values["ids 50 apart or less"] == 0.0
