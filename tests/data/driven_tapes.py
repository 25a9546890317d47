"""A market that is quiet for hours, then driven by one side within seconds, and what becomes of that."""

import numpy as np

from detector.params import EngineParams
from shared.events import Trade

DRIVEN_PARAMS = EngineParams(enabled=("manipulation",))
QUIET_TRADES = 2_520
# 2025-10-08, 13:07:00 UTC.
DRIVEN_US = 1_759_928_820_000_000
# 14:00:00 UTC.
CLOSE_US = 1_759_932_000_000_000
_SECOND_US = 1_000_000


def driven_market(
    *,
    symbol: str = "POL-USDT",
    at_us: int = DRIVEN_US,
    move: float = 0.02,
    returns: float = 0.8,
    seed: int = 1,
) -> list[Trade]:
    """Return a trade every ten seconds, 30 orders within six seconds that move the price, and its return.

    Args:
        symbol: of the market.
        at_us: event time at which the move begins.
        move: of the price, as a fraction, either way.
        returns: share of it that is taken back, by 20 small orders within twenty seconds.
        seed: of the quiet trades.
    """
    rng = np.random.default_rng(seed)
    tape: list[tuple[float, float, bool, int]] = [
        (
            100.0 * (1.0 + 0.0002 * rng.standard_normal()),
            rng.lognormal(),
            bool(rng.random() < 0.5),
            at_us - (QUIET_TRADES - n) * 10 * _SECOND_US,
        )
        for n in range(QUIET_TRADES)
    ]
    tape += [
        (100.0 * (1.0 + move * (n + 1) / 30), 2.0, move < 0, at_us + n * _SECOND_US // 5) for n in range(30)
    ]
    low = 100.0 * (1.0 + move)
    tape += [
        (low - 100.0 * move * returns * (n + 1) / 20, 0.5, move > 0, at_us + (7 + n) * _SECOND_US)
        for n in range(20)
    ]
    # The rest of its life is quiet, where the price came to.
    price = low - 100.0 * move * returns
    tape += [(price, 1.0, n % 2 == 0, at_us + (30 + 10 * n) * _SECOND_US) for n in range(30)]
    return [
        Trade("binance", symbol, at, price, quantity, is_sale, time_us, time_us)
        for at, (price, quantity, is_sale, time_us) in enumerate(tape)
    ]
