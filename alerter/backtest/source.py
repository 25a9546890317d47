"""Where the anomalies of a backtest come from: a recording of them, or trades that are judged first."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import RecordingError
from shared.events import Anomaly
from shared.recordings.anomalies import read_anomalies


def recorded(paths: Sequence[Path], *, keep: Path | None) -> list[Anomaly]:
    """Return recorded anomalies in time order, or those that the detectors find in recorded trades.

    Trades are judged by `python -m detector find`, a process of its own, by the present settings.

    Args:
        paths: recordings, all of anomalies or all of trades.
        keep: folder in which what was found is kept; None: nowhere.

    Raises:
        RecordingError: a recording cannot be read.
    """
    if all(map(_holds_anomalies, paths)):
        return read_anomalies(paths)
    if keep is not None:
        return _found(paths, keep)
    with TemporaryDirectory(prefix="tapewatch-") as folder:
        return _found(paths, Path(folder))


def _found(paths: Sequence[Path], folder: Path) -> list[Anomaly]:
    command = [sys.executable, "-m", "detector", "find", *map(str, _files(paths)), "--to", str(folder)]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - our own program
    if ended.returncode:
        raise RecordingError(", ".join(map(str, paths)), reason="the detectors could not judge it")
    return read_anomalies([folder])


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of folders that are no recordings of ours."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else []
        files += [path] if not inside or any(path.rglob("*.parquet")) else inside
    return files


def _holds_anomalies(path: Path) -> bool:
    if path.is_dir():
        return (path / "anomalies").is_dir()
    if path.suffix != ".parquet":
        return False
    try:
        return "anomaly_id" in pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordingError(str(path), reason=f"is no Parquet file: {error}") from error
