"""Ticks of several markets: seeded, quiet but for what a test puts into them."""

from collections.abc import Mapping

import msgspec
import numpy as np

from shared.events import MarketTick

START_S = 1_760_054_400


def tick(
    exchange: str, symbol: str, at_s: float, price: float, *, trade_id: int = 0, flow: float = 100.0
) -> MarketTick:
    """Return a tick so many seconds after the start."""
    time_us = round((START_S + at_s) * 1e6)
    return MarketTick(
        exchange,
        symbol,
        trade_id,
        price,
        1.0,
        flow < 0,
        time_us,
        time_us,
        trades=3,
        notional=abs(flow),
        signed_flow=flow,
    )


def quiet(
    markets: Mapping[tuple[str, str], float], *, seconds: int, seed: int = 1, spacing_s: float = 1.0
) -> list[MarketTick]:
    """Return ticks of markets whose prices hardly move, in order of time.

    Args:
        markets: price by exchange and symbol.
        seconds: how long.
        seed: of everything.
        spacing_s: mean time between two ticks of a market.
    """
    rng = np.random.default_rng(seed)
    ticks = []
    for (exchange, symbol), price in markets.items():
        count = int(seconds / spacing_s)
        times_s = np.sort(rng.uniform(0.0, seconds, count)).tolist()
        moves = (price * np.exp(rng.normal(0.0, 2e-4, count))).tolist()
        flows = (rng.normal(0.0, 1.0, count) * 500.0).tolist()
        ticks += [
            tick(exchange, symbol, at_s, moved, trade_id=number, flow=flow)
            for number, (at_s, moved, flow) in enumerate(zip(times_s, moves, flows, strict=True))
        ]
    return sorted(ticks, key=lambda each: each.event_time_us)


def moved(
    ticks: list[MarketTick], by: float, *, since_s: float, until_s: float, market: tuple[str, str]
) -> list[MarketTick]:
    """Return the ticks with the price of one market on one venue changed by a factor for a while."""
    span_us = [round((START_S + at_s) * 1e6) for at_s in (since_s, until_s)]
    return [
        msgspec.structs.replace(each, price=each.price * by)
        if (each.exchange, each.symbol) == market and span_us[0] <= each.event_time_us < span_us[1]
        else each
        for each in ticks
    ]
