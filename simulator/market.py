"""A generated, labelled market: several symbols that trade like real ones, with injected events.

On several venues each has trades of its own, at prices that follow those of the first (`order_flow.py`).

How orders arrive, how large they are and where the numbers come from: `profiles.py`. Prices: the logarithm of
each market's price is a Brownian motion with changing volatility, part of it common to all markets; orders
trade at the next tick on their side of it, and an order in several trades walks away from it. Events:
`scenarios.py`.

Everything is drawn in chunks of fixed length of source time, from generators seeded per market, so the same
parameters give the same trades at any speed.
"""

from collections.abc import Iterator
from operator import attrgetter

from simulator.crowd import Crowd, MarketParams
from simulator.depth import shown
from simulator.executions import written
from simulator.profiles import Profile, profile_of
from simulator.source import Chunk, MarketBook, MarketTrade, SymbolInfo


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
        """Return the newest trades of each market on each venue before the start, in order of time."""
        known: dict[tuple[str, str], list[MarketTrade]] = {
            (teller, profile.symbol): []
            for profile in self._profiles
            for teller in _tellers(self._params).values()
        }
        played = _Played(self._params)
        for chunk in played.history():
            for trade in chunk.trades:
                known[trade.exchange, trade.symbol].append(trade)
        newest = [trade for trades in known.values() for trade in trades[-self._params.history_trades :]]
        return sorted(newest, key=attrgetter("event_time_us")) if self._params.history_trades else []

    def chunks(self) -> Iterator[Chunk]:
        """Yield the trades after the start, without end unless a duration is set."""
        played = _Played(self._params)
        for _ in played.history():
            pass
        yield from played.live()


class _Played:
    """Chunks of all markets as their venues tell them."""

    def __init__(self, params: MarketParams) -> None:
        self._params = params
        self._crowd = Crowd(params)
        self._held: list[MarketTrade] = []
        self._tellers = _tellers(params)

    def history(self) -> Iterator[Chunk]:
        """Yield what lies before the start; to be exhausted before `live`."""
        for number in range(self._crowd.first_chunk, 0):
            yield self._draw(number)

    def live(self) -> Iterator[Chunk]:
        """Yield what comes after the start."""
        duration_s = self._params.duration_s
        end_us = None if duration_s is None else self._params.start_us + round(duration_s * 1e6)
        number = 0
        while duration_s is None or number * self._crowd.chunk_s < duration_s:
            chunk = self._draw(number)
            if end_us is not None:
                chunk = Chunk(
                    [trade for trade in chunk.trades if trade.event_time_us < end_us],
                    [event for event in chunk.injected if event.start_us < end_us],
                    [book for book in chunk.books if book.time_us < end_us],
                )
            yield chunk
            number += 1

    def _draw(self, number: int) -> Chunk:
        trades, injected, books = self._held, [], list[MarketBook]()
        for place, drawn in self._crowd.draw(number):
            trades += written(drawn.block, place.profile, exchange=self._tellers[place.exchange])
            injected += drawn.truth
            if drawn.depth is not None:
                books += shown(drawn.depth, place.profile)
        trades.sort(key=attrgetter("event_time_us"))
        # What a venue tells only after the chunk's end waits, so that chunks follow each other in time.
        end_us = self._params.start_us + round((number + 1) * self._crowd.chunk_s * 1e6)
        told = [trade for trade in trades if trade.event_time_us < end_us]
        self._held = trades[len(told) :]
        return Chunk(told, injected, sorted(books, key=attrgetter("time_us")))


def _tellers(params: MarketParams) -> dict[str, str]:
    """Return per venue who tells its trades; those of a single one may be told in the words of any."""
    is_alone = len(params.exchanges) == 1
    return {exchange: "" if is_alone else exchange for exchange in params.exchanges}


def _symbol_info(profile: Profile) -> SymbolInfo:
    base, _, quote = profile.market.partition("-")
    return SymbolInfo(
        symbol=profile.symbol,
        base_asset=base,
        quote_asset=quote or profile.symbol,
        tick=f"{profile.tick:.8f}",
        step=f"{profile.step:.8f}",
    )
