"""Moves that somebody makes: momentum ignition, marking the close, and bursts on several markets at once.

Ignition: twenty to sixty orders on one side within seconds drive the price, others follow for some seconds,
then it is sold back into their orders, and most of the move is lost. Marking the close: the same in the last
seconds before a full hour; the price relaxes after it. A layered burst is a quick ignition on several markets
within seconds of each other, in one direction, whose orders are worth as much as those of the recorded pumps
of `docs/patterns.md`: 0.3 to 1 percent of a usual day's volume per percent of the move.
"""

import numpy as np

from simulator.effects import Curve, Effect, MarketFacts, PlannedOrders, curve

_ORDERS = (20, 60)
_IGNITION_S = (3.0, 15.0)
_QUICK_S = (2.0, 5.0)
_STAYS_S = (5.0, 20.0)
_BACK_S = (30.0, 90.0)
_GIVEN_BACK = (0.7, 1.0)
_CLOSE_S = (5.0, 20.0)
_ORDER_SIZE = 3.0
_VOLUME_PER_MOVE = (0.3, 1.0)
_DAY_S = 86_400.0
_FOLLOWERS = 3.0


def ignition(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return a burst and its reversal.

    Args:
        strength: move in percent.
        at_s: when it begins, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return _ignited(sign * strength, at_s, float(rng.uniform(*_IGNITION_S)), facts, rng)


def quick_ignition(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return a burst upwards within 2 to 5 s; see `ignition`."""
    begin_s, burst_s = at_s + float(rng.uniform(0.0, 2.0)), float(rng.uniform(*_QUICK_S))
    day_notional = facts.orders_per_s * facts.mean_notional * _DAY_S
    notional = strength / 100.0 * float(rng.uniform(*_VOLUME_PER_MOVE)) * day_notional
    return _ignited(strength, begin_s, burst_s, facts, rng, notional=notional)


def marking_close(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return a burst that ends at the next full hour; see `ignition`."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    lasts_s, back_s = float(rng.uniform(*_CLOSE_S)), float(rng.uniform(*_BACK_S))
    close_s = facts.next_hour_s(at_s + lasts_s)
    begin_s, given_back = close_s - lasts_s, float(rng.uniform(*_GIVEN_BACK))
    height = float(np.log1p(sign * strength / 100.0))
    return Effect(
        start_s=begin_s,
        end_s=close_s,
        path=curve(
            (begin_s, 0.0),
            (close_s, height),
            (close_s + 2.0, height),
            (close_s + back_s, height * (1.0 - given_back)),
        ),
        orders=_burst(begin_s, lasts_s, facts, rng, is_sale=sign < 0),
        parameters={"move_pct": sign * strength, "lasts_s": lasts_s, "given_back": given_back},
    )


def _ignited(
    move_pct: float,
    at_s: float,
    burst_s: float,
    facts: MarketFacts,
    rng: np.random.Generator,
    *,
    notional: float | None = None,
) -> Effect:
    stays_s, back_s = float(rng.uniform(*_STAYS_S)), float(rng.uniform(*_BACK_S))
    given_back, is_sale = float(rng.uniform(*_GIVEN_BACK)), move_pct < 0
    height = float(np.log1p(move_pct / 100.0))
    turn_s = at_s + burst_s + stays_s
    end_s = turn_s + back_s
    pressed = 0.5 if is_sale else -0.5
    return Effect(
        start_s=at_s,
        end_s=end_s,
        path=_there_and_back(height, at_s, burst_s, turn_s, back_s, given_back),
        activity=curve((at_s, 0.0), (at_s + burst_s, _FOLLOWERS), (turn_s, _FOLLOWERS), (end_s, 0.0)),
        pressure=curve(
            (at_s, pressed), (turn_s, pressed), (turn_s, -pressed), (end_s, -pressed), (end_s, 0.0)
        ),
        orders=PlannedOrders.joined(
            [
                _burst(at_s, burst_s, facts, rng, is_sale=is_sale, notional=notional),
                _burst(turn_s, back_s, facts, rng, is_sale=not is_sale, notional=notional),
            ]
        ),
        parameters={"move_pct": move_pct, "burst_s": burst_s, "stays_s": stays_s, "given_back": given_back},
    )


def _there_and_back(
    height: float, at_s: float, burst_s: float, turn_s: float, back_s: float, given_back: float
) -> Curve:
    return curve(
        (at_s, 0.0),
        (at_s + burst_s, 0.9 * height),
        (turn_s, height),
        (turn_s + back_s, height * (1.0 - given_back)),
    )


def _burst(
    at_s: float,
    lasts_s: float,
    facts: MarketFacts,
    rng: np.random.Generator,
    *,
    is_sale: bool,
    notional: float | None = None,
) -> PlannedOrders:
    """Return orders on one side, worth so much together; None: so many usual orders each."""
    count = int(rng.integers(*_ORDERS))
    sizes = rng.lognormal(0.0, 0.7, count)
    worth = _ORDER_SIZE * facts.mean_notional if notional is None else notional / sizes.sum()
    quantities = facts.quantities(worth * sizes)
    fills = np.minimum(1 + rng.poisson(1.5, count), np.round(quantities / facts.step).astype(int))
    return PlannedOrders.of(
        at_s + lasts_s * rng.random(count), sells=is_sale, quantities=quantities, fills=fills, walks=0.0003
    )
