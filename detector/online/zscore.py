"""Sliding-window z-score of a market's move, volume, rate, imbalance and volatility.

Idea: how many standard deviations is each quantity away from its own mean over the last W trades learned?

Score: root of the sum of the squared z of the five columns (0 and up; about 2.2 on quiet normal data). A
column's contribution is its share of that sum. Volume, rate and volatility enter as logarithms; a standard
deviation counts as at least the column's floor, so that a market standing still does not make every tick
infinitely strange.

Learning: once the window is full, at most one trade per `min_spacing_s` is learned, so that the window spans
five minutes at least, and a burst of thousands of trades is not compared with itself.

Warm-up: until W trades have been seen.

Cost: O(1) per trade, amortised. Mean and variance are kept in a queue of two stacks and merged by Chan's
formula; nothing is subtracted, so a trade of 10^12 leaves no trace once it has left the window.

Blind spots: neighbouring windows overlap, so a slow slide drags the mean along; combinations of values that
are each usual.

Reference: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The
American Statistician 37 (1983).

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> zscore = ZScore(ZScoreParams(window_trades=50), features=FEATURES)
    >>> rows = np.random.default_rng(0).lognormal(size=(60, len(FEATURES)))
    >>> scores = zscore.score_learn(rows).scores
    >>> bool(np.isnan(scores[49])), bool(np.isfinite(scores[50]))
    (True, True)
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numba import njit

from detector.arrays import FloatMatrix, FloatVector, IntVector, loaded, nested, under
from detector.kernels.spacing import Spacing
from detector.online.columns import PRICE_COLUMNS, Gather
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.price_move import PriceFloors, move_sentence
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 1
_SEEN, _BORDER = range(2)


@dataclass(frozen=True, kw_only=True)
class ZScoreParams:
    """What it remembers, and what is too small to matter.

    Attributes:
        window_trades: trades that mean and deviation are taken over, at least 50.
        min_spacing_s: event time between two trades that are learned, once the window is full.
        floors: without which nothing is eligible.
    """

    window_trades: int = 1_000
    min_spacing_s: float = 0.3
    floors: PriceFloors = field(default_factory=PriceFloors)

    def __post_init__(self) -> None:
        if self.window_trades < 50:
            raise ValueError(f"window_trades must be at least 50, not {self.window_trades}")


@njit(cache=True)
def _rebuild_front(
    first: int, end: int, ring: FloatMatrix, front_mean: FloatMatrix, front_m2: FloatMatrix
) -> None:
    """Give each row from `first` to before `end` mean and squared deviations from itself to the end."""
    capacity, columns = ring.shape
    for seq in range(end - 1, first - 1, -1):
        at = seq % capacity
        later = (seq + 1) % capacity
        n = end - seq
        for k in range(columns):
            if n == 1:
                front_mean[at, k] = ring[at, k]
                front_m2[at, k] = 0.0
            else:
                delta = ring[at, k] - front_mean[later, k]
                front_mean[at, k] = front_mean[later, k] + delta / n
                front_m2[at, k] = front_m2[later, k] + delta * (ring[at, k] - front_mean[at, k])


@njit(cache=True)
def _score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    points: FloatMatrix,
    sequence: IntVector,
    floors: FloatVector,
    ring: FloatMatrix,
    front_mean: FloatMatrix,
    front_m2: FloatMatrix,
    back: FloatMatrix,
    cursor: IntVector,  # rows learned, border between the two stacks
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Score each point against the last `len(ring)` ones, then put it in their place.

    A row of the ring is overwritten by the point that is a whole window later, when no front needs it.
    """
    capacity, columns = ring.shape
    for i in range(points.shape[0]):
        seq = cursor[_SEEN]
        first = seq - capacity
        if first > cursor[_BORDER]:
            _rebuild_front(first, seq, ring, front_mean, front_m2)
            cursor[_BORDER] = seq
            back[:] = 0.0
        new = seq - cursor[_BORDER]
        old = cursor[_BORDER] - first
        at = max(first, 0) % capacity
        if first >= 0:
            total = 0.0
            for k in range(columns):
                if old == 0:
                    mean, m2 = back[0, k], back[1, k]
                elif new == 0:
                    mean, m2 = front_mean[at, k], front_m2[at, k]
                else:
                    delta = back[0, k] - front_mean[at, k]
                    mean = front_mean[at, k] + delta * new / capacity
                    m2 = front_m2[at, k] + back[1, k] + delta * delta * old * new / capacity
                deviation = max(np.sqrt(m2 / (capacity - 1)), floors[k])
                z = (points[i, k] - mean) / deviation
                shares[i, k] = z * z
                total += z * z
            scores[i] = np.sqrt(total)
            for k in range(columns):
                shares[i, k] = shares[i, k] / total if total > 0.0 else 0.0
        else:
            scores[i] = np.nan
            shares[i, :] = 0.0
        if sequence[i] < 0:
            continue
        for k in range(columns):
            delta = points[i, k] - back[0, k]
            back[0, k] += delta / (new + 1)
            back[1, k] += delta * (points[i, k] - back[0, k])
            ring[seq % capacity, k] = points[i, k]
        cursor[_SEEN] = seq + 1


class ZScore:
    """Scores a trade by how far the market's last ten seconds are from the usual."""

    name = "zscore"
    kind = "zscore"
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "log"
    window_s = 10.0

    def __init__(self, params: ZScoreParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params), repr(PRICE_COLUMNS))
        self._gather = Gather(PRICE_COLUMNS, features=features)
        self.columns = self._gather.names
        self._eligible = params.floors.bind(features)
        shape = (params.window_trades, len(self.columns))
        self._spacing = Spacing(
            capacity=params.window_trades, spacing_s=params.min_spacing_s, features=features
        )
        self._ring = np.zeros(shape, np.float64)
        self._front_mean = np.zeros(shape, np.float64)
        self._front_m2 = np.zeros(shape, np.float64)
        self._back = np.zeros((2, len(self.columns)), np.float64)
        self._cursor = np.zeros(2, np.int64)

    def score_learn(self, rows: FloatMatrix) -> Scored:
        """Score each row, then learn it."""
        points = self._gather(rows)
        scores = np.empty(len(rows), np.float64)
        shares = np.empty(points.shape, np.float64)
        _score_learn(
            points,
            self._spacing.choose(rows).sequence,
            self._gather.floors,
            self._ring,
            self._front_mean,
            self._front_m2,
            self._back,
            self._cursor,
            scores,
            shares,
        )
        return Scored(scores, shares, self._eligible(rows))

    def state(self) -> State:
        """Return the window; the aggregates of its older part are computed anew when it is loaded."""
        return {
            "ring": self._ring.copy(),
            "back": self._back.copy(),
            "cursor": self._cursor.copy(),
            **nested("spacing", self._spacing.state()),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of another window.
        """
        ring = loaded(state, "ring", self._ring, shape=self._ring.shape)
        back = loaded(state, "back", self._back, shape=self._back.shape)
        cursor = loaded(state, "cursor", self._cursor, shape=self._cursor.shape)
        seen, border = int(cursor[_SEEN]), int(cursor[_BORDER])
        first = max(0, seen - len(ring))
        if not 0 <= border <= seen or seen - border > len(ring) + 1:
            raise ValueError(f"{border} of {seen} is no possible border in a window of {len(ring)}")
        self._spacing.load_state(under("spacing", state))
        self._ring, self._back, self._cursor = ring, back, cursor
        _rebuild_front(first, max(first, border), ring, self._front_mean, self._front_m2)

    def sentence(self, finding: Finding) -> str:
        """Return what moved, on which volume, and how rare that is."""
        return move_sentence(finding)
