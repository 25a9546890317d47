"""Pump and dump: quiet purchases, an arranged rise with rush orders, and the sell-off.

Accumulation: for twenty minutes to an hour before, some percent of a usual day's volume is bought in orders
of ordinary size, and the price creeps up by a twentieth of the rise. Pump: within 5 to 25 s the whole rise,
most of it at once, by buy orders that each eat through the book (rush orders); 0.3 to 1 percent of a usual
day's volume per percent of the rise, and a third of that share of a day's trades. Dump: half a minute or more
later the price loses 60 to 90 % of the rise within one to five minutes, in sell orders; those who come late
trade for ten minutes more. Seven in ten begin within seconds after a full hour, as arranged ones do.

The forms are those of the recorded pumps of `docs/patterns.md`; the truth begins with the pump, as the labels
of those do.
"""

import numpy as np

from simulator.effects import Curve, Effect, Floats, MarketFacts, PlannedOrders, curve

_DAY_S = 86_400.0
_ON_THE_HOUR = 0.7
_ACCUMULATION_S = (1_200.0, 3_600.0)
_ACCUMULATED_SHARE = (0.01, 0.04)
_RISE_S = (5.0, 25.0)
_VOLUME_PER_RISE = (0.3, 1.0)
_TRADES_PER_VOLUME = 0.33
_FILLS = 5.0
_PEAK_S = (30.0, 120.0)
_DUMP_S = (60.0, 300.0)
_GIVEN_BACK = (0.6, 0.9)
_CREEP = 0.05
_LATE_S = 600.0
_ACTIVITY = (3.0, 10.0)
_LEAST_ORDERS = 6


def pump_dump(strength: float, at_s: float, facts: MarketFacts, rng: np.random.Generator) -> Effect:
    """Return a pump with what precedes and follows it.

    Args:
        strength: rise in percent.
        at_s: earliest second of the source at which it may begin; the accumulation lies before the pump.
        facts: of the market.
        rng: of this event.
    """
    gathered_s, rise_s = float(rng.uniform(*_ACCUMULATION_S)), float(rng.uniform(*_RISE_S))
    begin_s = at_s + gathered_s
    if rng.random() < _ON_THE_HOUR:
        begin_s = facts.next_hour_s(begin_s) + float(rng.exponential(3.0))
    peak_s = begin_s + rise_s + float(rng.uniform(*_PEAK_S))
    dumped_s = peak_s + float(rng.uniform(*_DUMP_S))
    given_back = float(rng.uniform(*_GIVEN_BACK))
    share = strength / 100.0 * float(rng.uniform(*_VOLUME_PER_RISE))
    accumulated = float(rng.uniform(*_ACCUMULATED_SHARE))
    day_notional = facts.orders_per_s * facts.mean_notional * _DAY_S
    orders = _LEAST_ORDERS + round(share * _TRADES_PER_VOLUME * facts.trades_per_s * _DAY_S / _FILLS)
    bought = _rush(begin_s, rise_s, orders, share * day_notional, facts, rng, is_sale=False)
    sold = _rush(peak_s, dumped_s - peak_s, orders, 0.6 * share * day_notional, facts, rng, is_sale=True)
    quiet = max(_LEAST_ORDERS, round(accumulated * day_notional / facts.mean_notional / 2.0))
    gathered = PlannedOrders.of(
        begin_s - gathered_s + gathered_s * rng.random(quiet),
        sells=False,
        quantities=facts.quantities(accumulated * day_notional / quiet * rng.exponential(1.0, quiet)),
    )
    height = float(np.log1p(strength / 100.0))
    activity = float(rng.uniform(*_ACTIVITY))
    return Effect(
        start_s=begin_s,
        end_s=dumped_s,
        path=_path(height, begin_s - gathered_s, begin_s, rise_s, peak_s, dumped_s, given_back),
        activity=curve((begin_s, activity), (dumped_s, activity), (dumped_s + _LATE_S, 0.0)),
        pressure=curve(
            (begin_s, -0.5), (peak_s, -0.3), (peak_s + 1.0, 0.5), (dumped_s, 0.3), (dumped_s, 0.0)
        ),
        orders=PlannedOrders.joined([gathered, bought, sold]),
        parameters={
            "rise_pct": strength,
            "rise_s": rise_s,
            "volume_of_day": share,
            "accumulated_of_day": accumulated,
            "accumulation_s": gathered_s,
            "peak_after_s": peak_s - begin_s,
            "dump_after_s": dumped_s - begin_s,
            "given_back": given_back,
        },
    )


def _rush(
    begin_s: float,
    lasts_s: float,
    orders: int,
    notional: float,
    facts: MarketFacts,
    rng: np.random.Generator,
    *,
    is_sale: bool,
) -> PlannedOrders:
    """Return orders on one side, most of them early, each in several trades."""
    times_s = begin_s + lasts_s * rng.beta(1.0, 2.5, orders)
    sizes: Floats = rng.lognormal(0.0, 1.0, orders)
    quantities = facts.quantities(notional * sizes / sizes.sum())
    fills = np.minimum(1 + rng.poisson(_FILLS - 1.0, orders), np.round(quantities / facts.step).astype(int))
    return PlannedOrders.of(times_s, sells=is_sale, quantities=quantities, fills=fills, walks=0.002)


def _path(
    height: float,
    gathered_s: float,
    begin_s: float,
    rise_s: float,
    peak_s: float,
    dumped_s: float,
    given_back: float,
) -> Curve:
    parts = np.linspace(0.0, 1.0, 40)
    steep = -np.expm1(-4.0 * parts) / -np.expm1(-4.0)
    rising = _CREEP + (0.9 - _CREEP) * steep
    falling = 1.0 - given_back * steep
    return Curve(
        np.concatenate(([gathered_s], begin_s + rise_s * parts, peak_s + (dumped_s - peak_s) * parts)),
        height * np.concatenate(([0.0], rising, falling)),
    )
