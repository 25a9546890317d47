"""What can go wrong between a user and a detector of the library.

DetectorError (a ValueError)
├── ParameterError         a parameter is out of bounds
├── ColumnsError           columns are missing, unknown, or hold no numbers
├── NotFiniteError         NaN or infinity
├── RowCountError          too few rows, or too many
├── ConstantColumnsError   columns that never change say nothing about what is usual
├── NotFittedError         `fit` comes first (scikit-learn's NotFittedError too)
└── SavedModelError        a saved detector that is damaged, changed, or of another kind
"""

from collections.abc import Sequence
from pathlib import Path

from sklearn.exceptions import NotFittedError as SklearnNotFittedError


class DetectorError(ValueError):
    """Any of the errors below."""


class ParameterError(DetectorError):
    """A parameter is out of bounds."""

    def __init__(self, name: str, value: object, must: str) -> None:
        super().__init__(f"{name} must be {must}, not {value!r}")
        self.name = name
        self.value = value


class ColumnsError(DetectorError):
    """Columns are missing, unknown, or hold no numbers."""

    def __init__(self, columns: Sequence[str], what: str) -> None:
        super().__init__(f"{what}: {', '.join(columns)}")
        self.columns = tuple(columns)


class NotFiniteError(DetectorError):
    """NaN or infinity among the values."""

    def __init__(self, columns: Sequence[str], first_row: int) -> None:
        super().__init__(
            f"NaN or infinity in {', '.join(columns)}, first in row {first_row}; drop or fill such rows"
        )
        self.columns = tuple(columns)
        self.first_row = first_row


class RowCountError(DetectorError):
    """Too few rows, or too many."""

    def __init__(self, rows: int, bound: str) -> None:
        super().__init__(f"{rows} rows, but {bound}")
        self.rows = rows


class ConstantColumnsError(DetectorError):
    """Columns that never change."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(f"constant in all rows, so nothing is usual or unusual there: {', '.join(columns)}")
        self.columns = tuple(columns)


class NotFittedError(DetectorError, SklearnNotFittedError):  # type: ignore[misc] # scikit-learn has no types
    """The detector has not been fitted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this {name} knows no sample yet; call fit first")


class SavedModelError(DetectorError):
    """A saved detector that is damaged, changed, or of another kind."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is no detector that can be loaded: {why}")
        self.path = path
        self.why = why
