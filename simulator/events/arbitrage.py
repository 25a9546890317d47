"""Arbitrage: for seconds to minutes, one venue's price is away from that of the others."""

import numpy as np

from simulator.effects import Effect, MarketFacts, curve

_THERE_S = (1.0, 3.0)
_LASTS_S = (10.0, 120.0)
_BACK_S = (3.0, 10.0)
_ACTIVITY = 1.0
_BPS = 1e-4


def divergence(
    strength: float,
    at_s: float,
    facts: MarketFacts,  # noqa: ARG001 - the signature of all scenarios
    rng: np.random.Generator,
) -> Effect:
    """Return a displacement of one venue's price.

    Args:
        strength: in hundredths of a percent.
        at_s: when it begins, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    height = (1.0 if rng.random() < 0.5 else -1.0) * strength * _BPS
    there_s, lasts_s = float(rng.uniform(*_THERE_S)), float(rng.uniform(*_LASTS_S))
    back_s = at_s + there_s + lasts_s
    end_s = back_s + float(rng.uniform(*_BACK_S))
    return Effect(
        start_s=at_s,
        end_s=end_s,
        path=curve((at_s, 0.0), (at_s + there_s, height), (back_s, height), (end_s, 0.0)),
        activity=curve((at_s, _ACTIVITY), (back_s, _ACTIVITY), (end_s, 0.0)),
        parameters={"divergence_bps": height / _BPS, "lasts_s": lasts_s, "there_s": there_s},
    )
