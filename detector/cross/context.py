"""Alone, or with the market: what the other markets did when an episode opened.

The market factor is the median log return over what is traded (a base, the mean of its listings), of all that
have traded within a minute of both ends of the window. It is compared with the episode's own market over the
window that comes next to the episode's (10 s, 60 s or 300 s), in the second in which it opened.

With the market is what at least two thirds of the others did in the same direction, by `least_pct` at the
median, and by a quarter of the own move. Without at least `least_markets` others nothing is said.

What is said is an update of the episode: the event that opened it with a context, and a sentence more.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.cross.board import Board, Listing
from detector.cross.params import ContextParams
from detector.wording import percent
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.events import Anomaly, EpisodePhase, MarketContext

WINDOWS_S: Final = (10, 60, 300)
_SHARE: Final = 2 / 3
_PART: Final = 0.25
# A move below this has no direction to compare with.
_FLAT: Final = 5e-4


class Moves(NamedTuple):
    """What the markets did.

    Attributes:
        market: median return.
        with_it: how many moved in the direction that is asked for.
        markets: how many there were.
    """

    market: float
    with_it: int
    markets: int


class Context:
    """Says of episodes whether they came alone.

    Args:
        params: what counts as the market.
        fingerprint: of the step.
    """

    def __init__(self, params: ContextParams, *, fingerprint: str) -> None:
        self._params = params
        self._fingerprint = fingerprint

    def tell(self, anomaly: Anomaly, board: Board) -> Anomaly | None:
        """Return the update of an episode that opened in the present second; None without a market."""
        window_s = _window_s(anomaly)
        returns = board.base_returns(window_s)
        own_base = board.base_of(Listing(anomaly.exchange, anomaly.symbol))
        own = float("nan") if own_base is None else float(np.expm1(returns[own_base]))
        others = returns if own_base is None else np.delete(returns, own_base)
        others = others[~np.isnan(others)]
        if len(others) < self._params.least_markets:
            return None
        market = float(np.expm1(np.median(others)))
        # Without a move of its own, the market's direction is the question.
        direction = own if abs(own) >= _FLAT else market
        with_it = int(np.sum(others * np.sign(direction) > 0))
        least = max(self._params.least_pct / 100.0, 0.0 if np.isnan(own) else _PART * abs(own))
        is_wide = market * direction > 0 and abs(market) >= least and with_it >= _SHARE * len(others)
        moves = Moves(market, with_it, len(others))
        context = MarketContext(
            window_s=float(window_s),
            market_return_pct=100.0 * market,
            moved_with=with_it,
            markets=len(others),
            is_market_wide=is_wide,
            sentence=_sentence(moves, direction, window_s, is_wide=is_wide),
        )
        return msgspec.structs.replace(
            anomaly,
            anomaly_id=content_id(self._fingerprint, anomaly.anomaly_id, "context"),
            reason=f"{anomaly.reason} {context.sentence}",
            context=context,
            episode=msgspec.structs.replace(anomaly.episode, phase=EpisodePhase.UPDATED),
        )


def _window_s(anomaly: Anomaly) -> int:
    own_s = (anomaly.window.end_us - anomaly.window.start_us) / MICROSECONDS_PER_SECOND
    return min(WINDOWS_S, key=lambda window_s: abs(np.log(window_s / max(own_s, 1.0))))


def _sentence(moves: Moves, direction: float, window_s: int, *, is_wide: bool) -> str:
    verb = "rose" if direction > 0 else "fell"
    counted = f"{moves.with_it} of {moves.markets} other markets {verb}"
    if is_wide:
        return f"With the market: {counted}, median {signed(moves.market)} in {window_s} s."
    return f"Alone: the market moved {signed(moves.market)} in {window_s} s ({counted})."


def signed(fraction: float) -> str:
    """Return a fraction as a percentage with its sign: `+0.12 %`, `-3.1 %`."""
    return f"{'+' if fraction >= 0 else '-'}{percent(abs(fraction))}"
