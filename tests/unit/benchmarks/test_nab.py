"""The NAB benchmark: reading the corpus, what is compared, and our detector's score on real series."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nab import Labelled, detectors, measure, read_corpus
from detector.arrays import FloatVector, IntVector
from detector.evaluation.nab import NAB_STANDARD, NabSeries, nab_score
from detector.online.univariate import Univariate, UnivariateParams
from shared.errors import TapewatchError


def corpus(tmp_path: Path) -> list[Labelled]:
    windows = {
        "artificialWithAnomaly/a.csv": [["2014-04-01 02:00:00.000000", "2014-04-01 02:20:00.000000"]],
        "artificialNoAnomaly/b.csv": [],
        "real/c.csv": [["2014-04-01 01:40:00.000000", "2014-04-01 02:00:00.000000"]],
    }
    (tmp_path / "windows.json").write_text(json.dumps(windows), encoding="utf-8")
    lines = [f"2014-04-01 {row // 12:02}:{row % 12 * 5:02}:00,{float(row in {22, 24})}" for row in range(40)]
    for name in windows:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("\n".join(["timestamp,value", *lines]), encoding="utf-8")
    return read_corpus(tmp_path)


def test_series_come_with_their_windows_as_rows(tmp_path: Path) -> None:
    series = corpus(tmp_path)
    assert [(one.name, one.group, one.windows) for one in series] == [
        ("artificialNoAnomaly/b.csv", "artificial", ()),
        ("artificialWithAnomaly/a.csv", "artificial", ((24, 28),)),
        ("real/c.csv", "real", ((20, 24),)),
    ]
    assert series[0].times_us[:2].tolist() == [1_396_310_400_000_000, 1_396_310_700_000_000]
    assert series[0].values.sum() == 2.0


def test_a_missing_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(TapewatchError, match="REAL_DATA_DIR"):
        read_corpus(tmp_path)


def test_a_detector_is_scored_as_a_whole_left_out_and_by_group(tmp_path: Path) -> None:
    def value(_: IntVector, values: FloatVector) -> FloatVector:
        return values

    whole, by_group = measure("value", corpus(tmp_path), value)
    # Both windows are found, one late; two alarms in the series without a window and one before `a`'s cost.
    expected = whole.values["standard"]
    assert 50 < expected < 100
    assert whole.values["left out"] == pytest.approx(expected), "here the best threshold is the same for both"
    assert whole.values["found of 2"] == 2
    assert whole.values["false alarms"] == 3
    assert set(by_group.values) == {"artificial", "real"}
    assert np.mean(list(by_group.values.values())) == pytest.approx(expected)


def test_null_and_random_are_compared_with() -> None:
    assert {"null", "random", "windowed Gaussian", "univariate (ours)"} <= set(detectors())


@pytest.mark.real_data
def test_cloud_metrics_are_scored_as_measured(real_data_dir: Path) -> None:
    series = [one for one in read_corpus(real_data_dir / "nab") if one.group == "realAWSCloudwatch"]
    scored = [
        NabSeries(Univariate(UnivariateParams()).score_learn(one.times_us, one.values).scores, one.windows)
        for one in series
    ]
    # docs/benchmarks.md has 66.6 at the threshold of the whole corpus.
    assert nab_score(scored, NAB_STANDARD, threshold=3.7).score > 62
