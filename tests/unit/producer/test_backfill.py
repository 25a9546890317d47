"""Holes are fetched by pages; what the venue lacks or refuses ends with a reason."""

import asyncio
from collections.abc import Callable, Sequence

from producer.backfill import Backfiller, BackfillParams
from producer.exchanges.markets import Market
from producer.exchanges.protocol import InvalidFrame, TradePage
from producer.tape import FillRequest
from shared.errors import ExchangeError, ExchangeUnavailableError
from shared.events import Trade

MARKET = Market(symbol="BTC-USDT", native="BTCUSDT", quote="USDT", status="TRADING", is_trading=True)


class Source:
    """REST with some ids, some of which appear only after a number of questions.

    With `overlap`, a page begins so many ids before those that were asked for.
    """

    def __init__(
        self, ids: Sequence[int], *, page: int = 10, overlap: int = 0, error: ExchangeError | None = None
    ) -> None:
        self.ids = list(ids)
        self.page = page
        self.overlap = overlap
        self.error = error
        self.lagging: dict[int, int] = {}
        self.asked: list[tuple[int | None, int]] = []

    async def trades(
        self,
        market: Market,
        *,
        from_id: int | None,
        after_us: int | None,
        limit: int,
        is_wanted: Callable[[], bool],
    ) -> TradePage:
        assert after_us == -1, "as the side says"
        assert market is MARKET
        assert is_wanted()
        self.asked.append((from_id, limit))
        if self.error is not None:
            raise self.error
        known = [
            n
            for n in self.ids
            if self.lagging.get(n, 0) < len(self.asked) and n >= (from_id or 0) - self.overlap
        ]
        rows = [Trade("binance", "BTC-USDT", n, 1.0, 1.0, False, n, n) for n in known]
        return TradePage(rows[: min(limit, self.page) + self.overlap], [])


class Side:
    """The tape's side: a set of missing ids."""

    def __init__(self, missing: Sequence[int]) -> None:
        self.missing = set(missing)
        self.highest = max(missing) + 1
        self.got: list[int] = []
        self.ended: list[tuple[FillRequest, str, bool]] = []
        self.waited = 0

    def first_missing(self, request: FillRequest) -> int | None:
        return min((n for n in self.missing if request.first_id <= n <= request.last_id), default=None)

    def highest_seen(self, symbol: str) -> int:
        assert symbol == "BTC-USDT"
        return self.highest

    def time_before(self, symbol: str, trade_id: int) -> int | None:
        assert symbol == "BTC-USDT"
        assert trade_id in self.missing
        return -1

    def is_missing(self, trade: Trade) -> bool:
        return trade.trade_id in self.missing

    def on_backfilled(self, trades: Sequence[Trade], invalid: Sequence[InvalidFrame]) -> None:
        assert not invalid
        self.got += [trade.trade_id for trade in trades]
        self.missing -= set(self.got)

    def on_fill_ended(self, request: FillRequest, *, reason: str, is_absent: bool) -> None:
        self.ended.append((request, reason, is_absent))

    async def wait_for_room(self) -> None:
        self.waited += 1


def fill(source: Source, side: Side, first: int, last: int) -> FillRequest:
    request = FillRequest("BTC-USDT", first, last)
    params = BackfillParams(page_limit=10, absent_attempts=3, absent_delay_s=0.001)
    backfiller = Backfiller(source, side, {"BTC-USDT": MARKET}, params)
    asyncio.run(backfiller.fill(request))
    return request


def test_a_large_hole_is_fetched_by_pages() -> None:
    source, side = Source(range(200)), Side(range(100, 125))
    request = fill(source, side, 100, 124)
    assert side.got == list(range(100, 125))
    assert source.asked == [(100, 10), (110, 10), (120, 6)]
    assert [ended[0] for ended in side.ended] == [request]
    assert side.waited == 3


def test_ids_that_came_meanwhile_are_not_asked_for() -> None:
    source, side = Source(range(200)), Side([115, 116])
    fill(source, side, 100, 120)
    assert [from_id for from_id, _ in source.asked] == [115]


def test_ids_that_the_venue_skips_are_asked_for_once() -> None:
    source, side = Source([n for n in range(200) if n not in (103, 104)]), Side(range(100, 110))
    fill(source, side, 100, 109)
    assert side.missing == {103, 104}
    assert len(source.asked) == 1
    assert side.ended[0][2] is True


def test_a_venue_that_only_has_what_is_beyond_is_asked_once() -> None:
    source, side = Source(range(150, 200)), Side(range(100, 110))
    fill(source, side, 100, 109)
    assert side.got == []
    assert len(source.asked) == 1


def test_a_rest_side_that_lags_is_asked_again() -> None:
    source, side = Source([100]), Side([100])
    source.lagging = {100: 2}
    fill(source, side, 100, 100)
    assert side.got == [100]
    assert len(source.asked) == 3


def test_a_venue_that_has_nothing_is_asked_a_bounded_number_of_times() -> None:
    source, side = Source([]), Side([100])
    fill(source, side, 100, 100)
    assert len(source.asked) == 3
    _, reason, is_absent = side.ended[0]
    assert is_absent
    assert "does not have" in reason


def test_a_refusal_becomes_the_reason() -> None:
    error = ExchangeUnavailableError("binance", detail="down for maintenance", code=503)
    side = Side([100])
    fill(Source([], error=error), side, 100, 100)
    _, reason, is_absent = side.ended[0]
    assert "down for maintenance" in reason
    assert not is_absent


def test_one_question_fills_all_holes_that_it_reaches() -> None:
    async def run() -> None:
        source, side = Source(range(200)), Side([100, 103, 107, 115])
        backfiller = Backfiller(source, side, {"BTC-USDT": MARKET}, BackfillParams(page_limit=10))
        working = asyncio.create_task(backfiller.run())
        for number in (100, 103, 107, 115):
            backfiller.submit(FillRequest("BTC-USDT", number, number))
        async with asyncio.timeout(5):
            while len(side.ended) < 4:  # noqa: ASYNC110 - the fake has no event to wait for
                await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert source.asked == [(100, 10), (115, 2)]
        assert side.got == [100, 103, 107, 115]

    asyncio.run(run())


def test_a_page_may_begin_before_the_hole() -> None:
    source, side = Source(range(200), overlap=3), Side(range(100, 115))
    fill(source, side, 100, 114)
    assert side.got == list(range(100, 115))
    assert [from_id for from_id, _ in source.asked] == [100, 110]


def test_a_page_that_ends_before_the_hole_is_no_answer() -> None:
    source, side = Source(range(100), overlap=3), Side([100])
    request = fill(source, side, 100, 100)
    assert len(source.asked) == 3
    assert side.ended == [(request, "the exchange's REST interface does not have these trades", True)]
