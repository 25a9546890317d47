"""Pump and dump: a crowd buys a thin market at an arranged moment, and sells it minutes later.

Idea: within 25 s the price rises while a large part of a usual day is traded, in orders that eat through the
book at one instant (rush orders), shortly after a full or half hour, the times that such groups announce.
Each is compared with what is usual on this very market, so that news on a large one, a small part of its day,
is none. The market is judged alone: a move shared by the whole market is not told apart.

Score: evidence, the sum of ln(rise / 2 %), ln(bought / 2 % of a day's volume), ln(trades / 1 % of a day's),
half of ln((rush orders + 1) / 5), -0.6 times the imbalance of takers, and 3 near a full hour or 1.5 near a
half hour (60 s before to 90 s after). 0 where the price has not risen by 1 % or takers mostly sell; while a
pump runs it is the pump's highest so far. From 0; a pump from 6.6 on. It decides by itself. The weights are
rounded, and the threshold lets about 0.8 false alarms per market and month (`docs/patterns.md`).

Phases: takers accumulate while within an hour at least twice the usual is traded, and .5 % of a day bought
net. That is no alarm: it is so for a part of every day, and a pump that comes out of it is no likelier to be
one (`docs/patterns.md`); it is told with the pump. A pump begins with the evidence; it becomes a dump when
half of the rise has been lost for 10 s, which is told; it is over after 15 min without half of the evidence,
or when nobody trades for as long as closes an episode. Another may begin when no evidence has been there for
an hour.

Scorer: a forest that a user has trained on own labels may be asked too, where there is 0.7 of the evidence
that is needed. What it thinks is told; it may make such evidence a pump (`confirm_at`), or none of any
(`veto_below`). There is none by default.

Warm-up: six hours, in which it learns what is usual.

Cost: two exponentials per trade; logarithms only where the price has risen. Memory: 160 bytes per market,
with a scorer 320.

Blind spots: pumps of large markets, slow ones, those within the first six hours of a market, and those of a
market where something alike happened less than an hour before.

Reference: M. La Morgia, A. Mei, F. Sassi, J. Stefa, "Pump and Dumps in the Bitcoin Era: Real Time Detection
of Cryptocurrency Market Manipulations", ICCCN 2020, for rush orders, the window of 25 s and the use of the
clock; the evidence relative to the market's day and the phases are ours.

Example:
    >>> import numpy as np
    >>> from detector.runs import Runs
    >>> pumps = PumpDump(PumpDumpParams(warm_up_s=0.0), features=PUMP_FEATURES)
    >>> pumps.open(0, identity="binance/FUEL-BTC")
    >>> quiet = dict.fromkeys(PUMP_FEATURES, 0.0) | {"notional": 1.0, "notional_25s": 1.0, "count_25s": 1.0}
    >>> at_17 = 3_600.0 * 500_000
    >>> tape = [quiet | {"event_time_s": at_17 + 60.0 * n} for n in range(-1_440, 0)]
    >>> pumped = {"run_up_25s": 0.08, "notional_25s": 80.0, "count_25s": 90.0, "rush_orders_25s": 63.0}
    >>> tape += [quiet | pumped | {"imbalance_25s": 0.8, "event_time_s": at_17 + 4.0}]
    >>> rows = np.array([[row[name] for name in PUMP_FEATURES] for row in tape])
    >>> scored = pumps.score_learn(Runs.single(0, len(rows)), rows)
    >>> scored.eligible.nonzero()[0].tolist(), scored.scores[-1].round(1).item()
    ([1440], 7.9)
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, loaded, resized
from detector.kernels import pump_chunks
from detector.kernels import pumps as kernel
from detector.kernels.decision_trees import no_trees
from detector.online.protocol import TURNED, DecidesOn, Finding, Scale, Scored
from detector.patterns.pump_scorer import PumpScorer
from detector.runs import Runs
from detector.wording import duration, percent, times
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 2
WINDOW_S: Final = 25.0
# What it looks at, in the order of the kernel's input.
PUMP_FEATURES: Final = (
    "event_time_s",
    "log_return",
    "notional",
    "signed_flow",
    "run_up_25s",
    "notional_25s",
    "count_25s",
    "rush_orders_25s",
    "imbalance_25s",
)
_TERMS: Final = (
    "run_up_25s",
    "notional_25s",
    "count_25s",
    "rush_orders_25s",
    "imbalance_25s",
    "pump_from_round_s",
)
PROBABILITY: Final = "pump_probability"
_NOTES: Final = (
    "pump_phase",
    TURNED,
    "pump_elapsed_s",
    "pump_rise",
    "pump_peak",
    "pump_share_of_day",
    "pump_bought_before",
    "pump_from_round_s",
    "pump_accumulated_s",
    "pump_times_usual",
    PROBABILITY,
)
# A logistic curve through what was seen on 60 recordings: of the alarms that reach so much evidence, how many
# were pumps (76 % at 6.6, 85 % at 8, 94 % at 10).
_EVEN: Final = 4.0
_STEEPNESS: Final = 2.25


@dataclass(frozen=True, kw_only=True)
class PumpDumpParams:
    """What is a pump, and when it is over.

    Attributes:
        threshold: on the evidence.
        min_rise_pct: within 25 s, in percent.
        min_imbalance: of the takers' volume within 25 s, -1 to 1.
        given_back: share of the rise (of its logarithm) that is lost when the dump begins.
        low_s: event time for which it must have been lost.
        calm_s: event time without half of the evidence after which it is over.
        quiet_s: silence after which it is over; no more than closes an episode.
        rearm_s: event time without evidence until another can begin.
        warm_up_s: event time from a market's first trade.
        accumulation_times: volume of an hour, over the usual, from which on takers may accumulate.
        accumulation_bought: what they must have bought net in it, as a share of a day's volume.
        scorer: a second opinion, asked where there is evidence of `asked_from`; None: there is none.
        asked_from: evidence, as a part of the threshold.
        confirm_at: probability from which on so much evidence is a pump; 0: it never is for that.
        veto_below: probability under which no evidence is a pump.
        weights: of rise, volume bought, trades, rush orders, imbalance (counts against) and clock.
    """

    threshold: float = 6.6
    min_rise_pct: float = 1.0
    min_imbalance: float = -0.2
    given_back: float = 0.5
    low_s: float = 10.0
    calm_s: float = 900.0
    quiet_s: float = 60.0
    rearm_s: float = 3_600.0
    warm_up_s: float = 21_600.0
    accumulation_times: float = 2.0
    accumulation_bought: float = 0.005
    scorer: PumpScorer | None = None
    asked_from: float = 0.7
    confirm_at: float = 0.0
    veto_below: float = 0.0
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 0.5, 0.6, 3.0)

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold must be positive, not {self.threshold}")
        if len(self.weights) != kernel.TERMS:
            raise ValueError(f"weights must be {kernel.TERMS}, not {len(self.weights)}")
        if not 0 < self.asked_from <= 1:
            raise ValueError(f"asked_from must be above 0 and at most 1, not {self.asked_from}")
        if not (0 <= self.veto_below <= 1 and 0 <= self.confirm_at <= 1):
            raise ValueError("veto_below and confirm_at must be from 0 to 1")
        if not 0 < self.given_back < 1:
            raise ValueError(f"given_back must be between 0 and 1, not {self.given_back}")


def confidence(score: float) -> float:
    """Return which share of the alarms that reach such evidence are pumps.

    It holds for markets like those that it was fitted to, which are pumped once in eleven days.
    """
    return 1.0 / (1.0 + math.exp(-(score - _EVEN) / _STEEPNESS))


class PumpDump:
    """Scores a trade by the evidence that its market is being pumped; all markets, by slot."""

    name = "pump_dump"
    kind = "pump_dump"
    columns: tuple[str, ...] = _TERMS
    decides_on: DecidesOn = "score"
    scale: Scale = "log"
    window_s = WINDOW_S

    def __init__(self, params: PumpDumpParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        self.threshold = params.threshold
        self._at = np.array([features.index(name) for name in PUMP_FEATURES], np.int64)
        self._weights = np.array(params.weights, np.float64)
        self._floors = np.array([params.min_rise_pct / 100.0, params.min_imbalance], np.float64)
        self._limits = np.array(
            [
                params.threshold,
                params.given_back,
                params.calm_s,
                params.quiet_s,
                params.rearm_s,
                params.warm_up_s,
                params.low_s,
                params.accumulation_times,
                params.accumulation_bought,
            ],
            np.float64,
        )
        self._has_scorer = params.scorer is not None
        self._trees = no_trees() if params.scorer is None else params.scorer.trees
        self._rules = np.array(
            [params.asked_from * params.threshold, params.confirm_at or np.inf, params.veto_below], np.float64
        )
        self._memories = np.zeros((0, kernel.MEMORY), np.float64)
        self._chunks = np.zeros((0, pump_chunks.MEMORY), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Begin to learn what is usual on a market."""
        self._memories, self._chunks = resized(self._memories, slot), resized(self._chunks, slot)
        self._memories[slot] = self._chunks[slot] = 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row, then learn it."""
        asked = np.zeros((1, len(kernel.SCORER_FEATURES)), np.float64) if self._has_scorer else None
        return self._judge(runs, rows, asked, explain_all=explain_all)

    def questions(self, runs: Runs, rows: FloatMatrix) -> tuple[Scored, FloatMatrix]:
        """Score and learn rows, and return what a scorer would be asked with, for one to be trained.

        Returns:
            The judgement, and n rows of `SCORER_FEATURES`; zeros where it would not be asked.
        """
        asked = np.zeros((len(rows), len(kernel.SCORER_FEATURES)), np.float64)
        return self._judge(runs, rows, asked, explain_all=False), asked

    def _judge(
        self, runs: Runs, rows: FloatMatrix, asked: FloatMatrix | None, *, explain_all: bool
    ) -> Scored:
        n = len(rows)
        scores, eligible = np.empty(n, np.float64), np.empty(n, np.bool_)
        shares, notes = np.zeros((n, kernel.TERMS), np.float64), np.zeros((n, kernel.NOTES), np.float64)
        kernel.judge(
            *runs,
            rows,
            self._at,
            self._weights,
            self._floors,
            self._limits,
            explain_all,
            self._memories,
            self._trees,
            self._rules,
            self._chunks,
            scores,
            shares,
            eligible,
            notes,
            asked,
        )
        named = dict(zip(_NOTES, notes.T, strict=True))
        if not self._has_scorer:
            del named[PROBABILITY]
        return Scored(scores, shares, eligible, notes=named)

    def state(self, slot: int) -> State:
        """Return a copy of what is remembered of a market."""
        state: State = {"memory": self._memories[slot].copy()}
        return state | {"chunks": self._chunks[slot].copy()} if self._has_scorer else state

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        memory = loaded(state, "memory", self._memories, shape=(kernel.MEMORY,))
        if memory[kernel.PHASE] not in {
            kernel.QUIET,
            kernel.PUMP,
            kernel.DUMP,
            kernel.OVER,
            kernel.ACCUMULATION,
        }:
            raise ValueError(f"memory has no phase {memory[kernel.PHASE]}")
        if self._has_scorer:
            self._chunks[slot] = loaded(state, "chunks", self._chunks, shape=(pump_chunks.MEMORY,))
        self._memories[slot] = memory

    def sentence(self, finding: Finding) -> str:
        """Return the phase, with rise, volume, rush orders and clock, and how sure that is."""
        features = finding.features
        sure = f"confidence {confidence(finding.score) * 100:.0f} %"
        if PROBABILITY in features:
            sure += f", of the trained scorer {features[PROBABILITY] * 100:.0f} %"
        if features.get("pump_phase") == kernel.DUMP:
            rise, peak = features["pump_rise"], features["pump_peak"]
            fallen = percent((peak - rise) / (1.0 + peak))
            return (
                f"{finding.symbol} is being dumped: {fallen} below the peak of a pump that had risen "
                f"{percent(peak)}, {duration(features['pump_elapsed_s'])} after it was seen ({sure})."
            )
        rushes = round(features["rush_orders_25s"])
        parts = [f"{rushes:,} rush order{'' if rushes == 1 else 's'}", _clock(features), _before(features)]
        share = features.get("pump_share_of_day")
        volume = "" if share is None else f" on {percent(share)} of a day's volume"
        risen = f"up {percent(features['run_up_25s'])} in {WINDOW_S:.0f} s{volume}"
        told = ", ".join(part for part in (risen, *parts) if part)
        return f"{finding.symbol} is being pumped: {told} ({sure})."


def _clock(features: dict[str, float]) -> str:
    """Return how far from a full or half hour it is, when that is evidence: `4 s after 17:00`."""
    since = features.get("pump_from_round_s", math.inf)
    if not -60.0 <= since <= 90.0:
        return ""
    time = datetime.fromtimestamp(round(features["event_time_s"] - since), UTC)
    return f"{duration(abs(since))} {'before' if since < 0 else 'after'} {time:%H:%M}"


def _before(features: dict[str, float]) -> str:
    """Return for how long takers accumulated, and what they bought in the hour before, if worth a word."""
    before, lasted_s = features.get("pump_bought_before", 0.0), features.get("pump_accumulated_s", 0.0)
    bought = f"{percent(before)} of a day's volume bought net in the hour before"
    if lasted_s > 0.0:
        usual = times(features["pump_times_usual"])
        return f"after {duration(lasted_s)} of accumulation ({usual} the usual volume, {bought})"
    return bought if before >= 0.01 else ""
