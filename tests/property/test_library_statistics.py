"""The statistical detectors of the library against naive references and published worked examples."""

import math
import statistics
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detector.library.statistical.base import Statistical
from detector.library.statistical.critical_values import dixon
from detector.library.statistical.critical_values import grubbs as grubbs_critical
from detector.library.statistical.dixon import DixonDetector
from detector.library.statistical.grubbs import GrubbsDetector
from detector.library.statistical.mad import MADDetector
from detector.library.statistical.quartiles import IQRDetector, TukeyDetector
from detector.library.statistical.zscore import ZScoreDetector

Sample = list[float]

NUMBERS: Final = st.integers(-1_000, 1_000).map(lambda number: number / 8)
SAMPLES: Final = st.lists(NUMBERS, min_size=7, max_size=25).filter(lambda sample: len(set(sample)) > 1)
ROWS: Final = st.lists(NUMBERS, min_size=1, max_size=6)
WINDOW: Final = 7


def fallback(sample: Sample, fitted: Sample, spread: float) -> float:
    return spread if len(set(sample)) > 1 and spread > 0 else statistics.pstdev(fitted)


def zscore(x: float, sample: Sample, fitted: Sample) -> float:
    spread = fallback(sample, fitted, statistics.stdev(sample))
    return abs(x - statistics.fmean(sample)) / spread


def mad(x: float, sample: Sample, fitted: Sample) -> float:
    centre = statistics.median(sample)
    distances = [abs(value - centre) for value in sample]
    spread = statistics.median(distances) / stats.norm.ppf(0.75)
    if spread == 0:
        spread = statistics.fmean(distances) * math.sqrt(math.pi / 2)
    return abs(x - centre) / fallback(sample, fitted, float(spread))


def iqr(x: float, sample: Sample, fitted: Sample) -> float:
    low, _, high = statistics.quantiles(sample, n=4, method="inclusive")
    return max(low - x, x - high, 0.0) / fallback(sample, fitted, high - low)


def tukey(x: float, sample: Sample, fitted: Sample) -> float:
    ordered, middle = sorted(sample), statistics.median(sample)
    half = len(ordered) // 2
    odd = [middle] if len(ordered) % 2 else []
    low, high = statistics.median(ordered[:half] + odd), statistics.median(odd + ordered[-half:])
    return max(low - x, x - high, 0.0) / fallback(sample, fitted, high - low)


def grubbs(x: float, sample: Sample, fitted: Sample) -> float:  # noqa: ARG001 - the same for all references
    joined = [*sample, x]
    n = len(joined)
    if len(set(joined)) == 1:
        return 0.0
    statistic = abs(x - statistics.fmean(joined)) / statistics.stdev(joined)
    t = stats.t.isf(0.05 / (2 * n), n - 2)
    return float(statistic / ((n - 1) / math.sqrt(n) * math.sqrt(t * t / (n - 2 + t * t))))


def dixons(x: float, sample: Sample, fitted: Sample) -> float:  # noqa: ARG001 - the same for all references
    joined = sorted([*sample, x])
    n = len(joined)
    gap, left_out = (1, 0) if n <= 7 else (1, 1) if n <= 10 else (2, 1) if n <= 13 else (2, 2)
    found = 0.0
    for values in (joined, [-value for value in reversed(joined)]):
        suspect = x if values is joined else -x
        width = values[-1] - values[left_out]
        if values[-1] == suspect and width > 0:
            found = max(found, (values[-1] - values[-1 - gap]) / width)
    return found / dixon(n, 0.025, gap, left_out)


REFERENCES: Final = [
    pytest.param(ZScoreDetector, zscore, 0, id="zscore"),
    pytest.param(MADDetector, mad, 0, id="mad"),
    pytest.param(IQRDetector, iqr, 0, id="iqr"),
    pytest.param(TukeyDetector, tukey, 0, id="tukey"),
    pytest.param(GrubbsDetector, grubbs, 1, id="grubbs"),
    pytest.param(DixonDetector, dixons, 1, id="dixon"),
]


def column(values: Sample) -> list[list[float]]:
    return [[value] for value in values]


@pytest.mark.parametrize(("detector", "reference", "joins"), REFERENCES)
@settings(max_examples=60, deadline=None)
@given(sample=SAMPLES, rows=ROWS)
def test_a_row_is_scored_as_the_naive_reference_does(
    detector: type[Statistical],
    reference: Callable[[float, Sample, Sample], float],
    joins: int,
    sample: Sample,
    rows: Sample,
) -> None:
    whole = detector().fit(column(sample)).score(column(rows))
    np.testing.assert_allclose(whole, [reference(x, sample, sample) for x in rows], rtol=1e-9, atol=1e-9)
    windowed = detector().set_params(window=WINDOW).fit(column(sample)).score(column(rows))
    tape = sample + rows
    expected = [
        reference(x, tape[at - WINDOW + joins : at], sample) for at, x in enumerate(rows, start=len(sample))
    ]
    np.testing.assert_allclose(windowed, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("detector", [GrubbsDetector, DixonDetector])
@settings(max_examples=60, deadline=None)
@given(sample=SAMPLES)
def test_a_member_is_tested_as_if_it_joined_the_others(detector: type[Statistical], sample: Sample) -> None:
    _, scores = detector().fit_detect(column(sample))
    for at, x in enumerate(sample):
        others = sample[:at] + sample[at + 1 :]
        if len(set(others)) > 1:
            alone = detector().fit(column(others)).score([[x]])[0]
            assert scores[at] == pytest.approx(alone, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("detector", "reference", "joins"), REFERENCES[:4])
@settings(max_examples=30, deadline=None)
@given(
    samples=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=7, max_size=12), row=st.tuples(NUMBERS, NUMBERS)
)
def test_a_row_of_several_columns_has_the_largest_of_their_scores(
    detector: type[Statistical],
    reference: Callable[[float, Sample, Sample], float],
    joins: int,  # noqa: ARG001 - the same table for all
    samples: list[tuple[float, float]],
    row: tuple[float, float],
) -> None:
    columns = [list(values) for values in zip(*samples, strict=True)]
    if any(len(set(values)) == 1 for values in columns):
        return
    found = detector().fit([list(values) for values in samples]).score([list(row)])[0]
    expected = max(reference(x, values, values) for x, values in zip(row, columns, strict=True))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_grubbs_on_the_handbooks_example() -> None:
    # Tietjen and Moore's masses of a uranium isotope, in the NIST/SEMATECH e-Handbook, section 1.3.5.17.1:
    # G = 2.468764 against 2.032 at one side and 5 %.
    masses = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]
    test = GrubbsDetector(alpha=0.05, side="high")
    labels, scores = test.fit_detect(column(masses))
    assert labels.tolist() == [0] * 7 + [1]
    assert scores[-1] * grubbs_critical(8, 0.05) == pytest.approx(2.468764, abs=1e-6)
    assert not GrubbsDetector(alpha=0.05, side="low").fit_detect(column(masses))[0].any()


def test_dixon_on_the_textbooks_example() -> None:
    # Ten readings with the suspect 0.167: Q = 0.455, significant at 10 % (0.412), not at 5 % (0.466).
    readings = [0.189, 0.167, 0.187, 0.183, 0.186, 0.182, 0.181, 0.184, 0.181, 0.177]
    at_10_pct, scores = DixonDetector(alpha=0.10, ratio="r10").fit_detect(column(readings))
    at_5_pct, _ = DixonDetector(alpha=0.05, ratio="r10").fit_detect(column(readings))
    assert at_10_pct.tolist() == [0, 1] + [0] * 8
    assert not at_5_pct.any()
    assert scores[1] == pytest.approx(0.4545 / 0.412, abs=2e-3)


@pytest.mark.parametrize("detector", [GrubbsDetector, DixonDetector])
@pytest.mark.parametrize("columns", [1, 3])
def test_normal_samples_are_flagged_as_often_as_alpha_says(detector: type[Statistical], columns: int) -> None:
    random = np.random.default_rng(0)
    test = detector().set_params(alpha=0.1)
    flagged = [test.fit_detect(random.normal(size=(12, columns)))[0].any() for _ in range(3_000)]
    # Bonferroni is on the safe side, and nearly exact at such a level.
    assert 0.08 < np.mean(flagged) < 0.12
