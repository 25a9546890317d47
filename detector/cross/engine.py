"""The cross-market engine: ticks of all markets in, anomalies that concern several of them out.

Ticks are put in order (`seconds.py`), every second of event time is entered on the board (`board.py`), and
every detector looks at the board. Its state is one, that of all markets together, under the name
`ALL_MARKETS`.

The engine is a `shared.stream.step.Step`. What it returns does not depend on batches, restarts, or the order
in which ticks come within the lateness that is waited for.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from detector.arrays import loaded_str, nested, under
from detector.cross.arbitrage import Arbitrage
from detector.cross.board import Board
from detector.cross.context import Context
from detector.cross.layered_burst import LayeredBurst
from detector.cross.market_move import MarketMove
from detector.cross.params import CrossParams
from detector.cross.seconds import Second, Seconds
from shared.codec import content_id
from shared.errors import SnapshotRefusedError
from shared.events import DetectorConfig, Trade
from shared.stream.columns import ALL_MARKETS, TickColumns
from shared.stream.step import Configured, OutputEvent, State

_VERSION: Final = 1


class CrossEngine:
    """Judges all markets together.

    Args:
        params: what it finds.
    """

    def __init__(self, params: CrossParams) -> None:
        self._params = params
        self._fingerprint = content_id("cross", _VERSION, repr(params))
        self._begin()

    def _begin(self) -> None:
        self._has_state = False
        self._seconds = Seconds(lateness_s=self._params.lateness_s)
        self._board = Board()
        self._arbitrage = Arbitrage(self._params.arbitrage)
        self._market_move = MarketMove(self._params.market_move)
        self._layered_burst = LayeredBurst(self._params.layered_burst)
        self._context = Context(self._params.context, fingerprint=self._fingerprint)

    @property
    def fingerprint(self) -> str:
        """Identify parameters and version; a snapshot with another fingerprint must not be restored."""
        return self._fingerprint

    @property
    def late_ticks(self) -> int:
        """How many ticks came too late."""
        return self._seconds.late

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Judge market ticks, and return what was found in the seconds that they complete."""
        events: list[OutputEvent] = []
        for tick in TickColumns.of(trades).ticks:
            self._has_state = True
            for step in self._seconds.take(tick):
                if isinstance(step, Second):
                    events += self._judge(step)
                else:
                    self._board.correct(step)
        return events

    def _judge(self, second: Second) -> list[OutputEvent]:
        board, enabled = self._board, self._params.enabled
        for row in board.advance(second):
            self._add(row)
        events: list[OutputEvent] = []
        if "arbitrage" in enabled:
            events += self._arbitrage.on_second(board)
        if "market_move" in enabled:
            events += self._market_move.on_second(board)
        if "layered_burst" in enabled:
            events += self._layered_burst.on_second(board)
        if "context" in enabled:
            opened = [anomaly for tick in second.ticks for anomaly in tick.opened]
            told = [self._context.tell(anomaly, board) for anomaly in opened]
            events += [update for update in told if update is not None]
        return events

    def _add(self, row: int) -> None:
        self._arbitrage.add(self._board, row)
        self._layered_burst.add(row)

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:  # noqa: ARG002 - a step's signature
        """Change nothing: its settings are those of all markets."""
        return Configured(has_changed=False, events=[])

    @property
    def shed_levels(self) -> int:
        """Return that nothing can be shed."""
        return 0

    def shed(self, level: int) -> None:
        """Shed nothing.

        Raises:
            ValueError: the level does not exist.
        """
        if level:
            raise ValueError(f"there is no level {level} of shedding")

    def symbols(self) -> Iterable[str]:
        """Return the one name of all markets together, once there is state."""
        return [ALL_MARKETS] if self._has_state else []

    def snapshot(self, symbol: str) -> State:
        """Return a copy of the whole state.

        Raises:
            KeyError: there is none of this name.
        """
        if symbol != ALL_MARKETS or not self._has_state:
            raise KeyError(symbol)
        return {
            "seconds": self._seconds.state(),
            **nested("board", self._board.state()),
            **nested("arbitrage", self._arbitrage.state()),
            **nested("market_move", self._market_move.state()),
            **nested("layered_burst", self._layered_burst.state(len(self._board.listings))),
        }

    def restore(self, symbol: str, state: State) -> None:
        """Replace the state; what follows is bit-identical to never having stopped.

        Raises:
            SnapshotRefusedError: the state is damaged, or of other parameters; there is none then.
        """
        self._begin()
        try:
            self._seconds.load_state(loaded_str(state, "seconds"))
            self._board.load_state(under("board", state))
            listings = len(self._board.listings)
            for row in range(listings):
                self._add(row)
            self._arbitrage.load_state(under("arbitrage", state))
            self._market_move.load_state(under("market_move", state))
            self._layered_burst.load_state(under("layered_burst", state), listings)
        except ValueError as error:
            self._begin()
            raise SnapshotRefusedError(symbol=symbol, reason=str(error)) from error
        self._has_state = True

    def evict(self, symbol: str) -> None:
        """Forget all markets."""
        if symbol == ALL_MARKETS:
            self._begin()
