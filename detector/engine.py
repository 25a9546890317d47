"""The engine: trades in, anomalies out, in one fixed order for every detector.

Validate, update features, score (before learning), calibrate to rarity, compare with the threshold, run the
episode, learn. Detectors cannot differ in that order, nor in what warming up or an invalid number means.

The engine is a `shared.stream.step.Step`: it knows no Kafka, no clock, and no randomness that is not seeded
per market and detector. What it returns does not depend on how trades are cut into batches, nor on other
markets.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from detector.arrays import loaded_str, nested, under
from detector.catalogue import CATALOGUE
from detector.market import Emission, Market
from detector.params import EngineParams, make_detector
from shared.codec import content_id, trade_fault
from shared.errors import SnapshotRefusedError
from shared.events import Trade
from shared.stream.step import OutputEvent, State

# Raise it when the engine finds or stores something else than before with the same parameters.
_VERSION: Final = 1
_INFINITE: Final = float("inf")
# The end of the year 9999: a later time is no time, and would not fit the arithmetic of windows.
_TIME_END_US: Final = 253_402_300_800_000_000


class Engine:
    """Judges the trades of many markets.

    Attributes:
        rejected_trades: trades passed over since the start because a number in them made no sense.
    """

    def __init__(self, params: EngineParams) -> None:
        self._params = params
        self._markets: dict[str, dict[str, Market]] = {}
        self._fingerprint = _fingerprint(params)
        self.rejected_trades = 0

    @property
    def fingerprint(self) -> str:
        """Identify parameters and version; a snapshot with another fingerprint must not be restored."""
        return self._fingerprint

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Judge the trades, learn them, and return what was found, in order of the source trades."""
        places: dict[tuple[str, str], list[int]] = {}
        for at, trade in enumerate(trades):
            if _is_sound(trade):
                places.setdefault((trade.symbol, trade.exchange), []).append(at)
            else:
                self.rejected_trades += 1
        found: list[Emission] = []
        for (symbol, exchange), rows in places.items():
            market = self._market(symbol, exchange)
            emissions = market.judge([trades[row] for row in rows])
            found += [Emission(rows[emission.row], emission.event) for emission in emissions]
        found.sort(key=lambda emission: emission.row)
        return [emission.event for emission in found]

    def _market(self, symbol: str, exchange: str) -> Market:
        venues = self._markets.setdefault(symbol, {})
        if exchange not in venues:
            venues[exchange] = Market(self._params, exchange=exchange, symbol=symbol)
        return venues[exchange]

    def symbols(self) -> Iterable[str]:
        """Return the markets that have state."""
        return list(self._markets)

    def snapshot(self, symbol: str) -> State:
        """Return a copy of the whole state of a market on all its venues.

        Raises:
            KeyError: the market has no state.
        """
        venues = self._markets[symbol]
        # Venues are numbered, because nothing forbids a slash in a venue's name.
        names = sorted(venues)
        state: State = {"venues": len(names)}
        for number, name in enumerate(names):
            state[f"{number}/venue"] = name
            state |= nested(f"{number}", venues[name].state())
        return state

    def restore(self, symbol: str, state: State) -> None:
        """Replace a market's state; what follows is bit-identical to never having stopped.

        Raises:
            SnapshotRefusedError: the state is damaged, or of other parameters; the market is left as it was.
        """
        venues: dict[str, Market] = {}
        try:
            for number in range(int(state["venues"])):
                part = under(f"{number}", state)
                name = loaded_str(part, "venue")
                venues[name] = Market(self._params, exchange=name, symbol=symbol)
                venues[name].load_state(part)
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotRefusedError(symbol=symbol, reason=str(error)) from error
        self._markets[symbol] = venues

    def evict(self, symbol: str) -> None:
        """Forget a market; unknown ones are ignored."""
        self._markets.pop(symbol, None)


def _is_sound(trade: Trade) -> bool:
    """Return whether a trade may be judged: `trade_fault`, with a fast way for the usual case."""
    is_usual = 0.0 < trade.price * trade.quantity < _INFINITE and trade.price > 0.0 and trade.trade_id >= 0
    return 0 <= trade.event_time_us < _TIME_END_US and (is_usual or trade_fault(trade) is None)


def _fingerprint(params: EngineParams) -> str:
    detectors = (
        make_detector(entry.name, params, features=params.features.names, identity="").fingerprint
        for entry in CATALOGUE
        if not entry.members
    )
    return content_id("engine", _VERSION, repr(params), *detectors)


def warm_up_kernels(params: EngineParams | None = None) -> None:
    """Compile everything that the engine runs, or load it from the cache, before a trade waits for it."""
    engine = Engine(params or EngineParams(enabled=tuple(entry.name for entry in CATALOGUE)))
    # Enough trades for the windows to grow, a crash that opens an episode, and a silence that closes it.
    prices = [1.0] * 100 + [0.5] * 100 + [0.5]
    times_us = [*range(200), 1_000_000_000]
    for at, (price, time_us) in enumerate(zip(prices, times_us, strict=True)):
        engine.on_batch([Trade("warm-up", "WARM-UP", at, price, 1.0, False, time_us, time_us)])
    engine.restore("WARM-UP", engine.snapshot("WARM-UP"))
