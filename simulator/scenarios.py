"""When events come to a generated market, and how strong they are; what they are: `events/`.

Every kind has randomness of its own per market, and every event too, so that an event depends neither on the
market's trades nor on other events, and the same seed gives the same event at any strength.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from simulator.events.catalogue import Scenario, scenario
from simulator.seeds import generator

SECONDS_PER_HOUR: Final = 3_600.0


class Scheduled(NamedTuple):
    """An event that is set.

    Attributes:
        name: of the scenario.
        symbol: the venue's name of the market; for scenarios of several markets any of them.
        at_s: when, in seconds of the source.
        strength: None: drawn.
        exchange: on which venue alone; empty: on all that the market has, or on the last one where that is
            what the scenario is about.
    """

    name: str
    symbol: str
    at_s: float
    strength: float | None = None
    exchange: str = ""


@dataclass(frozen=True, kw_only=True)
class ScenarioParams:
    """Which events come.

    Attributes:
        whales_per_hour: on each market, in source time.
        crashes_per_hour: on each market, in source time.
        first_event_after_s: a whale on the first market at this source time after the start, and a crash on
            the second (or only) market 10 s later; None: when chance will have it.
        per_hour: of any scenario of the catalogue, pairs of name and number on each market (of those that
            happen on several markets: on all together).
        scheduled: events that are set.
    """

    whales_per_hour: float = 6.0
    crashes_per_hour: float = 1.0
    first_event_after_s: float | None = None
    per_hour: tuple[tuple[str, float], ...] = ()
    scheduled: tuple[Scheduled, ...] = ()

    def __post_init__(self) -> None:
        for name in (*dict(self.per_hour), *(event.name for event in self.scheduled)):
            scenario(name)

    @property
    def rates(self) -> Mapping[str, float]:
        """How often each scenario comes, per hour."""
        usual = {"whale": self.whales_per_hour, "flash_crash": self.crashes_per_hour}
        return {name: rate for name, rate in (usual | dict(self.per_hour)).items() if rate > 0}


class Due(NamedTuple):
    """An event that is about to happen to a market.

    Attributes:
        name: of the scenario.
        scenario: what it is.
        at_s: when, in seconds of the source.
        strength: in the scenario's unit.
        rng: of this event.
        event_id: the same on all markets that it happens to.
    """

    name: str
    scenario: Scenario
    at_s: float
    strength: float
    rng: np.random.Generator
    event_id: str


class Scenarios:
    """One market's events, drawn as time goes on.

    Args:
        params: which events.
        seed: of everything.
        symbols: all markets, the venue's names.
        place: of this one among them.
        exchange: the venue.
        is_last_venue: whether scenarios of one venue happen here.
    """

    def __init__(
        self,
        params: ScenarioParams,
        *,
        seed: int,
        symbols: tuple[str, ...],
        place: int,
        exchange: str,
        is_last_venue: bool = True,
    ) -> None:
        self._seed, self._symbols, self._place = seed, symbols, place
        self._exchange, self._is_last_venue = exchange, is_last_venue
        self._streams = [_Stream(self._random(name, rate)) for name, rate in params.rates.items()]
        self._streams.append(_Stream(self._set(params)))

    def due(self, end_s: float) -> list[Due]:
        """Return the events before `end_s` that were not returned before, in order of time."""
        found = [event for stream in self._streams for event in stream.until(end_s)]
        return sorted(found, key=lambda event: event.at_s)

    def _set(self, params: ScenarioParams) -> Iterator[Due]:
        events = list(params.scheduled)
        first_s = params.first_event_after_s
        if first_s is not None:
            second = self._symbols[min(1, len(self._symbols) - 1)]
            events += [
                Scheduled("whale", self._symbols[0], first_s),
                Scheduled("flash_crash", second, first_s + 10),
            ]
        for event in sorted(events, key=lambda event: event.at_s):
            what = scenario(event.name)
            is_here = event.exchange == self._exchange if event.exchange else self._is_home_of(what)
            event_id = f"{event.name}/{event.symbol}/{event.at_s:.3f}"
            members = self._members(what, generator(self._seed, event_id), of=event.symbol)
            if is_here and self._place in members:
                yield self._due(event.name, event.at_s, event_id, strength=event.strength)

    def _random(self, name: str, rate: float) -> Iterator[Due]:
        what = scenario(name)
        of = self._symbols[self._place] if what.markets == 1 else ""
        if not self._is_home_of(what):
            return
        rng = generator(self._seed, f"{of}/{name}")
        at_s, number = 0.0, 0
        while True:
            at_s += float(rng.exponential(SECONDS_PER_HOUR / rate))
            number += 1
            event_id = f"{name}/{of}/{number}" if of else f"{name}/{number}"
            if self._place in self._members(what, generator(self._seed, event_id), of=of):
                yield self._due(name, at_s, event_id)

    def _is_home_of(self, what: Scenario) -> bool:
        return self._is_last_venue or not what.is_of_one_venue

    def _members(self, what: Scenario, rng: np.random.Generator, *, of: str) -> set[int]:
        """Return the markets that an event happens to; that which it names is among them."""
        if what.markets == 0:
            return set(range(len(self._symbols)))
        first = [self._symbols.index(of)] if of in self._symbols else []
        order = dict.fromkeys([*first, *rng.permutation(len(self._symbols)).tolist()])
        return set(list(order)[: what.markets])

    def _due(self, name: str, at_s: float, event_id: str, *, strength: float | None = None) -> Due:
        what = scenario(name)
        low, high = np.log(what.usual)
        drawn = float(np.exp(generator(self._seed, f"{event_id}/strength").uniform(low, high)))
        # Of an event on several markets each has its own details; of a market's event each venue the same.
        own = generator(self._seed, f"{event_id}/{self._symbols[self._place]}")
        return Due(name, what, at_s, drawn if strength is None else strength, own, event_id)


class _Stream:
    """Events in order of time, of which one may be looked at before it is taken."""

    def __init__(self, events: Iterable[Due]) -> None:
        self._events = iter(events)
        self._next = next(self._events, None)

    def until(self, end_s: float) -> Iterator[Due]:
        while self._next is not None and self._next.at_s < end_s:
            yield self._next
            self._next = next(self._events, None)
