"""Fills holes of the tape through REST, page by page, beside the WebSocket and never in its way.

One question brings whatever is missing from the first hole to the newest trade, because it costs the same: a
feed that loses one frame in a hundred must not cost a question for each. Requests of one market are worked
off one after another; those that an earlier page has filled ask nothing. What does not come after bounded
attempts is handed back to the tape with the reason, which makes it a gap event.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from producer.exchanges.markets import Market
from producer.exchanges.protocol import InvalidFrame, TradePage
from producer.tape import FillRequest
from shared.errors import ExchangeError
from shared.events import Trade
from shared.logs import get_logger


@dataclass(frozen=True, kw_only=True)
class BackfillParams:
    """How holes are filled.

    Attributes:
        page_limit: trades per question at most.
        absent_attempts: questions about ids that the venue does not have yet; its REST side may lag behind.
        absent_delay_s: before asking about those again; it doubles.
        workers: markets that are worked on at one time.
    """

    page_limit: int = 1_000
    absent_attempts: int = 4
    absent_delay_s: float = 0.5
    workers: int = 4


class TradeSource(Protocol):
    """What answers; `producer.rest.RestClient`."""

    async def trades(
        self,
        market: Market,
        *,
        from_id: int | None,
        after_us: int | None,
        limit: int,
        is_wanted: Callable[[], bool],
    ) -> TradePage:
        """Return one page of trades from an id on, included; earlier ones may come before them."""
        ...


class TapeSide(Protocol):
    """Who asks and takes; the pipeline, around the tape."""

    def first_missing(self, request: FillRequest) -> int | None:
        """Return the first id of the request that is still wanted."""
        ...

    def highest_seen(self, symbol: str) -> int:
        """Return the newest id of a market that is known, or one below its first."""
        ...

    def time_before(self, symbol: str, trade_id: int) -> int | None:
        """Return the event time of a trade before an id, if one is known."""
        ...

    def is_missing(self, trade: Trade) -> bool:
        """Return whether a trade lies in a hole."""
        ...

    def on_backfilled(self, trades: Sequence[Trade], invalid: Sequence[InvalidFrame]) -> None:
        """Take a page."""
        ...

    def on_fill_ended(self, request: FillRequest, *, reason: str, is_absent: bool) -> None:
        """Take the news that nothing more will come."""
        ...

    async def wait_for_room(self) -> None:
        """Return when there is room for another page."""
        ...


class Backfiller:
    """Works off fill requests.

    Args:
        source: answers questions.
        side: takes the answers.
        markets: by venue-independent name.
        params: bounds.
    """

    def __init__(
        self, source: TradeSource, side: TapeSide, markets: Mapping[str, Market], params: BackfillParams
    ) -> None:
        self._source = source
        self._side = side
        self._markets = markets
        self._params = params
        self._requests: dict[str, deque[FillRequest]] = {symbol: deque() for symbol in markets}
        self._busy: set[str] = set()
        self._symbols: asyncio.Queue[str] = asyncio.Queue()
        self._log = get_logger()

    def submit(self, request: FillRequest) -> None:
        """Queue a request."""
        self._requests[request.symbol].append(request)
        if request.symbol not in self._busy:
            self._busy.add(request.symbol)
            self._symbols.put_nowait(request.symbol)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._params.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            symbol = await self._symbols.get()
            requests = self._requests[symbol]
            while requests:
                await self.fill(requests.popleft())
            self._busy.discard(symbol)

    async def fill(self, request: FillRequest) -> None:
        """Fetch what a request asks for, then say that it has ended."""
        try:
            await self._fetch_pages(request)
        except ExchangeError as error:
            # Not swallowed: the reason becomes part of the gap event.
            self._log.warning("backfill_failed", symbol=request.symbol, error=str(error))
            self._side.on_fill_ended(request, reason=str(error), is_absent=False)
        else:
            reason = "the exchange's REST interface does not have these trades"
            self._side.on_fill_ended(request, reason=reason, is_absent=True)

    async def _fetch_pages(self, request: FillRequest) -> None:
        market = self._markets[request.symbol]
        rest = request
        absent = 0
        while (first := self._side.first_missing(rest)) is not None:
            await self._side.wait_for_room()
            page = await self._source.trades(
                market,
                from_id=first,
                after_us=self._side.time_before(request.symbol, first),
                limit=min(self._params.page_limit, self._side.highest_seen(request.symbol) - first + 1),
                is_wanted=lambda: self._side.first_missing(request) is not None,
            )
            self._side.on_backfilled(list(filter(self._side.is_missing, page.trades)), page.invalid)
            if page.trades and page.trades[-1].trade_id >= first:
                # Later ids exist, so earlier ones that were not among them never will.
                rest = rest._replace(first_id=page.trades[-1].trade_id + 1)
                continue
            absent += 1
            if absent >= self._params.absent_attempts:
                return
            await asyncio.sleep(self._params.absent_delay_s * 2 ** (absent - 1))
