"""A move of the whole market: many fall, or rise, together.

Idea: the median log return over what is traded, within 10, 60 and 300 s, is far from what is usual, and
nearly all move in its direction. One story, and not one per market.

Score: the largest, over the three windows, of |median| / bar, where the bar is the larger of `least_pct`
(in 60 s; times the root of window / 60 s) and `times_usual` times the usual |median| of that window. From 0;
a move from 1 on, if `least_share` of at least `least_markets` markets go along, by a quarter of the median at
least. It decides by itself.

Episodes: held open by a score of 0.7 in either direction, closed after `quiet_s` without.

Warm-up: ten minutes. What is usual is the mean |median| of the seconds of the last hours (weights fade within
six), each counted as three times the usual at most, so that a crash does not become usual.

Cost: three medians per second. Memory: 80 bytes.

Blind spots: it counts coins, not money; slow moves; fewer markets than `least_markets`.

Reference: a cross-sectional median as the market factor; the bars are ours.
"""

from typing import Final, NamedTuple

import numpy as np

from detector.arrays import FloatVector, loaded, loaded_int, nested, under
from detector.cross.board import Board
from detector.cross.context import WINDOWS_S, signed
from detector.cross.params import MarketMoveParams
from detector.cross.stories import ALL, EVERYWHERE, Narrator, Plot, Sight
from detector.wording import percent
from shared.codec import content_id
from shared.events import Anomaly
from shared.stream.step import State

_VERSION: Final = 1
NAME: Final = "market_move"
_HELD: Final = 0.7
_ALONG: Final = 0.25
_FADE_S: Final = 6 * 3_600.0
_MOST_TIMES: Final = 3.0
_WARM_UP_S: Final = 600
_TOP: Final = 10
_NAMED: Final = 5


class _Window(NamedTuple):
    """The market over one window.

    Attributes:
        window_s: its length.
        returns: of all bases; NaN where unknown.
        median: of them.
        with_it: how many went along.
        markets: how many are known.
        score: |median| per bar.
        usual: usual |median|.
    """

    window_s: int
    returns: FloatVector
    median: float
    with_it: int
    markets: int
    score: float
    usual: float


class MarketMove:
    """Watches the market as a whole.

    Args:
        params: what is a move.
    """

    def __init__(self, params: MarketMoveParams) -> None:
        self.fingerprint = content_id(NAME, _VERSION, repr(params))
        self._params = params
        self._plot = Plot(Narrator(NAME, fingerprint=self.fingerprint, threshold=1.0), quiet_s=params.quiet_s)
        self._usual = np.zeros(len(WINDOWS_S), np.float64)
        self._seconds = 0

    def on_second(self, board: Board) -> list[Anomaly]:
        """Judge the board's present second, then learn it."""
        windows = [self._look(board, at, window_s) for at, window_s in enumerate(WINDOWS_S)]
        known = [window for window in windows if window.markets >= self._params.least_markets]
        moving = [w for w in known if w.with_it >= self._params.least_share * w.markets]
        best = max(moving, key=lambda window: window.score, default=None)
        sight: Sight | None = None
        if best is not None and best.score >= 1.0 and self._seconds >= _WARM_UP_S:
            sight = self._sight(board, best)
        is_held = any(window.score >= _HELD for window in known)
        told = self._plot.on_second(board.at_s, sight, is_held=is_held)
        self._learn(windows)
        return told

    def _look(self, board: Board, at: int, window_s: int) -> _Window:
        returns = board.base_returns(window_s)
        known = returns[~np.isnan(returns)]
        usual = float(self._usual[at])
        if not len(known):
            return _Window(window_s, returns, 0.0, 0, 0, 0.0, usual)
        median = float(np.median(known))
        # What hardly moves goes along with nothing.
        with_it = int(np.sum(known * np.sign(median) >= _ALONG * abs(median))) if median else 0
        least = self._params.least_pct / 100.0 * float(np.sqrt(window_s / 60.0))
        score = abs(median) / max(least, self._params.times_usual * usual)
        return _Window(window_s, returns, median, with_it, len(known), score, usual)

    def _learn(self, windows: list[_Window]) -> None:
        if windows[0].markets < self._params.least_markets:
            return
        self._seconds += 1
        weight = max(1.0 / self._seconds, 1.0 / _FADE_S)
        for at, window in enumerate(windows):
            seen = abs(window.median)
            if self._seconds > _WARM_UP_S:
                seen = min(seen, _MOST_TIMES * window.usual)
            self._usual[at] += weight * (seen - self._usual[at])

    def _sight(self, board: Board, best: _Window) -> Sight:
        order = np.argsort(-np.nan_to_num(np.abs(best.returns)), kind="stable")[:_TOP].tolist()
        moved = np.expm1(best.returns)
        top = {board.bases[at]: float(moved[at]) for at in order if not np.isnan(moved[at])}
        median = float(np.expm1(best.median))
        verb = "rose" if best.median > 0 else "fell"
        named = ", ".join(f"{base} {signed(move)}" for base, move in list(top.items())[:_NAMED])
        reason = (
            f"The market {verb}: {best.with_it} of {best.markets} markets, median {signed(median)} in "
            f"{best.window_s} s, usually {percent(best.usual)} either way; most of all {named}."
        )
        features = {
            "market_return": median,
            "usual_return": best.usual,
            "window_s": float(best.window_s),
            "markets_with_it": float(best.with_it),
            "markets": float(best.markets),
            **{f"return_{base}": move for base, move in top.items()},
        }
        return Sight(
            symbol=ALL,
            exchange=EVERYWHERE,
            price=0.0,
            trade_id=board.at_s,
            event_time_us=board.latest_us,
            score=best.score,
            window_s=float(best.window_s),
            features=features,
            contributions={"market_return": 1.0},
            reason=reason,
        )

    def state(self) -> State:
        """Return a copy of what is known."""
        return {
            "usual": self._usual.copy(),
            "seconds": self._seconds,
            **nested("plot", self._plot.state()),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._usual = loaded(state, "usual", self._usual, shape=self._usual.shape)
        self._seconds = loaded_int(state, "seconds")
        self._plot.load_state(under("plot", state))
