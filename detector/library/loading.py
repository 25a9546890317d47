"""A saved detector, whichever it is."""

import importlib
from pathlib import Path

from detector.catalogue import LIBRARY, LibraryEntry
from detector.library import storage
from detector.library.base import Detector
from detector.library.errors import SavedModelError


def detector_class(entry: LibraryEntry) -> type[Detector]:
    """Return the class of a row of the catalogue."""
    found: type[Detector] = getattr(importlib.import_module(entry.module), entry.exported)
    return found


def load_detector(folder: Path | str) -> Detector:
    """Return the detector that was saved into a folder.

    Raises:
        SavedModelError: it is damaged, of a version that is not known, or the catalogue has none of its name.
        OSError: it cannot be read.
    """
    name = storage.describe(Path(folder)).detector
    for entry in LIBRARY:
        if entry.name == name:
            return detector_class(entry).load(folder)
    raise SavedModelError(Path(folder), f"the catalogue has no detector {name!r}")
