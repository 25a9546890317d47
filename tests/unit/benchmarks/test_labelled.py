from pathlib import Path

import numpy as np
import pytest

from benchmarks.labelled import LabelledSet, average_precision, labelled_sets, roc_auc
from shared.errors import TapewatchError

_TRUTH = np.array([True, False, True, False, False])


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert roc_auc(_TRUTH, np.array([5.0, 4.0, 3.0, 2.0, 1.0])) == pytest.approx(5.0 / 6.0)


def test_ties_count_half_and_missing_scores_are_lowest() -> None:
    assert roc_auc(_TRUTH, np.ones(5)) == pytest.approx(0.5)
    assert roc_auc(_TRUTH, np.array([np.nan, 1.0, np.nan, 1.0, np.nan])) == pytest.approx(1.0 / 6.0)


def test_auc_without_anomalies_is_unknown() -> None:
    assert np.isnan(roc_auc(np.zeros(3, np.bool_), np.arange(3.0)))


def test_average_precision_by_hand() -> None:
    assert average_precision(_TRUTH, np.array([5.0, 4.0, 3.0, 2.0, 1.0])) == pytest.approx(
        (1.0 + 2.0 / 3.0) / 2.0
    )
    assert average_precision(_TRUTH, np.ones(5)) == pytest.approx(0.4)


def test_streams_keep_rows_and_truth_together() -> None:
    rows = np.arange(10.0)[:, None]
    each = LabelledSet("x", rows, rows[:, 0] > 6.0)
    shuffled = each.stream("random", seed=1, most_rows=None)
    np.testing.assert_array_equal(shuffled.is_anomaly, shuffled.rows[:, 0] > 6.0)
    assert sorted(shuffled.rows[:, 0]) == list(range(10))
    np.testing.assert_array_equal(each.stream("file", seed=1, most_rows=5).rows[:, 0], [0, 2, 4, 6, 8])


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(TapewatchError, match="REAL_DATA_DIR"):
        list(labelled_sets(tmp_path))
