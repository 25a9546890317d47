"""Episodes: consecutive anomalies of one kind on one market are one story that opens, grows and closes.

An episode opens with the first anomalous trade: one beyond the threshold that meets the detector's floors. It
stays open while trades are beyond a lower bar, floors or not: a rarity up to `HELD_RARITY` times the
threshold, or, for detectors that decide on their score, a score from `HELD_SCORE` times the threshold on. So
a burst that ebbs and flows around the threshold is one story. It closes when `quiet_us` of event time have
passed without such a trade, and that is told at the market's next trade, whenever it comes: event time alone
decides, so a replay tells the same.

Whales come in schools, and a school is one story (`BARS`): it opens with an order as rare as the whole alert
budget, every order up to ten times as frequent belongs to it while it is open, and it ends when none has come
for an hour and a half.

It is updated when an anomalous trade is markedly stranger than what was last told: a rarity `RARER` times
lower, or a score `STRONGER` times higher. As rarities end at `detector.calibration.RESOLUTION` and thresholds
at `detector.budget.LARGEST_THRESHOLD`, that makes six updates at most; of a fall in per cent, which ends at
100, no more than log(100 / threshold) / log(1.5), five for a threshold of 10. A detector whose episodes go
through phases (`turned`) has each new phase told as an update too; and what followed an order that belongs to
a running episode (`after_us`) is told as one, a sequel, whatever the score of the row that brings it.

The episodes of one detector on all markets lie in arrays by slot, and a kernel goes through a batch; Python
is asked only where something is to be told (a turn).
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numba import njit

from detector.arrays import (
    BoolVector,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    loaded_float,
    loaded_int,
    loaded_str,
    resized,
)
from detector.online.protocol import DecidesOn
from detector.runs import Runs
from shared import codec
from shared.errors import InvalidRecordError
from shared.events import Anomaly, Episode, EpisodePhase, Window
from shared.stream.step import State

HELD_RARITY: Final = 10.0
HELD_SCORE: Final = 0.7
RARER: Final = 10.0
STRONGER: Final = 1.5


class Bars(NamedTuple):
    """What makes and holds an episode, in multiples of the threshold on rarity.

    Attributes:
        opens: rarities up to so many thresholds open one.
        holds: rarities up to so many hold it open.
        joins: whether what holds it open belongs to it, and must meet the floors.
        rarer: it is updated at a rarity so many times below what was told last.
    """

    opens: float = 1.0
    holds: float = HELD_RARITY
    joins: bool = False
    rarer: float = RARER


_USUAL_BARS: Final = Bars()
# The threshold is half of the budget (`detector/budget.py`), as days differ; schools of whales are fewer than
# whales, so that these may use all of it. An order is told while it is being filled, so what it grows to is
# news.
BARS: Final[Mapping[str, Bars]] = {"whale": Bars(opens=2.0, holds=20.0, joins=True, rarer=3.0)}


def bars_of(kind: str) -> Bars:
    """Return what makes and holds the episodes of a kind of anomaly."""
    return BARS.get(kind, _USUAL_BARS)


_OPENED, _UPDATED, _CLOSED, _SEQUEL = range(4)
_PHASES: Final = (EpisodePhase.OPENED, EpisodePhase.UPDATED, EpisodePhase.CLOSED, EpisodePhase.UPDATED)
# Columns of the arrays by slot.
_FIRST, _LAST, _TRADES, _HELD = range(4)
_PEAK_SCORE, _PEAK_RARITY, _TOLD = range(3)


class Turn(NamedTuple):
    """A change in the life of an episode.

    Attributes:
        slot: of the market.
        row: of the trade at which it is told.
        episode: as it stands then; its id is empty when this turn opens it.
        told: what was told last; None when this turn opens it.
        is_sequel: whether it tells what followed, and nothing stranger.
    """

    slot: int
    row: int
    episode: Episode
    told: Anomaly | None
    is_sequel: bool = False


class Weighed(NamedTuple):
    """What n rows are to episodes.

    Attributes:
        over: n, whether a row is an anomaly.
        held: n, whether a row holds an open episode open.
        is_eventful: whether any row is an anomaly, or any market of them has an open episode; otherwise there
            is nothing to tell.
    """

    over: BoolVector
    held: BoolVector
    is_eventful: bool


class Verdicts(NamedTuple):
    """What a detector made of n rows.

    Attributes:
        clock_us: n event times.
        over: n, whether a row is an anomaly.
        held: n, whether a row holds an open episode open.
        scores: n.
        rarities: n; NaN counts as 1.
        turned: n, whether an anomalous row is told whatever its score, when an episode is open.
        after_us: n, event time of the trade whose sequel a row brings; -1 for none.
    """

    clock_us: IntVector
    over: BoolVector
    held: BoolVector
    scores: FloatVector
    rarities: FloatVector
    turned: BoolVector
    after_us: IntVector


@njit(cache=True)
def _weigh(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    is_open: BoolVector,
    scores: FloatVector,
    rarities: FloatVector,
    eligible: BoolVector,
    thresholds: FloatVector,
    by_rarity: bool,  # noqa: FBT001 - numba passes by position
    threshold: float,
    opens: float,
    holds: float,
    joins: bool,  # noqa: FBT001 - as above
    over: BoolVector,
    held: BoolVector,
) -> bool:
    """Compare n rows with what opens and holds episodes; return whether one opens or runs anywhere."""
    is_eventful = False
    for i in range(scores.shape[0]):
        if by_rarity:
            over[i] = rarities[i] <= opens * thresholds[i]
            held[i] = rarities[i] <= holds * thresholds[i] and (eligible[i] or not joins)
        else:
            over[i] = scores[i] >= threshold
            held[i] = scores[i] >= HELD_SCORE * threshold
        over[i] = over[i] and eligible[i]
        is_eventful |= over[i]
    for run in range(slots.shape[0]):
        is_eventful |= is_open[slots[run]]
    return bool(is_eventful)


@njit(cache=True)
def _hold(marks: IntVector, now: int, joins: bool) -> None:  # noqa: FBT001 - numba passes by position
    """Hold an episode open."""
    marks[_HELD] = now
    if joins:
        marks[_LAST] = now
        marks[_TRADES] += 1


@njit(cache=True)
def _belongs(after_us: int, marks: IntVector) -> bool:
    """Return whether a trade was in the running episode: what was smaller has not held it since."""
    return bool(marks[_FIRST] <= after_us <= marks[_HELD])


@njit(cache=True)
def _advance(  # noqa: PLR0917 - compiled; buffers come by position
    slots: IntVector,
    first_rows: IntVector,
    end_rows: IntVector,
    clock_us: IntVector,
    over: BoolVector,
    held: BoolVector,
    scores: FloatVector,
    rarities: FloatVector,
    turned: BoolVector,
    after_us: IntVector,
    by_rarity: bool,  # noqa: FBT001 - numba passes by position
    joins: bool,  # noqa: FBT001 - as above
    rarer: float,
    quiet_us: int,
    is_open: BoolVector,
    marks: IntMatrix,
    levels: FloatMatrix,
    phases: IntVector,
) -> int:
    """Go on with each run up to its first turn, and return how many runs have one.

    Of a run with a turn, `phases` says which, and `first_rows` becomes its row; of others `phases` is -1.
    """
    turns = 0
    for run in range(slots.shape[0]):
        slot = slots[run]
        phases[run] = -1
        for i in range(first_rows[run], end_rows[run]):
            if not is_open[slot] and not over[i]:
                continue
            now = clock_us[i]
            phase = -1
            if is_open[slot] and (now - marks[slot, _HELD] > quiet_us or now < marks[slot, _HELD]):
                is_open[slot] = False
                phase = _CLOSED
            elif over[i]:
                rarity = 1.0 if np.isnan(rarities[i]) else rarities[i]
                if not is_open[slot]:
                    is_open[slot] = True
                    marks[slot, _FIRST] = now
                    marks[slot, _TRADES] = 0
                    levels[slot, _PEAK_SCORE] = scores[i]
                    levels[slot, _PEAK_RARITY] = rarity
                    phase = _OPENED
                else:
                    told = levels[slot, _TOLD]
                    is_stranger = rarity * rarer <= told if by_rarity else scores[i] >= STRONGER * told
                    phase = _UPDATED if is_stranger or turned[i] else -1
                marks[slot, _LAST] = marks[slot, _HELD] = now
                marks[slot, _TRADES] += 1
                levels[slot, _PEAK_SCORE] = max(levels[slot, _PEAK_SCORE], scores[i])
                levels[slot, _PEAK_RARITY] = min(levels[slot, _PEAK_RARITY], rarity)
            elif held[i]:
                _hold(marks[slot], now, joins)
            if phase == -1 and is_open[slot] and _belongs(after_us[i], marks[slot]):
                phase = _SEQUEL
            if phase >= 0:
                phases[run] = phase
                first_rows[run] = i
                turns += 1
                break
    return turns


def ended_by_settings(state: State) -> Anomaly:
    """Return the end of the episode in a state, which nobody will go on with, as its detector is not enabled.

    There is no trade that ends it, so it keeps that of what was told last.

    Args:
        state: as of `Episodes.state`, not empty.

    Raises:
        ValueError: it is damaged.
    """
    told = _told_in(state)
    peak_rarity = loaded_float(state, "peak_rarity")
    episode = msgspec.structs.replace(
        told.episode,
        phase=EpisodePhase.CLOSED,
        last_us=loaded_int(state, "last_us"),
        trades=loaded_int(state, "trades"),
        peak_score=loaded_float(state, "peak_score"),
        peak_rarity=peak_rarity,
    )
    identity = codec.anomaly_id(
        fingerprint=told.fingerprint,
        exchange=told.exchange,
        symbol=told.symbol,
        trade_id=told.trade_id,
        # Not as any other end: the trade told last may have ended the episode before this one.
        phase="ended by settings",
    )
    return msgspec.structs.replace(
        told,
        anomaly_id=identity,
        score=episode.peak_score,
        rarity=None if told.rarity is None else peak_rarity,
        window=Window(start_us=episode.opened_us, end_us=episode.last_us),
        reason=f"No longer watched, by settings. It was: {told.reason}",
        episode=episode,
    )


def _told_in(state: State) -> Anomaly:
    try:
        return codec.decode(loaded_str(state, "told").encode(), Anomaly)
    except InvalidRecordError as error:
        raise ValueError(f"told is no anomaly: {error}") from error


class Episodes:
    """The episodes of one detector on all markets.

    After each `Turn` but a closing one, the caller says what it told with `told`, or drops it.
    """

    def __init__(self, *, quiet_us: int, decides_on: DecidesOn, bars: Bars = _USUAL_BARS) -> None:
        self._quiet_us = quiet_us
        self._bars = bars
        self._by_rarity = decides_on == "rarity"
        self._is_open = np.zeros(0, np.bool_)
        self._marks = np.zeros((0, 4), np.int64)
        self._levels = np.zeros((0, 3), np.float64)
        self._told: dict[int, Anomaly] = {}

    def open(self, slot: int) -> None:
        """Give a slot to a market, which has no episode yet."""
        self._is_open = resized(self._is_open, slot)
        self._marks, self._levels = resized(self._marks, slot), resized(self._levels, slot)
        self._is_open[slot] = False

    def close(self, slot: int) -> None:
        """Free a slot."""
        self._told.pop(slot, None)

    def is_running(self, slot: int) -> bool:
        """Return whether an episode is open."""
        return bool(self._is_open[slot])

    def weigh(
        self,
        runs: Runs,
        *,
        scores: FloatVector,
        rarities: FloatVector,
        eligible: BoolVector,
        thresholds: FloatVector,
        threshold: float,
    ) -> Weighed:
        """Compare n rows with what opens and what holds an episode.

        Args:
            runs: whose rows these are.
            scores: n.
            rarities: n.
            eligible: n.
            thresholds: n, on rarity.
            threshold: on the score, of detectors that decide on it.
        """
        over, held = np.empty(len(scores), np.bool_), np.empty(len(scores), np.bool_)
        is_eventful = _weigh(
            runs.slots,
            self._is_open,
            scores,
            rarities,
            eligible,
            thresholds,
            self._by_rarity,
            threshold,
            self._bars.opens,
            self._bars.holds,
            self._bars.joins,
            over,
            held,
        )
        return Weighed(over, held, is_eventful)

    def turns(self, runs: Runs, verdicts: Verdicts) -> Iterator[Turn]:
        """Yield what is to be told about n rows, market by market and in the order of their rows.

        The caller answers each turn with `told` or `drop` before it asks for the next.
        """
        first_rows, end_rows = runs.starts[:-1].copy(), runs.starts[1:]
        phases = np.empty(len(runs.slots), np.int64)
        if not self._advance(runs.slots, first_rows, end_rows, verdicts, phases):
            return
        for run in np.flatnonzero(phases >= 0).tolist():
            one = slice(run, run + 1)
            is_left = True
            while is_left:
                phase, row, slot = int(phases[run]), int(first_rows[run]), int(runs.slots[run])
                yield self._turn(slot, row, phase)
                # The trade that closes one episode may open the next.
                first_rows[run] += phase != _CLOSED
                is_left = bool(
                    self._advance(runs.slots[one], first_rows[one], end_rows[one], verdicts, phases[one])
                )

    def _advance(
        self,
        slots: IntVector,
        first_rows: IntVector,
        end_rows: IntVector,
        verdicts: Verdicts,
        phases: IntVector,
    ) -> int:
        return int(
            _advance(
                slots,
                first_rows,
                end_rows,
                *verdicts,
                self._by_rarity,
                self._bars.joins,
                self._bars.rarer,
                self._quiet_us,
                self._is_open,
                self._marks,
                self._levels,
                phases,
            )
        )

    def _turn(self, slot: int, row: int, phase: int) -> Turn:
        told = None if phase == _OPENED else self._told[slot]
        if phase == _CLOSED:
            del self._told[slot]
        marks, levels = self._marks[slot].tolist(), self._levels[slot].tolist()
        episode = Episode(
            episode_id=told.episode.episode_id if told else "",
            phase=_PHASES[phase],
            opened_us=marks[_FIRST],
            last_us=marks[_LAST],
            trades=marks[_TRADES],
            peak_score=levels[_PEAK_SCORE],
            peak_rarity=levels[_PEAK_RARITY],
        )
        return Turn(slot, row, episode, told, is_sequel=phase == _SEQUEL)

    def told(self, slot: int, anomaly: Anomaly) -> None:
        """Remember what has been told about a running episode."""
        self._told[slot] = anomaly
        if self._by_rarity:
            self._levels[slot, _TOLD] = 1.0 if anomaly.rarity is None else anomaly.rarity
        else:
            self._levels[slot, _TOLD] = anomaly.score

    def drop_untold(self, slot: int) -> None:
        """Forget an episode whose opening could not be told; one that was told closes as any other."""
        self._is_open[slot] = slot in self._told

    def state(self, slot: int) -> State:
        """Return the running episode of a market; nothing when there is none."""
        if not self._is_open[slot]:
            return {}
        return {
            "opened_us": int(self._marks[slot, _FIRST]),
            "last_us": int(self._marks[slot, _LAST]),
            "trades": int(self._marks[slot, _TRADES]),
            "held_us": int(self._marks[slot, _HELD]),
            "peak_score": float(self._levels[slot, _PEAK_SCORE]),
            "peak_rarity": float(self._levels[slot, _PEAK_RARITY]),
            "told": codec.encode(self._told[slot]).decode(),
        }

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        if not state:
            return
        names = ("opened_us", "last_us", "trades", "held_us")
        self._marks[slot] = [loaded_int(state, name) for name in names]
        self._levels[slot, :_TOLD] = [loaded_float(state, name) for name in ("peak_score", "peak_rarity")]
        self.told(slot, _told_in(state))
        self._is_open[slot] = True
