import numpy as np
import pytest

from detector.kernels.marginals import STEPS, fill_tables, step_of


def _tables(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gap, tail = np.empty((1, STEPS), np.float32), np.empty((1, STEPS), np.float32)
    fill_tables(column.astype(np.float32)[:, None], len(column), gap, tail)
    return gap[0], tail[0]


def test_a_gap_between_two_humps_is_a_gap_and_no_tail() -> None:
    rng = np.random.default_rng(0)
    gap, tail = _tables(np.concatenate([rng.normal(-4, 0.3, 200), rng.normal(4, 0.3, 200)]))
    assert gap[step_of(0.0)] > gap[step_of(4.0)] + 3.0
    assert tail[step_of(0.0)] < tail[step_of(20.0)] - 3.0


def test_tails_are_as_counted() -> None:
    _, tail = _tables(np.repeat([0.0, 10.0], [90, 10]))
    assert tail[step_of(10.0)] == pytest.approx(-np.log(10.5 / 101.0), rel=1e-5)
    assert tail[step_of(0.0)] == pytest.approx(-np.log(90.5 / 101.0), rel=1e-5)
    assert tail[step_of(-30.0)] == tail[step_of(50.0)] == pytest.approx(-np.log(0.5 / 101.0), rel=1e-5)


def test_a_constant_column_makes_all_else_strange() -> None:
    gap, tail = _tables(np.zeros(50))
    assert gap[step_of(0.0)] == pytest.approx(0.0)
    assert gap[step_of(3.0)] > 3.0
    assert tail[step_of(3.0)] > 3.0


def test_steps_end_somewhere() -> None:
    assert step_of(-1e30) == 0
    assert step_of(1e30) == STEPS - 1
