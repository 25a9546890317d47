"""Why something was, or was not, an anomaly: the engine's whole judgement of one trade of a recording.

The recording is judged from its beginning, as the engine would have, so warm-up and memory are those that the
detectors had then.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatVector, IntVector
from detector.combined import Combined
from detector.engine import Engine
from detector.lane import Judgement
from detector.params import EngineParams, make_detectors
from detector.telling import Evidence
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, Trade

# What is kept for tables and picture, before and after the moment.
BEFORE_US: Final = 1_800 * MICROSECONDS_PER_SECOND
AFTER_US: Final = 600 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one detector made of a trade.

    Attributes:
        detector: its name.
        score: raw; None while it warms up.
        usual_score: median so far; None while that is unknown.
        rarity: episodes per trade that are at least this strange; None while that is unknown.
        threshold: rarity or score that makes an anomaly.
        decides_on: `rarity` or `score`.
        meets_floors: whether the absolute floors are met.
        contributions: share of the score, by feature.
    """

    detector: str
    score: float | None
    usual_score: float | None
    rarity: float | None
    threshold: float
    decides_on: str
    meets_floors: bool
    contributions: dict[str, float]

    @property
    def strangeness(self) -> float | None:
        """How many times beyond its threshold; 1 and more is an anomaly if the floors are met."""
        if self.decides_on == "score":
            return None if self.score is None else self.score / self.threshold
        return None if self.rarity is None else self.threshold / self.rarity

    @property
    def conclusion(self) -> str:
        """Why it was, or was not, an anomaly, in a few words."""
        if self.strangeness is None:
            return "no anomaly: still warming up"
        if self.strangeness < 1.0:
            # Adding nothing makes nothing of a negative one.
            return f"no anomaly: at {self.strangeness * 100 + 0.0:.3g} % of its threshold"
        times = f"{self.strangeness:,.3g} times beyond its threshold"
        return f"anomaly: {times}" if self.meets_floors else f"no anomaly: {times}, but below the floors"


class Course(NamedTuple):
    """The time around the moment, for a picture; n trades.

    Attributes:
        times_us: event times.
        prices: quote units.
        thresholds: on rarity, of the alert budget.
        scores: per detector; NaN while warming up.
        rarities: per detector, episodes per trade; NaN while unknown.
    """

    times_us: IntVector
    prices: FloatVector
    thresholds: FloatVector
    scores: Mapping[str, FloatVector]
    rarities: Mapping[str, FloatVector]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The judgement of one trade.

    Attributes:
        trade: the last one at or before the moment.
        features: by name.
        verdicts: one per detector.
        anomalies: what was told around the moment.
        course: the time around it.
    """

    trade: Trade
    features: dict[str, float]
    verdicts: list[Verdict]
    anomalies: list[Anomaly]
    course: Course


class _Judge(NamedTuple):
    decides_on: str
    threshold: float
    columns: tuple[str, ...]


@dataclass
class _Witness:
    """Keeps what the engine made of the trades around a moment."""

    judges: Mapping[str, _Judge]
    at_us: int
    found: Explanation | None = None
    courses: list[Course] = field(default_factory=list)

    def __call__(self, evidence: Evidence, judgements: Mapping[str, Judgement]) -> None:
        # Rows are sorted by venue; time goes on in the order in which the trades came.
        rows = np.argsort(evidence.batch.order)
        times_us = evidence.clock_us[rows]
        until = rows[times_us <= self.at_us]
        if until.size:
            self.found = self._explanation(int(until[-1]), evidence, judgements)
        near = rows[(times_us >= self.at_us - BEFORE_US) & (times_us <= self.at_us + AFTER_US)]
        if near.size:
            self.courses.append(
                Course(
                    times_us=evidence.clock_us[near],
                    prices=evidence.batch.tape.prices[near],
                    thresholds=evidence.daily.thresholds[near],
                    scores={name: judgement.scores[near] for name, judgement in judgements.items()},
                    rarities={name: judgement.rarities[near] for name, judgement in judgements.items()},
                )
            )

    def _explanation(self, row: int, evidence: Evidence, judgements: Mapping[str, Judgement]) -> Explanation:
        return Explanation(
            trade=evidence.batch.trade(row),
            features=dict(zip(evidence.names, evidence.rows[row].tolist(), strict=True)),
            verdicts=[
                self._verdict(name, judgement, row, budget=float(evidence.daily.thresholds[row]))
                for name, judgement in judgements.items()
            ],
            anomalies=[],
            course=_joined([]),
        )

    def _verdict(self, name: str, judgement: Judgement, row: int, *, budget: float) -> Verdict:
        judge = self.judges[name]
        return Verdict(
            detector=name,
            score=_known(judgement.scores[row]),
            usual_score=_known(judgement.usual[row]),
            rarity=_known(judgement.rarities[row]),
            threshold=judge.threshold if judge.decides_on == "score" else budget,
            decides_on=judge.decides_on,
            meets_floors=bool(judgement.eligible[row]),
            contributions=dict(zip(judge.columns, judgement.explain(row).tolist(), strict=True)),
        )


def explain(batches: Iterable[Sequence[Trade]], params: EngineParams, *, at_us: int) -> Explanation | None:
    """Judge the trades of one market up to a moment, and return the judgement of the last one.

    Args:
        batches: trades in time order.
        params: of the engine.
        at_us: the moment, event time.

    Returns:
        The judgement; None when there is no trade at or before the moment.
    """
    witness = _Witness(judges=_judges(params), at_us=at_us)
    engine = Engine(params, witness=witness)
    told: list[Anomaly] = []
    for batch in batches:
        events = (event for event in engine.on_batch(batch) if isinstance(event, Anomaly))
        told += [event for event in events if -BEFORE_US <= event.event_time_us - at_us <= AFTER_US]
        if batch and batch[-1].event_time_us > at_us + AFTER_US:
            break
    if witness.found is None:
        return None
    return replace(witness.found, anomalies=told, course=_joined(witness.courses))


def _judges(params: EngineParams) -> dict[str, _Judge]:
    made = make_detectors(params, features=params.features.names)
    judges = {
        name: _Judge(str(detector.decides_on), detector.threshold, detector.columns)
        for name, detector in made.items()
    }
    if Combined.name in params.enabled:
        first, second = (made[member].columns for member in Combined.members)
        combined = Combined(member_columns=(first, second), member_fingerprints="")
        judges[Combined.name] = _Judge(str(combined.decides_on), combined.threshold, combined.columns)
    return judges


def _joined(courses: Sequence[Course]) -> Course:
    """Return consecutive courses as one."""
    if not courses:
        return Course(np.empty(0, np.int64), np.empty(0), np.empty(0), {}, {})
    times_us, prices, thresholds, scores, rarities = zip(*courses, strict=True)
    return Course(
        np.concatenate(times_us),
        np.concatenate(prices),
        np.concatenate(thresholds),
        {name: np.concatenate([part[name] for part in scores]) for name in scores[0]},
        {name: np.concatenate([part[name] for part in rarities]) for name in rarities[0]},
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
