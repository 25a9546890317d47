"""A lane: one detector on one market with its calibrator, its episodes and its fate.

Two kinds: a `Lane` judges rows of features by itself; a `CombinedLane` judges the judgements of two others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from detector.arrays import BoolVector, FloatMatrix, FloatVector, nested, under
from detector.calibration import Calibrator
from detector.combined import Combined
from detector.episodes import Episodes
from detector.online.protocol import DecidesOn, Finding, OnlineDetector, Scored
from detector.params import EngineParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.stream.step import State


class Judge(Protocol):
    """What a lane says about its detector."""

    name: str
    kind: str
    columns: tuple[str, ...]
    fingerprint: str
    decides_on: DecidesOn
    threshold: float
    window_s: float

    def sentence(self, finding: Finding) -> str:
        """Return why something is an anomaly."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A detector raised on valid data.

    Attributes:
        row: at which it did.
        error: what it said.
    """

    row: int
    error: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a lane thinks of n rows.

    Attributes:
        scores: n, higher is stranger; NaN while warming up.
        eligible: n, true where the absolute floors are met.
        rarities: n probabilities; NaN while unknown.
        usual: n median scores; NaN while unknown.
        explain: returns the contributions to one row's score, one per column of the detector.
        fault: set when the detector raised; from its row on, nothing is eligible.
    """

    scores: FloatVector
    eligible: BoolVector
    rarities: FloatVector
    usual: FloatVector
    explain: Callable[[int], FloatVector]
    fault: Fault | None = None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Lane:
    """A detector that judges rows of features.

    Attributes:
        is_stopped: its detector raised while judging: it has no judgement from then on.
        is_muted: its detector raised while telling: it judges on, for what combines it, and tells nothing.
    """

    def __init__(self, detector: OnlineDetector, params: EngineParams) -> None:
        self.judge: Judge = detector
        self.is_stopped = False
        self.is_muted = False
        self.fingerprint = _published_fingerprint(detector, params)
        self._detector = detector
        self._calibrator = Calibrator(params.calibration, scale=detector.scale)
        self.episodes = _episodes(detector, params)

    def consider(self, rows: FloatMatrix) -> Judgement:
        """Score, calibrate and learn n rows; a detector that raises is stopped at that row."""
        if self.is_stopped:
            scored, fault = _nothing(len(rows), len(self._detector.columns)), None
        else:
            try:
                scored, fault = self._detector.score_learn(rows), None
            except Exception:  # noqa: BLE001 - whatever a detector raises is its quarantine, found row by row
                scored, fault = self._one_by_one(rows)
        rarities, usual = self._calibrator.calibrate(scored.scores)
        return Judgement(
            scores=scored.scores,
            eligible=scored.eligible,
            rarities=rarities,
            usual=usual,
            explain=scored.contributions.__getitem__,
            fault=fault,
        )

    def _one_by_one(self, rows: FloatMatrix) -> tuple[Scored, Fault | None]:
        """Judge row by row up to the one that the detector cannot take, and stop it there."""
        scored = _nothing(len(rows), len(self._detector.columns))
        for row in range(len(rows)):
            try:
                one = self._detector.score_learn(rows[row : row + 1])
            except Exception as error:  # noqa: BLE001 - as in `consider`
                self.is_stopped = True
                return scored, Fault(row=row, error=_describe(error))
            for whole, part in zip(scored[:3], one[:3], strict=True):
                whole[row] = part[0]
        return scored, None

    def state(self) -> State:
        """Return the state; of a stopped lane only that, and its episode."""
        episodes = nested("episode", self.episodes.state())
        if self.is_stopped:
            return {"is_stopped": True, "is_muted": self.is_muted, **episodes}
        return {
            "is_stopped": False,
            "is_muted": self.is_muted,
            **nested("detector", self._detector.state()),
            **nested("calibrator", self._calibrator.state()),
            **episodes,
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        self.is_stopped = _flag(state, "is_stopped")
        self.is_muted = _flag(state, "is_muted")
        self.episodes.load_state(under("episode", state))
        if not self.is_stopped:
            self._detector.load_state(under("detector", state))
            self._calibrator.load_state(under("calibrator", state))


class CombinedLane:
    """The combined filter over two lanes.

    Attributes:
        is_muted: it raised while telling, and tells nothing from then on.
    """

    def __init__(self, members: tuple[Lane, Lane], params: EngineParams) -> None:
        first, second = (lane.judge for lane in members)
        self._combined = Combined(
            member_columns=(first.columns, second.columns),
            member_fingerprints=f"{first.fingerprint} {second.fingerprint}",
        )
        self.judge: Judge = self._combined
        self.is_muted = False
        self.fingerprint = _published_fingerprint(self._combined, params)
        self.episodes = _episodes(self._combined, params)

    def consider(self, members: tuple[Judgement, Judgement]) -> Judgement:
        """Combine two judgements of the same rows."""
        first, second = members
        n = len(first.rarities)
        rarities = self._combined.rarities(first.rarities, second.rarities)

        def explain(row: int) -> FloatVector:
            return self._combined.contributions(
                (first.explain(row), second.explain(row)), (first.rarities[row], second.rarities[row])
            )

        return Judgement(
            scores=self._combined.scores(rarities),
            eligible=first.eligible & second.eligible,
            rarities=rarities,
            usual=np.full(n, np.nan),
            explain=explain,
        )

    def state(self) -> State:
        """Return whether it is muted, and the running episode."""
        return {"is_muted": self.is_muted, **nested("episode", self.episodes.state())}

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self.is_muted = _flag(state, "is_muted")
        self.episodes.load_state(under("episode", state))


def _flag(state: State, name: str) -> bool:
    value = state.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is missing or no boolean")  # noqa: TRY004 - a damaged snapshot is a wrong value
    return value


def _nothing(n: int, columns: int) -> Scored:
    scores = np.full(n, np.nan)
    eligible: BoolVector = np.zeros(n, np.bool_)
    return Scored(scores, np.zeros((n, columns), np.float64), eligible)


def _episodes(judge: Judge, params: EngineParams) -> Episodes:
    return Episodes(
        quiet_us=round(params.episode_quiet_s * MICROSECONDS_PER_SECOND), decides_on=judge.decides_on
    )


def _published_fingerprint(judge: Judge, params: EngineParams) -> str:
    """Return what decides what is published: the detector, and the engine's rules around it."""
    around = (params.calibration, params.features, params.budget_per_day, params.episode_quiet_s)
    return content_id(judge.fingerprint, repr(around))
