"""From what users hold (data frames, arrays, records) to matrices of sound numbers."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from detector.arrays import BoolVector, FloatMatrix, FloatVector
from detector.library.errors import ColumnsError, ConstantColumnsError, DetectorError, NotFiniteError

Table: TypeAlias = pd.DataFrame | FloatMatrix | Sequence[Sequence[float]]
Record: TypeAlias = Mapping[str, float | None]


def column_names(rows: Table) -> tuple[str, ...]:
    """Return the names of a table's columns; those of an array are x0, x1 and so on.

    Raises:
        ColumnsError: names of a data frame repeat, or are no strings.
        DetectorError: there are not two dimensions.
    """
    if not isinstance(rows, pd.DataFrame):
        return tuple(f"x{i}" for i in range(_array(rows).shape[1]))
    names = tuple(map(str, rows.columns))
    odd = [str(name) for name in rows.columns if not isinstance(name, str)]
    if odd:
        raise ColumnsError(odd, "names of columns that are no strings")
    if len(set(names)) < len(names):
        raise ColumnsError(sorted({n for n in names if names.count(n) > 1}), "columns that come twice")
    return names


def matrix(rows: Table, names: Sequence[str]) -> FloatMatrix:
    """Return the columns of these names, in this order, as n x d numbers.

    Args:
        rows: a data frame with exactly these columns in any order, or an array with as many.
        names: of the columns.

    Raises:
        ColumnsError: columns are missing, unknown, or hold no numbers.
        NotFiniteError: NaN or infinity.
        DetectorError: there are not two dimensions.
    """
    values = _frame(rows, names) if isinstance(rows, pd.DataFrame) else _array(rows)
    if values.shape[1] != len(names):
        raise ColumnsError(list(names), f"{values.shape[1]} columns, but fitted to {len(names)}")
    is_bad: BoolVector = ~np.isfinite(values)
    if is_bad.any():
        columns = _named(names, np.asarray(is_bad.any(axis=0)))
        raise NotFiniteError(columns, int(np.flatnonzero(is_bad.any(axis=1))[0]))
    return values


def _frame(rows: pd.DataFrame, names: Sequence[str]) -> FloatMatrix:
    given = column_names(rows)
    missing = [name for name in names if name not in given]
    if missing:
        raise ColumnsError(missing, "columns are missing")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ColumnsError(unknown, "columns that the detector was not fitted to")
    odd = [name for name in names if not pd.api.types.is_numeric_dtype(rows[name].dtype)]
    if odd:
        raise ColumnsError(odd, "columns without numbers")
    return np.ascontiguousarray(rows[list(names)].to_numpy(np.float64, na_value=np.nan))


def _array(rows: FloatMatrix | Sequence[Sequence[float]]) -> FloatMatrix:
    values = np.ascontiguousarray(rows, np.float64)
    if values.ndim != 2:
        raise DetectorError(f"rows and columns are needed, not an array of shape {values.shape}")
    return values


def single_row(record: Record, names: Sequence[str], fill: FloatVector) -> FloatMatrix:
    """Return a record as a matrix of one row.

    Args:
        record: value by name; a name that is absent, or None, is missing.
        names: of the columns.
        fill: value by column, for what is missing.

    Raises:
        ColumnsError: names are unknown, or all are missing.
        NotFiniteError: a value is NaN or infinite.
    """
    unknown = [name for name in record if name not in names]
    if unknown:
        raise ColumnsError(unknown, "features that the detector was not fitted to")
    given = [record.get(name) for name in names]
    if all(value is None for value in given):
        raise ColumnsError(list(names), "a record without any of the features")
    row = np.array([[f if v is None else v for v, f in zip(given, fill, strict=True)]], np.float64)
    if not np.isfinite(row).all():
        raise NotFiniteError(_named(names, ~np.isfinite(row[0])), 0)
    return row


def refuse_constant(values: FloatMatrix, names: Sequence[str]) -> None:
    """Raise ConstantColumnsError if a column of a matrix never changes."""
    is_constant: BoolVector = values.min(axis=0) == values.max(axis=0)
    if is_constant.any():
        raise ConstantColumnsError(_named(names, is_constant))


def _named(names: Sequence[str], is_chosen: BoolVector) -> list[str]:
    return [name for name, chosen in zip(names, is_chosen, strict=True) if chosen]
