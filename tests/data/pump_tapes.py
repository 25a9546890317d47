"""A thin market for seven hours, then a pump at a full hour and its dump."""

import numpy as np

from detector.params import EngineParams
from shared.events import Trade

PUMP_PARAMS = EngineParams(enabled=("pump_dump",))
QUIET_TRADES = 420
# 2020-03-27, 17:00:04 UTC.
PUMP_US = 1_585_328_404_000_000
_MINUTE_US = 60_000_000


def pumped_market(*, symbol: str = "FUEL-BTC", seed: int = 1, until_us: int | None = None) -> list[Trade]:
    """Return a trade a minute, 120 buys within 20 s that lift the price by 30 %, and sells that undo it.

    Args:
        symbol: of the market.
        seed: of its quiet trades.
        until_us: event time of a last quiet trade, after the dump.
    """
    rng = np.random.default_rng(seed)
    tape: list[tuple[float, float, bool, int]] = []
    for n in range(QUIET_TRADES):
        price = 100.0 * (1.0 + 0.001 * rng.standard_normal())
        tape.append(
            (price, rng.lognormal(), bool(rng.random() < 0.5), PUMP_US - (QUIET_TRADES - n) * _MINUTE_US)
        )
    # Four orders at an instant, one of six instants a second.
    tape += [(100.0 * (1.0 + 0.0025 * n), 4.0, False, PUMP_US + n // 4 * 667_000) for n in range(120)]
    tape += [(130.0 - 0.25 * n, 4.0, True, PUMP_US + 30_000_000 + n * 500_000) for n in range(120)]
    if until_us is not None:
        tape.append((100.0, 1.0, True, until_us))
    return [
        Trade("binance", symbol, at, price, quantity, is_sale, time_us, time_us)
        for at, (price, quantity, is_sale, time_us) in enumerate(tape)
    ]
