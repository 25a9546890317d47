"""`Step`: the pure heart of a stream worker, and the form in which its state is kept."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray

from shared.events import Anomaly, DetectorConfig, MarketTick, Quarantine, Trade

# Data and parameters only, never code: arrays and scalars by name; nesting is written as `features/prices`.
Array: TypeAlias = NDArray[Any]
State: TypeAlias = dict[str, Array | int | float | str | bool]
OutputEvent: TypeAlias = Anomaly | Quarantine | MarketTick


class Configured(NamedTuple):
    """What new settings made of a market.

    Attributes:
        has_changed: its state is another one now, and its latest snapshot is out of date.
        events: what they ended.
    """

    has_changed: bool
    events: list[OutputEvent]


class Step(Protocol):
    """Turns trades into events. No I/O, no clock, no randomness that is not seeded per market and detector.

    Any split of the same trades into batches gives the same events and the same state; markets do not
    influence each other; trades of one market come in the order of their partition.
    """

    @property
    def fingerprint(self) -> str:
        """Identify configuration and version; a snapshot with another fingerprint is refused."""
        ...

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Judge the trades, learn them, and return what was found, in order of the source trades."""
        ...

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:
        """Judge a market by other settings from its next trade on, until it is forgotten.

        Args:
            symbol: of a market with state, or of one that is about to get some.
            configs: the latest of every scope; a market that was never given any has none.
        """
        ...

    @property
    def shed_levels(self) -> int:
        """Return how many levels of work can be shed under overload; 0 for none."""
        ...

    def shed(self, level: int) -> None:
        """Shed work from now on, up to this level, the costliest first; 0: nothing. No trade is skipped."""
        ...

    def symbols(self) -> Iterable[str]:
        """Return the markets that have state."""
        ...

    def snapshot(self, symbol: str) -> State:
        """Return a copy of a market's whole state."""
        ...

    def restore(self, symbol: str, state: State) -> None:
        """Replace a market's state; what follows is bit-identical to never having stopped."""
        ...

    def evict(self, symbol: str) -> None:
        """Forget a market; unknown ones are ignored."""
        ...
