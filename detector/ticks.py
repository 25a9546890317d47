"""Ticks: every market in short, for the step that looks at all of them together (`detector/cross/`).

A trade is told when `interval_s` of event time have passed since the market's last tick; or before that, when
the price has moved by m >= `move_bps` since, and so much the sooner the further it moved: after `shortest_s`
times `move_bps` / m (with the defaults 5 bps after 100 ms, 50 bps after 10 ms). A trade at which an episode
opens is told at once, with the anomaly. The venue's and market's own event times alone decide, so a replay
tells the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from detector.arrays import BoolVector, IntVector, loaded, resized
from detector.batch import Batch
from detector.kernels import ticks as kernel
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase, MarketTick, Trade
from shared.stream.step import OutputEvent, State

_NONE_FORCED = np.zeros(0, np.bool_)


@dataclass(frozen=True, kw_only=True)
class TickParams:
    """When a trade is told.

    Attributes:
        interval_s: since the last tick; any trade is told then.
        move_bps: since the last tick, in hundredths of a percent; a trade that far is told sooner.
        shortest_s: how soon, for a move of just `move_bps`.
    """

    interval_s: float = 1.0
    move_bps: float = 5.0
    shortest_s: float = 0.1

    def __post_init__(self) -> None:
        if min(self.interval_s, self.move_bps, self.shortest_s) <= 0:
            raise ValueError(f"all of them must be positive: {self}")


class Ticks:
    """Sums up what is traded on every market between its ticks.

    Memory: 40 bytes per market.
    """

    def __init__(self, params: TickParams) -> None:
        self._interval_us = round(params.interval_s * MICROSECONDS_PER_SECOND)
        self._shortest_us = round(params.shortest_s * MICROSECONDS_PER_SECOND)
        self._move_bps = params.move_bps
        self._marks = np.zeros((0, kernel.MARKS), np.int64)
        self._sums = np.zeros((0, kernel.SUMS), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Begin to sum up a market."""
        self._marks, self._sums = resized(self._marks, slot), resized(self._sums, slot)
        self._marks[slot], self._sums[slot] = 0, 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def tell(
        self, batch: Batch, clock_us: IntVector, events: Iterable[tuple[int, OutputEvent]]
    ) -> list[tuple[int, MarketTick]]:
        """Return the ticks of a batch, each with the row of its trade.

        Args:
            batch: n trades.
            clock_us: n event times after the rule for late trades.
            events: what detectors found in it, with rows.
        """
        n = len(clock_us)
        opened: dict[int, tuple[Anomaly, ...]] = {}
        for row, event in events:
            if isinstance(event, Anomaly) and event.episode.phase is EpisodePhase.OPENED:
                opened[row] = (*opened.get(row, ()), event)
        rows, trades = np.empty(n, np.int64), np.empty(n, np.int64)
        notionals, flows = np.empty(n, np.float64), np.empty(n, np.float64)
        found = kernel.tell(
            *batch.runs,
            batch.tape.prices,
            batch.tape.quantities,
            batch.tape.sells,
            clock_us,
            _forced(opened, n),
            self._interval_us,
            self._shortest_us,
            self._move_bps,
            self._marks,
            self._sums,
            rows,
            trades,
            notionals,
            flows,
        )
        sums = (column[:found].tolist() for column in (rows, trades, notionals, flows))
        return [
            (row, _tick(batch.trade(row), count, notional, flow, opened.get(row, ())))
            for row, count, notional, flow in zip(*sums, strict=True)
        ]

    def state(self, slot: int) -> State:
        """Return a copy of a market's sums."""
        return {"marks": self._marks[slot].copy(), "sums": self._sums[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._marks[slot] = loaded(state, "marks", self._marks, shape=(kernel.MARKS,))
        self._sums[slot] = loaded(state, "sums", self._sums, shape=(kernel.SUMS,))


def _forced(opened: Iterable[int], n: int) -> BoolVector:
    rows = list(opened)
    if not rows:
        return _NONE_FORCED
    forced = np.zeros(n, np.bool_)
    forced[rows] = True
    return forced


def _tick(trade: Trade, trades: int, notional: float, flow: float, opened: tuple[Anomaly, ...]) -> MarketTick:
    return MarketTick(
        trade.exchange,
        trade.symbol,
        trade.trade_id,
        trade.price,
        trade.quantity,
        trade.is_buyer_maker,
        trade.event_time_us,
        trade.received_time_us,
        trades=trades,
        notional=notional,
        signed_flow=flow,
        opened=opened,
    )
