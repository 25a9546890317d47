import pytest

from benchmarks.report import Row
from benchmarks.stages import WITH_SNAPSHOTS, snapshot_cost


def test_a_snapshots_cost_is_what_it_adds_to_a_run() -> None:
    staged = [
        Row(
            name="runner with the whole engine, exactly once, plain reads",
            values={"cpu_us_per_trade": 9.0, "snapshots": 0},
        ),
        Row(
            name="runner with the whole engine, exactly once, librdkafka's batches",
            values={"cpu_us_per_trade": 4.0, "snapshots": 0},
        ),
        Row(
            name="runner with the whole engine, at least once, librdkafka's batches",
            values={"cpu_us_per_trade": 3.0, "snapshots": 0},
        ),
        Row(name=WITH_SNAPSHOTS, values={"cpu_us_per_trade": 5.0, "snapshots": 100}),
    ]
    cost = snapshot_cost(staged, trades=200_000, markets=300, interval_s=30.0).values
    # 1 us more for each of 200,000 trades, spent on 100 snapshots: 2 ms each, ten of them a second.
    assert cost["cpu_ms_per_snapshot"] == pytest.approx(2.0)
    assert cost["core_pct"] == pytest.approx(2.0)
    assert cost["us_per_trade_at_2000_per_s"] == pytest.approx(10.0)
    assert cost["us_per_trade_at_20000_per_s"] == pytest.approx(1.0)
