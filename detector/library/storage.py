"""A fitted detector as a folder: `detector.json` (what it is), `arrays.npz` (what it learned); no pickle."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.library.errors import SavedModelError

Array: TypeAlias = NDArray[np.float64] | NDArray[np.int64]
Parameter: TypeAlias = int | float | str | bool | None

FORMAT: Final = "tapewatch-detector"
FORMAT_VERSION: Final = 1
_DESCRIPTION, _ARRAYS = "detector.json", "arrays.npz"


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written beside the arrays.

    Attributes:
        format: always the same word.
        format_version: of this file.
        detector: its name in the catalogue.
        detector_version: of the meaning of its arrays.
        parameters: as of `get_params`.
        features: names of the columns.
        arrays_sha256: of the other file.
    """

    format: str
    format_version: int
    detector: str
    detector_version: int
    parameters: dict[str, Parameter]
    features: list[str]
    arrays_sha256: str


def write(
    folder: Path,
    *,
    detector: str,
    version: int,
    parameters: Mapping[str, Parameter],
    features: tuple[str, ...],
    arrays: Mapping[str, Array],
) -> None:
    """Write a detector; the folder is made if need be.

    Raises:
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _ARRAYS).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    description = Description(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        detector=detector,
        detector_version=version,
        parameters=dict(parameters),
        features=list(features),
        arrays_sha256=hashlib.sha256((folder / _ARRAYS).read_bytes()).hexdigest(),
    )
    text = json.dumps(msgspec.to_builtins(description), indent=2)
    (folder / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def describe(folder: Path) -> Description:
    """Return what a folder says that it holds.

    Raises:
        SavedModelError: it says nothing, or what is not known here.
        OSError: it cannot be read.
    """
    if not (folder / _DESCRIPTION).is_file():
        raise SavedModelError(folder, f"there is no {_DESCRIPTION}")
    try:
        found = msgspec.json.decode((folder / _DESCRIPTION).read_bytes(), type=Description)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SavedModelError(folder, str(error)) from error
    if found.format != FORMAT:
        raise SavedModelError(folder, f"its format is {found.format!r}")
    if found.format_version != FORMAT_VERSION:
        raise SavedModelError(folder, f"format version {found.format_version}, known is {FORMAT_VERSION}")
    return found


def read_arrays(folder: Path, description: Description) -> dict[str, Array]:
    """Return the arrays of a folder.

    Raises:
        SavedModelError: they are not those that were written.
        OSError: they cannot be read.
    """
    path = folder / _ARRAYS
    if not path.is_file():
        raise SavedModelError(folder, f"there is no {_ARRAYS}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != description.arrays_sha256:
        raise SavedModelError(folder, f"{_ARRAYS} is not the one that was written")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise SavedModelError(folder, str(error)) from error
