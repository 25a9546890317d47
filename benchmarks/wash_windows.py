"""Recordings as windows of trades: what the tests for wash trading find in each, and what is told."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatMatrix, FloatVector, IntVector
from detector.engine import Engine
from detector.lane import Judgement
from detector.params import EngineParams
from detector.patterns.wash_trading import WASH_TESTS, WashTradingParams
from detector.telling import Evidence
from shared.clock import MICROSECONDS_PER_DAY
from shared.errors import TapewatchError
from shared.events import Anomaly, EpisodePhase, Trade
from shared.recordings import read
from shared.stream.columns import TradeColumns

NAME: Final = "wash_trading"
PARAMS: Final = EngineParams(enabled=(NAME,))
SUSPECTED: Final = "ALPINEBTC"
_KINDS: Final = (
    "frames/binance-spot/*",
    "binance-vision/*.zip",
    "crash-2025-10-10/*",
    "pumps/trades/*.csv.zst",
)
# Of these the tests look for little, and the kernel for much: what is kept is the kernel's.
_NEGATIVE: Final = np.array([-1.0 if test in {"round_sizes", "net_change"} else 1.0 for test in WASH_TESTS])


class Windows(NamedTuple):
    """The judgements of one market, one every 256 trades from the first full window on.

    Attributes:
        market: of which recording.
        scores: n.
        values: n x tests, the larger the more it speaks for washing.
        logs: n x tests, minus the natural logarithms of the p-values.
        ends_s: n, event time of each.
        spans_s: n, that each covers.
        alarms: episodes that were opened.
        days: from the first trade to the last.
    """

    market: str
    scores: FloatVector
    values: FloatMatrix
    logs: FloatMatrix
    ends_s: FloatVector
    spans_s: FloatVector
    alarms: int
    days: float


@dataclass
class _Witness:
    """Keeps what the engine made of each window of a single market."""

    step: int = WashTradingParams().step_trades
    window: int = WashTradingParams().window_trades
    seen: int = 0
    columns: list[FloatMatrix] = field(default_factory=list)

    def __call__(self, evidence: Evidence, judgements: Mapping[str, Judgement]) -> None:
        judged = judgements[NAME]
        numbers = self.seen + 1 + np.arange(len(judged.scores))
        self.seen += len(numbers)
        rows = np.flatnonzero((numbers % self.step == 0) & (numbers >= self.window))
        if rows.size:
            names = (*WASH_TESTS, *(f"p_{test}" for test in WASH_TESTS), "wash_window_s")
            notes = [judged.notes[name][rows] for name in names]
            self.columns.append(
                np.stack([evidence.clock_us[rows] * 1e-6, judged.scores[rows], *notes], axis=1)
            )


def judge(market: str, batches: Iterable[Sequence[Trade]]) -> Windows | None:
    """Return the windows of a market's tape; None when it has not one."""
    witness = _Witness()
    engine = Engine(PARAMS, witness=witness)
    alarms, first_us, last_us = 0, 0, 0
    for batch in batches:
        times_us = TradeColumns.of(batch).times_us
        first_us = first_us or int(times_us[0])
        last_us = int(times_us[-1])
        alarms += sum(
            isinstance(event, Anomaly) and event.episode.phase == EpisodePhase.OPENED
            for event in engine.on_batch(batch)
        )
    if not witness.columns:
        return None
    table = np.concatenate(witness.columns)
    tests = len(WASH_TESTS)
    return Windows(
        market=market,
        scores=table[:, 1],
        values=table[:, 2 : 2 + tests] * _NEGATIVE,
        logs=-np.log(table[:, 2 + tests : 2 + 2 * tests]),
        ends_s=table[:, 0],
        spans_s=table[:, -1],
        alarms=alarms,
        days=(last_us - first_us) / MICROSECONDS_PER_DAY,
    )


def tapes(folder: Path) -> dict[str, TradeColumns]:
    """Return the recordings of trades in a folder of real data, by short names, each of one market.

    Raises:
        TapewatchError: the market that is taken for washed is not among them.
    """
    found = {}
    for path in chain.from_iterable(sorted(folder.glob(kind)) for kind in _KINDS):
        sys.stderr.write(f"reading {path.name}\n")
        name = path.name.split(".")[0].replace("_trades_2025-10-10", "").replace("-aggTrades", "")
        found[name] = TradeColumns.of([trade for batch in read([path]) for trade in batch])
    if SUSPECTED not in found:
        raise TapewatchError(f"there is no recording of {SUSPECTED} in {folder}; set REAL_DATA_DIR")
    return found


def batches(tape: TradeColumns, size: int = 5_000) -> Iterable[TradeColumns]:
    """Yield a tape in batches."""
    for start in range(0, len(tape), size):
        yield tape.take(np.arange(start, min(start + size, len(tape))))


def disjoint(windows: Windows) -> IntVector:
    """Return which windows share no trade, the last among them."""
    step = WashTradingParams().window_trades // WashTradingParams().step_trades
    return np.arange(len(windows.scores) - 1, -1, -step)[::-1]
