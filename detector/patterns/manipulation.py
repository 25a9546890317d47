"""Market manipulation: one side drives the price, and it is taken back at once.

Idea: momentum ignition (a burst of orders on one side moves the price further than its volatility explains,
so that others follow, and the price returns within minutes, as nothing was behind it), and marking the close
(the same in the last seconds before a full hour, at which candles close and prices are read).

Score: evidence, from 0: the sum of half of ln(move / 3 usual moves), a quarter of ln(volume /
`min_times_usual`), 1.5 times ln(steps / 4), ln(share taken back / `taken_back`), and 2 when the peak was
within `close_s` before a full hour. It is 0 until the move was taken back; from 2.5 on it decides by itself.
A usual move is the root of the mean squared return over 10 s, of the last day before the move or of the last
quarter of an hour, whichever is more. Steps are the squared move over the sum of the squared returns that it
is made of: a burst of orders climbs in many, one order that eats through an empty book jumps in one.

Warm-up: six hours, in which it learns what is usual.

Cost: a few comparisons per trade; more only after a move of `min_close_move`, and every 10 s. Memory: 192
bytes per market.

Blind spots: a move that is not taken back within minutes; one that takes longer than a minute; orders that
rest in the book and are cancelled (`quotes` would show them). A natural overshoot on news looks the same:
public trades carry no intent.

Reference: Credit Suisse AES Analysis, "High Frequency Trading: Measurement, Detection and Response" (2012),
for momentum ignition as volume, then a move out of proportion to volatility, then its reversion. C. Comerton-
Forde, T. Putnins, "Measuring closing price manipulation", Journal of Financial Intermediation 20 (2011), for
marking as abnormal returns before the close that revert after it. The evidence is ours.

Example:
    >>> import numpy as np
    >>> from detector.runs import Runs
    >>> stage = Manipulation(ManipulationParams(warm_up_s=0.0), features=MANIPULATION_FEATURES)
    >>> stage.open(0, identity="binance/POL-USDT")
    >>> quiet = dict.fromkeys(MANIPULATION_FEATURES, 0.0) | {"notional": 1.0, "notional_10s": 1.0}
    >>> tape = [quiet | {"event_time_s": 10.0 * n} for n in range(400)]
    >>> window = {"return_10s": 0.02, "notional_10s": 30.0, "count_10s": 25.0, "imbalance_10s": 0.9}
    >>> drive = window | {"log_return": 0.02, "volatility_10s": 0.004}
    >>> tape += [quiet | drive | {"event_time_s": 4_001.0}]
    >>> tape += [quiet | {"log_return": -0.018, "event_time_s": 4_005.0}, quiet | {"event_time_s": 4_008.0}]
    >>> rows = np.array([[row[name] for name in MANIPULATION_FEATURES] for row in tape])
    >>> scored = stage.score_learn(Runs.single(0, len(rows)), rows)
    >>> scored.eligible.nonzero()[0].tolist(), scored.notes["driven_move"][-1].round(3).item()
    ([402], 0.02)
"""

from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from detector.arrays import BoolVector, FloatMatrix, FloatVector, loaded, resized
from detector.kernels import driven_moves as kernel
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.runs import Runs
from detector.wording import amount, duration, percent
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 1
# What it looks at, in the order of the kernel's input.
MANIPULATION_FEATURES: Final = (
    "event_time_s",
    "log_return",
    "notional",
    "return_10s",
    "notional_10s",
    "count_10s",
    "imbalance_10s",
    "volatility_10s",
)
_TERMS: Final = ("driven_sigmas", "driven_times_usual", "driven_steps", "taken_back", "at_close")
_HOUR_S: Final = 3_600.0
_NOTES: Final = (
    "driven_move",
    "driven_s",
    "driven_times_usual",
    "driven_share",
    "taken_back",
    "taken_back_s",
    "driven_peak_s",
    "driven_sigmas",
    "driven_steps",
    "at_close",
)


@dataclass(frozen=True, kw_only=True)
class ManipulationParams:
    """What is a move that one side drives, and when it is taken back.

    Attributes:
        threshold: on the evidence.
        min_move: log return within 10 s.
        min_close_move: the same before a full hour.
        max_move: log return as a whole; what goes further is a crash or a pump, and told as such.
        min_sigmas: that move against the usual one.
        min_close_sigmas: the same before a full hour.
        min_times_usual: notional within 10 s against the usual one.
        min_trades: within 10 s: one order that eats through an empty book is no burst.
        min_share: imbalance of the takers in the direction of the move, 0 to 1.
        taken_back: share of the move (of its logarithm) that must be undone.
        drive_s: event time for which it may go on growing; what grows for longer is a trend.
        return_s: event time after the peak within which it must be taken back.
        held_s: event time for which it must stay so.
        close_s: what is so many seconds before a full hour is before the close.
        rearm_s: event time until another one is looked for.
        warm_up_s: event time from a market's first trade.
    """

    threshold: float = 2.5
    min_move: float = 0.005
    min_close_move: float = 0.002
    max_move: float = 0.1
    min_sigmas: float = 5.0
    min_close_sigmas: float = 3.0
    min_times_usual: float = 5.0
    min_trades: float = 20.0
    min_share: float = 0.5
    taken_back: float = 0.6
    drive_s: float = 60.0
    return_s: float = 300.0
    held_s: float = 2.0
    close_s: float = 10.0
    rearm_s: float = 600.0
    warm_up_s: float = 21_600.0

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold must be positive, not {self.threshold}")
        if not 0 < self.min_close_move <= self.min_move:
            raise ValueError("min_close_move must be positive, and no more than min_move")
        if self.max_move <= self.min_move:
            raise ValueError(f"max_move must be above min_move, not {self.max_move}")
        if not 0 < self.min_close_sigmas <= self.min_sigmas:
            raise ValueError("min_close_sigmas must be positive, and no more than min_sigmas")
        if not 0 < self.taken_back <= 1:
            raise ValueError(f"taken_back must be above 0 and at most 1, not {self.taken_back}")


# Of size, volume, steps, share taken back and the clock.
_WEIGHTS: Final = (0.5, 0.25, 1.5, 1.0, 2.0)


class Manipulation:
    """Scores a trade by the evidence that a driven move was taken back; all markets, by slot."""

    name = "manipulation"
    kind = "manipulation"
    columns: tuple[str, ...] = _TERMS
    decides_on: DecidesOn = "score"
    scale: Scale = "log"

    def __init__(self, params: ManipulationParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        self.threshold = params.threshold
        self.window_s = params.drive_s + params.return_s
        self._at = np.array([features.index(name) for name in MANIPULATION_FEATURES], np.int64)
        self._weights = np.array(_WEIGHTS, np.float64)
        self._limits = np.array(astuple(params), np.float64)
        self._memories = np.zeros((0, kernel.MEMORY), np.float64)

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Begin to learn what is usual on a market."""
        self._memories = resized(self._memories, slot)
        self._memories[slot] = 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:  # noqa: ARG002 - there is evidence only where something is found
        """Score each row, then learn it."""
        n = len(rows)
        scores, eligible = np.empty(n, np.float64), np.empty(n, np.bool_)
        shares, notes = np.zeros((n, kernel.TERMS), np.float64), np.empty((n, kernel.NOTES), np.float64)
        kernel.judge(
            *runs,
            rows,
            self._at,
            self._weights,
            self._limits,
            self._memories,
            scores,
            shares,
            eligible,
            notes,
            np.empty(kernel.TERMS),
            np.empty(kernel.INPUTS),
        )
        return Scored(scores, shares, eligible, notes=_noted(notes, eligible))

    def state(self, slot: int) -> State:
        """Return a copy of what is remembered of a market."""
        return {"memory": self._memories[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        memory = loaded(state, "memory", self._memories, shape=(kernel.MEMORY,))
        if not np.isin(memory[kernel.PHASE], (kernel.QUIET, kernel.DRIVEN, kernel.OVER)):
            raise ValueError(f"memory has no phase {memory[kernel.PHASE]}")
        self._memories[slot] = memory

    def sentence(self, finding: Finding) -> str:
        """Return how far, by whom and on what volume it was driven, and how it was taken back."""
        features = finding.features
        if "driven_move" not in features:
            return f"{finding.symbol} shows a driven move that was taken back (evidence {finding.score:.2g})."
        move = features["driven_move"]
        way, side = ("up", "buys") if move > 0 else ("down", "sells")
        share = 0.5 * (1.0 + features["driven_share"])
        driven = (
            f"{percent(abs(move))} {way} within {duration(features['driven_s'])} on "
            f"{amount(features['driven_times_usual'])} times the usual volume, {percent(share)} of it {side}"
        )
        back = (
            f"{percent(min(features['taken_back'], 1.0))} of that taken back within "
            f"{duration(features['taken_back_s'])}"
        )
        if not features["at_close"]:
            return f"{finding.symbol} looks like momentum ignition: driven {driven}; {back}."
        close = datetime.fromtimestamp(round(features["driven_peak_s"] / _HOUR_S) * _HOUR_S, UTC)
        return f"{finding.symbol} may have been marked at the {close:%H:%M} close: driven {driven}; {back}."


def _noted(notes: FloatMatrix, is_noted: BoolVector) -> dict[str, FloatVector]:
    """Return the notes by name; none where nothing was noted, which is nearly always."""
    if not is_noted.any():
        return {}
    notes[~is_noted] = np.nan
    return dict(zip(_NOTES, notes.T, strict=True))
