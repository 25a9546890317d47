"""A generated, labelled market: several symbols that trade like real ones, with injected events.

How orders arrive, how large they are and where the numbers come from: `profiles.py`. Prices: the logarithm of
each market's price is a Brownian motion with changing volatility, part of it common to all markets; orders
trade at the next tick on their side of it, and an order in several trades walks away from it. Events:
`scenarios.py`.

Everything is drawn in chunks of fixed length of source time, from generators seeded per market, so the same
parameters give the same trades at any speed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import numpy as np

from simulator.arrivals import Volatility
from simulator.order_flow import CommonFactor, OrderFlow, generator
from simulator.profiles import Profile, TapeShape, profile_of
from simulator.scenarios import ScenarioParams, Scenarios
from simulator.source import Chunk, MarketTrade, SymbolInfo

# Generated time begins here unless it is moved to now: 2026-01-01 00:00 UTC.
_EPOCH_US: Final = 1_767_225_600_000_000

_CHUNK_TRADES: Final = 4_000
_CHUNK_S: Final = (0.2, 5.0)
_PART_S: Final = 0.1


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
        start_us: source time of the start, in µs since the epoch.
        is_restamped: whether playback moves the start to now.
    """

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
    rate: float = 20.0
    seed: int = 1
    history_trades: int = 2_000
    duration_s: float | None = None
    scenarios: ScenarioParams = field(default_factory=ScenarioParams)
    start_us: int = _EPOCH_US
    is_restamped: bool = True

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols must be different names, at least one, not {self.symbols}")
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0, not {self.rate}")


class MarketSource:
    """The generated market as a source.

    Args:
        params: what is generated.
    """

    def __init__(self, params: MarketParams) -> None:
        self._params = params
        self._profiles = tuple(profile_of(symbol) for symbol in params.symbols)

    @property
    def symbols(self) -> tuple[SymbolInfo, ...]:
        """The markets."""
        return tuple(map(_symbol_info, self._profiles))

    @property
    def start_us(self) -> int:
        """Source time at which playback begins."""
        return self._params.start_us

    @property
    def is_restamped(self) -> bool:
        """Whether playback moves the start to now."""
        return self._params.is_restamped

    def history(self) -> list[MarketTrade]:
        """Return the newest trades of each market before the start, in order of time."""
        known: dict[str, list[MarketTrade]] = {profile.symbol: [] for profile in self._profiles}
        for chunk in _Crowd(self._params, self._profiles).history():
            for trade in chunk.trades:
                known[trade.symbol].append(trade)
        newest = [trade for trades in known.values() for trade in trades[-self._params.history_trades :]]
        return sorted(newest, key=attrgetter("event_time_us")) if self._params.history_trades else []

    def chunks(self) -> Iterator[Chunk]:
        """Yield the trades after the start, without end unless a duration is set."""
        crowd = _Crowd(self._params, self._profiles)
        for _ in crowd.history():
            pass
        yield from crowd.live()


class _Crowd:
    """All markets and what they share, advancing chunk by chunk."""

    def __init__(self, params: MarketParams, profiles: tuple[Profile, ...]) -> None:
        shape = TapeShape()
        total_share = sum(profile.rate_share for profile in profiles)
        rates = [params.rate * len(profiles) * profile.rate_share / total_share for profile in profiles]
        self._params = params
        self._chunk_s = float(np.clip(_CHUNK_TRADES / sum(rates), *_CHUNK_S))
        self._parts = max(1, round(self._chunk_s / _PART_S))
        # Quiet times have less than half of the usual rate, and clusters make short spans uncertain.
        history = 2.5 * params.history_trades + 200 if params.history_trades else 0
        chunks = int(np.ceil(history / min(rates) / self._chunk_s))
        self._first_chunk = -chunks
        rng = generator(params.seed, "common")
        self._volatility = Volatility(shape=shape, rng=rng)
        self._rng = rng
        self._factor = 0.0
        self._markets = [
            OrderFlow(
                profile=profile,
                shape=shape,
                scenarios=_scenarios(params, place),
                rate=rate,
                seed=params.seed,
                first_s=-chunks * self._chunk_s,
                start_us=params.start_us,
            )
            for place, (profile, rate) in enumerate(zip(profiles, rates, strict=True))
        ]
        self._held: list[MarketTrade] = []

    def history(self) -> Iterator[Chunk]:
        """Yield what lies before the start; to be exhausted before `live`."""
        for number in range(self._first_chunk, 0):
            yield self._draw(number)

    def live(self) -> Iterator[Chunk]:
        """Yield what comes after the start."""
        duration_s = self._params.duration_s
        end_us = None if duration_s is None else self._params.start_us + round(duration_s * 1e6)
        number = 0
        while duration_s is None or number * self._chunk_s < duration_s:
            chunk = self._draw(number)
            if end_us is not None:
                chunk = Chunk(
                    [trade for trade in chunk.trades if trade.event_time_us < end_us],
                    [event for event in chunk.injected if event.start_us < end_us],
                )
            yield chunk
            number += 1

    def _draw(self, number: int) -> Chunk:
        start_s, end_s = number * self._chunk_s, (number + 1) * self._chunk_s
        common = self._common(start_s, end_s)
        trades, injected = self._held, []
        for market in self._markets:
            chunk = market.draw(start_s, end_s, common)
            trades += chunk.trades
            injected += chunk.injected
        trades.sort(key=attrgetter("event_time_us"))
        # What the venue tells only after the chunk's end waits, so that chunks follow each other in time.
        end_us = self._params.start_us + round(end_s * 1e6)
        told = [trade for trade in trades if trade.event_time_us < end_us]
        self._held = trades[len(told) :]
        return Chunk(told, injected)

    def _common(self, start_s: float, end_s: float) -> CommonFactor:
        part_s = (end_s - start_s) / self._parts
        volatility = self._volatility.draw(self._parts, part_s)
        moves = self._rng.standard_normal(self._parts) * volatility * np.sqrt(part_s)
        path = self._factor + np.concatenate(([0.0], np.cumsum(moves)))
        self._factor = float(path[-1])
        return CommonFactor(
            times_s=np.linspace(start_s, end_s, self._parts + 1), path=path, volatility=volatility
        )


def _scenarios(params: MarketParams, place: int) -> Scenarios:
    """Return one market's events; the first whale is the first market's, the first crash the second's."""
    first_s, crash_place = params.scenarios.first_event_after_s, min(1, len(params.symbols) - 1)
    return Scenarios(
        params.scenarios,
        rng=generator(params.seed, params.symbols[place] + "/scenarios"),
        first_whale_s=first_s if place == 0 else None,
        first_crash_s=first_s + 10 if first_s is not None and place == crash_place else None,
    )


def _symbol_info(profile: Profile) -> SymbolInfo:
    base, _, quote = profile.market.partition("-")
    return SymbolInfo(
        symbol=profile.symbol,
        base_asset=base,
        quote_asset=quote or profile.symbol,
        tick=f"{profile.tick:.8f}",
        step=f"{profile.step:.8f}",
    )
