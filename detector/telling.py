"""From a turn of an episode to the event that tells it."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector import severity
from detector.arrays import FloatMatrix, IntVector
from detector.batch import Batch
from detector.budget import Daily
from detector.episodes import Turn, Verdicts, Weighed, bars_of
from detector.lane import CombinedLane, Custody, Judgement, Lane
from detector.online.protocol import AFTER, AFTER_S, TURNED, Finding, OfOtherRecords
from detector.wording import duration
from shared import codec
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase, Quarantine, Trade, Window
from shared.stream.step import OutputEvent

# Told with every anomaly, beside what the detector looked at.
_CONTEXT: Final = (
    "return_10s",
    "notional_10s",
    "count_10s",
    "imbalance_10s",
    "volatility_10s",
    "notional",
    "notional_300s",
)


class Emission(NamedTuple):
    """An event, and the row of the trade that caused it."""

    row: int
    event: OutputEvent


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A batch with all that is known about it before a detector is asked.

    Attributes:
        batch: the trades.
        names: of the features.
        rows: n rows of features.
        clock_us: n event times after the rule for late trades.
        daily: thresholds, and what is usual on the market.
    """

    batch: Batch
    names: tuple[str, ...]
    rows: FloatMatrix
    clock_us: IntVector
    daily: Daily


class Teller:
    """Tells what one lane found in one batch."""

    def __init__(self, lane: Lane | CombinedLane, judgement: Judgement, evidence: Evidence) -> None:
        self._lane, self._judgement, self._evidence = lane, judgement, evidence
        self._runs = evidence.batch.runs
        self._changes: list[Custody] = []

    def tell(self) -> list[Emission]:
        """Run the lane's episodes over the batch, and return what is to be told, market by market."""
        emissions: list[Emission] = []
        weighed = self._weigh()
        self._silence(weighed)
        turns = self._lane.episodes.turns(self._runs, self._verdicts(weighed)) if weighed.is_eventful else ()
        for turn in turns:
            if turn.episode.phase == EpisodePhase.CLOSED:
                emissions.append(Emission(turn.row, self._closed(turn)))
                continue
            try:
                event = self._sequel(turn) if turn.is_sequel else self._anomaly(turn)
            except Exception as error:  # noqa: BLE001 - a detector's sentence may raise too: quarantine
                self._mute(turn, error, weighed)
            else:
                # What followed says less about the episode than its strangest trade: that is told at its end.
                if not turn.is_sequel:
                    self._lane.episodes.told(turn.slot, event)
                emissions.append(Emission(turn.row, event))
        return [*self._told(self._changes), *emissions]

    def tell_custody(self) -> list[Emission]:
        """Return where the lane's detector was stopped or released."""
        return self._told(self._judgement.custody)

    def _weigh(self) -> Weighed:
        judgement = self._judgement
        return self._lane.episodes.weigh(
            self._runs,
            scores=judgement.scores,
            rarities=judgement.rarities,
            eligible=judgement.eligible,
            thresholds=self._evidence.daily.thresholds,
            threshold=self._lane.judge.threshold,
        )

    def _verdicts(self, weighed: Weighed) -> Verdicts:
        judgement, clock_us = self._judgement, self._evidence.clock_us
        turned = np.zeros_like(weighed.over)
        if TURNED in judgement.notes:
            turned = judgement.notes[TURNED] == 1.0
        return Verdicts(
            clock_us,
            weighed.over,
            weighed.held,
            judgement.scores,
            judgement.rarities,
            turned,
            _after_us(judgement, clock_us),
        )

    def _silence(self, weighed: Weighed) -> None:
        """Hear nothing of markets where the lane is muted, until it is released."""
        absent = self._lane.muted.absent(self._runs.slots)
        if absent is None:
            return
        for (slot, part), is_absent in zip(self._runs.each(), absent.tolist(), strict=True):
            if is_absent:
                self._release(slot, part.start, part.stop, weighed)

    def _mute(self, turn: Turn, error: Exception, weighed: Weighed) -> None:
        now_us = int(self._evidence.clock_us[turn.row])
        until_us = self._lane.muted.stop(turn.slot, now_us=now_us)
        self._lane.episodes.drop_untold(turn.slot)
        change = Custody(turn.slot, turn.row, f"{type(error).__name__}: {error}", until_us)
        # When it raised on the very trade that it came back for, that was no release.
        self._changes = [known for known in self._changes if known[:2] != change[:2]] + [change]
        run = int(np.flatnonzero(self._runs.slots == turn.slot)[0])
        self._release(turn.slot, turn.row + 1, int(self._runs.starts[run + 1]), weighed)

    def _release(self, slot: int, start: int, end: int, weighed: Weighed) -> None:
        row = self._lane.muted.release(slot, self._evidence.clock_us, start, end)
        weighed.over[start:row] = weighed.held[start:row] = False
        if row < end:
            self._changes.append(Custody(slot, row))

    def _anomaly(self, turn: Turn) -> Anomaly:
        row, judge, judgement = turn.row, self._lane.judge, self._judgement
        trade = self._evidence.batch.trade(row)
        finding = self._finding(row, trade)
        by_rarity = judge.decides_on == "rarity"
        threshold = judge.threshold
        if by_rarity:
            threshold = bars_of(judge.kind).opens * float(self._evidence.daily.thresholds[row])
        identity = self._identify(trade, turn.episode.phase)
        now_us = int(self._evidence.clock_us[row])
        return Anomaly(
            anomaly_id=identity,
            symbol=trade.symbol,
            exchange=trade.exchange,
            kind=judge.kind,
            detector=judge.name,
            fingerprint=self._lane.fingerprint,
            severity=severity.of_rarity(
                judge.kind, rarity=float(judgement.rarities[row]), threshold=threshold
            )
            if by_rarity
            else severity.of_score(judge.kind, score=finding.score, threshold=threshold),
            score=finding.score,
            rarity=finding.rarity,
            threshold=threshold,
            threshold_on=judge.decides_on,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            price=trade.price,
            window=Window(
                start_us=max(0, now_us - round(judge.window_s * MICROSECONDS_PER_SECOND)), end_us=now_us
            ),
            features=self._told_features(finding),
            contributions=finding.contributions,
            reason=judge.sentence(finding),
            # An episode that somebody was alerted to stays one, whatever is on trial since.
            shadow=self._lane.is_shadow if turn.told is None else turn.told.shadow,
            episode=msgspec.structs.replace(turn.episode, episode_id=turn.episode.episode_id or identity),
        )

    def _told_features(self, finding: Finding) -> dict[str, float]:
        names = dict.fromkeys((*self._lane.judge.columns, *_CONTEXT, *self._judgement.notes))
        return {name: finding.features[name] for name in names if name in finding.features}

    def _finding(self, row: int, trade: Trade, *, is_sequel: bool = False) -> Finding:
        judgement, evidence = self._judgement, self._evidence
        rarity = float(judgement.rarities[row])
        return Finding(
            symbol=trade.symbol,
            price=trade.price,
            features=dict(zip(evidence.names, evidence.rows[row].tolist(), strict=True))
            | {
                name: float(values[row])
                for name, values in judgement.notes.items()
                if name != TURNED and (is_sequel or not name.startswith(AFTER))
            },
            contributions=dict(zip(self._lane.judge.columns, judgement.explain(row).tolist(), strict=True)),
            score=float(judgement.scores[row]),
            usual_score=float(judgement.usual[row]),
            rarity=None if math.isnan(rarity) else rarity,
            trades_per_day=float(evidence.daily.trades[row]),
            notional_per_day=float(evidence.daily.notional[row]),
        )

    def _sequel(self, turn: Turn) -> Anomaly:
        """Return what followed a trade of the episode; how strange that was stays as it was told."""
        told = turn.told
        assert told is not None
        trade = self._evidence.batch.trade(turn.row)
        finding = self._finding(turn.row, trade, is_sequel=True)
        now_us = int(self._evidence.clock_us[turn.row])
        start_us = now_us - round(finding.features[AFTER_S] * MICROSECONDS_PER_SECOND)
        return msgspec.structs.replace(
            told,
            anomaly_id=self._identify(trade, "sequel"),
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            price=trade.price,
            window=Window(start_us=max(0, start_us), end_us=now_us),
            features=self._told_features(finding),
            reason=self._lane.judge.sentence(finding),
            episode=turn.episode,
        )

    def _closed(self, turn: Turn) -> Anomaly:
        """Return the end of an episode: its peak, in the words of what was told last."""
        told, episode = turn.told, turn.episode
        assert told is not None
        trade = self._evidence.batch.trade(turn.row)
        seconds = (episode.last_us - episode.opened_us) / MICROSECONDS_PER_SECOND
        judge = self._lane.judge
        record = judge.record if isinstance(judge, OfOtherRecords) else "trade"
        trades = (
            f"1 {record}" if episode.trades == 1 else f"{episode.trades:,} {record}s in {duration(seconds)}"
        )
        return msgspec.structs.replace(
            told,
            anomaly_id=self._identify(trade, EpisodePhase.CLOSED),
            score=episode.peak_score,
            rarity=None if told.rarity is None else episode.peak_rarity,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            price=trade.price,
            window=Window(start_us=episode.opened_us, end_us=episode.last_us),
            reason=f"Over, after {trades}. It was: {told.reason}",
            episode=episode,
        )

    def _identify(self, trade: Trade, phase: str) -> str:
        return codec.anomaly_id(
            fingerprint=self._lane.fingerprint,
            exchange=trade.exchange,
            symbol=trade.symbol,
            trade_id=trade.trade_id,
            phase=phase,
        )

    def _told(self, changes: list[Custody]) -> list[Emission]:
        return [Emission(change.row, self._quarantine(change)) for change in changes]

    def _quarantine(self, change: Custody) -> Quarantine:
        trade = self._evidence.batch.trade(change.row)
        return Quarantine(
            symbol=trade.symbol,
            detector=self._lane.judge.name,
            fingerprint=self._lane.fingerprint,
            error=change.error,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            released=change.is_release,
            until_us=change.until_us,
        )


def _after_us(judgement: Judgement, clock_us: IntVector) -> IntVector:
    """Return the event times of the trades whose sequels rows bring; -1 for none."""
    after_us = np.full(len(clock_us), -1, np.int64)
    if AFTER_S in judgement.notes:
        at = np.flatnonzero(judgement.notes[AFTER_S] > 0.0)
        after_us[at] = clock_us[at] - np.round(judgement.notes[AFTER_S][at] * MICROSECONDS_PER_SECOND).astype(
            np.int64
        )
    return after_us
