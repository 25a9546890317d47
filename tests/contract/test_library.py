"""What every detector of the library keeps: one class, run on every row of its table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import detector as library
from detector.catalogue import LIBRARY, LibraryEntry
from detector.library.base import Detector
from detector.library.errors import (
    ColumnsError,
    ConstantColumnsError,
    DetectorError,
    NotFiniteError,
    NotFittedError,
    RowCountError,
    SavedModelError,
)
from detector.library.loading import detector_class, load_detector
from detector.library.statistical.base import Statistical

ROOT: Final = Path(__file__).resolve().parents[2]
NAMES: Final = ["close", "volume", "returns"]
WINDOW: Final = 20

CASES: Final = [
    *(pytest.param(entry, None, id=entry.name) for entry in LIBRARY),
    *(pytest.param(entry, WINDOW, id=f"{entry.name}-window") for entry in LIBRARY if entry.has_window),
]


def market(rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Return candles of a market that moves like a random walk."""
    random = np.random.default_rng(seed)
    returns = 0.01 * random.standard_t(4, rows)
    volume = random.lognormal(10.0, 0.5, rows)
    return pd.DataFrame({"close": 100.0 * np.exp(returns.cumsum()), "volume": volume, "returns": returns})


def strange(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row that no detector can find usual."""
    far = rows.mean() + 50 * rows.std()
    return far.to_frame().T


@pytest.mark.parametrize(("entry", "window"), CASES)
class TestDetectorOfTheLibrary:
    rows: Final = market(WINDOW + 9)
    later: Final = market(30, seed=1)

    def new(self, entry: LibraryEntry, window: int | None) -> Detector:
        made = detector_class(entry)()
        return made.set_params(window=window) if window else made

    def fitted(self, entry: LibraryEntry, window: int | None) -> Detector:
        return self.new(entry, window).fit(self.rows)

    def test_labels_are_int8_and_scores_float64_above_the_threshold(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        made = self.fitted(entry, window)
        labels, scores = made.detect(pd.concat([self.later, strange(self.rows)]))
        assert (labels.dtype.name, scores.dtype.name) == ("int8", "float64")
        np.testing.assert_array_equal(labels == 1, scores > made.threshold_)
        assert labels[-1] == 1
        assert scores[-1] == scores.max()
        assert np.isfinite(scores).all()

    def test_scoring_and_explaining_change_nothing(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.fitted(entry, window)
        before = made.score(self.later)
        made.detect_realtime({"close": 1e9})
        made.explain(strange(self.rows))
        made.detect(self.later[::-1])
        np.testing.assert_array_equal(made.score(self.later), before)

    def test_a_batch_is_scored_as_its_records_one_by_one(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        made = self.fitted(entry, window)
        labels, scores = made.detect(self.later)
        for at, record in enumerate(self.later.to_dict("records")):
            is_anomaly, score = made.detect_realtime({str(name): float(v) for name, v in record.items()})
            assert score == pytest.approx(scores[at], rel=1e-9, abs=1e-12)
            assert is_anomaly == bool(labels[at])
            if isinstance(made, Statistical) and window:
                made.partial_fit(self.later[at : at + 1])

    def test_a_missing_feature_is_taken_to_be_its_median(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        made = self.fitted(entry, window)
        medians = dict(zip(NAMES, made.medians_.tolist(), strict=True))
        whole = made.detect_realtime({**medians, "returns": 0.05})
        assert made.detect_realtime({"returns": 0.05}) == whole
        assert made.detect_realtime({"returns": 0.05, "close": None}) == whole

    def test_contributions_and_base_add_up_to_the_score(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        made = self.fitted(entry, window)
        rows = pd.concat([self.later, strange(self.rows)])
        explained = made.explain(rows)
        assert explained.features == tuple(NAMES)
        assert explained.contributions.shape == (len(rows), len(NAMES))
        total = explained.contributions.sum(axis=1) + explained.base
        np.testing.assert_allclose(total, made.score(rows), rtol=1e-9, atol=1e-12)

    def test_the_same_seed_gives_the_same_detector(self, entry: LibraryEntry, window: int | None) -> None:
        one, other = (self.fitted(entry, window).detect(self.later) for _ in range(2))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])

    def test_a_clone_has_the_parameters_and_no_memory(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.fitted(entry, window)
        copy = clone(made)
        assert copy.get_params() == made.get_params()
        with pytest.raises(NotFittedError, match="call fit first"):
            copy.score(self.rows)
        np.testing.assert_array_equal(copy.fit(self.rows).score(self.later), made.score(self.later))

    def test_with_other_parameters_it_must_be_fitted_anew(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        made = self.fitted(entry, window)
        with pytest.raises(ValueError, match="unheard"):
            made.set_params(unheard=1)
        made.score(self.later)
        made.set_params(**made.get_params())
        with pytest.raises(NotFittedError):
            made.score(self.later)

    def test_it_ends_a_pipeline(self, entry: LibraryEntry, window: int | None) -> None:
        pipe = Pipeline([("scale", StandardScaler()), ("detector", self.new(entry, window))])
        pipe.fit(self.rows)
        rows = pd.concat([self.later, strange(self.rows)])
        scaled = StandardScaler().fit(self.rows).transform(rows)
        expected = pipe.named_steps["detector"].detect(scaled)
        np.testing.assert_array_equal(pipe.predict(rows), expected[0])
        np.testing.assert_array_equal(pipe.decision_function(rows), expected[1])
        np.testing.assert_array_equal(pipe.score(rows), expected[1])

    def test_fit_detect_judges_the_sample(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.new(entry, window)
        labels, scores = made.fit_detect(self.rows)
        known = ~np.isnan(scores)
        assert known.sum() == (len(self.rows) if window is None else pytest.approx(9, abs=1))
        np.testing.assert_array_equal(labels == 1, scores > made.threshold_)
        assert known[-1]

    def test_fitting_again_forgets(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.new(entry, window).fit(market(WINDOW + 5, seed=7)[["close"]]).fit(self.rows)
        np.testing.assert_array_equal(made.score(self.later), self.fitted(entry, window).score(self.later))

    def test_columns_are_known_by_name(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.fitted(entry, window)
        np.testing.assert_array_equal(made.score(self.later[NAMES[::-1]]), made.score(self.later))
        np.testing.assert_array_equal(made.score(self.later.to_numpy()), made.score(self.later))
        with pytest.raises(ColumnsError, match="missing: volume"):
            made.score(self.later[["close", "returns"]])
        with pytest.raises(ColumnsError, match="not fitted to: spread"):
            made.score(self.later.assign(spread=1.0))
        with pytest.raises(ColumnsError, match="2 columns"):
            made.score(self.later.to_numpy()[:, :2])
        with pytest.raises(ColumnsError, match="without numbers: volume"):
            made.score(self.later.assign(volume="much"))
        with pytest.raises(ColumnsError, match="not fitted to: spread"):
            made.detect_realtime({"close": 100.0, "spread": 1.0})
        with pytest.raises(ColumnsError, match="without any"):
            made.detect_realtime({"close": None})
        with pytest.raises(ColumnsError, match="twice: close"):
            self.new(entry, window).fit(self.rows.set_axis(["close", "close", "x"], axis=1))
        with pytest.raises(DetectorError, match="rows and columns"):
            made.score(np.ones(3))

    @pytest.mark.parametrize("fault", [np.nan, np.inf])
    def test_what_is_no_number_is_refused(
        self, entry: LibraryEntry, window: int | None, fault: float
    ) -> None:
        made, damaged = self.fitted(entry, window), self.rows.copy()
        damaged.loc[4, "volume"] = fault
        for refuses in (made.score, made.explain, self.new(entry, window).fit):
            with pytest.raises(NotFiniteError, match="in volume, first in row 4"):
                refuses(damaged)
        with pytest.raises(NotFiniteError):
            made.detect_realtime({"close": fault})

    def test_a_constant_column_and_too_few_rows_are_refused(
        self, entry: LibraryEntry, window: int | None
    ) -> None:
        with pytest.raises(ConstantColumnsError, match="volume"):
            self.new(entry, window).fit(self.rows.assign(volume=3.0))
        with pytest.raises(RowCountError, match="1 rows, but at least"):
            self.new(entry, window).fit(self.rows[:1])

    def test_one_row_and_none_are_scored(self, entry: LibraryEntry, window: int | None) -> None:
        made = self.fitted(entry, window)
        assert made.score(self.later[:1]).shape == (1,)
        assert made.score(self.later[:0]).shape == (0,)
        assert made.explain(self.later[:0]).contributions.shape == (0, 3)

    def test_rows_are_not_written_to(self, entry: LibraryEntry, window: int | None) -> None:
        values = self.rows.to_numpy().copy()
        values.flags.writeable = False
        made = self.new(entry, window).fit(values)
        made.detect(values)
        np.testing.assert_array_equal(values, self.rows.to_numpy())

    def test_it_is_what_it_was_once_saved_and_loaded(
        self, entry: LibraryEntry, window: int | None, tmp_path: Path
    ) -> None:
        made = self.fitted(entry, window)
        made.save(tmp_path / "saved")
        again = load_detector(tmp_path / "saved")
        assert type(again) is type(made)
        assert again.get_params() == made.get_params()
        for one, other in zip(again.detect(self.later), made.detect(self.later), strict=True):
            np.testing.assert_array_equal(one, other)
        assert again.threshold_ == made.threshold_
        assert again.detect_realtime({"close": 99.0}) == made.detect_realtime({"close": 99.0})
        again.save(tmp_path / "again")
        for name in ("detector.json", "arrays.npz"):
            assert (tmp_path / "again" / name).is_file()
        description = json.loads((tmp_path / "saved" / "detector.json").read_text(encoding="utf-8"))
        assert description["features"] == NAMES

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"format": "something"}, "its format is"),
            ({"format_version": 99}, "format version 99"),
            ({"detector_version": 99}, "of version 99"),
            ({"detector": "oracle"}, "no detector 'oracle'"),
            ({"parameters": {"unheard": 1}}, "unheard"),
            ({"surprise": 1}, "surprise"),
            ({"features": ["close"]}, "features|feature"),
        ],
    )
    def test_what_is_not_known_is_not_loaded(
        self,
        entry: LibraryEntry,
        window: int | None,
        tmp_path: Path,
        change: dict[str, object],
        why: str,
    ) -> None:
        self.fitted(entry, window).save(tmp_path)
        path = tmp_path / "detector.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
        with pytest.raises(SavedModelError, match=why):
            load_detector(tmp_path)

    def test_changed_arrays_are_not_loaded(
        self, entry: LibraryEntry, window: int | None, tmp_path: Path
    ) -> None:
        self.fitted(entry, window).save(tmp_path)
        path = tmp_path / "arrays.npz"
        path.write_bytes(path.read_bytes() + b"!")
        with pytest.raises(SavedModelError, match="not the one that was written"):
            load_detector(tmp_path)

    def test_only_what_has_a_window_learns_row_by_row(self, entry: LibraryEntry, window: int | None) -> None:
        assert hasattr(self.new(entry, window), "partial_fit") == (window is not None)


def test_saved_detectors_score_the_same_in_another_process(tmp_path: Path) -> None:
    rows, later = market(29), market(30, seed=1)
    later.to_json(tmp_path / "later.json", orient="values", double_precision=15)
    later = pd.DataFrame(json.loads((tmp_path / "later.json").read_text(encoding="utf-8")), columns=NAMES)
    expected = []
    for entry in LIBRARY:
        made = detector_class(entry)().fit(rows)
        made.save(tmp_path / entry.name)
        expected.append(made.score(later).tolist())
    program = (
        "import json, sys; from pathlib import Path; from detector import load_detector; "
        "folder = Path(sys.argv[1]); rows = json.loads((folder / 'later.json').read_text()); "
        "print(json.dumps([load_detector(folder / name).score(rows).tolist() for name in sys.argv[2:]]))"
    )
    names = [entry.name for entry in LIBRARY]
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path), *names],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert json.loads(told.stdout) == expected


def test_every_row_of_the_table_is_exported_once() -> None:
    names = [entry.name for entry in LIBRARY]
    assert len(set(names)) == len(names)
    for entry in LIBRARY:
        found = getattr(library, entry.exported)
        assert found is detector_class(entry)
        assert found.name == entry.name
        assert entry.exported in library.__all__
        assert hasattr(found, "partial_fit") == entry.has_window
    with pytest.raises(AttributeError, match="Oracle"):
        library.Oracle  # noqa: B018 - the attribute is what is asked for


def test_the_stream_does_not_load_what_only_tables_need() -> None:
    program = "import detector.engine, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=120).returncode == 0
