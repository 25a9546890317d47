"""Episodes: consecutive anomalies of one kind on one market are one story that opens, grows and closes.

An episode opens with the first anomalous trade. It is updated when it has become markedly stranger than what
was last told: a rarity `RARER` times lower, or, for detectors that decide on their score, a score `STRONGER`
times higher. It closes when `quiet_us` of event time have passed without an anomalous trade, and that is told
at the market's next trade, whenever it comes: event time alone decides, so a replay tells the same.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from detector.arrays import IntVector, loaded_int, loaded_str
from detector.online.protocol import DecidesOn
from shared import codec
from shared.errors import InvalidRecordError
from shared.events import Anomaly, Episode, EpisodePhase
from shared.stream.step import State

RARER: Final = 10.0
STRONGER: Final = 1.5


class Turn(NamedTuple):
    """A change in the life of an episode.

    Attributes:
        row: of the trade at which it is told.
        episode: as it stands then; its id is empty when this turn opens it.
        told: what was told last; None when this turn opens it.
    """

    row: int
    episode: Episode
    told: Anomaly | None


@dataclass(kw_only=True)
class _Running:
    opened_us: int
    last_us: int
    trades: int
    peak_score: float
    peak_rarity: float
    told: Anomaly | None = None


@njit(cache=True)
def _first_quiet(clock_us: IntVector, start: int, end: int, last_us: int, quiet_us: int) -> int:
    """Return the first row after enough silence, or with a clock set back; `end` if there is none."""
    for i in range(start, end):
        if clock_us[i] - last_us > quiet_us or clock_us[i] < last_us:
            return i
    return end


class Episodes:
    """The episodes of one detector on one market.

    After each `Turn` but a closing one, the caller says what it told with `told`.
    """

    def __init__(self, *, quiet_us: int, decides_on: DecidesOn) -> None:
        self._quiet_us = quiet_us
        self._by_rarity = decides_on == "rarity"
        self._running: _Running | None = None
        self._checked = 0

    @property
    def is_running(self) -> bool:
        """Whether an episode is open."""
        return self._running is not None

    def begin(self) -> None:
        """Start on a new batch of rows."""
        self._checked = 0

    def closing(self, clock_us: IntVector, end: int) -> Turn | None:
        """Return the end of the running episode, if silence closes it before row `end`."""
        running = self._running
        if running is None:
            return None
        row = _first_quiet(clock_us, self._checked, end, running.last_us, self._quiet_us)
        self._checked = row
        if row == end:
            return None
        self._running = None
        return Turn(row, self._episode(running, EpisodePhase.CLOSED), running.told)

    def hit(self, row: int, *, time_us: int, score: float, rarity: float) -> Turn | None:
        """Take in an anomalous trade; return a turn when it opens an episode or makes it markedly stranger.

        Args:
            row: of the trade in the batch.
            time_us: its event time.
            score: its raw score.
            rarity: its rarity; 1 when unknown.
        """
        self._checked = row + 1
        running = self._running
        if running is None:
            self._running = running = _Running(
                opened_us=time_us, last_us=time_us, trades=1, peak_score=score, peak_rarity=rarity
            )
            return Turn(row, self._episode(running, EpisodePhase.OPENED), None)
        running.last_us = time_us
        running.trades += 1
        running.peak_score = max(running.peak_score, score)
        running.peak_rarity = min(running.peak_rarity, rarity)
        told = running.told
        if told is None:
            return None
        told_rarity = 1.0 if told.rarity is None else told.rarity
        is_stranger = rarity * RARER <= told_rarity if self._by_rarity else score >= STRONGER * told.score
        return Turn(row, self._episode(running, EpisodePhase.UPDATED), told) if is_stranger else None

    def told(self, anomaly: Anomaly) -> None:
        """Remember what has been told about the running episode."""
        assert self._running is not None
        self._running.told = anomaly

    def drop_untold(self) -> None:
        """Forget an episode whose opening could not be told; one that was told closes as any other."""
        if self._running is not None and self._running.told is None:
            self._running = None

    @staticmethod
    def _episode(running: _Running, phase: EpisodePhase) -> Episode:
        return Episode(
            episode_id=running.told.episode.episode_id if running.told else "",
            phase=phase,
            opened_us=running.opened_us,
            last_us=running.last_us,
            trades=running.trades,
            peak_score=running.peak_score,
            peak_rarity=running.peak_rarity,
        )

    def state(self) -> State:
        """Return the running episode; nothing when there is none."""
        running = self._running
        if running is None or running.told is None:
            return {}
        return {
            "opened_us": running.opened_us,
            "last_us": running.last_us,
            "trades": running.trades,
            "peaks": np.array([running.peak_score, running.peak_rarity]),
            "told": codec.encode(running.told).decode(),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._running = None
        if not state:
            return
        peaks = state.get("peaks")
        if not isinstance(peaks, np.ndarray) or peaks.shape != (2,):
            raise ValueError("peaks is missing or no pair")
        try:
            told = codec.decode(loaded_str(state, "told").encode(), Anomaly)
        except InvalidRecordError as error:
            raise ValueError(f"told is no anomaly: {error}") from error
        self._running = _Running(
            opened_us=loaded_int(state, "opened_us"),
            last_us=loaded_int(state, "last_us"),
            trades=loaded_int(state, "trades"),
            peak_score=float(peaks[0]),
            peak_rarity=float(peaks[1]),
            told=told,
        )
