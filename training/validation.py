"""How good a scorer is on markets that it has not learned from, and what it adds to the detector alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatMatrix
from detector.evaluation.events import Alarm, Truth
from detector.evaluation.matching import Tally, match
from detector.evaluation.rules import RULES
from detector.evaluation.tapes import MarketTape
from detector.patterns.pump_dump import PUMP_FEATURES, PumpDump, PumpDumpParams
from detector.runs import Runs
from training.pumps import KIND, Examples, ForestParams, Progress, train

_USUAL: Final = PumpDumpParams()
_SEED: Final = 1


class Recorded(NamedTuple):
    """A recorded market.

    Attributes:
        tape: what was traded.
        rows: what the detector looks at, trade by trade.
        truths: what is labelled on it.
    """

    tape: MarketTape
    rows: FloatMatrix
    truths: list[Truth]


class Use(NamedTuple):
    """What a scorer may decide."""

    name: str
    veto_below: float = 0.0
    confirm_at: float = 0.0


ALONE: Final = Use("the detector alone")
USES: Final = (
    *(Use(f"vetoes below {share:.1f}", veto_below=share) for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
    *(Use(f"confirms from {share:.1f} on", confirm_at=share) for share in (0.7, 0.8, 0.9)),
    Use("vetoes below 0.5, confirms from 0.8 on", veto_below=0.5, confirm_at=0.8),
)
# What the detector gets without a scorer, by asking for more evidence.
STRICTER: Final = (7.0, 7.4, 7.8)


def left_out(
    markets: Sequence[Recorded],
    found: Examples,
    params: ForestParams,
    *,
    folds: int,
    progress: Progress | None = None,
) -> dict[str, Tally]:
    """Return how good the detector is with a scorer that knows nothing of the market, by use of the scorer.

    Args:
        markets: all that is recorded.
        found: the examples of these markets.
        params: of the forests.
        folds: parts that the symbols are dealt into, those with pumps evenly; each is judged once.
        progress: told what is done, how much of it and of how much.

    Raises:
        TapewatchError: without one of the parts there is too little to learn from.
    """
    tallies: dict[str, list[Tally]] = {
        ALONE.name: [_tally(market, _USUAL) for market in markets],
        **{
            f"alone, from {threshold} on": [
                _tally(market, replace(_USUAL, threshold=threshold)) for market in markets
            ]
            for threshold in STRICTER
        },
    }
    for number, fold in enumerate(_folds(found, markets, folds), 1):
        scorer = train(found.without(fold), params)
        for use in USES:
            judged = replace(_USUAL, scorer=scorer, veto_below=use.veto_below, confirm_at=use.confirm_at)
            own = [_tally(market, judged) for market in markets if market.tape.symbol in fold]
            tallies.setdefault(use.name, []).extend(own)
        if progress is not None:
            progress("parts judged by a forest that knows the others", number, folds)
    return {name: Tally.of_all(of_use) for name, of_use in tallies.items()}


def _folds(found: Examples, markets: Sequence[Recorded], folds: int) -> list[set[str]]:
    rng = np.random.default_rng(_SEED)
    pumped = sorted(
        {symbol for symbol, is_pump in zip(found.symbols, found.are_pumps, strict=True) if is_pump}
    )
    others = sorted({market.tape.symbol for market in markets} - set(pumped))
    dealt = [*rng.permutation(pumped).tolist(), *rng.permutation(others).tolist()]
    return [set(dealt[number::folds]) for number in range(folds)]


def _tally(market: Recorded, params: PumpDumpParams) -> Tally:
    """Return what became of a market's pumps, and of the detector's alarms."""
    tape, stage = market.tape, PumpDump(params, features=PUMP_FEATURES)
    alarms = []
    for span in tape.spans:
        stage.open(0, identity=f"{tape.exchange}/{tape.symbol}")
        first, last = np.searchsorted(tape.times_us, [span.start_us, span.end_us]).tolist()
        runs = stage.score_learn(Runs.single(0, last - first), market.rows[first:last]).eligible
        begins = first + np.flatnonzero(runs & ~np.concatenate([[False], runs[:-1]]))
        alarms += [Alarm(KIND, tape.exchange, tape.symbol, at_us) for at_us in tape.times_us[begins].tolist()]
    return match(market.truths, alarms, [tape.watch], RULES[KIND]).tally
