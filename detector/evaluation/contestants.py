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
from typing import Final, Self

import numpy as np

from detector.arrays import BoolVector
from detector.cross.engine import CrossEngine
from detector.cross.params import CrossParams
from detector.engine import Engine
from detector.evaluation import baselines
from detector.evaluation.events import ANY_KIND, Alarm
from detector.evaluation.tapes import MarketTape
from detector.params import EngineParams
from detector.quotes.engine import QuoteEngine, QuoteParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase, MarketTick
from shared.stream.columns import ALL_MARKETS, TradeColumns
from shared.stream.quotes import QuoteColumns


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
        params: of the engine; what concerns several markets needs its ticks.
        cross: of the step that looks at all markets together; None: without it.
        quotes: of the engine of quotes; None: without it.
    """

    name: str
    params: EngineParams
    cross: CrossParams | None = None
    quotes: QuoteParams | None = None


class EngineRun:
    """The engine on a recording, and the alarms that it gave; detectors on trial give none.

    What concerns several markets is told when the second that it rests on has been waited for.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._engine = Engine(configuration.params)
        cross = configuration.cross
        self._cross = None if cross is None else CrossEngine(cross)
        self._quotes = None if configuration.quotes is None else QuoteEngine(configuration.quotes)
        self._lateness_us = 0 if cross is None else round(cross.lateness_s * MICROSECONDS_PER_SECOND)
        self._alarms: dict[tuple[str, int], Alarm] = {}
        self._updates: list[Alarm] = []

    def on_batch(self, trades: TradeColumns) -> None:
        """Judge a batch."""
        told = self._engine.on_batch(trades)
        for event in told:
            if isinstance(event, Anomaly):
                self._take(event, told_us=event.event_time_us)
        if self._cross is None:
            return
        for event in self._cross.on_batch([tick for tick in told if isinstance(tick, MarketTick)]):
            if isinstance(event, Anomaly):
                second = event.event_time_us // MICROSECONDS_PER_SECOND + 1
                self._take(event, told_us=second * MICROSECONDS_PER_SECOND + self._lateness_us)

    @property
    def reads_quotes(self) -> bool:
        """Whether there is an engine for quotes."""
        return self._quotes is not None

    def on_quotes(self, quotes: QuoteColumns) -> None:
        """Judge a batch of quotes, if it reads them."""
        if self._quotes is not None:
            for event in self._quotes.on_batch(quotes):
                if isinstance(event, Anomaly):
                    self._take(event, told_us=event.event_time_us)

    def _take(self, event: Anomaly, *, told_us: int) -> None:
        # Recordings without ids are numbered from 1 each, so that an id may come again.
        identity = event.episode.episode_id, event.episode.opened_us
        alarm = Alarm(event.kind, event.exchange, event.symbol, told_us, told_us, event.reason)
        if event.episode.phase is EpisodePhase.UPDATED and not event.shadow:
            self._updates.append(alarm)
        if event.episode.phase is EpisodePhase.OPENED and not event.shadow:
            self._alarms[identity] = alarm
        elif identity in self._alarms:
            until_us = event.episode.last_us
            self._alarms[identity] = self._alarms[identity]._replace(until_us=until_us)

    def twin(self) -> Self:
        """Return one that goes on from here, with no alarms so far; this one goes on as before."""
        twin = type(self)(self._configuration)
        mine_of, its_of = self._parts, twin._parts  # noqa: SLF001 - its own
        for mine, its in zip(mine_of, its_of, strict=True):
            if mine is not None and its is not None:
                for symbol in mine.symbols():
                    its.restore(symbol, mine.snapshot(symbol))
        return twin

    @property
    def _parts(self) -> tuple[Engine | None, CrossEngine | None, QuoteEngine | None]:
        return self._engine, self._cross, self._quotes

    def forget(self, symbol: str) -> None:
        """Let a market begin anew."""
        self._engine.evict(symbol)

    def forget_quotes(self, symbol: str) -> None:
        """Let a market's quotes begin anew."""
        if self._quotes is not None:
            self._quotes.evict(symbol)

    def forget_all(self) -> None:
        """Let what concerns several markets begin anew."""
        if self._cross is not None:
            self._cross.evict(ALL_MARKETS)

    @property
    def alarms(self) -> list[Alarm]:
        """What was told."""
        return list(self._alarms.values())

    @property
    def updates(self) -> list[Alarm]:
        """What was told of running episodes, which is no alarm of its own."""
        return list(self._updates)


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
