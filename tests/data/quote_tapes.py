"""Quotes made by hand: a calm book, into which a test puts what it is about."""

from collections.abc import Sequence

from shared.events import Quote

TICK = 0.01


def book(
    *, bid: float = 100.0, size: float = 1.0, levels: int = 10
) -> tuple[list[list[float]], list[list[float]]]:
    """Return bids and asks of one size at every tick."""
    bids = [[round(bid - TICK * level, 2), size] for level in range(levels)]
    asks = [[round(bid + TICK * (level + 1), 2), size] for level in range(levels)]
    return bids, asks


def quote(
    at_s: float,
    bids: Sequence[Sequence[float]],
    asks: Sequence[Sequence[float]],
    *,
    symbol: str = "BTC-USDT",
    traded: Sequence[tuple[float, float]] = (),
    is_continuous: bool = True,
) -> Quote:
    """Return a quote of depth at a second."""
    return Quote(
        exchange="binance",
        symbol=symbol,
        update_id=1 + round(at_s * 1_000),
        event_time_us=1_700_000_000_000_000 + round(at_s * 1e6),
        received_time_us=1_700_000_000_000_000 + round(at_s * 1e6),
        bid=bids[0][0],
        bid_quantity=bids[0][1],
        ask=asks[0][0],
        ask_quantity=asks[0][1],
        bids=[(price, quantity) for price, quantity in bids],
        asks=[(price, quantity) for price, quantity in asks],
        is_continuous=is_continuous,
        traded=list(traded),
    )


def shown(
    *,
    size: float = 30.0,
    side: int = 0,
    levels: Sequence[int] = (2,),
    stands_s: float = 3.0,
    traded: float = 0.0,
    moves_to: int | None = None,
    until_s: float = 12.0,
) -> list[Quote]:
    """Return ten quotes a second, in which an order is shown at second 5 and goes again.

    Args:
        size: of the order, added to each of the levels.
        side: 0: bids, 1: asks.
        levels: where it comes.
        stands_s: for how long.
        traded: of it, at the end.
        moves_to: level at which it comes again when it goes.
        until_s: when the tape ends.
    """
    quotes = []
    ends_s = 5.0 + stands_s
    for number in range(round(until_s * 10)):
        at_s = number / 10
        sides = book()
        trades = []
        if 5.0 <= at_s < ends_s:
            for level in levels:
                sides[side][level][1] += size
        elif at_s >= ends_s and moves_to is not None:
            sides[side][moves_to][1] += size
        if traded and abs(at_s - ends_s) < 0.01:
            trades = [(sides[side][levels[0]][0], (2 * side - 1) * traded)]
        quotes.append(quote(at_s, *sides, traded=trades, is_continuous=bool(number)))
    return quotes
