"""`MarketEngines`: markets under different settings, each judged by the engine of its settings.

Markets with the same settings share an engine, so that a batch costs a fixed number of calls per set of
settings that is in use, not per market. When settings change, a market moves to another engine with its
memory; only what the change makes meaningless begins afresh (`detector.params.shapes`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from detector import settings
from detector.arrays import loaded_str, under
from detector.engine import Engine, fits
from detector.episodes import ended_by_settings
from detector.params import EngineParams, shapes
from shared.errors import SnapshotRefusedError
from shared.events import DetectorConfig, Trade
from shared.stream.columns import TradeColumns
from shared.stream.step import Configured, OutputEvent, State

_SETTINGS: Final = "settings"


class MarketEngines:
    """Judges the trades of many markets, each by its own settings; a `shared.stream.step.Step`."""

    def __init__(self, base: EngineParams) -> None:
        """Make it without any market.

        Args:
            base: what holds where no settings are given.
        """
        self._base = base
        # The engine of the base stays, even when all markets have other settings.
        self._engines = {base: Engine(base)}
        self._fingerprint = self._engines[base].fingerprint
        self._params: dict[str, EngineParams] = {}
        self._level = 0
        self._configs: Sequence[DetectorConfig] = ()
        self._known: dict[str, EngineParams] = {}

    @property
    def fingerprint(self) -> str:
        """Identify the base settings and the version; those of a market are part of its state."""
        return self._fingerprint

    def params_of(self, symbol: str) -> EngineParams:
        """Return what a market is judged by."""
        return self._params.get(symbol, self._base)

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:
        """Judge a market by other settings from its next trade on, until it is forgotten."""
        old, new = self.params_of(symbol), self._effective(symbol, configs)
        if old == new:
            return Configured(has_changed=False, events=[])
        former = self._engines[old]
        self._remember(symbol, new)
        if not former.has(symbol):
            return Configured(has_changed=False, events=[])
        state = former.snapshot(symbol)
        before, after = shapes(old), shapes(new)
        fresh = {name for name in after if before.get(name) != after[name]}
        self._engine(new).restore(symbol, state, fresh=fresh)
        former.evict(symbol)
        self._drop_idle(old)
        return Configured(has_changed=True, events=_ended(state, set(old.published) - set(new.published)))

    def _effective(self, symbol: str, configs: Sequence[DetectorConfig]) -> EngineParams:
        if configs is not self._configs:
            self._configs, self._known = configs, {}
        if symbol not in self._known:
            self._known[symbol] = settings.effective(self._base, configs, symbol).params
        return self._known[symbol]

    def _remember(self, symbol: str, params: EngineParams) -> None:
        self._params.pop(symbol, None)
        if params != self._base:
            self._params[symbol] = params

    def _engine(self, params: EngineParams) -> Engine:
        if params not in self._engines:
            self._engines[params] = Engine(params)
            self._engines[params].shed(self._level)
        return self._engines[params]

    def _drop_idle(self, params: EngineParams) -> None:
        if params != self._base and not self._engines[params].symbols():
            del self._engines[params]

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Judge the trades, learn them, and return what was found, in order of the source trades."""
        if not self._params:
            return self._engines[self._base].on_batch(trades)
        try:
            columns = TradeColumns.of(trades)
        except OverflowError:
            return self.on_batch([trade for trade in trades if fits(trade)])
        params = [self.params_of(symbol) for _, symbol in columns.venues]
        numbers = {each: number for number, each in enumerate(dict.fromkeys(params))}
        group = np.array([numbers[each] for each in params], np.int64)[columns.venue]
        found: list[tuple[int, OutputEvent]] = []
        for each, number in numbers.items():
            at = np.flatnonzero(group == number)
            judged = self._engine(each).judge(columns.take(at))
            found += [(int(at[place]), event) for place, event in judged]
        found.sort(key=lambda placed: placed[0])
        return [event for _, event in found]

    @property
    def shed_levels(self) -> int:
        """Return how many levels of work can be shed under overload."""
        return self._engines[self._base].shed_levels

    def shed(self, level: int) -> None:
        """Pause detectors on all markets; see `Engine.shed`.

        Raises:
            ValueError: the level does not exist.
        """
        for engine in self._engines.values():
            engine.shed(level)
        self._level = level

    def symbols(self) -> Iterable[str]:
        """Return the markets that have state."""
        return [symbol for engine in self._engines.values() for symbol in engine.symbols()]

    def snapshot(self, symbol: str) -> State:
        """Return a copy of the whole state of a market, with the settings that it was judged by.

        Raises:
            KeyError: the market has no state.
        """
        params = self.params_of(symbol)
        state = self._engines[params].snapshot(symbol)
        if params != self._base:
            state[_SETTINGS] = settings.dumped(settings.differing(self._base, params))
        return state

    def restore(self, symbol: str, state: State) -> None:
        """Replace a market's state and settings.

        Raises:
            SnapshotRefusedError: the state is damaged, or of other parameters; the market is left as it was.
        """
        try:
            text = loaded_str(state, _SETTINGS) if _SETTINGS in state else "{}"
            params = settings.with_values(self._base, settings.loaded(text))
        except ValueError as error:
            raise SnapshotRefusedError(symbol=symbol, reason=str(error)) from error
        self._engine(params).restore(symbol, state)
        if params != self.params_of(symbol):
            self.evict(symbol)
        self._remember(symbol, params)

    def evict(self, symbol: str) -> None:
        """Forget a market and its settings; unknown ones are ignored."""
        params = self._params.pop(symbol, self._base)
        if params in self._engines:
            self._engines[params].evict(symbol)
            self._drop_idle(params)


def _ended(state: State, detectors: set[str]) -> list[OutputEvent]:
    """Return the ends of episodes that are open in a state, of detectors that are to be gone."""
    venues = range(int(state["venues"]))
    parts = [under(f"{number}/{name}/episode", state) for number in venues for name in sorted(detectors)]
    return [ended_by_settings(part) for part in parts if part]
