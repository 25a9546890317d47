"""Layered bursts: several markets are bought, or sold, one-sidedly within seconds, and the others are not.

Idea: whoever works on several markets at once, with one program and one purpose, hits them within seconds.
The market as a whole moving explains that as well; so the others must not have moved likewise.

A burst is a market's last 3 s, when what was traded is beyond a level that this very listing exceeds in one
second of a thousand, `one_sided` of it by takers of one side.

Score: -log10 of the probability of so many bases with a burst to the same side within 5 s, if they came
independently (Poisson), as often as usual in the last hours. From 0; `least_score` on at least
`least_markets` bases is a layered burst, when these are half of all active ones at most, the median return of
the others within 20 s is at most a quarter of theirs, or 0.1 %, and all that has been so for three seconds in
a row: what takes the whole market begins with some of it. It decides by itself.

Episodes: held open by one market less, closed after `quiet_s` without.

Warm-up: `warm_up_s`, per listing and as a whole. A listing's level follows its own tape: up by 5 %
with every second beyond it, down by a thousandth of that with every other.

Cost: some array operations per second. Memory: 80 bytes per listing.

Blind spots: who takes minutes from market to market; fewer than `least_markets`; and when bursts hit most of
the market, that is told as a move of it (`market_move.py`). Independence is an idealisation: the score
orders, and is no probability.

Reference: the stochastic approximation of a quantile goes back to Robbins and Monro (1951); the rest is ours.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from detector.arrays import BoolVector, FloatVector, loaded, loaded_int, nested, resized, under
from detector.cross.board import Board
from detector.cross.context import signed
from detector.cross.params import LayeredBurstParams
from detector.cross.stories import ALL, EVERYWHERE, Narrator, Plot, Sight
from detector.wording import times
from shared.codec import content_id
from shared.events import Anomaly
from shared.stream.step import State

_VERSION: Final = 1
NAME: Final = "layered_burst"
KIND: Final = "manipulation"
BURST_S: Final = 3
TOGETHER_S: Final = 5
_EXCEEDED: Final = 1e-3
_STEP: Final = 0.05
_FADE_S: Final = 3 * 3_600.0
# However calm it was, a burst in 100 windows is taken for usual.
_LEAST_RATE: Final = 0.01
_REST_PART: Final = 0.25
_REST_FLAT: Final = 1e-3
_REST_S: Final = 20
_PERSIST_S: Final = 3
_TOP: Final = 10
_NAMED: Final = 5


class _Layer(NamedTuple):
    """The bases with a burst to one side, in the present second.

    Attributes:
        is_buying: which side.
        bases: b, whether it had a burst within the last seconds.
        score: how strange their number is.
        rate: usual number.
    """

    is_buying: bool
    bases: BoolVector
    score: float
    rate: float


class LayeredBurst:
    """Watches for bursts on several markets at once.

    Args:
        params: what is one.
    """

    def __init__(self, params: LayeredBurstParams) -> None:
        self.fingerprint = content_id(NAME, _VERSION, repr(params))
        self._params = params
        narrator = Narrator(NAME, kind=KIND, fingerprint=self.fingerprint, threshold=params.least_score)
        self._plot = Plot(narrator, quiet_s=params.quiet_s)
        self._notionals = np.zeros((0, BURST_S), np.float64)
        self._flows = np.zeros((0, BURST_S), np.float64)
        self._levels = np.zeros(0, np.float64)
        self._ages_s = np.zeros(0, np.int64)
        # Second of the latest burst of each listing, to either side: sold, bought.
        self._latest_s = np.zeros((0, 2), np.int64)
        self._rates = np.full(2, _LEAST_RATE, np.float64)
        self._seconds = 0
        self._lasting_s = 0

    def add(self, row: int) -> None:
        """Begin to watch a listing."""
        self._notionals, self._flows = resized(self._notionals, row), resized(self._flows, row)
        self._levels, self._ages_s = resized(self._levels, row), resized(self._ages_s, row)
        self._latest_s = resized(self._latest_s, row)

    def on_second(self, board: Board) -> list[Anomaly]:
        """Judge the board's present second, then learn it."""
        n = len(board.listings)
        at = board.at_s % BURST_S
        self._notionals[:n, at], self._flows[:n, at] = board.notionals[:n], board.flows[:n]
        traded, flow = self._notionals[:n].sum(axis=1), self._flows[:n].sum(axis=1)
        is_burst = (traded > self._levels[:n]) & (np.abs(flow) >= self._params.one_sided * traded)
        is_burst &= self._ages_s[:n] >= self._params.warm_up_s
        self._latest_s[:n, 1][is_burst & (flow > 0)] = board.at_s
        self._latest_s[:n, 0][is_burst & (flow < 0)] = board.at_s
        layers = [self._layer(board, side) for side in (0, 1)]
        best = max(layers, key=lambda layer: layer.score)
        count = int(best.bases.sum())
        sight = None
        if count >= self._params.least_markets and best.score >= self._params.least_score:
            sight = self._sight(board, best, traded)
        self._lasting_s = 0 if sight is None else self._lasting_s + 1
        if self._lasting_s < _PERSIST_S:
            sight = None
        told = self._plot.on_second(board.at_s, sight, is_held=count >= self._params.least_markets - 1)
        self._learn(traded, [int(layer.bases.sum()) for layer in layers])
        return told

    def _layer(self, board: Board, side: int) -> _Layer:
        n = len(board.listings)
        age_s = board.at_s - self._latest_s[:n, side]
        bases = np.zeros(len(board.bases), np.bool_)
        bases[board.base_at[:n][(age_s >= 0) & (age_s < TOGETHER_S)]] = True
        rate = max(float(self._rates[side]), _LEAST_RATE)
        score = -_log10_tail(int(bases.sum()), rate) if self._seconds >= self._params.warm_up_s else 0.0
        return _Layer(side == 1, bases, score, rate)

    def _learn(self, traded: FloatVector, counts: list[int]) -> None:
        n = len(traded)
        levels, ages_s = self._levels[:n], self._ages_s[:n]
        # While warming up, the level is the highest seen; afterwards it finds its quantile.
        is_young = ages_s < self._params.warm_up_s
        moved = levels * np.exp(_STEP * (np.where(traded > levels, 1.0, 0.0) - _EXCEEDED))
        levels[:] = np.where(is_young, np.maximum(levels, traded), moved)
        ages_s += 1
        self._seconds += 1
        weight = max(1.0 / self._seconds, 1.0 / _FADE_S)
        self._rates += weight * (np.array(counts, np.float64) - self._rates)

    def _sight(self, board: Board, layer: _Layer, traded: FloatVector) -> Sight | None:
        """Return what is seen, unless it is the market that moves."""
        returns = np.expm1(board.base_returns(_REST_S))
        is_active = ~np.isnan(returns)
        count, active = int(layer.bases.sum()), int((is_active | layer.bases).sum())
        rest = returns[is_active & ~layer.bases]
        if 2 * count > active or not len(rest):
            return None
        own = returns[layer.bases & is_active]
        market, moved = float(np.median(rest)), float(np.median(own)) if len(own) else 0.0
        if abs(market) > max(_REST_FLAT, _REST_PART * abs(moved)) and market * moved >= 0:
            return None
        n = len(board.listings)
        is_in = layer.bases[board.base_at[:n]] & (traded > 0)
        excess = np.where(is_in, traded / np.maximum(self._levels[:n], 1e-300), 0.0)
        order = np.argsort(-excess, kind="stable")[:_TOP].tolist()
        top = {board.listings[at].symbol: float(excess[at]) for at in order if excess[at] > 0}
        verb = "bought" if layer.is_buying else "sold"
        named = ", ".join(f"{symbol} {times(excess)}" for symbol, excess in list(top.items())[:_NAMED])
        reason = (
            f"{count} of {active} markets were {verb} one-sidedly within {TOGETHER_S} s ({named} what they "
            f"rarely reach), median {signed(moved)}, while the others moved {signed(market)}; "
            f"usually there are {layer.rate:.2g} at once."
        )
        features = {
            "markets_with_burst": float(count),
            "markets": float(active),
            "usual_markets_with_burst": layer.rate,
            f"return_{_REST_S}s": moved,
            f"market_return_{_REST_S}s": market,
            **{f"burst_{symbol}": excess for symbol, excess in top.items()},
        }
        return Sight(
            symbol=ALL,
            exchange=EVERYWHERE,
            price=0.0,
            trade_id=board.at_s,
            event_time_us=board.latest_us,
            score=layer.score,
            window_s=float(TOGETHER_S + BURST_S),
            features=features,
            contributions={"markets_with_burst": 1.0},
            reason=reason,
        )

    def state(self, listings: int) -> State:
        """Return a copy of what is known of so many listings."""
        return {
            "notionals": self._notionals[:listings].copy(),
            "flows": self._flows[:listings].copy(),
            "levels": self._levels[:listings].copy(),
            "ages_s": self._ages_s[:listings].copy(),
            "latest_s": self._latest_s[:listings].copy(),
            "rates": self._rates.copy(),
            "seconds": self._seconds,
            "lasting_s": self._lasting_s,
            **nested("plot", self._plot.state()),
        }

    def load_state(self, state: State, listings: int) -> None:
        """Go on from a state, when all listings have been added.

        Raises:
            ValueError: it is damaged.
        """
        n = listings
        notionals = loaded(state, "notionals", self._notionals, shape=(n, BURST_S))
        flows = loaded(state, "flows", self._flows, shape=(n, BURST_S))
        levels = loaded(state, "levels", self._levels, shape=(n,))
        ages_s = loaded(state, "ages_s", self._ages_s, shape=(n,))
        latest_s = loaded(state, "latest_s", self._latest_s, shape=(n, 2))
        self._rates = loaded(state, "rates", self._rates, shape=(2,))
        self._seconds, self._lasting_s = loaded_int(state, "seconds"), loaded_int(state, "lasting_s")
        self._plot.load_state(under("plot", state))
        self._notionals[:n], self._flows[:n], self._levels[:n] = notionals, flows, levels
        self._ages_s[:n], self._latest_s[:n] = ages_s, latest_s


def _log10_tail(count: int, rate: float) -> float:
    """Return the decimal logarithm of a Poisson variable's probability of `count` or more."""
    if count == 0:
        return 0.0
    term = math.exp(-rate + count * math.log(rate) - math.lgamma(count + 1))
    total, k = term, count
    while term > total * 1e-12 and k < count + 1_000:
        k += 1
        term *= rate / k
        total += term
    return math.log10(max(min(total, 1.0), 1e-300))
