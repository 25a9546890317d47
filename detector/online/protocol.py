"""What the stages of the engine are: rows of features in, scores out, each row scored before it is learned.

A stage holds the state of all markets, by slot, and is called once per batch with the runs of all markets
that are in it (`detector/runs.py`). What it answers for a market depends on that market's rows alone: not on
how they came in batches, not on the other runs, not on which slot the market has.

A detector comes in one of two shapes. `DetectorStage` is the fast one, for compiled kernels.
`OnlineDetector` is the easy one, for plain Python: an object per market; `detector.per_market.PerMarket`
makes a stage of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, runtime_checkable

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.runs import Runs
from shared.stream.step import State

if TYPE_CHECKING:
    from detector.calibration import Calibrated
    from detector.features import Tape

DecidesOn = Literal["rarity", "score"]
# How scores are spread: `log` for positive ones without an upper end, `unit` for those between 0 and 1.
Scale = Literal["log", "unit"]
# The note that says where a running episode has something new to tell (1), however strange the trade.
TURNED: Final = "turned"
# Notes that begin so are about an order before the row, whose sequel the row brings; `AFTER_S` says how many
# seconds before, and 0 where there is none.
AFTER: Final = "after_"
AFTER_S: Final = "after_s"


class Fault(NamedTuple):
    """A detector raised on valid data of one market.

    Attributes:
        slot: of the market.
        row: at which it raised, among the rows of the batch.
        error: what it said.
    """

    slot: int
    row: int
    error: str


class Scored(NamedTuple):
    """The judgement of n rows.

    Attributes:
        scores: n, higher is stranger; NaN while warming up.
        contributions: n rows, one column per name in the detector's `columns`: the share of each in the
            score, never negative, a row adds up to 1, or to 0 when there is nothing to explain. Only rows
            that are eligible can become anomalies, so only these need an explanation: the others hold
            zeros, unless all were asked for.
        eligible: n, true where the absolute floors are met, without which no score makes an anomaly. It
            follows from the features alone, so a kernel knows it before it scores.
        faults: markets that the detector could not take, in the order of their rows; in such a market's
            run nothing from that row on was scored or learned (NaN, not eligible).
        notes: n numbers each, by name, that the detector's sentence needs beside the features; `TURNED` is
            one of them where an episode goes through phases, `AFTER_S` where what followed an anomaly is
            told: of an episode that it belongs to, in the same sentence method.
    """

    scores: FloatVector
    contributions: FloatMatrix
    eligible: BoolVector
    faults: tuple[Fault, ...] = ()
    notes: Mapping[str, FloatVector] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One anomalous trade with everything that a sentence about it may need.

    Attributes:
        symbol: market.
        price: of the trade, quote units per base unit.
        features: by name, in the state after the trade; with the detector's notes.
        contributions: by name, adding up to 1.
        score: raw, higher is stranger.
        usual_score: median score of this market so far; NaN while that is unknown.
        rarity: episodes per trade that are at least this strange; None while that is unknown.
        trades_per_day: of this market, for turning a rarity into a time.
        notional_per_day: of this market, for saying what is usual; NaN while that is unknown.
    """

    symbol: str
    price: float
    features: dict[str, float]
    contributions: dict[str, float]
    score: float
    usual_score: float
    rarity: float | None
    trades_per_day: float
    notional_per_day: float = math.nan


class Stage(Protocol):
    """Holds the state of all markets, by slot.

    A slot is opened before it is first used and may be opened anew after it was closed; slots are small
    integers, so arrays by slot grow by doubling.
    """

    def open(self, slot: int, *, identity: str) -> None:
        """Give a slot the fresh state of a market.

        Args:
            slot: that is not open.
            identity: of the market (`binance/BTC-USDT`), for its randomness.
        """
        ...

    def close(self, slot: int) -> None:
        """Free a slot that is open, whatever its state."""
        ...

    def state(self, slot: int) -> State:
        """Return a copy of one market's state.

        Its layout does not depend on the slot, on how trades came in batches, or on what the arrays have room
        for.
        """
        ...

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state, bit-identically, in an open slot.

        Raises:
            ValueError: it is damaged, or of other parameters. The slot may then only be closed.
        """
        ...


class FeatureStage(Stage, Protocol):
    """Turns trades into rows of features.

    Attributes:
        names: of the columns of the rows.
    """

    names: tuple[str, ...]

    def update(self, runs: Runs, tape: "Tape") -> tuple[FloatMatrix, IntVector]:
        """Learn n trades, and return n rows of features and n event times after the rule for late trades."""
        ...


class CalibrationStage(Stage, Protocol):
    """Turns raw scores of one detector into rarities."""

    def calibrate(self, runs: Runs, scores: FloatVector, clock_us: IntVector) -> "Calibrated":
        """Return the rarity of each score in the state before it, and learn it; NaN is passed over."""
        ...


class DetectorStage(Stage, Protocol):
    """A detector of all markets.

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

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row, then learn it.

        It raises, if it must, before it has changed anything: the engine then finds the market and the row
        that it cannot take, and puts the detector into quarantine there.

        Args:
            runs: whose rows these are.
            rows: n rows of features, sorted by market.
            explain_all: whether contributions are wanted for every row, and not only for eligible ones;
                nothing else depends on it.
        """
        ...

    def sentence(self, finding: Finding) -> str:
        """Return why this is an anomaly, in one English sentence with numbers in it."""
        ...


@runtime_checkable
class Unhurried(Protocol):
    """A detector whose episodes outlast the silence that closes others.

    Attributes:
        quiet_s: event time without a score that holds an episode open, after which it closes.
    """

    quiet_s: float


@runtime_checkable
class OfOtherRecords(Protocol):
    """A detector whose rows are no trades.

    Attributes:
        record: what they are, in the singular (`quote`).
    """

    record: str


class OnlineDetector(Protocol):
    """A detector of one market, in plain Python; attributes as those of `DetectorStage`.

    `score_learn` raises, if it must, before it has changed anything: the engine then finds the one row that
    it cannot take, and puts the detector into quarantine there, however the rows came in batches.
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
