"""Wash trading: somebody trades with himself, so that a market looks busy.

For two to four hours, pairs of a buy and a sell of the very same quantity at one price within the spread, at
nearly regular times, in one to three odd sizes that repeat; nothing is gained, and the price does not move.
"""

import numpy as np

from simulator.effects import Effect, MarketFacts, PlannedOrders

_LASTS_S = (7_200.0, 14_400.0)
_SIZES = (1, 4)
_SPREAD = 0.3
_JITTER = 0.15


def wash(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return a wash.

    Args:
        strength: its trades, in percent of all of the market while it lasts.
        at_s: when it begins, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    lasts_s = float(rng.uniform(*_LASTS_S))
    share = min(strength, 99.0) / 100.0
    pairs = max(1, round(facts.trades_per_s * share / (1.0 - share) * lasts_s / 2.0))
    pause_s = lasts_s / pairs
    bought_s = at_s + pause_s * (np.arange(pairs) + _JITTER * rng.standard_normal(pairs))
    bought_s = np.maximum(bought_s, at_s)
    sold_s = bought_s + pause_s * (0.5 + _JITTER * rng.random(pairs))
    sizes = facts.quantities(facts.mean_notional * rng.lognormal(0.0, _SPREAD, int(rng.integers(*_SIZES))))
    quantities = rng.choice(sizes, pairs)
    orders = PlannedOrders.of(
        np.concatenate((bought_s, sold_s)),
        sells=np.repeat([False, True], pairs),
        quantities=np.concatenate((quantities, quantities)),
        inside=True,
    )
    return Effect(
        start_s=at_s,
        end_s=at_s + lasts_s,
        orders=orders,
        parameters={
            "share_pct": strength,
            "pairs": float(pairs),
            "sizes": float(len(sizes)),
            "pause_s": pause_s,
        },
    )
