"""How an order's quantity falls into trades."""

import numpy as np

from simulator.executions import _split_steps


def test_parts_add_up_and_none_is_empty() -> None:
    fills = np.array([1, 3, 7, 2, 40])
    steps = np.array([5, 3, 1_000, 1_000_000_007, 41])
    order = np.repeat(np.arange(5), fills)
    parts = _split_steps(steps, fills, order, np.random.default_rng(1))
    assert parts.min() >= 1
    assert [int(parts[order == number].sum()) for number in range(5)] == steps.tolist()
    assert len(set(parts[order == 2].tolist())) > 1
