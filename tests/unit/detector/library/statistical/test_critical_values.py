import math

import numpy as np
import pytest
from scipy import stats

from detector.library.statistical import critical_values


@pytest.mark.parametrize(
    ("rows", "alpha", "published"),
    [
        # Grubbs and Beck (Technometrics 1972), one side at 5 % and 2.5 %.
        (3, 0.05, 1.153),
        (8, 0.05, 2.032),
        (10, 0.05, 2.176),
        (20, 0.05, 2.557),
        (3, 0.025, 1.155),
        (8, 0.025, 2.126),
        (10, 0.025, 2.290),
        (20, 0.025, 2.709),
    ],
)
def test_grubbs_agrees_with_the_published_table(rows: int, alpha: float, published: float) -> None:
    assert critical_values.grubbs(rows, alpha) == pytest.approx(published, abs=0.0015)


@pytest.mark.parametrize("rows", [3, 4, 7, 30, 1_000, 100_000])
@pytest.mark.parametrize("alpha", [0.1, 0.025, 1e-4])
def test_grubbs_agrees_with_the_handbooks_formula(rows: int, alpha: float) -> None:
    t = stats.t.isf(alpha / rows, rows - 2)
    expected = (rows - 1) / math.sqrt(rows) * math.sqrt(t * t / (rows - 2 + t * t))
    assert critical_values.grubbs(rows, alpha) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("alpha", "published"),
    [
        # Rorabacher (Analytical Chemistry 1991), Q of 3 to 10 values, both sides at 10 %, 5 % and 1 %.
        (0.05, (0.941, 0.765, 0.642, 0.560, 0.507, 0.468, 0.437, 0.412)),
        (0.025, (0.970, 0.829, 0.710, 0.625, 0.568, 0.526, 0.493, 0.466)),
        (0.005, (0.994, 0.926, 0.821, 0.740, 0.680, 0.634, 0.598, 0.568)),
    ],
)
def test_dixons_q_agrees_with_the_published_table(alpha: float, published: tuple[float, ...]) -> None:
    computed = [critical_values.dixon(rows, alpha, 1, 0) for rows in range(3, 11)]
    # The exact value of four at 1 % is 0.9207, as the samples below confirm.
    np.testing.assert_allclose(computed, published, atol=0.006)


@pytest.mark.parametrize(
    ("rows", "gap", "left_out", "published"),
    [
        # Dixon (1951), one side at 5 %.
        (8, 1, 1, 0.554),
        (9, 1, 1, 0.512),
        (10, 1, 1, 0.477),
        (11, 2, 1, 0.576),
        (12, 2, 1, 0.546),
        (13, 2, 1, 0.521),
        (14, 2, 2, 0.546),
        (15, 2, 2, 0.525),
        (20, 2, 2, 0.450),
        (25, 2, 2, 0.406),
        (30, 2, 2, 0.376),
    ],
)
def test_dixons_other_ratios_agree_with_the_published_tables(
    rows: int, gap: int, left_out: int, published: float
) -> None:
    assert critical_values.dixon(rows, 0.05, gap, left_out) == pytest.approx(published, abs=0.002)


def test_dixons_ratio_of_three_has_a_closed_form() -> None:
    # Of three normal values, with t = (2 r - 1) / sqrt(3) in the tangent (Dixon 1951, equation for n = 3).
    for ratio in (0.1, 0.5, 0.9, 0.99):
        expected = 1.0 - 3.0 / math.pi * (math.atan((2 * ratio - 1) / math.sqrt(3)) + math.pi / 6)
        assert critical_values.dixon_survival(3, ratio, 1, 0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "gap", "left_out"), [(4, 1, 0), (9, 1, 1), (12, 2, 1), (20, 2, 2), (200, 2, 2)]
)
def test_dixons_ratios_of_normal_samples_exceed_it_as_often_as_said(
    rows: int, gap: int, left_out: int
) -> None:
    ordered = np.sort(np.random.default_rng(0).normal(size=(40_000, rows)), axis=1)
    ratios = (ordered[:, -1] - ordered[:, -1 - gap]) / (ordered[:, -1] - ordered[:, left_out])
    for alpha in (0.1, 0.01, 0.005):
        share = (ratios > critical_values.dixon(rows, alpha, gap, left_out)).mean()
        assert share == pytest.approx(alpha, abs=4 * math.sqrt(alpha / len(ratios)))
