"""A simulated market that detectors know, and events that are played on it again and again from there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from detector.cross.params import CrossParams
from detector.cross.stories import ALL, EVERYWHERE
from detector.evaluation.contestants import Configuration, EngineRun
from detector.evaluation.events import Alarm, Span, Watch
from detector.params import EngineParams
from detector.ticks import TickParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.stream.columns import TradeColumns
from simulator.crowd import Crowd, MarketParams
from simulator.events.catalogue import scenario
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.source import Injected
from simulator.tapes import stretch

QUIET: Final = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0)
_BATCH_TRADES: Final = 20_000
# The rules of matching look back by as much.
_FIRST_S: Final = 60.0
# Alarms may come a little after the end.
_WAITS_US: Final = 30 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class StageParams:
    """A market and who watches it.

    Attributes:
        markets: how many.
        exchanges: venues of each.
        enabled: detectors.
        cross: whether several markets are looked at together.
        trades_per_s: of a market on its first venue, on average over markets.
        warm_up_s: without any event, before anything is played.
        stretch_s: that is drawn at once.
        seed: of the market.
    """

    markets: int
    exchanges: tuple[str, ...] = ("binance",)
    enabled: tuple[str, ...] = ()
    cross: bool = False
    trades_per_s: float = 0.5
    warm_up_s: float = 86_400.0
    stretch_s: float = 1_800.0
    seed: int = 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """The venue's names of the markets; each has a profile of its own."""
        return tuple(f"SIM{number:03d}USDT" for number in range(self.markets))

    @property
    def market(self) -> MarketParams:
        """What is generated, without events."""
        return MarketParams(
            symbols=self.symbols,
            exchanges=self.exchanges,
            rate=self.trades_per_s,
            seed=self.seed,
            history_trades=0,
            chunk_s=self.stretch_s,
            scenarios=QUIET,
        )

    @property
    def configuration(self) -> Configuration:
        """Who watches."""
        ticks = TickParams() if self.cross else None
        params = EngineParams(enabled=self.enabled, ticks=ticks)
        return Configuration(name="stage", params=params, cross=CrossParams() if self.cross else None)


class Played(NamedTuple):
    """What happened.

    Attributes:
        truth: events that were played, one line per market and venue.
        alarms: that were given.
        updates: that were told of running episodes.
        watches: what was watched, once per market and venue.
    """

    truth: list[Injected]
    alarms: list[Alarm]
    updates: list[Alarm]
    watches: list[Watch]


class Stage:
    """A market on which nothing happens, and detectors that have warmed up on it.

    Args:
        params: the market and who watches it.
    """

    def __init__(self, params: StageParams) -> None:
        self._params = params
        self._market = params.market
        self._crowd = Crowd(self._market)
        self._run = EngineRun(params.configuration)
        self._number = 0
        while self.at_s < params.warm_up_s:
            self.go_on()

    @property
    def at_s(self) -> float:
        """The end of what has happened, in seconds of the source."""
        return self._number * self._params.stretch_s

    @property
    def symbols(self) -> tuple[str, ...]:
        """The venue's names of the markets."""
        return self._market.symbols

    @property
    def alarms(self) -> list[Alarm]:
        """What was told although nothing happened."""
        return self._run.alarms

    def go_on(self) -> int:
        """Let a stretch pass without events; return how many trades it has."""
        trades = stretch(self._crowd, self._number).trades
        self._number += 1
        _show(self._run, trades)
        return len(trades)

    def play(self, events: Sequence[Scheduled]) -> Played:
        """Play events from here on until they are over, and come back: what is played leaves no trace."""
        scenarios = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0, scheduled=tuple(events))
        crowd, run = self._crowd.with_scenarios(scenarios), self._run.twin()
        truth: list[Injected] = []
        number, ends_us = self._number, max(self._us(event.at_s) for event in events)
        while self._us(number * self._params.stretch_s) <= ends_us:
            trades, begun, _ = stretch(crowd, number)
            _show(run, trades)
            truth += begun
            ends_us = max([ends_us, *(event.end_us + _WAITS_US for event in begun)])
            number += 1
        whole = Span(self._us(self.at_s), self._us(number * self._params.stretch_s))
        return Played(truth, run.alarms, run.updates, self.watches(whole))

    def watches(self, span: Span) -> list[Watch]:
        """Return every market on every venue, and what stands for all of them, as watched for a time."""
        places = [(place.exchange, place.profile.market) for place in self._crowd.places]
        return [Watch(*place, (span,)) for place in (*places, (EVERYWHERE, ALL))]

    def _us(self, source_s: float) -> int:
        return self._market.start_us + round(source_s * MICROSECONDS_PER_SECOND)


def _show(run: EngineRun, trades: TradeColumns) -> None:
    for begin in range(0, len(trades), _BATCH_TRADES):
        run.on_batch(trades[begin : begin + _BATCH_TRADES])


def schedule(name: str, strength: float, *, stage: Stage, spread_s: float, seed: int) -> list[Scheduled]:
    """Return events of one strength; their times are the same for all strengths.

    Of a scenario of one market, one on each; of one of several markets, one.

    Args:
        name: of the scenario.
        strength: in its unit.
        stage: on which they are played.
        spread_s: within which they begin.
        seed: of their times.
    """
    rng = np.random.default_rng(seed)
    times_s = stage.at_s + _FIRST_S + spread_s * rng.random(len(stage.symbols))
    events = [
        Scheduled(name, symbol, at_s, strength)
        for symbol, at_s in zip(stage.symbols, times_s.tolist(), strict=True)
    ]
    return events if scenario(name).markets == 1 else [events[seed % len(events)]]
