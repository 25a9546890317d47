"""Spacing: everything until the memory is full, then at most one row per spacing."""

import numpy as np

from detector.kernels.spacing import Spacing

FEATURES = ("notional", "inter_arrival_s")


def rows(gaps_s: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([[1.0, gap] for gap in gaps_s])


def test_a_full_memory_takes_one_row_per_spacing() -> None:
    spacing = Spacing(capacity=3, spacing_s=1.0, features=FEATURES)
    intake = spacing.choose(rows([0, 0, 0, 0.4, 0.4, 0.4, 0.4, 5.0, 0.0]))
    assert intake.sequence.tolist() == [0, 1, 2, -1, -1, 3, -1, 4, -1]
    assert intake.learned.tolist() == [0, 1, 2, 5, 7]
    assert (intake.first, spacing.taken) == (0, 5)


def test_the_next_batch_goes_on() -> None:
    spacing = Spacing(capacity=1, spacing_s=1.0, features=FEATURES)
    spacing.choose(rows([0, 0.6]))
    again = Spacing(capacity=1, spacing_s=1.0, features=FEATURES)
    again.load_state(spacing.state())
    for one in (spacing, again):
        intake = one.choose(rows([0.3, 0.2]))
        assert intake.first == 1
        assert intake.sequence.tolist() == [-1, 1]
