"""The continuity of trade ids: every trade of a market once, in order of id, or a range that says why not.

A venue numbers the trades of a market one by one, so a hole is seen exactly. Trades arrive here from several
overlapping connections and from REST; they leave in order of id, once each. Behind a hole the later trades
of that market wait, while the hole is, after a short grace for reordered frames, asked for from REST. What
cannot be had, or not in time, leaves as an `UnfilledRange`, and the tape goes on. Other markets never wait.

Pure: no I/O and no clock; `now_s` is any clock that never goes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Trade

# An older id that is this much younger in event time is no late trade: the venue counts anew.
_RESTART_AFTER_US: Final = 10 * MICROSECONDS_PER_SECOND


class Position(NamedTuple):
    """The last trade that is known to be published, from which a tape goes on.

    Attributes:
        trade_id: its id.
        event_time_us: its event time; a lower id with a much later time means that the venue counts anew.
    """

    trade_id: int
    event_time_us: int


@dataclass(frozen=True, kw_only=True)
class TapeParams:
    """How patient a tape is.

    Attributes:
        backfill_on_start_trades: trades before the first live one that are asked for.
        backfill_max_trades: a hole larger than this is not asked for.
        max_waiting_trades: trades of one market that may wait behind a hole.
        max_wait_s: time that they may wait.
        grace_s: time that a hole may take to close by itself, before REST is asked.
    """

    backfill_on_start_trades: int = 1_000
    backfill_max_trades: int = 100_000
    max_waiting_trades: int = 50_000
    max_wait_s: float = 900.0
    grace_s: float = 0.25


class FillRequest(NamedTuple):
    """Ask REST for these ids, both ends included."""

    symbol: str
    first_id: int
    last_id: int


class UnfilledRange(NamedTuple):
    """Ids that are missing for good, both ends included, and why."""

    symbol: str
    first_id: int
    last_id: int
    reason: str


class Restart(NamedTuple):
    """The venue counts anew: its ids went back while its time went on."""

    symbol: str
    expected_id: int
    seen_id: int


@dataclass(slots=True)
class TapeOutput:
    """What has to be done now.

    Attributes:
        trades: to publish, in this order.
        requests: holes to ask REST for.
        unfilled: ranges to publish as gaps.
        restarts: markets whose ids went back.
    """

    trades: list[Trade] = field(default_factory=list)
    requests: list[FillRequest] = field(default_factory=list)
    unfilled: list[UnfilledRange] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)


@dataclass(slots=True)
class _Hole:
    first: int
    last: int
    seen_s: float
    is_history: bool = False
    is_asked: bool = False
    lost: str = ""
    is_absent: bool = False


class _MarketTape:
    """One market. Every id from `next_id` to `high` waits, or lies in exactly one hole."""

    __slots__ = ("event_time_us", "has_begun", "high", "holes", "next_id", "waiting")

    def __init__(self, next_id: int, *, has_begun: bool, event_time_us: int = 0) -> None:
        self.next_id = next_id
        self.high = next_id - 1
        self.has_begun = has_begun
        self.event_time_us = event_time_us
        self.waiting: dict[int, Trade] = {}
        self.holes: list[_Hole] = []

    def has(self, number: int) -> bool:
        return number < self.next_id or number in self.waiting

    def add(self, trade: Trade, now_s: float, output: TapeOutput) -> None:
        """Take a trade that is not had yet."""
        number = trade.trade_id
        if number > self.high + 1:
            self.holes.append(_Hole(self.high + 1, number - 1, now_s))
        if number > self.high:
            self.high = number
        else:
            self._narrow(number)
        self.waiting[number] = trade
        self.drain(output, trade.symbol)

    def drain(self, output: TapeOutput, symbol: str) -> None:
        """Let go what waits for nothing any more."""
        while True:
            trade = self.waiting.pop(self.next_id, None)
            if trade is not None:
                output.trades.append(trade)
                self.event_time_us = trade.event_time_us
                self.next_id += 1
                self.has_begun = True
            elif self.holes and self.holes[0].lost:
                hole = self.holes.pop(0)
                self.next_id = hole.last + 1
                # The venue's history does not go back further: the tape begins here, nothing is missing.
                if not (hole.is_history and hole.is_absent and not self.has_begun):
                    output.unfilled.append(UnfilledRange(symbol, hole.first, hole.last, hole.lost))
            else:
                return

    def _narrow(self, number: int) -> None:
        index = next(i for i, hole in enumerate(self.holes) if hole.first <= number <= hole.last)
        hole = self.holes[index]
        parts = [replace(hole, last=number - 1), replace(hole, first=number + 1)]
        self.holes[index : index + 1] = [part for part in parts if part.first <= part.last]


class Tape:
    """The tapes of all markets.

    Args:
        params: how patient they are.
        positions: per market, the last trade that is known to be published; it goes on from there.
    """

    def __init__(self, params: TapeParams, positions: Mapping[str, Position] | None = None) -> None:
        self._params = params
        self._markets = {
            symbol: _MarketTape(position.trade_id + 1, has_begun=True, event_time_us=position.event_time_us)
            for symbol, position in (positions or {}).items()
        }
        self._open: set[str] = set()
        self.duplicates_total = 0

    def feed(self, trades: Iterable[Trade], *, now_s: float) -> TapeOutput:
        """Take trades from any source, in any order."""
        output = TapeOutput()
        for trade in trades:
            market = self._markets.get(trade.symbol)
            if market is None:
                market = self._start(trade, now_s)
            if trade.trade_id == market.next_id and not market.holes:
                # The usual case: the very next trade, and nothing waits.
                market.next_id += 1
                market.high = trade.trade_id
                market.event_time_us = trade.event_time_us
                market.has_begun = True
                output.trades.append(trade)
            elif not market.has(trade.trade_id):
                market.add(trade, now_s, output)
                self._note(trade.symbol, market)
            elif self._counts_anew(trade, market):
                self._restart(trade, market, now_s, output)
            else:
                self.duplicates_total += 1
        return output

    def tick(self, *, now_s: float) -> TapeOutput:
        """Ask for holes whose grace is over, and give up those that were open too long."""
        output = TapeOutput()
        for symbol in sorted(self._open):
            market = self._markets[symbol]
            self._give_up_overdue(market, now_s)
            for hole in market.holes:
                if hole.lost or hole.is_asked or now_s < hole.seen_s + self._params.grace_s:
                    continue
                size = hole.last - hole.first + 1
                if size > self._params.backfill_max_trades:
                    hole.lost = (
                        f"{size} trades: more than the {self._params.backfill_max_trades} that are filled"
                    )
                else:
                    hole.is_asked = True
                    output.requests.append(FillRequest(symbol, hole.first, hole.last))
            market.drain(output, symbol)
            self._note(symbol, market)
        return output

    def end_fill(self, request: FillRequest, *, reason: str, is_absent: bool) -> TapeOutput:
        """Say that no more trades will come for a request.

        Args:
            request: as it was given out.
            reason: why those that did not come are missing, should there be any.
            is_absent: the venue answered in full and does not have them.
        """
        output = TapeOutput()
        market = self._markets[request.symbol]
        for hole in market.holes:
            if hole.is_asked and request.first_id <= hole.first and hole.last <= request.last_id:
                hole.lost = hole.lost or reason
                hole.is_absent = is_absent
        market.drain(output, request.symbol)
        self._note(request.symbol, market)
        return output

    def expect(self, symbol: str, trade_id: int, *, now_s: float) -> None:
        """Take the venue's word for the id of a market's latest trade: what did not come up to it is missing.

        A market that has not begun is left alone, and so is a word that is too far ahead to be believed.
        """
        market = self._markets.get(symbol)
        if market is None or not 0 < trade_id - market.high <= self._params.backfill_max_trades:
            return
        market.holes.append(_Hole(market.high + 1, trade_id, now_s))
        market.high = trade_id
        self._note(symbol, market)

    def begin(self, symbol: str, first_id: int) -> None:
        """Begin a market that has not begun at a trade, without asking for history before it."""
        self._markets.setdefault(symbol, _MarketTape(first_id, has_begun=True))

    def first_missing(self, request: FillRequest) -> int | None:
        """Return the first id of a request that is still wanted, or None when nothing is."""
        market = self._markets[request.symbol]
        for hole in market.holes:
            if not hole.lost and hole.first <= request.last_id and request.first_id <= hole.last:
                return max(hole.first, request.first_id)
        return None

    def is_missing(self, trade: Trade) -> bool:
        """Return whether a trade lies in a hole."""
        market = self._markets[trade.symbol]
        return trade.trade_id <= market.high and not market.has(trade.trade_id)

    def last_published(self, symbol: str) -> int | None:
        """Return the id of the last published trade of a market, if there is one."""
        market = self._markets.get(symbol)
        return None if market is None or not market.has_begun else market.next_id - 1

    def highest_seen(self, symbol: str) -> int | None:
        """Return the highest id seen of a market, published or waiting."""
        market = self._markets.get(symbol)
        return None if market is None else market.high

    def time_before(self, symbol: str, trade_id: int) -> int | None:
        """Return the event time of the nearest trade before an id that is had; None when there is none."""
        market = self._markets.get(symbol)
        if market is None:
            return None
        nearest = max((number for number in market.waiting if number < trade_id), default=None)
        if nearest is not None:
            return market.waiting[nearest].event_time_us
        return market.event_time_us if market.has_begun else None

    @property
    def waiting_total(self) -> int:
        """How many trades wait behind holes."""
        return sum(len(self._markets[symbol].waiting) for symbol in self._open)

    def _start(self, trade: Trade, now_s: float) -> _MarketTape:
        first = max(0, trade.trade_id - self._params.backfill_on_start_trades)
        market = self._markets[trade.symbol] = _MarketTape(first, has_begun=False)
        if first < trade.trade_id:
            # Asked for at the next tick: there is nothing to wait for.
            seen_s = now_s - self._params.grace_s
            market.holes.append(_Hole(first, trade.trade_id - 1, seen_s, is_history=True))
            market.high = trade.trade_id - 1
        return market

    def _note(self, symbol: str, market: _MarketTape) -> None:
        if market.holes:
            self._open.add(symbol)
        else:
            self._open.discard(symbol)

    def _give_up_overdue(self, market: _MarketTape, now_s: float) -> None:
        hole = market.holes[0]
        if now_s >= hole.seen_s + self._params.max_wait_s:
            hole.lost = hole.lost or f"not filled within {self._params.max_wait_s:g} s"
        elif len(market.waiting) > self._params.max_waiting_trades:
            hole.lost = hole.lost or f"more than {self._params.max_waiting_trades} trades waited behind it"

    @staticmethod
    def _counts_anew(trade: Trade, market: _MarketTape) -> bool:
        is_younger = trade.event_time_us > market.event_time_us + _RESTART_AFTER_US
        return market.has_begun and trade.trade_id < market.next_id and is_younger

    def _restart(self, trade: Trade, market: _MarketTape, now_s: float, output: TapeOutput) -> None:
        output.restarts.append(Restart(trade.symbol, market.next_id, trade.trade_id))
        for hole in market.holes:
            hole.lost = hole.lost or "the venue counts anew"
        market.drain(output, trade.symbol)
        self._start(trade, now_s).add(trade, now_s, output)
        self._note(trade.symbol, self._markets[trade.symbol])
