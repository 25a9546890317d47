"""One market of one venue: its features, its lanes, and the events that come out of them."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from detector import severity
from detector.arrays import FloatMatrix, FloatVector, IntVector, nested, under
from detector.budget import Budget
from detector.catalogue import CATALOGUE
from detector.episodes import Turn
from detector.features import Features, Tape
from detector.lane import CombinedLane, Fault, Judgement, Lane
from detector.online.protocol import Finding
from detector.params import EngineParams, make_detector
from shared import codec
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, Episode, EpisodePhase, Quarantine, Trade, Window
from shared.stream.step import OutputEvent, State

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


class _Batch(NamedTuple):
    trades: Sequence[Trade]
    rows: FloatMatrix
    clock_us: IntVector
    thresholds: FloatVector
    per_day: FloatVector


class Market:
    """Judges the trades of one market of one venue.

    All that is enabled runs, and the members of what is enabled, whose own anomalies stay unpublished.
    """

    def __init__(self, params: EngineParams, *, exchange: str, symbol: str) -> None:
        self._exchange, self._symbol = exchange, symbol
        self._features = Features(params.features)
        self._budget = Budget(per_day=params.budget_per_day)
        enabled = [entry for entry in CATALOGUE if entry.name in params.enabled]
        needed = {name for entry in enabled for name in (entry.members or (entry.name,))}
        identity = f"{exchange}/{symbol}"
        self._lanes = {
            entry.name: Lane(
                make_detector(entry.name, params, features=self._features.names, identity=identity), params
            )
            for entry in CATALOGUE
            if entry.name in needed
        }
        self._combined = {
            entry.name: (
                CombinedLane((self._lanes[entry.members[0]], self._lanes[entry.members[1]]), params),
                entry.members,
            )
            for entry in enabled
            if entry.members
        }
        self._published = [entry.name for entry in enabled]

    def judge(self, trades: Sequence[Trade]) -> list[Emission]:
        """Judge and learn sound trades, and return the events in the order of their trades."""
        tape = Tape(
            np.array([trade.price for trade in trades], np.float64),
            np.array([trade.quantity for trade in trades], np.float64),
            np.array([trade.is_buyer_maker for trade in trades], np.int64),
            np.array([trade.event_time_us for trade in trades], np.int64),
        )
        rows, clock_us = self._features.update(tape)
        batch = _Batch(trades, rows, clock_us, *self._budget.thresholds(clock_us))
        judgements = {name: lane.consider(rows) for name, lane in self._lanes.items()}
        for name, (combined, members) in self._combined.items():
            judgements[name] = combined.consider((judgements[members[0]], judgements[members[1]]))
        emissions = [
            Emission(judgement.fault.row, self._quarantine(name, judgement.fault, batch))
            for name, judgement in judgements.items()
            if judgement.fault
        ]
        for name in self._published:
            emissions += self._tell(name, judgements[name], batch)
        emissions.sort(key=lambda emission: emission.row)
        return emissions

    def _lane(self, name: str) -> Lane | CombinedLane:
        return self._combined[name][0] if name in self._combined else self._lanes[name]

    def _tell(self, name: str, judgement: Judgement, batch: _Batch) -> list[Emission]:
        """Run one lane's episodes over a batch, and return what is to be told."""
        lane = self._lane(name)
        if lane.judge.decides_on == "rarity":
            over = judgement.rarities <= batch.thresholds
        else:
            over = judgement.scores >= lane.judge.threshold
        over &= judgement.eligible & (not lane.is_muted)
        emissions: list[Emission] = []
        if not lane.episodes.is_running and not over.any():
            return emissions
        lane.episodes.begin()
        # As Python numbers, because a burst goes through them one by one.
        hits = np.flatnonzero(over)
        values = zip(
            hits.tolist(),
            batch.clock_us[hits].tolist(),
            judgement.scores[hits].tolist(),
            judgement.rarities[hits].tolist(),
            strict=True,
        )
        for row, time_us, score, rarity in values:
            self._close(lane, row + 1, batch, emissions)
            known = 1.0 if math.isnan(rarity) else rarity
            turn = lane.episodes.hit(row, time_us=time_us, score=score, rarity=known)
            if turn is not None:
                try:
                    event = self._anomaly(lane, turn, judgement, batch)
                except Exception as error:  # noqa: BLE001 - a detector's sentence may raise too: quarantine
                    lane.is_muted = True
                    lane.episodes.drop_untold()
                    fault = Fault(row=row, error=f"{type(error).__name__}: {error}")
                    emissions.append(Emission(row, self._quarantine(name, fault, batch)))
                    break
                lane.episodes.told(event)
                emissions.append(Emission(row, event))
        self._close(lane, len(batch.trades), batch, emissions)
        return emissions

    def _close(self, lane: Lane | CombinedLane, end: int, batch: _Batch, emissions: list[Emission]) -> None:
        turn = lane.episodes.closing(batch.clock_us, end)
        if turn is not None:
            emissions.append(Emission(turn.row, self._closed(lane, turn, batch.trades[turn.row])))

    def _anomaly(self, lane: Lane | CombinedLane, turn: Turn, judgement: Judgement, batch: _Batch) -> Anomaly:
        row, judge = turn.row, lane.judge
        trade = batch.trades[row]
        rarity = float(judgement.rarities[row])
        features = dict(zip(self._features.names, batch.rows[row].tolist(), strict=True))
        shares = dict(zip(judge.columns, judgement.explain(row).tolist(), strict=True))
        finding = Finding(
            symbol=self._symbol,
            price=trade.price,
            features=features,
            contributions=shares,
            score=float(judgement.scores[row]),
            usual_score=float(judgement.usual[row]),
            rarity=None if math.isnan(rarity) else rarity,
            trades_per_day=float(batch.per_day[row]),
        )
        by_rarity = judge.decides_on == "rarity"
        threshold = float(batch.thresholds[row]) if by_rarity else judge.threshold
        identity = self._identify(lane, trade, turn.episode.phase)
        now_us = int(batch.clock_us[row])
        return Anomaly(
            anomaly_id=identity,
            symbol=self._symbol,
            exchange=self._exchange,
            kind=judge.kind,
            detector=judge.name,
            fingerprint=lane.fingerprint,
            severity=severity.of_rarity(judge.kind, rarity=rarity, threshold=threshold)
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
            features={name: features[name] for name in dict.fromkeys((*judge.columns, *_CONTEXT))},
            contributions=shares,
            reason=judge.sentence(finding),
            episode=_with_id(turn.episode, turn.episode.episode_id or identity),
        )

    def _closed(self, lane: Lane | CombinedLane, turn: Turn, trade: Trade) -> Anomaly:
        """Return the end of an episode: its peak, in the words of what was told last."""
        told, episode = turn.told, turn.episode
        assert told is not None
        seconds = (episode.last_us - episode.opened_us) / MICROSECONDS_PER_SECOND
        trades = "1 trade" if episode.trades == 1 else f"{episode.trades:,} trades"
        return Anomaly(
            anomaly_id=self._identify(lane, trade, EpisodePhase.CLOSED),
            symbol=self._symbol,
            exchange=self._exchange,
            kind=told.kind,
            detector=told.detector,
            fingerprint=told.fingerprint,
            severity=told.severity,
            score=episode.peak_score,
            rarity=None if told.rarity is None else episode.peak_rarity,
            threshold=told.threshold,
            threshold_on=told.threshold_on,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            price=trade.price,
            window=Window(start_us=episode.opened_us, end_us=episode.last_us),
            features=told.features,
            contributions=told.contributions,
            reason=f"Over, after {trades} in {seconds:,.3g} s. It was: {told.reason}",
            episode=episode,
        )

    def _identify(self, lane: Lane | CombinedLane, trade: Trade, phase: EpisodePhase) -> str:
        return codec.anomaly_id(
            fingerprint=lane.fingerprint,
            exchange=self._exchange,
            symbol=self._symbol,
            trade_id=trade.trade_id,
            phase=phase,
        )

    def _quarantine(self, name: str, fault: Fault, batch: _Batch) -> Quarantine:
        trade = batch.trades[fault.row]
        return Quarantine(
            symbol=self._symbol,
            detector=name,
            fingerprint=self._lane(name).fingerprint,
            error=fault.error,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
        )

    def state(self) -> State:
        """Return a copy of the whole state."""
        state = {**nested("features", self._features.state()), **nested("budget", self._budget.state())}
        for name in (*self._lanes, *self._combined):
            state |= nested(name, self._lane(name).state())
        return state

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        self._features.load_state(under("features", state))
        self._budget.load_state(under("budget", state))
        for name in (*self._lanes, *self._combined):
            self._lane(name).load_state(under(name, state))


def _with_id(episode: Episode, episode_id: str) -> Episode:
    return Episode(
        episode_id=episode_id,
        phase=episode.phase,
        opened_us=episode.opened_us,
        last_us=episode.last_us,
        trades=episode.trades,
        peak_score=episode.peak_score,
        peak_rarity=episode.peak_rarity,
    )
