"""Whales: one order far larger than what its market sees in its largest hundredth.

In one trade, or swept through the book in many at one instant, after which a part of the move fades within
ten minutes; or as an iceberg, in equal slices on one side over minutes.
"""

import numpy as np

from simulator.effects import Effect, MarketFacts, PlannedOrders, curve

_IMPACT_PCT = (0.02, 0.15)
_STAYS = (0.2, 0.6)
_FADES_S = 600.0
_SLICES = (5, 25)
_BETWEEN_SLICES_S = (2.0, 15.0)


def whale(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return one order at one instant.

    Args:
        strength: its notional, over what 99 % of the market's orders stay below.
        at_s: when, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    is_swept, is_sale = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    quantities = facts.quantities(np.array([strength * facts.p99_notional]))
    fills = int(rng.integers(5, 40)) if is_swept else 1
    fills = min(fills, round(float(quantities[0]) / facts.step))
    impact_pct = float(rng.uniform(*_IMPACT_PCT)) if is_swept else 0.0
    stays = (-1.0 if is_sale else 1.0) * float(rng.uniform(*_STAYS)) * impact_pct / 100.0
    return Effect(
        start_s=at_s,
        end_s=at_s,
        path=curve((at_s, 0.0), (at_s + 0.001, stays), (at_s + _FADES_S, 0.0)),
        orders=PlannedOrders.of(
            np.array([at_s]), sells=is_sale, quantities=quantities, fills=fills, walks=impact_pct / 100.0
        ),
        parameters={
            "multiple": strength,
            "fills": float(fills),
            "is_sale": float(is_sale),
            "impact_pct": impact_pct,
        },
    )


def iceberg(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return one order in equal slices; see `whale` for the arguments, `strength` is of all slices."""
    slices, is_sale = int(rng.integers(*_SLICES)), bool(rng.random() < 0.5)
    pause_s = float(rng.uniform(*_BETWEEN_SLICES_S))
    times_s = at_s + np.concatenate(([0.0], np.cumsum(rng.gamma(4.0, pause_s / 4.0, slices - 1))))
    quantity = float(facts.quantities(np.array([strength * facts.p99_notional / slices]))[0])
    return Effect(
        start_s=at_s,
        end_s=float(times_s[-1]),
        orders=PlannedOrders.of(times_s, sells=is_sale, quantities=quantity),
        parameters={
            "multiple": strength,
            "slices": float(slices),
            "pause_s": pause_s,
            "is_sale": float(is_sale),
            "notional": quantity * slices * facts.price,
        },
    )
