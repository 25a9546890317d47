"""The benchmark's score: worth by position, baselines, worked examples, thresholds, ties, probation."""

import dataclasses

import numpy as np
import pytest

from detector.evaluation.nab import (
    NAB_LOW_FN,
    NAB_LOW_FP,
    NAB_PROFILES,
    NAB_STANDARD,
    NabProfile,
    NabSeries,
    nab_score,
    probation_rows,
    scaled_sigmoid,
)

ROWS = 1_000
WINDOW = (500, 599)


def series(*alarms: int, windows: tuple[tuple[int, int], ...] = (WINDOW,)) -> NabSeries:
    scores = np.zeros(ROWS)
    scores[list(alarms)] = 1.0
    return NabSeries(scores, windows)


def score(*alarms: int, profile: NabProfile = NAB_STANDARD) -> float:
    return nab_score([series(*alarms)], profile, threshold=1.0).score


def test_worth_by_position_is_as_published() -> None:
    # The values in the benchmark's own documentation.
    worth = scaled_sigmoid(np.array([-1.0, -0.5, 0.0, 1.0, 2.999, 3.0, 100.0]))
    assert worth.tolist() == pytest.approx([0.98661, 0.84828, 0.0, -0.98661, -1.0, -1.0, -1.0], abs=1e-5)


@pytest.mark.parametrize("profile", NAB_PROFILES, ids=lambda profile: profile.name)
def test_nothing_is_0_and_everything_at_once_100(profile: NabProfile) -> None:
    assert score(profile=profile) == 0
    assert score(500, profile=profile) == pytest.approx(100)


def test_only_the_first_alarm_of_a_window_counts() -> None:
    assert score(550, 560, 599) == score(550)
    assert score(550) < score(520) < score(500)


def test_a_hit_in_the_middle_by_hand() -> None:
    # Row 550 of 500 to 599: 50 rows before the row after the end, half a width.
    expected = (0.848284 / 0.986614 + 1.0) / 2.0 * 100.0
    assert score(550) == pytest.approx(expected, abs=1e-3)


def test_false_alarms_by_hand() -> None:
    assert score(300) == pytest.approx(-0.11 / 2 * 100), "before any window: the full weight"
    assert score(300, profile=NAB_LOW_FP) == pytest.approx(-0.22 / 2 * 100)
    assert score(300, profile=NAB_LOW_FN) == pytest.approx(-0.11 / 3 * 100)
    assert score(698) == pytest.approx(-0.11 * 0.98661 / 2 * 100, abs=1e-3), "one width after the end"
    assert score(600) > score(620) > score(698), "just after a window an alarm is nearly forgiven"
    assert score(997) == pytest.approx(-0.11 / 2 * 100), "far after it is not"


def test_probation_is_a_sixth_or_so_and_never_more_than_750_rows() -> None:
    assert [probation_rows(rows) for rows in (1_000, 4_032, 5_000, 15_902)] == [150, 604, 750, 750]
    assert score(0, 149) == 0
    assert score(150) < 0


def test_a_window_within_probation_is_no_window() -> None:
    result = nab_score([series(50, windows=((40, 60), WINDOW))], NAB_STANDARD)
    assert (result.windows, result.found, result.score) == (1, 0, 0.0)


def test_the_threshold_is_the_best_for_all_series_together() -> None:
    one, other = series(), series()
    one.scores[500], one.scores[300] = 0.9, 0.2
    other.scores[500], other.scores[300] = 0.5, 0.7
    result = nab_score([one, other], NAB_STANDARD)
    assert (result.threshold, result.found, result.windows, result.false_alarms) == (0.5, 2, 2, 1)
    assert result.score == pytest.approx(100 - 0.11 / 4 * 100)
    below = nab_score([one, other], NAB_STANDARD, threshold=0.1)
    assert (below.found, below.false_alarms) == (2, 2)
    between = nab_score([one, other], NAB_STANDARD, threshold=0.6)
    assert (between.found, between.false_alarms, between.threshold) == (1, 1, 0.6)


def test_equal_scores_become_alarms_together() -> None:
    # The hit alone would be worth 100, but no threshold has it alone.
    result = nab_score([series(500, *range(150, 250))], NAB_STANDARD)
    assert (result.score, result.found, result.threshold) == (0.0, 0, np.inf)


def test_no_alarm_at_all_is_the_best_of_a_bad_detector() -> None:
    assert nab_score([series(*range(150, 300))], NAB_STANDARD).score == 0


def test_scores_may_be_of_any_scale_and_nan_is_no_alarm() -> None:
    scores = np.full(ROWS, np.nan)
    scores[505], scores[900] = -3.0, -9.0
    result = nab_score([NabSeries(scores, (WINDOW,))], NAB_STANDARD)
    assert (result.threshold, result.found, result.false_alarms) == (-3.0, 1, 0)


def test_without_a_window_there_is_nothing_to_score() -> None:
    with pytest.raises(ValueError, match="window"):
        nab_score([series(windows=())], NAB_STANDARD)


def naive(parts: list[NabSeries], profile: NabProfile, threshold: float) -> float:
    """Score row by row, as the paper tells it."""
    raw = windows = 0.0
    for part in parts:
        learning = int(min(0.15 * len(part.scores), 750))
        earned = dict.fromkeys(part.windows, -profile.fn_weight)
        for row, value in enumerate(part.scores):
            if row < learning or value < threshold:
                continue
            inside = [(first, last) for first, last in part.windows if first <= row <= last]
            before = [(first, last) for first, last in part.windows if last < row]
            if inside:
                first, last = inside[0]
                position = -(last - row + 1) / (last - first + 1)
                worth = (2 / (1 + np.exp(5 * position)) - 1) / (2 / (1 + np.exp(-5)) - 1)
                earned[inside[0]] = max(earned[inside[0]], profile.tp_weight * worth)
            else:
                distance = (row - before[-1][1]) / (before[-1][1] - before[-1][0]) if before else 3.0
                raw += profile.fp_weight * (-1.0 if distance >= 3 else 2 / (1 + np.exp(5 * distance)) - 1)
        raw += sum(earned.values())
        windows += len(part.windows)
    null, perfect = -profile.fn_weight * windows, profile.tp_weight * windows
    return float(100 * (raw - null) / (perfect - null))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_rules_told_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    profile = dataclasses.replace(NAB_STANDARD, fp_weight=0.3, fn_weight=1.5)
    parts = [
        NabSeries(
            np.round(rng.beta(1, 4, rows), 2), ((rows // 3, rows // 3 + 30), (rows // 2, rows // 2 + 9))
        )
        for rows in (300, 700, 6_000)
    ]
    thresholds = np.unique(np.concatenate([part.scores for part in parts]))[-12:].tolist()
    told = [naive(parts, profile, threshold) for threshold in thresholds]
    for threshold, expected in zip(thresholds, told, strict=True):
        assert nab_score(parts, profile, threshold=threshold).score == pytest.approx(expected)
    best = nab_score(parts, profile)
    assert best.score >= max(0.0, *told) - 1e-9
    assert best.score == pytest.approx(naive(parts, profile, best.threshold))
