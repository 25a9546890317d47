"""What every online detector is: rows of features in, scores out, each row scored before it is learned."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from detector.arrays import BoolVector, FloatMatrix, FloatVector
from shared.stream.step import State

DecidesOn = Literal["rarity", "score"]
# How scores are spread: `log` for positive ones without an upper end, `unit` for those between 0 and 1.
Scale = Literal["log", "unit"]


class Scored(NamedTuple):
    """The judgement of n rows.

    Attributes:
        scores: n, higher is stranger; NaN while warming up.
        contributions: n rows, one column per name in the detector's `columns`: the share of each in the
            score, never negative, a row adds up to 1, or to 0 when there is nothing to explain.
        eligible: n, true where the absolute floors are met, without which no score makes an anomaly.
    """

    scores: FloatVector
    contributions: FloatMatrix
    eligible: BoolVector


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One anomalous trade with everything that a sentence about it may need.

    Attributes:
        symbol: market.
        price: of the trade, quote units per base unit.
        features: by name, in the state after the trade.
        contributions: by name, adding up to 1.
        score: raw, higher is stranger.
        usual_score: median score of this market so far; NaN while that is unknown.
        rarity: probability per trade of something at least this strange; None while that is unknown.
        trades_per_day: of this market, for turning a rarity into a time.
    """

    symbol: str
    price: float
    features: dict[str, float]
    contributions: dict[str, float]
    score: float
    usual_score: float
    rarity: float | None
    trades_per_day: float


class OnlineDetector(Protocol):
    """A detector of one market.

    `score_learn` raises, if it must, before it has changed anything: the engine then finds the one row that
    it cannot take, and puts the detector into quarantine there, however the rows came in batches.

    Attributes:
        name: of the detector, unique in the catalogue.
        kind: of the anomalies that it finds.
        columns: names of the columns of its contributions.
        fingerprint: of its parameters and version.
        decides_on: `rarity`: the calibrated one falls to the alert budget's; `score`: it reaches `threshold`.
        threshold: for those that decide on their score; otherwise NaN.
        scale: how its scores are spread.
        window_s: span of event time before a trade that its judgement rests on; 0: the trade alone.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    fingerprint: str
    decides_on: DecidesOn
    threshold: float
    scale: Scale
    window_s: float

    def score_learn(self, rows: FloatMatrix) -> Scored:
        """Score each row, then learn it; any split of the rows gives bit-identical results."""
        ...

    def state(self) -> State:
        """Return a copy of the whole state."""
        ...

    def load_state(self, state: State) -> None:
        """Go on from a state, bit-identically.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        ...

    def sentence(self, finding: Finding) -> str:
        """Return why this is an anomaly, in one English sentence with numbers in it."""
        ...
