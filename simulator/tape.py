"""The trades that have happened, as REST looks them up: per market, in order of id, the newest so many."""

from bisect import bisect_left, bisect_right

from simulator.source import MarketTrade


class Tape:
    """One market's trades.

    A trade that is there already is ignored and a late one is put in its place, so that a recording with
    repeats and disorder still answers like the exchange.

    Args:
        capacity: trades kept, at least; the oldest are forgotten.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._ids: list[int] = []
        self._trades: list[MarketTrade] = []

    def __len__(self) -> int:
        return len(self._ids)

    def append(self, trade: MarketTrade) -> None:
        """Add a trade that has just happened."""
        if not self._ids or trade.trade_id > self._ids[-1]:
            self._ids.append(trade.trade_id)
            self._trades.append(trade)
        else:
            position = bisect_left(self._ids, trade.trade_id)
            if self._ids[position] != trade.trade_id:
                self._ids.insert(position, trade.trade_id)
                self._trades.insert(position, trade)
        # Forgetting a quarter at a time makes it O(1) per trade.
        if len(self._ids) > self._capacity * 5 // 4:
            del self._ids[: -self._capacity]
            del self._trades[: -self._capacity]

    @property
    def first_id(self) -> int | None:
        """The oldest id that is still known."""
        return self._ids[0] if self._ids else None

    @property
    def last_id(self) -> int | None:
        """The newest id."""
        return self._ids[-1] if self._ids else None

    def latest(self, limit: int) -> list[MarketTrade]:
        """Return the newest trades, oldest first."""
        return self._trades[-limit:]

    def from_id(self, trade_id: int, limit: int) -> list[MarketTrade]:
        """Return trades from an id on, that one included."""
        start = bisect_left(self._ids, trade_id)
        return self._trades[start : start + limit]

    def before_id(self, trade_id: int, limit: int) -> list[MarketTrade]:
        """Return the last trades before an id, that one excluded."""
        end = bisect_left(self._ids, trade_id)
        return self._trades[max(0, end - limit) : end]

    def between(self, start_us: int, end_us: int, limit: int) -> list[MarketTrade]:
        """Return the first trades within a span of trade time, both ends included."""
        start = bisect_left(self._trades, start_us, key=_time)
        end = bisect_right(self._trades, end_us, key=_time)
        return self._trades[start : min(end, start + limit)]

    def until(self, end_us: int, limit: int) -> list[MarketTrade]:
        """Return the last trades up to a trade time, that one included."""
        end = bisect_right(self._trades, end_us, key=_time)
        return self._trades[max(0, end - limit) : end]


def _time(trade: MarketTrade) -> int:
    return trade.trade_time_us
