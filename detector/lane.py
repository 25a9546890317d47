"""A lane: one detector on all markets, with its calibrator, its episodes and its fate.

Two kinds: a `Lane` judges rows of features by itself; a `CombinedLane` judges the judgements of two others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

import numpy as np

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector, nested, under
from detector.combined import Combined
from detector.episodes import Episodes, bars_of
from detector.online.protocol import DecidesOn, DetectorStage, Fault, Finding, Scored, Unhurried
from detector.params import EngineParams, make_calibration
from detector.parole import Paroles
from detector.per_market import nothing, row_by_row
from detector.runs import Runs
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


class Custody(NamedTuple):
    """A detector was stopped on a market, or came back.

    Attributes:
        slot: of the market.
        row: at which it was.
        error: what it said; empty when it came back.
        until_us: event time from which it is tried again; 0 when it came back.
    """

    slot: int
    row: int
    error: str = ""
    until_us: int = 0

    @property
    def is_release(self) -> bool:
        """Whether the detector came back."""
        return self.until_us == 0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a lane thinks of n rows.

    Attributes:
        scores: n, higher is stranger; NaN while warming up.
        eligible: n, true where the absolute floors are met.
        rarities: n probabilities; NaN while unknown.
        usual: n median scores; NaN while unknown.
        explain: returns the contributions to one eligible row's score, one per column of the detector.
        custody: where the detector was stopped or came back.
        notes: n numbers each, by name, for the detector's sentence; NaN where there are none.
    """

    scores: FloatVector
    eligible: BoolVector
    rarities: FloatVector
    usual: FloatVector
    explain: Callable[[int], FloatVector]
    custody: list[Custody] = field(default_factory=list)
    notes: Mapping[str, FloatVector] = field(default_factory=dict)


class _Sheet(NamedTuple):
    """A batch before a lane, and the judgement of it that is being written."""

    rows: FloatMatrix
    clock_us: IntVector
    scored: Scored
    rarities: FloatVector
    usual: FloatVector
    custody: list[Custody]
    notes: dict[str, FloatVector]

    @classmethod
    def blank(cls, rows: FloatMatrix, clock_us: IntVector, *, columns: int) -> Self:
        n = len(rows)
        return cls(rows, clock_us, nothing(n, columns), np.full(n, np.nan), np.full(n, np.nan), [], {})

    def put(self, at: IntVector | slice, scored: Scored, rarities: FloatVector, usual: FloatVector) -> None:
        for whole, part in zip(self.scored[:3], scored[:3], strict=True):
            whole[at] = part
        self.rarities[at], self.usual[at] = rarities, usual
        for name, values in scored.notes.items():
            self.notes.setdefault(name, np.full(len(self.rows), np.nan))[at] = values

    def judgement(self) -> Judgement:
        return Judgement(
            scores=self.scored.scores,
            eligible=self.scored.eligible,
            rarities=self.rarities,
            usual=self.usual,
            explain=self.scored.contributions.__getitem__,
            custody=self.custody,
            notes=self.notes,
        )


class Lane:
    """A detector that judges rows of features.

    Attributes:
        judge: the detector.
        fingerprint: of all that decides what is told.
        is_shadow: whether what it finds is on trial, and alerts nobody.
        episodes: of its anomalies.
        stopped: where it raised while judging: it has no judgement there until it is released, and then
            starts afresh.
        muted: where it raised while telling: it judges on, for what combines it, and tells nothing.
    """

    def __init__(self, stage: DetectorStage, params: EngineParams, *, explain_all: bool = False) -> None:
        self._explain_all = explain_all
        self.judge: Judge = stage
        self.fingerprint = _published_fingerprint(stage, params)
        self.is_shadow = stage.name in params.shadow
        self.episodes = _episodes(stage, params)
        self.stopped, self.muted = _paroles(params), _paroles(params)
        self._stage = stage
        self._calibration = make_calibration(params, scale=stage.scale)
        self._identities: dict[int, str] = {}

    def open(self, slot: int, *, identity: str) -> None:
        """Give a slot to a market."""
        self._identities[slot] = identity
        self.episodes.open(slot)
        self._stage.open(slot, identity=identity)
        self._calibration.open(slot, identity=identity)

    def close(self, slot: int) -> None:
        """Free a slot."""
        del self._identities[slot]
        for part in (self.episodes, self.stopped, self.muted, self._stage, self._calibration):
            part.close(slot)

    def pause(self, rows: FloatMatrix) -> Judgement:
        """Return the judgement of rows that are neither scored nor learned."""
        return _Sheet.blank(rows, np.empty(0, np.int64), columns=len(self.judge.columns)).judgement()

    def consider(self, runs: Runs, rows: FloatMatrix, clock_us: IntVector) -> Judgement:
        """Score, calibrate and learn n rows; where the detector raises, it is stopped at that row."""
        return self._consider(runs, rows, clock_us).judgement()

    def _consider(self, runs: Runs, rows: FloatMatrix, clock_us: IntVector) -> _Sheet:
        absent = self.stopped.absent(runs.slots)
        if absent is None:
            scored = self._attempt(runs, rows)
            if scored is not None:
                return self._calibrated(runs, rows, clock_us, scored)
            absent = np.ones(len(runs.slots), np.bool_)
        sheet = _Sheet.blank(rows, clock_us, columns=len(self.judge.columns))
        if not absent.all():
            present, at = runs.only(~absent)
            part = self._consider(present, rows[at], clock_us[at])
            sheet.put(at, part.scored._replace(notes=part.notes), part.rarities, part.usual)
            sheet.custody.extend(change._replace(row=int(at[change.row])) for change in part.custody)
        for (slot, rows_of), is_absent in zip(runs.each(), absent.tolist(), strict=True):
            if is_absent:
                self._judge_apart(slot, rows_of.start, rows_of.stop, sheet)
        return sheet

    def _attempt(self, runs: Runs, rows: FloatMatrix) -> Scored | None:
        """Return the judgement of all rows; None when the detector cannot take one of them."""
        try:
            return self._stage.score_learn(runs, rows, explain_all=self._explain_all)
        except Exception:  # noqa: BLE001 - whatever a detector raises is its quarantine, found row by row
            return None

    def _calibrated(self, runs: Runs, rows: FloatMatrix, clock_us: IntVector, scored: Scored) -> _Sheet:
        rarities, usual = self._calibration.calibrate(runs, scored.scores, clock_us)
        sheet = _Sheet(rows, clock_us, scored, rarities, usual, [], dict(scored.notes))
        if scored.faults:
            ends = {slot: part.stop for slot, part in runs.each()}
            for fault in scored.faults:
                self._stop(fault, sheet)
                self._judge_apart(fault.slot, fault.row + 1, ends[fault.slot], sheet)
        return sheet

    def _stop(self, fault: Fault, sheet: _Sheet) -> None:
        if sheet.custody and sheet.custody[-1] == Custody(fault.slot, fault.row):
            # It raised on the very trade that it came back for: that was no release.
            sheet.custody.pop()
        until_us = self.stopped.stop(fault.slot, now_us=int(sheet.clock_us[fault.row]))
        sheet.custody.append(Custody(fault.slot, fault.row, fault.error, until_us))

    def _judge_apart(self, slot: int, start: int, end: int, sheet: _Sheet) -> None:
        """Judge rows of one market where the detector is out, or raises: from release to fault."""
        row = start
        while row < end:
            if self.stopped.is_out(slot):
                row = self.stopped.release(slot, sheet.clock_us, row, end)
                if row == end:
                    return
                sheet.custody.append(Custody(slot, row))
                self._restart(slot)
            scored = self._judge_one(slot, sheet.rows[row:end])
            calibrated = self._calibration.calibrate(
                Runs.single(slot, end - row), scored.scores, sheet.clock_us[row:end]
            )
            sheet.put(slice(row, end), scored, *calibrated)
            if not scored.faults:
                return
            fault = scored.faults[0]
            fault = fault._replace(row=row + fault.row)
            self._stop(fault, sheet)
            row = fault.row + 1

    def _judge_one(self, slot: int, rows: FloatMatrix) -> Scored:
        scored = self._attempt(Runs.single(slot, len(rows)), rows)
        if scored is not None:
            return scored
        one = Runs.single(slot, 1)
        return row_by_row(
            lambda row: self._stage.score_learn(one, row), rows, slot=slot, columns=len(self.judge.columns)
        )

    def _restart(self, slot: int) -> None:
        for part in (self._stage, self._calibration):
            part.close(slot)
            part.open(slot, identity=self._identities[slot])

    def state(self, slot: int) -> State:
        """Return the state on one market; where the detector is stopped it has none of its own."""
        state: State = {
            **nested("stopped", self.stopped.state(slot)),
            **nested("muted", self.muted.state(slot)),
            **nested("episode", self.episodes.state(slot)),
        }
        if self.stopped.is_out(slot):
            return state
        return {
            **state,
            **nested("detector", self._stage.state(slot)),
            **nested("calibrator", self._calibration.state(slot)),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        self.stopped.load_state(slot, under("stopped", state))
        self.load_episode(slot, state)
        if not self.stopped.is_out(slot):
            self._stage.load_state(slot, under("detector", state))
            self._calibration.load_state(slot, under("calibrator", state))

    def load_episode(self, slot: int, state: State) -> None:
        """Go on with what is told of a market, and nothing else, from a state; it may be empty.

        Raises:
            ValueError: it is damaged.
        """
        self.muted.load_state(slot, under("muted", state))
        self.episodes.load_state(slot, under("episode", state))


class CombinedLane:
    """The combined filter over two lanes.

    Attributes:
        judge: the filter.
        fingerprint: of all that decides what is told.
        is_shadow: whether what it finds is on trial, and alerts nobody.
        episodes: of its anomalies.
        muted: where it raised while telling, and tells nothing until it is released.
    """

    def __init__(self, members: tuple[Lane, Lane], params: EngineParams) -> None:
        first, second = (lane.judge for lane in members)
        self._combined = Combined(
            member_columns=(first.columns, second.columns),
            member_fingerprints=f"{first.fingerprint} {second.fingerprint}",
        )
        self.judge: Judge = self._combined
        self.fingerprint = _published_fingerprint(self._combined, params)
        self.is_shadow = self._combined.name in params.shadow
        self.episodes = _episodes(self._combined, params)
        self.muted = _paroles(params)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Give a slot to a market."""
        self.episodes.open(slot)

    def close(self, slot: int) -> None:
        """Free a slot."""
        self.episodes.close(slot)
        self.muted.close(slot)

    def consider(self, first: Judgement, second: Judgement) -> Judgement:
        """Combine two judgements of the same rows."""
        rarities = self._combined.rarities(first.rarities, second.rarities)

        def explain(row: int) -> FloatVector:
            return self._combined.contributions(
                (first.explain(row), second.explain(row)), (first.rarities[row], second.rarities[row])
            )

        return Judgement(
            scores=self._combined.scores(rarities),
            eligible=first.eligible & second.eligible,
            rarities=rarities,
            usual=np.full(len(rarities), np.nan),
            explain=explain,
        )

    def state(self, slot: int) -> State:
        """Return the running episode of a market, and whether it is muted there."""
        return {
            **nested("muted", self.muted.state(slot)),
            **nested("episode", self.episodes.state(slot)),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self.muted.load_state(slot, under("muted", state))
        self.episodes.load_state(slot, under("episode", state))


def _episodes(judge: Judge, params: EngineParams) -> Episodes:
    quiet_s = params.episode_quiet_s
    if isinstance(judge, Unhurried):
        quiet_s = max(quiet_s, judge.quiet_s)
    return Episodes(
        quiet_us=round(quiet_s * MICROSECONDS_PER_SECOND),
        decides_on=judge.decides_on,
        bars=bars_of(judge.kind),
    )


def _paroles(params: EngineParams) -> Paroles:
    return Paroles(first_us=round(params.parole_s * MICROSECONDS_PER_SECOND))


def _published_fingerprint(judge: Judge, params: EngineParams) -> str:
    """Return what decides what is published: the detector, and the engine's rules around it."""
    around = (params.calibration, params.features, params.budget_per_day, params.episode_quiet_s)
    return content_id(judge.fingerprint, repr(around), *(["shadow"] if judge.name in params.shadow else []))
