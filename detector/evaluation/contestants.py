"""Who is compared: the engine with some settings, or a baseline by its name.

- `zscore3`: the log return of a trade is more than 3 standard deviations from the mean of the last 1,000.
- `percent`: the price is 3 % above or below that of 60 s before.
- `refit_forest`: scikit-learn's Isolation Forest on return, volume and waiting time, refitted every 100
  trades on the last 1,000; 1 % of them are taken for anomalies.
- `la_morgia`: a random forest on the twelve features of La Morgia et al. in chunks of 25 s, trained on the
  labelled pumps of other markets (`la_morgia.py`).

A contestant's alarms are the openings of its episodes: of a baseline too, what comes within 60 s belongs to
the same one. `zscore3` and `refit_forest` have one kind of alarm, which may find any event; `percent` takes
rises for pumps and falls for flash crashes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from detector.arrays import BoolVector
from detector.engine import Engine
from detector.evaluation import baselines
from detector.evaluation.events import ANY_KIND, Alarm
from detector.evaluation.tapes import MarketTape
from detector.params import EngineParams
from shared.events import Anomaly, EpisodePhase
from shared.stream.columns import TradeColumns


class Baseline(StrEnum):
    """What is compared with, by name."""

    ZSCORE3 = "zscore3"
    PERCENT = "percent"
    REFIT_FOREST = "refit_forest"
    LA_MORGIA = "la_morgia"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The engine with some settings.

    Attributes:
        name: as people call it.
        params: of the engine.
    """

    name: str
    params: EngineParams


class EngineRun:
    """The engine on a recording, and the alarms that it gave; detectors on trial give none."""

    def __init__(self, params: EngineParams) -> None:
        self._engine = Engine(params)
        self._alarms: dict[tuple[str, int], Alarm] = {}

    def on_batch(self, trades: TradeColumns) -> None:
        """Judge a batch."""
        for event in self._engine.on_batch(trades):
            if not isinstance(event, Anomaly) or event.shadow:
                continue
            # Recordings without ids are numbered from 1 each, so that an id may come again.
            identity = event.episode.episode_id, event.episode.opened_us
            if event.episode.phase is EpisodePhase.OPENED:
                self._alarms[identity] = Alarm(
                    event.kind,
                    event.exchange,
                    event.symbol,
                    event.event_time_us,
                    event.event_time_us,
                    event.reason,
                )
            elif identity in self._alarms:
                until_us = event.episode.last_us
                self._alarms[identity] = self._alarms[identity]._replace(until_us=until_us)

    def forget(self, symbol: str) -> None:
        """Let a market begin anew."""
        self._engine.evict(symbol)

    @property
    def alarms(self) -> list[Alarm]:
        """What was told."""
        return list(self._alarms.values())


def baseline_alarms(baseline: Baseline, tape: MarketTape) -> list[Alarm]:
    """Return the alarms of a baseline that judges each market by itself.

    Raises:
        ToolMissingError: what it needs is not installed.
    """
    return [
        Alarm(kind, tape.exchange, tape.symbol, start_us, until_us, f"{baseline} on its own")
        for part in tape.parts()
        for kind, flags in _JUDGES[baseline](part).items()
        for start_us, until_us in baselines.openings(part.times_us, flags)
    ]


def _moves(tape: MarketTape) -> dict[str, BoolVector]:
    change = baselines.change_in(tape, seconds=60.0)
    return {"pump_dump": change >= 0.03, "flash_crash": change <= -0.03}


_JUDGES: Final[Mapping[Baseline, Callable[[MarketTape], Mapping[str, BoolVector]]]] = {
    Baseline.ZSCORE3: lambda tape: {ANY_KIND: np.abs(baselines.zscores(tape)) > 3.0},
    Baseline.PERCENT: _moves,
    Baseline.REFIT_FOREST: lambda tape: {ANY_KIND: baselines.isolated(tape)},
}
# Judged by themselves; the other one learns from other markets.
ALONE: Final = tuple(_JUDGES)
