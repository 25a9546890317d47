"""The columns of the feature matrix that a price detector looks at, brought to comparable shapes."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntVector

# Keeps logarithms finite; no sound trade makes a count or a notional this small.
_LEAST: Final = 1e-300


class Column(NamedTuple):
    """One column that is looked at.

    Attributes:
        feature: name of the feature.
        log_offset: the logarithm of the value plus this is taken, which tames heavy tails; None: as it is.
        floor: differences below this, after the logarithm, mean nothing.
    """

    feature: str
    log_offset: float | None
    floor: float


# Floors: three basis points of return, and what volume, rate, imbalance and volatility vary by on a quiet
# market. Without them a market that stood still makes its next ordinary trades the strangest of all.
PRICE_COLUMNS: Final = (
    Column("return_10s", None, 3e-4),
    Column("notional_10s", 0.0, 0.5),
    Column("count_10s", 0.0, 0.3),
    Column("imbalance_10s", None, 0.25),
    Column("volatility_10s", 1e-4, 0.3),
)
# What a tree may split on besides: shorter and longer horizons, and the trade itself.
SHAPE_COLUMNS: Final = (
    *PRICE_COLUMNS,
    Column("log_notional", None, 0.5),
    Column("return_60s", None, 3e-4),
    Column("volatility_60s", 1e-4, 0.3),
)


@njit(cache=True)
def _gather(rows: FloatMatrix, at: IntVector, log_offsets: FloatVector, out: FloatMatrix) -> None:
    for i in range(rows.shape[0]):
        for k in range(at.shape[0]):
            value = rows[i, at[k]]
            if not np.isnan(log_offsets[k]):
                value = np.log(max(value + log_offsets[k], _LEAST))
            out[i, k] = value


class Gather:
    """Picks and shapes columns out of rows of features."""

    def __init__(self, columns: tuple[Column, ...], *, features: tuple[str, ...]) -> None:
        self.names = tuple(column.feature for column in columns)
        self.floors = np.array([column.floor for column in columns], np.float64)
        self._at = np.array([features.index(column.feature) for column in columns], np.int64)
        self._log_offsets = np.array(
            [np.nan if column.log_offset is None else column.log_offset for column in columns], np.float64
        )

    def __call__(self, rows: FloatMatrix) -> FloatMatrix:
        """Return the columns of n rows, shape (n, columns)."""
        out = np.empty((len(rows), len(self._at)), np.float64)
        _gather(rows, self._at, self._log_offsets, out)
        return out
