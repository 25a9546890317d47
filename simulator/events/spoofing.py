"""Spoofing and layering: orders shown to move the price, and taken back before anybody trades with them.

Spoofing: one order near the best price of one side, several times as large as what stands on ten levels, for
two to ten seconds; the price gives way to it by some steps and does not pass it, the spoofer trades on the
other side, into those who follow, then it goes, and the price comes back. Layering: the same on four to seven
levels at once, that come within half a second and go together. One to four times, ten to forty seconds apart.
"""

import numpy as np

from simulator.effects import Curve, Effect, Floats, MarketFacts, PlannedOrders, Walls

_CYCLES = (1, 5)
_STANDS_S = (2.0, 10.0)
_BETWEEN_S = (10.0, 40.0)
_LAYERS = (4, 8)
_COMES_WITHIN_S = 0.5
_MOVE_BPS = (0.3, 1.0)
_BACK_S = 3.0
_PRESSED = 0.2
_ORDERS = (2, 6)
_ORDER_SIZE = 1.0


def spoofing(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return one order at a time, shown and taken back.

    Args:
        strength: its size, over what usually stands on ten levels of a side.
        at_s: when it first comes, in seconds of the source.
        facts: of the market.
        rng: of this event.
    """
    return _shown(strength, at_s, facts, rng, layers=1)


def layering(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return several orders at a time; see `spoofing` for the arguments, `strength` is of all of them."""
    return _shown(strength, at_s, facts, rng, layers=int(rng.integers(*_LAYERS)))


def _shown(
    strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator, *, layers: int
) -> Effect:
    cycles, is_ask = int(rng.integers(*_CYCLES)), bool(rng.random() < 0.5)
    stands_s, pauses_s = rng.uniform(*_STANDS_S, cycles), rng.uniform(*_BETWEEN_S, cycles)
    begins_s = at_s + np.concatenate(([0.0], np.cumsum(stands_s + pauses_s)[:-1]))
    ends_s = begins_s + stands_s
    move = float(rng.uniform(*_MOVE_BPS)) * 1e-4
    shares = rng.dirichlet(np.full(layers, 8.0), cycles)
    quantities = strength * facts.depth / facts.price * shares
    walls = Walls(
        times_s=np.repeat(begins_s, layers) + _COMES_WITHIN_S * rng.random(cycles * layers) * (layers > 1),
        until_s=np.repeat(ends_s, layers),
        asks=np.full(cycles * layers, is_ask),
        offsets=np.tile(np.arange(1.0, layers + 1.0), cycles),
        quantities=quantities.reshape(-1),
    )
    return Effect(
        start_s=at_s,
        end_s=float(ends_s[-1]),
        path=_given_way(begins_s, ends_s, -move if is_ask else move),
        pressure=_pressed(begins_s, ends_s, _PRESSED if is_ask else -_PRESSED),
        # Whoever bids without meaning it sells, and the other way round.
        orders=PlannedOrders.joined(
            [
                _traded(begin_s, end_s, facts, rng, is_sale=not is_ask)
                for begin_s, end_s in zip(begins_s.tolist(), ends_s.tolist(), strict=True)
            ]
        ),
        walls=walls,
        parameters={
            "times_depth": strength,
            "layers": float(layers),
            "cycles": float(cycles),
            "is_ask": float(is_ask),
            "stands_s": float(stands_s.mean()),
            "move_bps": move * 1e4,
        },
    )


def _given_way(begins_s: Floats, ends_s: Floats, height: float) -> Curve:
    times_s = np.stack((begins_s, ends_s, ends_s + _BACK_S), axis=1).reshape(-1)
    return Curve(times_s, np.tile([0.0, height, 0.0], len(begins_s)))


def _pressed(begins_s: Floats, ends_s: Floats, share: float) -> Curve:
    times_s = np.stack((begins_s, begins_s, ends_s, ends_s), axis=1).reshape(-1)
    return Curve(times_s, np.tile([0.0, share, share, 0.0], len(begins_s)))


def _traded(
    begin_s: float, end_s: float, facts: MarketFacts, rng: np.random.Generator, *, is_sale: bool
) -> PlannedOrders:
    count = int(rng.integers(*_ORDERS))
    notionals = _ORDER_SIZE * facts.mean_notional * rng.lognormal(0.0, 0.7, count)
    times_s = end_s - (end_s - begin_s) * rng.uniform(0.0, 0.5, count)
    return PlannedOrders.of(times_s, sells=is_sale, quantities=facts.quantities(notionals), walks=0.0)
