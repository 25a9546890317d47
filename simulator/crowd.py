"""All generated markets and what they share, drawn chunk by chunk.

Live playback needs chunks of seconds; whole weeks are drawn in chunks of half an hour, at about a microsecond
per trade (`tapes.py`).
"""

from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from simulator.arrivals import Volatility
from simulator.order_flow import CommonFactor, Drawn, OrderFlow, Place
from simulator.profiles import TapeShape, profile_of
from simulator.scenarios import ScenarioParams, Scenarios
from simulator.seeds import generator

if TYPE_CHECKING:
    from simulator.following import Leader

# Generated time begins here unless it is moved to now: 2026-01-01 00:00 UTC.
_EPOCH_US: Final = 1_767_225_600_000_000

_CHUNK_TRADES: Final = 4_000
_CHUNK_S: Final = (0.2, 5.0)
_PART_S: Final = 0.1
_COARSE_PART_S: Final = 1.0
# Trades per second of a venue that follows, over those of the first.
_FOLLOWERS_RATE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class MarketParams:
    """What is generated.

    Attributes:
        symbols: the venue's names; known ones have their own profile (`profiles.py`), any other gets one
            made from its name.
        rate: trades per second of source time and market, on average over markets and long times.
        seed: of everything.
        history_trades: per market, before the start.
        duration_s: source time after which it ends; None: never.
        scenarios: the injected events.
        exchanges: venues of every market; the others follow the first, with half of its rate. The trades of
            a single one are told by every venue that a simulator speaks for.
        has_quotes: whether the order books of the first venue are drawn too.
        chunk_s: source time that is drawn at once; None: as little as live playback needs.
        start_us: source time of the start, in µs since the epoch.
        is_restamped: whether playback moves the start to now.
    """

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
    rate: float = 20.0
    seed: int = 1
    history_trades: int = 2_000
    duration_s: float | None = None
    scenarios: ScenarioParams = field(default_factory=ScenarioParams)
    exchanges: tuple[str, ...] = ("binance",)
    has_quotes: bool = False
    chunk_s: float | None = None
    start_us: int = _EPOCH_US
    is_restamped: bool = True

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols must be different names, at least one, not {self.symbols}")
        if not self.exchanges or len(set(self.exchanges)) != len(self.exchanges):
            raise ValueError(f"exchanges must be different names, at least one, not {self.exchanges}")
        if self.chunk_s is not None and not self.chunk_s > 0:
            raise ValueError(f"chunk_s must be above 0, not {self.chunk_s}")
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0, not {self.rate}")


class Crowd:
    """All markets on all venues.

    Args:
        params: what is generated.

    Attributes:
        chunk_s: length of a chunk, in seconds of the source.
        first_chunk: number of the first chunk, below 0 where there is history; chunk 0 begins at the start.
    """

    def __init__(self, params: MarketParams) -> None:
        profiles = [profile_of(symbol) for symbol in params.symbols]
        total_share = sum(profile.rate_share for profile in profiles)
        rates = [params.rate * len(profiles) * profile.rate_share / total_share for profile in profiles]
        self._params, self._shape = params, TapeShape()
        self.chunk_s = params.chunk_s or float(np.clip(_CHUNK_TRADES / sum(rates), *_CHUNK_S))
        longest_part_s = _PART_S if params.chunk_s is None else _COARSE_PART_S
        self._parts = max(1, round(self.chunk_s / longest_part_s))
        # Quiet times have less than half of the usual rate, and clusters make short spans uncertain.
        history = 2.5 * params.history_trades + 200 if params.history_trades else 0
        self.first_chunk = -int(np.ceil(history / min(rates) / self.chunk_s))
        self._rng = generator(params.seed, "common")
        self._volatility = Volatility(shape=self._shape, rng=self._rng)
        self._factor = 0.0
        self._markets = [
            [
                (place, self._flow(place, at))
                for place in (
                    Place(
                        profile=profile,
                        exchange=exchange,
                        is_leader=number == 0,
                        rate=rate if number == 0 else _FOLLOWERS_RATE * rate,
                        has_quotes=params.has_quotes and number == 0,
                    )
                    for number, exchange in enumerate(params.exchanges)
                )
            ]
            for at, (profile, rate) in enumerate(zip(profiles, rates, strict=True))
        ]

    @property
    def places(self) -> list[Place]:
        """All markets on all venues, in the order in which they are drawn."""
        return [place for market in self._markets for place, _ in market]

    def with_scenarios(self, scenarios: ScenarioParams) -> Self:
        """Return a copy that goes on from here with other events; this one goes on as before.

        Until an event begins, the trades of both are the same.
        """
        twin = copy(self)
        # In one call, as they share their state.
        twin._rng, twin._volatility = deepcopy((self._rng, self._volatility))  # noqa: SLF001 - its own
        twin._markets = [  # noqa: SLF001 - as above
            [(place, flow.with_scenarios(self._scenarios(scenarios, place, at))) for place, flow in market]
            for at, market in enumerate(self._markets)
        ]
        return twin

    def _scenarios(self, scenarios: ScenarioParams, place: Place, at: int) -> Scenarios:
        return Scenarios(
            scenarios,
            seed=self._params.seed,
            symbols=self._params.symbols,
            place=at,
            exchange=place.exchange,
            is_last_venue=place.exchange == self._params.exchanges[-1],
        )

    def _flow(self, place: Place, at: int) -> OrderFlow:
        params = self._params
        return OrderFlow(
            place=place,
            shape=self._shape,
            scenarios=self._scenarios(params.scenarios, place, at),
            seed=params.seed,
            first_s=self.first_chunk * self.chunk_s,
            start_us=params.start_us,
        )

    def draw(self, number: int) -> Iterator[tuple[Place, Drawn]]:
        """Yield what every market does in a chunk; chunks are drawn in order, from `first_chunk` on."""
        start_s, end_s = number * self.chunk_s, (number + 1) * self.chunk_s
        common = self._common(start_s, end_s)
        for market in self._markets:
            leader: Leader | None = None
            for place, flow in market:
                drawn = flow.draw(start_s, end_s, common, leader)
                leader = leader or drawn.leader
                yield place, drawn

    def _common(self, start_s: float, end_s: float) -> CommonFactor:
        part_s = (end_s - start_s) / self._parts
        volatility = self._volatility.draw(self._parts, part_s)
        moves = self._rng.standard_normal(self._parts) * volatility * np.sqrt(part_s)
        path = self._factor + np.concatenate(([0.0], np.cumsum(moves)))
        self._factor = float(path[-1])
        return CommonFactor(
            times_s=np.linspace(start_s, end_s, self._parts + 1), path=path, volatility=volatility
        )
