"""Sliding-window z-score of a market's move, volume, rate, imbalance and volatility.

Idea: how many standard deviations is each quantity away from its own mean over the last W trades learned?
With `robust`: how many median absolute deviations (times 1.4826, which makes them standard deviations on
normal data) from its own median?

Score: root of the sum of the squared z of the five columns (0 and up; about 2.2 on quiet normal data). A
column's contribution is its share of that sum. Volume, rate and volatility enter as logarithms; a standard
deviation counts as at least the column's floor, so that a market standing still does not make every tick
infinitely strange.

Rhythm: with `seasonal`, volume, rate and volatility are taken without what is usual at the hour
(`detector/seasonal.py`), once three days are known.

Learning: once the window is full, at most one trade per `min_spacing_s` is learned, so that the window spans
five minutes at least, and a burst of thousands of trades is not compared with itself.

Warm-up: until W trades have been seen.

Cost: O(1) per trade, and O(W / 32) at worst (`detector/kernels/sliding_moments.py`); with `robust` three
binary searches and a shift per column and learned trade (`detector/kernels/sliding_median.py`). Nothing is
subtracted from a sum, so a trade of 10^12 leaves no trace once it has left the window.

Blind spots: neighbouring windows overlap, so a slow slide drags the mean along; combinations of values that
are each usual.

Example:
    >>> import numpy as np
    >>> from detector.features import FEATURES
    >>> from detector.runs import Runs
    >>> zscore = ZScore(ZScoreParams(window_trades=50), features=FEATURES)
    >>> zscore.open(0, identity="binance/BTC-USDT")
    >>> rows = np.random.default_rng(0).lognormal(size=(60, len(FEATURES)))
    >>> scores = zscore.score_learn(Runs.single(0, len(rows)), rows).scores
    >>> bool(np.isnan(scores[49])), bool(np.isfinite(scores[50]))
    (True, True)
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numba import njit

from detector.arrays import (
    BoolVector,
    FloatCube,
    FloatMatrix,
    FloatTesseract,
    FloatVector,
    IntVector,
    loaded,
    loaded_float,
    loaded_int,
    nested,
    resized,
    under,
)
from detector.kernels import sliding_median, sliding_moments
from detector.kernels.vectors import borrowed
from detector.online.columns import PRICE_COLUMNS, Gather
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.price_move import PriceFloors, move_sentence
from detector.runs import Runs
from detector.seasonal import Seasonal
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 2
_CENTRE, _SHARPNESS = range(2)
# The median absolute deviation of normal data is this many times smaller than the standard deviation.
_NORMAL_SPREAD: Final = 1.482602218505602
# Keeps the sum of squares finite whatever comes.
_LARGEST_Z: Final = 1e150


@dataclass(frozen=True, kw_only=True)
class ZScoreParams:
    """What it remembers, and what is too small to matter.

    Attributes:
        window_trades: trades that centre and spread are taken over, at least 50.
        min_spacing_s: event time between two trades that are learned, once the window is full.
        robust: whether centre and spread are median and median absolute deviation.
        seasonal: whether volume, rate and volatility are taken without their rhythm of day and week, once
            that is known; needs the column `event_time_s`.
        floors: without which nothing is eligible.
    """

    window_trades: int = 1_000
    min_spacing_s: float = 0.3
    robust: bool = False
    seasonal: bool = False
    floors: PriceFloors = field(default_factory=PriceFloors)

    def __post_init__(self) -> None:
        if self.window_trades < 50:
            raise ValueError(f"window_trades must be at least 50, not {self.window_trades}")


@njit(cache=True)
def _learn_ordered(points: FloatMatrix, i: int, seen: int, ring: FloatMatrix, ordered: FloatMatrix) -> None:
    """Put point `i` in the place of the oldest of a full window."""
    window = ring.shape[0]
    at = seen % window
    for k in range(points.shape[1]):
        if seen < window:
            sliding_median.insert(ordered, k, seen, points[i, k])
        else:
            sliding_median.replace(ordered, k, ring[at, k], points[i, k])
        ring[at, k] = points[i, k]


@njit(cache=True)
def _judge(  # noqa: PLR0917 - compiled; buffers come by position
    seen: int,
    window: int,
    border: int,
    robust: bool,  # noqa: FBT001 - numba passes by position
    floors: FloatVector,
    ordered: FloatMatrix,
    older: FloatCube,
    newer: FloatCube,
    usual: FloatMatrix,
) -> None:
    """Write the centre of each column of a full window, and one over its spread."""
    if not robust:
        sliding_moments.moments(seen, window, border, older, newer, usual)
    for k in range(floors.shape[0]):
        if robust:
            usual[_CENTRE, k] = sliding_median.median(ordered, k)
            deviation = sliding_median.median_deviation(ordered, k, usual[_CENTRE, k])
            spread = _NORMAL_SPREAD * deviation
        else:
            spread = np.sqrt(usual[_SHARPNESS, k])
        usual[_SHARPNESS, k] = 1.0 / max(spread, floors[k])


@njit(cache=True)
def _score_learn(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    starts: IntVector,
    points: FloatMatrix,
    gaps_s: FloatVector,
    to_explain: BoolVector,
    window: int,
    spacing_s: float,
    robust: bool,  # noqa: FBT001 - numba passes by position
    floors: FloatVector,
    seen: IntVector,
    since_s: FloatVector,
    borders: IntVector,
    usual: FloatCube,
    rings: FloatCube,
    ordered: FloatCube,
    totals: FloatTesseract,
    joined: FloatTesseract,
    older: FloatTesseract,
    newer: FloatTesseract,
    scores: FloatVector,
    shares: FloatMatrix,
) -> None:
    """Score each point against the window of its market, then put it in the place of the oldest one."""
    points, shares, borders, floors = borrowed(points), borrowed(shares), borrowed(borders), borrowed(floors)
    usual, rings, ordered = borrowed(usual), borrowed(rings), borrowed(ordered)
    totals, joined, older, newer = borrowed(totals), borrowed(joined), borrowed(older), borrowed(newer)
    columns = points.shape[1]
    for run in range(slots.shape[0]):
        slot = slots[run]
        ring, sorted_, norm = rings[slot], ordered[slot], usual[slot]
        total, join, old, new = totals[slot], joined[slot], older[slot], newer[slot]
        count, since = seen[slot], since_s[slot]
        for i in range(starts[run], starts[run + 1]):
            if count >= window:
                squares = 0.0
                for k in range(columns):
                    z = (points[i, k] - norm[_CENTRE, k]) * norm[_SHARPNESS, k]
                    z = min(max(z, -_LARGEST_Z), _LARGEST_Z)
                    squares += z * z
                    shares[i, k] = z * z
                scores[i] = np.sqrt(squares)
                part = 1.0 / squares if to_explain[i] and squares > 0.0 else 0.0
                for k in range(columns):
                    shares[i, k] *= part
            since += gaps_s[i]
            if count < window or since >= spacing_s:
                if robust:
                    _learn_ordered(points, i, count, ring, sorted_)
                else:
                    sliding_moments.learn(
                        points, i, count, window, borders, slot, ring, total, join, old, new
                    )
                count += 1
                since = 0.0
                if count >= window:
                    _judge(count, window, borders[slot], robust, floors, sorted_, old, new, norm)
        seen[slot], since_s[slot] = count, since


class ZScore:
    """Scores a trade by how far the market's last ten seconds are from the usual; all markets, by slot."""

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
        self._gap = features.index("inter_arrival_s")
        self._params = params
        self._seasonal = None
        if params.seasonal:
            with_rhythm = [k for k, column in enumerate(PRICE_COLUMNS) if column.log_offset is not None]
            self._seasonal = Seasonal(np.array(with_rhythm, np.int64))
            self._clock = features.index("event_time_s")
        columns, window = len(self.columns), params.window_trades
        blocks = 0 if params.robust else sliding_moments.blocks(window)
        block = 0 if params.robust else sliding_moments.BLOCK
        self._seen = np.zeros(0, np.int64)
        self._since_s = np.zeros(0, np.float64)
        self._usual = np.zeros((0, 2, columns), np.float64)
        self._rings = np.zeros((0, window if params.robust else blocks * block, columns), np.float64)
        self._ordered = np.zeros((0, columns, window if params.robust else 0), np.float64)
        self._totals = np.zeros((0, blocks, 2, columns), np.float64)
        self._joined = np.zeros((0, blocks, 2, columns), np.float64)
        self._older = np.zeros((0, block, 2, columns), np.float64)
        self._newer = np.zeros((0, 1, 2, columns), np.float64)
        self._borders = np.zeros(0, np.int64)

    def open(self, slot: int, *, identity: str) -> None:
        """Begin with an empty window."""
        self._seen = resized(self._seen, slot)
        self._since_s = resized(self._since_s, slot)
        self._usual = resized(self._usual, slot)
        self._rings = resized(self._rings, slot)
        self._ordered = resized(self._ordered, slot)
        self._totals = resized(self._totals, slot)
        self._joined = resized(self._joined, slot)
        self._older = resized(self._older, slot)
        self._newer = resized(self._newer, slot)
        self._borders = resized(self._borders, slot)
        self._seen[slot] = 0
        self._since_s[slot] = 0.0
        self._newer[slot] = 0.0
        self._borders[slot] = 0
        if self._seasonal is not None:
            self._seasonal.open(slot, identity=identity)

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins with an empty window."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row, then learn it."""
        eligible = self._eligible(rows)
        scores = np.full(len(rows), np.nan, np.float64)
        shares = np.zeros((len(rows), len(self.columns)), np.float64)
        points = self._gather(rows)
        if self._seasonal is not None:
            self._seasonal.adjust(runs, rows[:, self._clock], points)
        _score_learn(
            *runs,
            points,
            rows[:, self._gap],
            np.ones_like(eligible) if explain_all else eligible,
            self._params.window_trades,
            self._params.min_spacing_s,
            self._params.robust,
            self._gather.floors,
            self._seen,
            self._since_s,
            self._borders,
            self._usual,
            self._rings,
            self._ordered,
            self._totals,
            self._joined,
            self._older,
            self._newer,
            scores,
            shares,
        )
        return Scored(scores, shares, eligible)

    def _places(self, seen: int) -> IntVector:
        """Return where in a ring the rows of the window are, the oldest first."""
        first = max(0, seen - self._params.window_trades)
        places: IntVector = np.arange(first, seen, dtype=np.int64) % self._rings.shape[1]
        return places

    def state(self, slot: int) -> State:
        """Return the window, the oldest row first; all else follows from it."""
        seen = int(self._seen[slot])
        rhythm = {} if self._seasonal is None else nested("seasonal", self._seasonal.state(slot))
        return rhythm | {
            "window": self._rings[slot, self._places(seen)],
            "seen": seen,
            "since_s": float(self._since_s[slot]),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of another window.
        """
        length, robust = self._params.window_trades, self._params.robust
        seen, since_s = loaded_int(state, "seen"), loaded_float(state, "since_s")
        if seen < 0:
            raise ValueError(f"seen must be 0 or more, not {seen}")
        window = loaded(state, "window", self._rings, shape=(min(seen, length), len(self.columns)))
        if self._seasonal is not None:
            self._seasonal.load_state(slot, under("seasonal", state))
        self._rings[slot, self._places(seen)] = window
        self._seen[slot], self._since_s[slot] = seen, since_s
        if robust:
            self._ordered[slot, :, : len(window)] = np.sort(window, axis=0).T
        else:
            sliding_moments.restore(
                seen,
                length,
                self._borders,
                slot,
                self._rings[slot],
                self._totals[slot],
                self._joined[slot],
                self._older[slot],
                self._newer[slot],
            )
        if seen >= length:
            _judge(
                seen,
                length,
                int(self._borders[slot]),
                robust,
                self._gather.floors,
                self._ordered[slot],
                self._older[slot],
                self._newer[slot],
                self._usual[slot],
            )

    def sentence(self, finding: Finding) -> str:
        """Return what moved, on which volume, and how rare that is."""
        return move_sentence(finding)
