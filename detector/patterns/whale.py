"""Whale: an order that is huge for its market, and huge in money, however it was split.

Idea: the market's own tail of order sizes says how rare a size is; an absolute floor says what is worth a
look. Fills of one taker at one instant are one order, and so are equal slices: trades of the same quantity on
the same side, of twice the market's mean size or more, each within 60 s of the one before, at three instants
or more.

Score: notional of the order so far, in quote units; of equal slices, all of them, if that is more.

What followed: a minute after the largest order within that minute, what the price did at once and what is
left of it is told as an update of the episode.

Episodes: whales come in schools. One opens with an order as rare as the whole alert budget, and goes on while
others come within an hour and a half that are rare by the lower bar (`detector/episodes.py`); each of these
is told with what followed it, and alerts nobody again unless it is more severe.

Warm-up: none of its own; the calibrator's.

Cost: a dozen operations per trade, and a look into a table of 16 for those of twice the mean size. Memory:
0.9 kB per market.

Blind spots: an order in unequal pieces over time; two takers at one instant count as one; a market where
everybody trades the same round quantity.

Reference: none; the rarity is that of `detector/calibration.py`.

Example:
    >>> import numpy as np
    >>> rows = np.zeros((2, len(WHALE_FEATURES)))
    >>> rows[:, WHALE_FEATURES.index("notional")] = [50.0, 250_000.0]
    >>> whale = Whale(WhaleParams(), features=WHALE_FEATURES)
    >>> whale.open(0, identity="binance/BTC-USDT")
    >>> whale.score_learn(Runs.single(0, 2), rows).eligible.tolist()
    [False, True]
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, loaded, resized
from detector.kernels import orders as kernel
from detector.online.protocol import AFTER_S, DecidesOn, Finding, Scale, Scored
from detector.runs import Runs
from detector.wording import amount, duration, percent, recurrence
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 2
# What it looks at, in the order of the kernel's input.
WHALE_FEATURES: Final = ("event_time_s", "log_return", "notional", "signed_flow", "quantity")
_NOTES: Final = (
    "whale_fills",
    "whale_at_instant",
    "whale_in_slices",
    "whale_slices",
    "whale_span_s",
    AFTER_S,
    "after_order",
    "after_at_once",
    "after_left",
)
# Moves below this are none.
_STILL: Final = 5e-5


@dataclass(frozen=True, kw_only=True)
class WhaleParams:
    """What is too small, and what belongs together.

    Attributes:
        min_notional: of an order, in quote units.
        quiet_s: event time without another whale that ends a school of them.
    """

    min_notional: float = 100_000.0
    quiet_s: float = 5_400.0

    def __post_init__(self) -> None:
        if self.min_notional < 0:
            raise ValueError(f"min_notional must not be negative: {self.min_notional}")


class Whale:
    """Scores a trade by the notional of the order that it belongs to; all markets, by slot."""

    name = "whale"
    kind = "whale"
    columns: tuple[str, ...] = ("notional", "whale_at_instant", "whale_in_slices")
    decides_on: DecidesOn = "rarity"
    threshold = float("nan")
    scale: Scale = "log"
    window_s = 0.0

    def __init__(self, params: WhaleParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        self.quiet_s = params.quiet_s
        self._floor = params.min_notional
        self._at = np.array([features.index(name) for name in WHALE_FEATURES], np.int64)
        self._memories = np.zeros((0, kernel.MEMORY), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Begin with no order."""
        self._memories = resized(self._memories, slot)
        self._memories[slot] = 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row with the orders that it belongs to."""
        n = len(rows)
        scores, eligible = np.empty(n, np.float64), np.empty(n, np.bool_)
        shares, notes = np.zeros((n, kernel.PARTS), np.float64), np.zeros((n, kernel.NOTES), np.float64)
        kernel.judge(
            *runs,
            rows,
            self._at,
            self._floor,
            explain_all,
            self._memories,
            scores,
            shares,
            eligible,
            notes,
        )
        return Scored(scores, shares, eligible, notes=dict(zip(_NOTES, notes.T, strict=True)))

    def state(self, slot: int) -> State:
        """Return a copy of what is remembered of a market."""
        return {"memory": self._memories[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        memory = loaded(state, "memory", self._memories, shape=(kernel.MEMORY,))
        if np.isnan(memory).any():
            raise ValueError("memory holds what is no number")
        self._memories[slot] = memory

    def sentence(self, finding: Finding) -> str:
        """Return size, how it was split, size against the usual, and how often such a thing happens."""
        if AFTER_S in finding.features:
            return _sequel(finding)
        compared = (
            f", {amount(finding.score / finding.usual_score)} times the usual size"
            if finding.usual_score > 0
            else ""
        )
        return (
            f"{finding.symbol}: {_split(finding)}{compared}; "
            f"something this large happens {recurrence(finding)}."
        )


def _sequel(finding: Finding) -> str:
    """Return what the price did after an order."""
    features = finding.features
    side = "sell" if features["after_order"] < 0 else "buy"
    order = f"a {side} of {amount(abs(features['after_order']))} {_quote(finding.symbol)}"
    return f"{finding.symbol}, after {order}: {_moved(features, duration(features[AFTER_S]))}."


def _split(finding: Finding) -> str:
    """Return the order: `one sell of 250,000 USDT`, `a sell of 250,000 USDT in 7 fills at one instant`."""
    features, quote = finding.features, _quote(finding.symbol)
    side = "sell" if features["signed_flow"] < 0 else "buy"
    order = f"{side} of {amount(finding.score)} {quote}"
    slices, fills = round(features.get("whale_slices", 0.0)), round(features.get("whale_fills", 0.0))
    if slices:
        return f"a {order} in {slices} equal slices within {duration(features['whale_span_s'])}"
    return f"a {order} in {fills} fills at one instant" if fills > 1 else f"one {order}"


def _moved(features: dict[str, float], since: str) -> str:
    """Return what the price did at once, and what is left of it."""
    at_once, left = features["after_at_once"], features["after_left"]
    if abs(at_once) < _STILL:
        return f"no move at once, {_change(left)} {since} later"
    back = (at_once - left) / at_once
    if back < 0.0:
        return f"{_change(at_once)} at once, {_change(left)} {since} later"
    told = "nothing" if back < 0.05 else "all" if back > 0.95 else percent(back)
    return f"{_change(at_once)} at once, {told} of it given back within {since}"


def _change(fraction: float) -> str:
    if abs(fraction) < _STILL:
        return "no move"
    return f"{'+' if fraction > 0 else '-'}{percent(abs(fraction))}"


def _quote(symbol: str) -> str:
    return symbol.partition("-")[2] or "quote units"
