"""Stream ensemble: five ways of being unusual against one sample of the whole past, with one default for all.

Idea: what is unusual differs from stream to stream: a value far out (tails), one in a gap between the usual
ones (gaps), features that do not go together (covariance), a place where few points are (neighbours), or one
that few cuts isolate (isolation). Each of five parts ranks a point among the points of a sample, and the
ranks speak one language. The sample is a reservoir: every learned row of the past is in it with the same
chance, up to the horizon, beyond which older ones fade. So a burst of ten thousand rows does not become
normal by filling a window, and a refit of everything costs next to nothing per row, because it is due only
when the past has doubled.

Score: the mean over the parts of -ln(share of the sample that is at least as unusual), at least 0, about 1
for a usual row, unbounded: beyond the sample's largest figure a part grows by one per mean excess.
A feature's contribution: each part's figure divided among the features in proportion to the non-negative
shares they have in it (squared distances from the nearest references, cuts weighted by what they isolate,
terms of the two tables, terms of the Mahalanobis distance); they add up to the score.

Learning: rare rows (score above 3) are learned with the chance (usual / present share of rare rows)^3, where
the usual share is that of the last 2,000 rows, and the present one that of the last 16. Single outliers
come at the usual rate and are learned; a burst raises the present rate and is nearly not; one that stays
raises the usual rate, and so is learned after all.

Missing values (NaN) count as usual ones; infinite ones as very far.

Warm-up: 8 rows.

Cost: 2.5 us per row of 3 columns and 5 us per row of 36 (`python -m benchmarks forest`). Rebuilding takes one
to two milliseconds, when the past has doubled or has grown by a quarter of the horizon.

Blind spots: the order of rows; what is rare in the sample but frequent in a minority of fewer than about ten
of its rows; more than a few dozen columns are folded before their covariance is taken.

Reference: each part names its own; the combination follows C. Aggarwal, S. Sathe, "Outlier Ensembles", 2017,
    the sample J. Vitter, "Random sampling with a reservoir", ACM TOMS 1985.

Example:
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(500, 3))
    >>> rows[-1] = 9.0
    >>> scores = StreamEnsemble(EnsembleParams(), columns=3).score_learn(rows)
    >>> bool(np.isnan(scores[0])), bool(scores[-1] == np.nanmax(scores))
    (True, True)
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detector.arrays import FloatMatrix, FloatVector, IntVector, loaded
from detector.kernels.random import seeds, uniform
from detector.online.ensemble_model import PARTS, Model, Workspace, empty_model, rarity, rebuild, workspace
from detector.online.ensemble_shares import add_shares
from shared.stream.step import Array, State

# Score from which a row counts as rare: the mean part sees one row in twenty as far out.
RARE: Final = 3.0
# The usual share of rare rows before any is known, and how many rows that guess is worth.
_RARE_SHARE: Final = 0.05
_GUESS_ROWS: Final = 20.0
# Rows over which the present share of rare rows is taken.
_PRESENT_ROWS: Final = 16.0
_USUAL_ROWS: Final = 2_000.0
_WARM_UP_ROWS: Final = 8
# What is squared needs room below the largest float.
_LARGEST: Final = 1e150

LEARNED, HELD, NEXT_REBUILD = range(3)
SEEN, USUAL_SHARE, PRESENT_SHARE = range(3)


@dataclass(frozen=True, kw_only=True)
class EnsembleParams:
    """Size, memory and composition.

    Attributes:
        trees: of the isolation forest.
        tree_rows: rows that one tree is grown from.
        memory_rows: rows of the sample.
        horizon_rows: rows of the past that are in the sample with the same chance; older ones fade.
        spares_bursts: whether bursts of rare rows are learned with less weight.
        parts: which of `PARTS` are used.
        seed: of all randomness.
    """

    trees: int = 32
    tree_rows: int = 256
    memory_rows: int = 2_048
    horizon_rows: int = 100_000
    spares_bursts: bool = True
    parts: tuple[str, ...] = PARTS
    seed: int = 1

    def __post_init__(self) -> None:
        if self.trees < 1 or not 4 <= self.tree_rows <= 8_192:
            raise ValueError(
                f"trees {self.trees} must be at least 1, tree_rows {self.tree_rows} from 4 to 8192"
            )
        if not _WARM_UP_ROWS <= self.memory_rows <= self.horizon_rows:
            raise ValueError(
                f"memory_rows {self.memory_rows} must be from {_WARM_UP_ROWS} "
                f"to horizon_rows {self.horizon_rows}"
            )
        if not self.parts or set(self.parts) - set(PARTS):
            raise ValueError(f"parts must be some of {PARTS}, not {self.parts}")


@njit(cache=True)
def _next_rebuild(learned: int, horizon: int) -> int:
    return learned + max(1, min(learned, horizon // 4))


@njit(cache=True)
def _is_learned(score: float, pace: FloatVector, rng: NDArray[np.uint64]) -> bool:
    """Decide by lot whether a row is learned, and count it."""
    is_rare = 1.0 if score > RARE else 0.0
    pace[SEEN] += 1.0
    pace[USUAL_SHARE] += (is_rare - pace[USUAL_SHARE]) / min(pace[SEEN] + _GUESS_ROWS, _USUAL_ROWS)
    pace[PRESENT_SHARE] += (is_rare - pace[PRESENT_SHARE]) / _PRESENT_ROWS
    lot = uniform(rng, 0)
    if is_rare == 0.0 or pace[PRESENT_SHARE] <= pace[USUAL_SHARE]:
        return True
    return bool(lot < (pace[USUAL_SHARE] / pace[PRESENT_SHARE]) ** 3)


@njit(cache=True)
def _learn(
    row: FloatVector,
    horizon: int,
    memory: FloatMatrix,
    clock: IntVector,
    model: Model,
    rng: NDArray[np.uint64],
) -> None:
    """Put a row into the reservoir, or not, by lot."""
    clock[LEARNED] += 1
    if clock[HELD] < memory.shape[0]:
        place = clock[HELD]
        clock[HELD] += 1
    else:
        place = int(uniform(rng, 0) * min(clock[LEARNED], horizon))
        if place >= memory.shape[0]:
            return
    for k in range(row.shape[0]):
        value = row[k]
        if np.isnan(value):
            value = model.centre[k]
        memory[place, k] = value


@njit(cache=True)
def _score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    rows: FloatMatrix,
    horizon: int,
    spares_bursts: bool,  # noqa: FBT001 - compiled
    weights: FloatVector,
    model: Model,
    room: Workspace,
    memory: FloatMatrix,
    clock: IntVector,
    pace: FloatVector,
    rng: NDArray[np.uint64],
    scores: FloatVector,
) -> None:
    for i in range(rows.shape[0]):
        scores[i] = np.nan
        if model.counts[0] > 0:
            scores[i] = rarity(rows[i], model, room, weights)
            if spares_bursts and not _is_learned(scores[i], pace, rng):
                continue
        _learn(rows[i], horizon, memory, clock, model, rng)
        if clock[LEARNED] >= clock[NEXT_REBUILD]:
            rebuild(memory, clock[HELD], rng, weights, model, room)
            clock[NEXT_REBUILD] = _next_rebuild(clock[LEARNED], horizon)


class StreamEnsemble:
    """Scores rows of any number of columns, and learns each after it was scored."""

    def __init__(self, params: EnsembleParams, *, columns: int, identity: str = "") -> None:
        """Make one that knows nothing.

        Args:
            params: size and memory.
            columns: of the rows that will come.
            identity: of the stream, so that each has randomness of its own.
        """
        if columns < 1:
            raise ValueError(f"columns must be at least 1, not {columns}")
        self.params = params
        self._rng = seeds(params.seed, identity, "ensemble", count=1)
        self._model = empty_model(columns, trees=params.trees, sample=params.tree_rows, rng=self._rng)
        self._room = workspace(self._model)
        self._weights = np.array([part in params.parts for part in PARTS], np.float64) / len(params.parts)
        self._memory = np.zeros((params.memory_rows, columns))
        self._clock = np.array([0, 0, _WARM_UP_ROWS], np.int64)
        self._pace = np.array([0.0, _RARE_SHARE, _RARE_SHARE])

    def score_learn(self, rows: FloatMatrix) -> FloatVector:
        """Score each of n rows, then learn it; any split into calls gives bit-identical scores.

        Args:
            rows: n rows; NaN stands for a missing value.

        Returns:
            n scores, higher is stranger; NaN while warming up.

        Raises:
            ValueError: the rows have another number of columns.
        """
        scores = np.empty(len(rows), np.float64)
        _score_learn(
            self._bounded(rows),
            self.params.horizon_rows,
            self.params.spares_bursts,
            self._weights,
            self._model,
            self._room,
            self._memory,
            self._clock,
            self._pace,
            self._rng,
            scores,
        )
        return scores

    def contributions(self, row: FloatVector) -> FloatVector:
        """Return what each column adds to the score that this row would get now; nothing is learned.

        Args:
            row: one value per column.

        Returns:
            one non-negative figure per column; together the score. NaN while warming up.

        Raises:
            ValueError: the row has another number of columns.
        """
        bounded = self._bounded(np.atleast_2d(np.asarray(row, np.float64)))[0]
        shares = np.full(bounded.shape[0], np.nan)
        if self._model.counts[0] > 0:
            shares[:] = 0.0
            rarity(bounded, self._model, self._room, self._weights)
            add_shares(self._model, self._room, self._weights, shares)
        return shares

    def state(self) -> State:
        """Return a copy of the sample, of the model and of all randomness."""
        return {key: value.copy() for key, value in self._arrays().items()}

    def load_state(self, state: State) -> None:
        """Go on from a state, bit-identically.

        Raises:
            ValueError: it is damaged, or of other parameters or columns.
        """
        arrays = {key: loaded(state, key, own, shape=own.shape) for key, own in self._arrays().items()}
        clock, counts, columns = arrays["clock"], arrays["counts"], self._memory.shape[1]
        if not 0 <= clock[HELD] <= min(clock[LEARNED], self._memory.shape[0]):
            raise ValueError("clock holds more rows than were learned or than there is room for")
        if not 0 <= counts[1] <= counts[0] <= self._model.references.shape[1]:
            raise ValueError("counts names references that do not exist")
        if not 0 <= arrays["split_at"].min() <= arrays["split_at"].max() < columns:
            raise ValueError("split_at names a column that does not exist")
        if not 0 <= arrays["fold_to"].min() <= arrays["fold_to"].max() < self._model.middle.shape[0]:
            raise ValueError("fold_to names a column that does not exist")
        self._memory, self._clock, self._pace, self._rng = (
            arrays.pop(key) for key in ("memory", "clock", "pace", "rng")
        )
        self._model = Model(**arrays)

    def _arrays(self) -> dict[str, Array]:
        own = {"memory": self._memory, "clock": self._clock, "pace": self._pace, "rng": self._rng}
        return {**self._model._asdict(), **own}

    def _bounded(self, rows: FloatMatrix) -> FloatMatrix:
        if rows.ndim != 2 or rows.shape[1] != self._memory.shape[1]:
            raise ValueError(f"rows have shape {rows.shape}, not (n, {self._memory.shape[1]})")
        return np.ascontiguousarray(np.clip(rows, -_LARGEST, _LARGEST), np.float64)
