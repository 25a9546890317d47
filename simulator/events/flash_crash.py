"""Flash crashes, and spikes: the same upwards.

The price falls faster and faster, stays at the bottom for seconds, and part of the fall comes back, with
several times the usual number of orders, most of them in the direction of the move.
"""

import numpy as np

from simulator.effects import Curve, Effect, MarketFacts

_FALL_S = (20.0, 90.0)
_BOTTOM_S = (2.0, 15.0)
_RECOVERY = (0.5, 0.9)
_RECOVERY_S = (30.0, 120.0)
_ACTIVITY = (3.0, 8.0)
_SPEEDS_UP = 1.7
_PRESSED = 0.6
# In times of two thirds of the recovery: the labelled end, and where nothing is left but a ten-thousandth.
_LABELLED, _SETTLED = 3.0, 10.0


def crash(
    strength: float,
    at_s: float,
    facts: MarketFacts,  # noqa: ARG001 - the signature of all scenarios
    rng: np.random.Generator,
) -> Effect:
    """Return a fall.

    Args:
        strength: percent.
        at_s: when it begins, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    return _move(-1.0, -float(np.log1p(-strength / 100.0)), strength, at_s, rng)


def spike(
    strength: float,
    at_s: float,
    facts: MarketFacts,  # noqa: ARG001 - the signature of all scenarios
    rng: np.random.Generator,
) -> Effect:
    """Return a rise; see `crash`."""
    return _move(1.0, float(np.log1p(strength / 100.0)), strength, at_s, rng)


def _move(sign: float, depth: float, strength: float, at_s: float, rng: np.random.Generator) -> Effect:
    fall_s, bottom_s = float(rng.uniform(*_FALL_S)), float(rng.uniform(*_BOTTOM_S))
    recovery, recovery_s = float(rng.uniform(*_RECOVERY)), float(rng.uniform(*_RECOVERY_S))
    activity = float(rng.uniform(*_ACTIVITY))
    parts = np.linspace(0.0, 1.0, 60)
    turned_s = at_s + fall_s + bottom_s
    after_s = _SETTLED * recovery_s * parts
    fading = np.exp(-after_s / recovery_s)
    return Effect(
        start_s=at_s,
        end_s=turned_s + _LABELLED * recovery_s,
        path=Curve(
            np.concatenate((at_s + fall_s * parts, turned_s + after_s)),
            sign * depth * np.concatenate((parts**_SPEEDS_UP, 1.0 - recovery * (1.0 - fading))),
        ),
        activity=Curve(
            np.concatenate(([at_s], turned_s + after_s[:-1], [turned_s + after_s[-1]])),
            (activity - 1.0) * np.concatenate(([1.0], fading[:-1], [0.0])),
        ),
        pressure=Curve(
            np.array([at_s, at_s + fall_s, at_s + fall_s]), -sign * np.array([_PRESSED, _PRESSED, 0.0])
        ),
        parameters={
            "depth_pct": strength,
            "fall_s": fall_s,
            "bottom_s": bottom_s,
            "recovery": recovery,
            "recovery_s": recovery_s,
            "activity": activity,
        },
    )
