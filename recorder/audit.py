"""Whether the tape is whole: trades in, in the order of the topic; per market what is missing, twice or late.

A venue numbers the trades of a market one by one, so ids alone prove completeness between the first and the
last id that were seen. What lies before the first or after the last cannot be judged and is not.

Memory per market is bounded by the number of holes (ids are kept as intervals), and by about 4,400 buckets of
the skew's sketch; trades are not kept.

Pure: no I/O and no clock.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

import msgspec

from recorder.id_set import IdSet
from recorder.quantiles import QuantileSketch
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import TapeGap, Trade

# An id that was passed already, this much younger in event time: the venue counts anew (as in ADR 6).
RESTART_AFTER_US: Final = 10 * MICROSECONDS_PER_SECOND
# How many offending ids a report names; the counts are of all.
NAMED_IDS: Final = 10


class MissingRange(msgspec.Struct, frozen=True, kw_only=True):
    """Ids that are not on the tape, both ends included.

    Attributes:
        first_id: first that is missing.
        last_id: last that is missing.
        is_announced: a record on `tape-gaps` says so.
        reason: that record's; empty when there is none.
    """

    first_id: int
    last_id: int
    is_announced: bool
    reason: str = ""

    @property
    def trades(self) -> int:
        """How many trades are missing."""
        return self.last_id - self.first_id + 1


class CountedAnew(msgspec.Struct, frozen=True, kw_only=True):
    """A place where ids went back while event time went on: nothing is proved across it.

    Attributes:
        last_id: highest id before it.
        next_id: id of the trade behind it.
        event_time_us: of the trade behind it.
    """

    last_id: int
    next_id: int
    event_time_us: int


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """Receive time minus event time, over all records.

    Median and 99th percentile are within 1 % of the true value; negative: our clock is behind the venue's.
    """

    median_us: int
    p99_us: int
    min_us: int
    max_us: int


class MarketReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of one venue's market.

    Attributes:
        exchange: venue.
        symbol: market.
        is_whole: every id from the first to the last is there once, in order, in one partition.
        partitions: where its trades lie.
        first_id: lowest id (of the first tape, when ids were counted anew).
        last_id: highest id (of the last tape).
        trades: different ids.
        missing: what is not there, in order.
        missing_announced: how many trades of that were announced.
        missing_unannounced: how many were not.
        duplicates: records whose id was there already.
        duplicate_ids: the first ten of them.
        out_of_order: trades that come behind one with a higher id.
        out_of_order_ids: the first ten of them.
        counted_anew: where the venue began to count anew.
        first_event_us: event time of the first record.
        last_event_us: latest event time.
        silence_us: longest time without a trade, by event time.
        silence_from_us: event time at which it began.
        skew: between event and receive time.
    """

    exchange: str
    symbol: str
    is_whole: bool
    partitions: list[int]
    first_id: int
    last_id: int
    trades: int
    missing: list[MissingRange]
    missing_announced: int
    missing_unannounced: int
    duplicates: int
    duplicate_ids: list[int]
    out_of_order: int
    out_of_order_ids: list[int]
    counted_anew: list[CountedAnew]
    first_event_us: int
    last_event_us: int
    silence_us: int
    silence_from_us: int
    skew: Skew


class MarketAudit:
    """Takes one venue's market, trade by trade in the order of the topic.

    Args:
        first: its first trade; to be given to `add` as well.
    """

    def __init__(self, first: Trade) -> None:
        self._exchange = first.exchange
        self._symbol = first.symbol
        self._partitions: set[int] = set()
        self._records = 0
        self._skew = QuantileSketch()
        # Of the tapes before this one, when ids were counted anew.
        self._first_id: int | None = None
        self._holes: list[tuple[int, int]] = []
        self._anew: list[CountedAnew] = []
        self._ids = IdSet()
        self._high_id = first.trade_id - 1
        self._high_id_us = first.event_time_us
        self._duplicates = 0
        self._duplicate_ids: list[int] = []
        self._out_of_order = 0
        self._out_of_order_ids: list[int] = []
        self._first_us = self._last_us = self._silence_from_us = first.event_time_us
        self._silence_us = 0

    def add(self, trade: Trade, *, partition: int) -> None:
        """Take the next trade."""
        number, time_us = trade.trade_id, trade.event_time_us
        self._records += 1
        self._partitions.add(partition)
        self._skew.add(trade.received_time_us - time_us)
        if number <= self._high_id and time_us > self._high_id_us + RESTART_AFTER_US:
            self._begin_anew(trade)
        if not self._ids.add(number):
            self._duplicates += 1
            _name(self._duplicate_ids, number)
        elif number < self._high_id:
            self._out_of_order += 1
            _name(self._out_of_order_ids, number)
        else:
            self._high_id = number
            self._high_id_us = time_us
        if time_us > self._last_us:
            if time_us - self._last_us > self._silence_us:
                self._silence_us, self._silence_from_us = time_us - self._last_us, self._last_us
            self._last_us = time_us

    def report(self, gaps: Iterable[TapeGap]) -> MarketReport:
        """Return what is to be said so far.

        Args:
            gaps: what was announced as missing, of any market.
        """
        announced = _disjoint(g for g in gaps if (g.exchange, g.symbol) == (self._exchange, self._symbol))
        missing = [
            part
            for first, last in (*self._holes, *self._ids.holes())
            for part in _split(first, last, announced)
        ]
        trades_missing = sum(part.trades for part in missing)
        trades_announced = sum(part.trades for part in missing if part.is_announced)
        faults = (missing, self._duplicates, self._out_of_order, self._anew, len(self._partitions) > 1)
        return MarketReport(
            exchange=self._exchange,
            symbol=self._symbol,
            is_whole=not any(faults),
            partitions=sorted(self._partitions),
            first_id=self._ids.first if self._first_id is None else self._first_id,
            last_id=self._ids.last,
            trades=self._records - self._duplicates,
            missing=missing,
            missing_announced=trades_announced,
            missing_unannounced=trades_missing - trades_announced,
            duplicates=self._duplicates,
            duplicate_ids=self._duplicate_ids,
            out_of_order=self._out_of_order,
            out_of_order_ids=self._out_of_order_ids,
            counted_anew=self._anew,
            first_event_us=self._first_us,
            last_event_us=self._last_us,
            silence_us=self._silence_us,
            silence_from_us=self._silence_from_us,
            skew=Skew(
                median_us=self._skew.quantile(0.5),
                p99_us=self._skew.quantile(0.99),
                min_us=self._skew.min,
                max_us=self._skew.max,
            ),
        )

    def _begin_anew(self, trade: Trade) -> None:
        if self._first_id is None:
            self._first_id = self._ids.first
        self._holes += self._ids.holes()
        self._anew.append(
            CountedAnew(last_id=self._high_id, next_id=trade.trade_id, event_time_us=trade.event_time_us)
        )
        self._ids = IdSet()
        self._high_id = trade.trade_id - 1


class TapeAudit:
    """Takes all markets, each in the order of the topic."""

    def __init__(self) -> None:
        self._markets: dict[tuple[str, str], MarketAudit] = {}

    def add(self, trade: Trade, *, partition: int) -> None:
        """Take the next trade."""
        name = (trade.exchange, trade.symbol)
        market = self._markets.get(name)
        if market is None:
            market = self._markets[name] = MarketAudit(trade)
        market.add(trade, partition=partition)

    def reports(self, gaps: Iterable[TapeGap]) -> list[MarketReport]:
        """Return what is to be said of each market, by venue and name.

        Args:
            gaps: what was announced as missing.
        """
        by_market: dict[tuple[str, str], list[TapeGap]] = {}
        for gap in gaps:
            by_market.setdefault((gap.exchange, gap.symbol), []).append(gap)
        return [market.report(by_market.get(name, ())) for name, market in sorted(self._markets.items())]


def _name(ids: list[int], number: int) -> None:
    if len(ids) < NAMED_IDS:
        ids.append(number)


def _disjoint(gaps: Iterable[TapeGap]) -> list[MissingRange]:
    """Return announced ranges in order, none overlapping another."""
    ranges: list[MissingRange] = []
    for gap in sorted(gaps, key=attrgetter("first_missing_id", "detected_time_us")):
        first_id = max(gap.first_missing_id, ranges[-1].last_id + 1 if ranges else 0)
        if first_id <= gap.last_missing_id:
            ranges.append(
                MissingRange(
                    first_id=first_id, last_id=gap.last_missing_id, is_announced=True, reason=gap.reason
                )
            )
    return ranges


def _split(first_id: int, last_id: int, announced: list[MissingRange]) -> Iterator[MissingRange]:
    """Yield a hole in parts that are announced, or not."""
    next_id = first_id
    index = bisect_right(announced, first_id, key=attrgetter("first_id"))
    for gap in announced[max(0, index - 1) :]:
        if gap.first_id > last_id:
            break
        if gap.last_id < next_id:
            continue
        if gap.first_id > next_id:
            yield MissingRange(first_id=next_id, last_id=gap.first_id - 1, is_announced=False)
        begin, end = max(next_id, gap.first_id), min(last_id, gap.last_id)
        yield MissingRange(first_id=begin, last_id=end, is_announced=True, reason=gap.reason)
        next_id = end + 1
    if next_id <= last_id:
        yield MissingRange(first_id=next_id, last_id=last_id, is_announced=False)
