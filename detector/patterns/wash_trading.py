"""Wash trading: somebody trades with himself, so that a market looks busy.

Idea: public trades carry no identities, but a wash leaves traces in a window of trades: volume that is bought
and sold again, with nothing gained. Eight tests look for them in the last 1,024 trades:

- `round_trips`: share of volume in pairs of a buy and a sell of the very same odd size, one of three digits
  or more (of three digits from the fourth pair on, as coincidences happen);
- `repeated_sizes`: share of orders in odd sizes that come at least four times on either side;
- `benford`: first digits of the distinct sizes against Benford's law, chi-squared over degrees of freedom;
- `round_sizes`: share of orders of one or two significant digits; people round, programs need not;
- `regular_timing`: probability that two times between orders are alike within 2 or 3 %;
- `alternation`: share of orders on the other side than the one before;
- `net_change`: net flow and net change of the price, both over what random signs would give; washing moves
  neither;
- `stillness`: by how many deviations the price range is below that of as many trades on this market before.

Score: minus the decimal logarithm of the probability of all tests together, in ordinary markets; from 0, a
wash from 2.7 on (p = 0.002). Ordinary markets repeat sizes, round them and bounce between bid and ask, so
no textbook distribution holds: each test's p-value is the share of windows of ordinary markets that reach
as much (`detector/patterns/wash_reference.py`), extrapolated exponentially beyond 1 in 200, down to 1e-6.
Minus their logarithms are averaged over an hour, so that minutes of two programs hitting each other are no
wash; and added up with weights (3 for round trips, 2 for repeated sizes, 1 or a half for the circumstances),
the dependence of the tests taken into account (Fisher's method, weighted, by Hou's approximation). Left out
of the reference, ordinary markets reach a combined 0.01 in 1.9 % of their windows, and a test's 0.001 in up
to 0.8 % (`docs/patterns.md`). It decides by itself.

Warm-up: 1,024 trades; stillness says nothing before three windows.

Cost: a pass over the window every 256 trades. Memory: 33 KB per market.

Blind spots: sizes and times drawn at random; round sizes only; a wash that is a small part of its market. A
market maker that quotes one odd size on both sides for hours looks the same: the score says what the tape
looks like, not what somebody meant.

Reference: L. W. Cong, X. Li, K. Tang, Y. Yang, "Crypto Wash Trading", Management Science 69 (2023), for
Benford's law and rounding; A. Aloosh, J. Li, "Direct Evidence of Bitcoin Wash Trading", Management Science 70
(2024), who found tests of tails misleading, which are left out here; F. Victor, A. M. Weintraud, "Detecting
and Quantifying Wash Trading on Decentralized Cryptocurrency Exchanges", WWW 2021, for round trips in equal
volume; C. D. Hou, "A simple approximation for the distribution of the weighted combination of
non-independent or independent probabilities", Statistics & Probability Letters 73 (2005). Round trips by
exact size without identities, and the reference by ordinary markets, are ours.

Example:
    >>> import numpy as np
    >>> from detector.runs import Runs
    >>> washes = WashTrading(WashTradingParams(), features=WASH_FEATURES)
    >>> washes.open(0, identity="binance/ALPINE-BTC")
    >>> rng = np.random.default_rng(1)
    >>> n = 2_048
    >>> rows = np.zeros((n, len(WASH_FEATURES)))
    >>> at = {name: rows[:, k] for k, name in enumerate(WASH_FEATURES)}
    >>> at["event_time_s"][:], at["inter_arrival_s"][:], at["rush_orders"][:] = 60.0 * np.arange(n), 60.0, 1.0
    >>> at["quantity"][:] = np.where(rng.random(n) < 0.5, 47.58, rng.lognormal(3.0, 1.0, n).round(2))
    >>> at["signed_flow"][:] = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    >>> scored = washes.score_learn(Runs.single(0, n), rows)
    >>> bool(np.isnan(scored.scores[1_022])), scored.eligible[1_023:].all().item()
    (True, True)
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.arrays import BoolVector, FloatMatrix, FloatVector, loaded, resized
from detector.kernels import wash as kernel
from detector.kernels.wash import Reference
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.patterns import wash_reference
from detector.runs import Runs
from detector.wording import duration, percent
from shared.codec import content_id
from shared.stream.step import State

_VERSION: Final = 1
# What it looks at, in the order of the kernel's input.
WASH_FEATURES: Final = (
    "event_time_s",
    "log_return",
    "signed_flow",
    "quantity",
    "rush_orders",
    "inter_arrival_s",
)
WASH_TESTS: Final = (
    "round_trips",
    "repeated_sizes",
    "benford",
    "round_sizes",
    "regular_timing",
    "alternation",
    "net_change",
    "stillness",
)
_NOTES: Final = (*WASH_TESTS, *(f"p_{test}" for test in WASH_TESTS), "wash_window_s")
# A test is told in the sentence when it makes up so much of the evidence and its p-value is no larger.
_TOLD_SHARE: Final = 0.05
_TOLD_P: Final = 0.2
_LEAST_P: Final = 1e-6
# From this share on the tail is taken to be exponential.
_BEND: Final = 0.03
_SHORTEST_WINDOW: Final = 64


@dataclass(frozen=True, kw_only=True)
class WashTradingParams:
    """What is a wash.

    Attributes:
        threshold: on the score.
        window_trades: that the tests look at, a power of two; the reference was measured with the default.
        lasting_s: event time over which evidence is averaged.
        quiet_s: event time without evidence that closes an episode: thin markets may rest for hours.
        weights: of the tests.
    """

    threshold: float = 2.7
    window_trades: int = kernel.LARGEST_WINDOW
    lasting_s: float = 3_600.0
    quiet_s: float = 21_600.0
    weights: tuple[float, ...] = (3.0, 2.0, 1.0, 0.5, 1.0, 1.0, 0.5, 0.5)

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold must be positive, not {self.threshold}")
        window = self.window_trades
        if not _SHORTEST_WINDOW <= window <= kernel.LARGEST_WINDOW or window & (window - 1):
            raise ValueError(f"window_trades must be a power of two from 64 to 1024, not {window}")
        if not self.lasting_s > 0:
            raise ValueError(f"lasting_s must be positive, not {self.lasting_s}")
        if len(self.weights) != kernel.TESTS or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"weights must be {kernel.TESTS}, none negative: {self.weights}")

    @property
    def step_trades(self) -> int:
        """Trades from one judgement to the next."""
        return self.window_trades // 4


def make_reference(
    values: FloatMatrix, covariance: FloatMatrix, *, weights: tuple[float, ...] = WashTradingParams.weights
) -> Reference:
    """Return what p-values are looked up in, and how they are put together.

    Args:
        values: tests x points, what each of `wash_reference.SHARES` of ordinary windows reaches.
        covariance: tests x tests, of minus the logarithms of p-values in ordinary windows.
        weights: of the tests.
    """
    logs, weighing = -np.log(np.array(wash_reference.SHARES)), np.array(weights, np.float64)
    # Exact p-values have variance 1, and tests that exclude one another are not relied upon.
    spread = np.maximum(covariance, 0.0)
    np.fill_diagonal(spread, 1.0)
    mean, variance = weighing.sum(), float(weighing @ spread @ weighing)
    bend = wash_reference.SHARES.index(_BEND)
    return Reference(
        values=values,
        logs=logs,
        # A tail without spread is steep; no probability goes below the least.
        slopes=(logs[-1] - logs[bend]) / np.maximum(values[:, -1] - values[:, bend], 1e-12),
        largest=float(-np.log(_LEAST_P)),
        weights=weighing,
        shape=float(mean * mean / variance),
        scale=float(variance / mean),
    )


def ordinary_markets(weights: tuple[float, ...]) -> Reference:
    """Return the reference by the recordings that it was measured on."""
    return make_reference(
        np.array(wash_reference.VALUES), np.array(wash_reference.COVARIANCE), weights=weights
    )


class WashTrading:
    """Scores a trade by the evidence that its market is being washed; all markets, by slot."""

    name = "wash_trading"
    kind = "wash_trading"
    columns: tuple[str, ...] = WASH_TESTS
    decides_on: DecidesOn = "score"
    scale: Scale = "log"

    def __init__(
        self, params: WashTradingParams, *, features: tuple[str, ...], reference: Reference | None = None
    ) -> None:
        self._reference = ordinary_markets(params.weights) if reference is None else reference
        self.fingerprint = content_id(
            self.name, _VERSION, repr(params), *(repr(np.asarray(part).tolist()) for part in self._reference)
        )
        self.threshold = params.threshold
        self.quiet_s, self.window_s = params.quiet_s, params.lasting_s
        self._params = params
        self._at = np.array([features.index(name) for name in WASH_FEATURES], np.int64)
        self._rings = np.zeros((0, params.window_trades, kernel.KEPT), np.float64)
        self._memories = np.zeros((0, kernel.MEMORY), np.float64)
        self._table = kernel.scratch()

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - it has no randomness
        """Begin with an empty window."""
        self._rings, self._memories = resized(self._rings, slot), resized(self._memories, slot)
        self._rings[slot], self._memories[slot] = 0.0, 0.0

    def close(self, slot: int) -> None:
        """Free a slot; its next market begins at nothing."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        """Learn each row, and score it by the last window that was full with it or before."""
        n = len(rows)
        scores, eligible = np.empty(n, np.float64), np.empty(n, np.bool_)
        shares, notes = np.zeros((n, kernel.TESTS), np.float64), np.empty((n, kernel.NOTES), np.float64)
        kernel.judge(
            *runs,
            rows,
            self._at,
            self._reference,
            self._params.step_trades,
            self._params.lasting_s,
            self.threshold,
            explain_all,
            self._rings,
            self._memories,
            self._table,
            scores,
            shares,
            eligible,
            notes,
        )
        return Scored(scores, shares, eligible, notes=self._noted(notes, eligible | explain_all))

    def _noted(self, notes: FloatMatrix, is_noted: BoolVector) -> dict[str, FloatVector]:
        """Return the notes by name; none where nothing was noted, which is nearly always."""
        if not is_noted.any():
            return {}
        notes[~is_noted] = np.nan
        return dict(zip(_NOTES, notes.T, strict=True))

    def state(self, slot: int) -> State:
        """Return a copy of the window and of what is remembered of a market."""
        held = int(min(self._memories[slot, kernel.SEEN], self._params.window_trades))
        return {"memory": self._memories[slot].copy(), "ring": self._rings[slot, :held].copy()}

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of another window.
        """
        memory = loaded(state, "memory", self._memories, shape=(kernel.MEMORY,))
        seen = memory[kernel.SEEN]
        if not (np.isfinite(memory).all() and seen >= 0 and seen == np.floor(seen)):
            raise ValueError("memory holds what is no number of trades")
        held = int(min(seen, self._params.window_trades))
        ring = loaded(state, "ring", self._rings, shape=(held, kernel.KEPT))
        sizes, bins = np.abs(ring[:, kernel.SIZE]), ring[:, kernel.GAP_BIN]
        # Exponents of sizes, and bins, are places in tables.
        is_sound = (sizes >= kernel.LEAST_SIZE) & (sizes <= kernel.LARGEST_SIZE)
        is_sound &= (bins >= kernel.SAME_ORDER) & (bins < kernel.GAP_BINS)
        if not (is_sound.all() and np.isfinite(ring).all()):
            raise ValueError("ring holds what is no trade")
        self._memories[slot], self._rings[slot, :held] = memory, ring

    def sentence(self, finding: Finding) -> str:
        """Return what the tests found that make up most of the evidence, and how rare all of it is."""
        features = finding.features
        shares = sorted(finding.contributions.items(), key=lambda item: -item[1])
        told = [
            f"{_found(name, features[name])} (p = {features[f'p_{name}']:.1g})"
            for name, share in shares
            if share >= _TOLD_SHARE and features[f"p_{name}"] <= _TOLD_P
        ]
        spans = f" ({duration(features['wash_window_s'])})" if "wash_window_s" in features else ""
        return (
            f"{finding.symbol} looks wash-traded (all tests together: p = {10.0**-finding.score:.1g}) in its "
            f"last {self._params.window_trades:,} trades{spans}{': ' if told else ''}{', '.join(told)}."
        )


def _found(test: str, value: float) -> str:
    """Return what a test found, in a few words."""
    return {
        "round_trips": f"{percent(value)} of the volume bought and sold again in the very same sizes",
        "repeated_sizes": f"{percent(value)} of the orders in odd sizes that come back on the other side",
        "benford": f"first digits {value:.3g} times as far from Benford's law as chance takes them",
        "round_sizes": f"only {percent(value)} of the orders in round sizes",
        "regular_timing": f"{percent(value)} of the intervals alike",
        "alternation": f"{percent(value)} of the orders on the other side than the one before",
        "net_change": f"a net flow and move of only {value:.1g} deviations",
        "stillness": f"a price range {value:.1g} deviations below the usual",
    }[test]
