"""The score of the Numenta Anomaly Benchmark, for our detector and others, on the same series in one run.

Every detector reads each series once, row by row, and has one configuration and, as the benchmark's rules
say, one threshold for all series. What a detector owes to its threshold being chosen on the series that it is
scored on is shown too: `left out` scores each group of series at the threshold that is best for the others.
"""

import csv
import importlib
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks import pictures
from benchmarks.report import Row, Table, show_tables
from detector.arrays import FloatVector, IntVector
from detector.evaluation.nab import NAB_PROFILES, NAB_STANDARD, NabSeries, nab_score
from detector.online.univariate import Univariate, UnivariateParams
from shared.errors import TapewatchError
from shared.pictures import check_path

_MICROSECOND: Final = 1e6
_GAUSSIAN_ROWS: Final = 1_000
_SHINGLE_ROWS: Final = 48

Scorer = Callable[[IntVector, FloatVector], FloatVector]


class Labelled(NamedTuple):
    """One series with its labels.

    Attributes:
        name: folder and file.
        times_us: n.
        values: n.
        windows: first and last row of every anomaly.
    """

    name: str
    times_us: IntVector
    values: FloatVector
    windows: tuple[tuple[int, int], ...]

    @property
    def group(self) -> str:
        """The folder; those without anomalies are no group of their own."""
        folder = self.name.partition("/")[0]
        return "artificial" if folder.startswith("artificial") else folder


def read_corpus(folder: Path) -> list[Labelled]:
    """Read the series that `windows.json` names.

    Raises:
        TapewatchError: there is no such file.
    """
    index = folder / "windows.json"
    if not index.is_file():
        raise TapewatchError(f"no {index}; set REAL_DATA_DIR to where the recordings are")
    windows: dict[str, list[list[str]]] = json.loads(index.read_text(encoding="utf-8"))
    return [_read(folder / name, name, limits) for name, limits in sorted(windows.items())]


def _read(path: Path, name: str, limits: list[list[str]]) -> Labelled:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times_us = np.array([_time_us(row["timestamp"]) for row in rows], np.int64)
    values = np.array([float(row["value"]) for row in rows], np.float64)
    edges = [np.searchsorted(times_us, [_time_us(first), _time_us(last)]) for first, last in limits]
    return Labelled(name, times_us, values, tuple((int(first), int(last)) for first, last in edges))


def _time_us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * _MICROSECOND)


def _ours(times_us: IntVector, values: FloatVector) -> FloatVector:
    return Univariate(UnivariateParams()).score_learn(times_us, values).scores


def _without_alarms(times_us: IntVector, values: FloatVector) -> FloatVector:
    return Univariate(UnivariateParams()).score_learn(times_us, values).strangeness


def _gaussian(_: IntVector, values: FloatVector) -> FloatVector:
    """Distance from the mean of the last 1,000 rows in deviations, as the benchmark's own baseline has it."""
    scores = np.zeros(len(values), np.float64)
    for i in range(1, len(values)):
        window = values[max(0, i - _GAUSSIAN_ROWS) : i]
        scores[i] = abs(values[i] - window.mean()) / max(float(window.std()), 1e-6)
    return scores


def _random(_: IntVector, values: FloatVector) -> FloatVector:
    return np.random.default_rng(zlib.crc32(values.tobytes())).random(len(values))


def _nothing(_: IntVector, values: FloatVector) -> FloatVector:
    return np.zeros(len(values), np.float64)


def _cut_forest() -> Scorer | None:
    """Return the random cut forest of rcf3, where that is installed."""
    try:
        rcf3 = importlib.import_module("rcf3")
    except ModuleNotFoundError:
        return None

    def score(_: IntVector, values: FloatVector) -> FloatVector:
        forest = rcf3.Forest(1, shingle_size=_SHINGLE_ROWS, num_trees=50, capacity=256, seed=1)
        return np.array([forest.update_and_score([value]) for value in values.tolist()], np.float64)

    return score


def detectors() -> dict[str, Scorer]:
    """Return what is compared, by name."""
    cut_forest = _cut_forest()
    peers = {} if cut_forest is None else {"random cut forest (rcf3, shingle 48)": cut_forest}
    return {
        "univariate (ours)": _ours,
        "its strangeness, every row": _without_alarms,
        **peers,
        "windowed Gaussian": _gaussian,
        "random": _random,
        "null": _nothing,
    }


def _groups(corpus: Sequence[Labelled]) -> Iterator[tuple[str, list[int]]]:
    for group in sorted({series.group for series in corpus}):
        at = [i for i, series in enumerate(corpus) if series.group == group]
        if any(corpus[i].windows for i in at):
            yield group, at


def _left_out(corpus: Sequence[Labelled], scored: Sequence[NabSeries]) -> float:
    """Return the standard score when no group has a say in the threshold it is scored at."""
    total = windows = 0.0
    groups = list(_groups(corpus))
    for _, at in groups:
        others = [scored[i] for _, rest in groups if rest is not at for i in rest]
        if not any(series.windows for series in others):
            return float("nan")
        threshold = nab_score(others, NAB_STANDARD).threshold
        result = nab_score([scored[i] for i in at], NAB_STANDARD, threshold=threshold)
        total += result.score * result.windows
        windows += result.windows
    return total / windows


def measure(name: str, corpus: Sequence[Labelled], scorer: Scorer) -> tuple[Row, Row]:
    """Run a detector over all series; return its scores, and its scores group by group."""
    started = time.process_time()
    progress = track(corpus, description=name, console=_progress(), transient=True)
    scored = [NabSeries(scorer(series.times_us, series.values), series.windows) for series in progress]
    cost_us = (time.process_time() - started) * _MICROSECOND / sum(len(series.values) for series in corpus)
    results = {profile.name: nab_score(scored, profile) for profile in NAB_PROFILES}
    standard = results[NAB_STANDARD.name]
    whole = {profile: result.score for profile, result in results.items()}
    whole |= {
        "left out": _left_out(corpus, scored),
        f"found of {standard.windows}": standard.found,
        "false alarms": standard.false_alarms,
        "µs a row": cost_us,
    }
    by_group = {
        group: nab_score([scored[i] for i in at], NAB_STANDARD, threshold=standard.threshold).score
        for group, at in _groups(corpus)
    }
    return Row(name=name, values=whole), Row(name=name, values=by_group)


def run(*, plot: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        plot: picture to write, of the standard scores.
        write: Markdown file whose section is replaced by the result.
    """
    if plot is not None:
        check_path(plot)
    corpus = read_corpus(Path(os.environ.get("REAL_DATA_DIR") or "../shared/data") / "nab")
    # Compiling is no part of what a row costs.
    _ours(corpus[0].times_us[:400], corpus[0].values[:400])
    rows = [measure(name, corpus, scorer) for name, scorer in detectors().items()]
    count = sum(len(series.values) for series in corpus)
    title = f"{len(corpus)} series, {count:,} rows: score by profile, threshold the best over all series"
    note = (
        "0 is a detector without alarms, 100 one that finds every window at its first row and nothing else. "
        "`left out`: each group at the threshold that is best for the other groups."
    )
    if plot is not None:
        unit = "standard score: 0 is no alarm at all, 100 is perfect"
        pictures.bars(plot, [whole for whole, _ in rows], figure=NAB_STANDARD.name, title=title, unit=unit)
    show_tables(
        "nab",
        [
            Table(title=title, rows=[whole for whole, _ in rows], note=note),
            Table(
                title="standard score by group, at that threshold", rows=[by_group for _, by_group in rows]
            ),
        ],
        write=write,
    )


def _progress() -> Console:
    return Console(file=sys.stderr)
