"""Flash crash and spike: within minutes the price is far from where it was, and far for this market.

Idea: the fall from the highest price of the last minute, five minutes and half hour, each against the larger
of an absolute floor and of so many times what the market usually moves within that time; beside it a fixed
rule (10 % within 300 s), which needs no knowledge of the market. A spike is the same upwards.

Score: the largest of the four falls, each divided by what is required of it (logarithms of prices); 0 below a
quarter. From 0; a crash from 1 on; while one runs it is the highest so far. It decides by itself.

Usual: the mean distance that medians of three trades move within a minute, of the last day or so, times the
root of the minutes; no minute counts for more than four usual ones, so that a crash does not become usual.

A fall must also end a quarter of its depth below where the price has been in the last quarter of an hour (a
fading mean): a return from a spike is no crash, and a recovery no spike.

Phases: a fall begins with the score, when nine tenths of it have been there for 5 s, or at one and a half.
What followed is told once: when half of it has come back for 10 s, or after 10 min without a new low; and
again only after a low that is a quarter deeper. It is over when nine tenths are back a minute after the low
or later, half an hour after the last low, or when nobody trades for as long as closes an episode.

Warm-up: an hour of minutes with trades, until which only the fixed rule speaks.

Cost: a dozen comparisons per trade; every 10 s of a market, a pass over 90 numbers. Memory: 1.2 kB per
market and direction.

Blind spots: falls that take hours; a market with fewer than ten trades within 300 s; a fall that reverses
within two trades.

Reference: none; winsorised means for what is usual are folklore.

Example:
    >>> import numpy as np
    >>> names = ("event_time_s", "log_return", "drawdown_300s", "drawdown_age_300s", "count_300s")
    >>> rows = np.zeros((3, 5))
    >>> rows[:, 0], rows[:, 4] = [1_000.0, 1_007.0, 1_008.0], 50.0
    >>> rows[1:, 2:4] = [-0.123, 7.0]
    >>> rows[1, 1] = -0.131
    >>> crash = FlashCrash(FlashCrashParams(), features=names)
    >>> crash.open(0, identity="binance/SKY-USDT")
    >>> scored = crash.score_learn(Runs.single(0, 3), rows)
    >>> scored.scores.round(2).tolist(), scored.eligible.tolist()
    ([0.0, 1.25, 1.25], [False, False, True])
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import FloatMatrix, loaded, resized
from detector.features import window_label
from detector.kernels import crashes as kernel
from detector.online.protocol import TURNED, DecidesOn, Finding, Scale, Scored
from detector.runs import Runs
from detector.wording import duration, percent, price, times
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 2
# Of the floor within 300 s: what is asked for within a minute, and within half an hour.
_SHARES_OF_FLOOR: Final = (0.75, 1.0, 1.25)
# By crash_ or spike_; the one without a name is `TURNED`.
_NOTES: Final = (
    *("phase", "", "depth", "elapsed_s", "lowest", "to_lowest_s"),
    *("since_lowest_s", "recovered", "times_usual", "window_s"),
)
# The logarithm of what the fixed rule looks at is taken from this share of it on.
_NEAR: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class FlashCrashParams:
    """What is a crash, or a spike, and when it is over.

    Attributes:
        drop_pct: fall from the window's highest that always is one, in percent; rise from its lowest.
        window_s: within which it must happen; one of the feature windows.
        min_drop_pct: smaller ones within 300 s never are; three quarters of it within a minute, five quarters
            within half an hour.
        times_usual: smaller ones against what the market usually moves in that time never are, but by the
            fixed rule.
        min_trades: in the window, so that no first prints of a market make one.
        known_after: minutes with trades from which on the usual is known.
        back_s: event time for which half must have come back.
        calm_s: event time without a new low, after which that is told.
        over_s: event time without a new low, after which it is over.
        quiet_s: silence after which it is over; no more than closes an episode.
        stands_s: event time for which nine tenths of what is required must have been there, unless half as
            much more is: what a single order does to an empty book is no crash when it is gone at once.
    """

    drop_pct: float = 10.0
    window_s: float = 300.0
    min_drop_pct: float = 4.0
    times_usual: float = 7.0
    min_trades: int = 10
    known_after: int = 60
    back_s: float = 10.0
    calm_s: float = 600.0
    over_s: float = 1_800.0
    quiet_s: float = 60.0
    stands_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.drop_pct < 100:
            raise ValueError(f"drop_pct must be between 0 and 100, not {self.drop_pct}")
        if not 0 < self.min_drop_pct < 50:
            raise ValueError(f"min_drop_pct must be between 0 and 50, not {self.min_drop_pct}")


def crash_features(window_s: float) -> tuple[str, ...]:
    """Return the columns that crash and spike look at, beside those that there always are."""
    label = window_label(window_s)
    return tuple(f"{name}_{label}" for name in ("drawdown", "drawdown_age", "run_up", "run_up_age", "count"))


class _Move:
    """Scores a trade by how far the price has moved in one direction; all markets, by slot."""

    name: str
    kind: str
    decides_on: DecidesOn = "score"
    scale: Scale = "log"
    threshold = 1.0
    window_s = kernel.WINDOWS_S[-1]
    _direction: float
    _feature: str
    _prefix: str

    def __init__(self, params: FlashCrashParams, *, features: tuple[str, ...]) -> None:
        self.fingerprint = content_id(self.name, _VERSION, repr(params))
        label = window_label(params.window_s)
        looked_at = (f"{self._feature}_{label}", f"{self._feature}_age_{label}", f"count_{label}")
        self._at = np.array([features.index(n) for n in ("event_time_s", "log_return", *looked_at)], np.int64)
        depths = tuple(f"{self._prefix}_{window_label(w)}" for w in kernel.WINDOWS_S)
        self.columns: tuple[str, ...] = (looked_at[0], *depths)
        own = tuple(f"{self._prefix}_{name}" if name else TURNED for name in _NOTES)
        self._notes = (*own, *depths)
        required = [share * params.min_drop_pct for share in _SHARES_OF_FLOOR]
        self._limits = np.array(
            [
                *(self._logarithm(pct / 100.0) for pct in (params.drop_pct, *required)),
                params.times_usual,
                _NEAR * params.drop_pct / 100.0,
                params.min_trades,
                params.known_after,
                params.back_s,
                params.calm_s,
                params.over_s,
                params.quiet_s,
                params.stands_s,
            ],
            np.float64,
        )
        self._memories = np.zeros((0, kernel.MEMORY), np.float64)

    def _logarithm(self, fraction: float) -> float:
        return abs(math.log1p(-self._direction * fraction))

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Begin to learn what is usual on a market."""
        self._memories = resized(self._memories, slot)
        self._memories[slot] = 0.0
        kernel.restart(self._memories[slot])

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Score each row, then learn it."""
        n = len(rows)
        scores, eligible = np.empty(n, np.float64), np.empty(n, np.bool_)
        shares, notes = np.zeros((n, kernel.RULES), np.float64), np.zeros((n, kernel.NOTES), np.float64)
        kernel.judge(
            *runs,
            rows,
            self._at,
            self._direction,
            self._limits,
            explain_all,
            self._memories,
            scores,
            shares,
            eligible,
            notes,
        )
        return Scored(scores, shares, eligible, notes=dict(zip(self._notes, notes.T, strict=True)))

    def state(self, slot: int) -> State:
        """Return a copy of what is remembered of a market."""
        return {"memory": self._memories[slot].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        memory = loaded(state, "memory", self._memories, shape=(kernel.MEMORY,))
        if not np.isin(memory[kernel.PHASE], (kernel.QUIET, kernel.FALLING, kernel.FOLLOWED, kernel.OVER)):
            raise ValueError(f"memory has no phase {memory[kernel.PHASE]}")
        if np.isnan(memory).any():
            raise ValueError("memory holds what is no number")
        self._memories[slot] = memory

    def sentence(self, finding: Finding) -> str:
        """Return how far it went, within which time, from where to where; and what followed."""
        depth = self._noted(finding, "depth")
        start = finding.price * math.exp(self._direction * depth)
        if self._noted(finding, "phase") == kernel.FOLLOWED:
            return self._followed(finding, start)
        return (
            f"{finding.symbol} {self._verb} {self._percent(depth)} within "
            f"{duration(self._noted(finding, 'elapsed_s'))}, from {_rounded(start)} to {price(finding.price)}"
            f"{self._against_usual(finding)}."
        )

    def _followed(self, finding: Finding, start: float) -> str:
        lowest = self._noted(finding, "lowest")
        back = self._noted(finding, "recovered")
        end = start * math.exp(-self._direction * lowest)
        word = "recovered" if self._direction > 0 else "given back"
        return (
            f"{finding.symbol} {self._verb} {self._percent(lowest)} within "
            f"{duration(self._noted(finding, 'to_lowest_s'))}, from {_rounded(start)} to {_rounded(end)}; "
            f"{duration(self._noted(finding, 'since_lowest_s'))} later {percent(max(back, 0.0))} of that is "
            f"{word}, at {price(finding.price)}."
        )

    @property
    def _verb(self) -> str:
        return "fell" if self._direction > 0 else "rose"

    def _noted(self, finding: Finding, name: str) -> float:
        return finding.features.get(f"{self._prefix}_{name}", 0.0)

    def _percent(self, logarithm: float) -> str:
        return percent(abs(math.expm1(-self._direction * logarithm)))

    def _against_usual(self, finding: Finding) -> str:
        ratio, window_s = self._noted(finding, "times_usual"), self._noted(finding, "window_s")
        return f": {times(ratio)} its usual move within {duration(window_s)}" if ratio > 0 else ""


def _rounded(value: float) -> str:
    """Return a price that was computed, without the digits that arithmetic adds."""
    return price(float(f"{value:.10g}"))


class FlashCrash(_Move):
    """Scores a trade by how far the price has fallen."""

    name = "flash_crash"
    kind = "flash_crash"
    _direction, _feature, _prefix = 1.0, "drawdown", "crash"


class Spike(_Move):
    """Scores a trade by how far the price has risen."""

    name = "spike"
    kind = "spike"
    _direction, _feature, _prefix = -1.0, "run_up", "spike"
