"""Looks up silent markets through REST, and replaces the connection that lost one.

`staleness.py` says which markets are silent; here they are asked for. What REST has and the feed had not goes
through the tape like any other trade, so a lost last trade is found as well.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from producer.exchanges.markets import Market, MarketMap
from producer.exchanges.protocol import InvalidFrame, TradePage
from producer.staleness import SilentMarket, StalenessMonitor
from producer.tape import Tape
from shared.clock import Clock
from shared.errors import ExchangeError
from shared.events import Trade
from shared.logs import get_logger

_ROUND_S: Final = 1.0


class VenueSource(Protocol):
    """What answers; `producer.rest.RestClient`."""

    async def markets(self) -> MarketMap:
        """Return the venue's markets."""
        ...

    async def trades(
        self, market: Market, *, from_id: int | None, after_us: int | None, limit: int, is_urgent: bool
    ) -> TradePage:
        """Return a page of trades; earlier ones than those asked for may come first."""
        ...


class PageSink(Protocol):
    """What takes the pages; the pipeline."""

    def on_backfilled(self, trades: list[Trade], invalid: list[InvalidFrame]) -> None:
        """Take a page."""
        ...

    async def wait_for_room(self) -> None:
        """Return when there is room for another page."""
        ...


@dataclass(frozen=True, kw_only=True)
class WatchdogParams:
    """How silent markets are looked up.

    Attributes:
        page_limit: trades per question.
        first_trades: how many of the latest trades a market begins with that never said anything.
        status_age_s: age at which the venue's market statuses are asked for anew, before a look-up.
    """

    page_limit: int = 1_000
    first_trades: int = 1_000
    status_age_s: float = 60.0


class Watchdog:
    """Judges silences.

    Args:
        monitor: knows the silences.
        source: answers.
        sink: takes trades that REST has.
        tape: knows the last ids.
        markets: that are watched.
        params: bounds.
        clock: the time.
        is_listening: whether the feed is to bring trades now at all.
        replace: replaces the connection of a market.
    """

    def __init__(
        self,
        *,
        monitor: StalenessMonitor,
        source: VenueSource,
        sink: PageSink,
        tape: Tape,
        markets: Iterable[Market],
        params: WatchdogParams,
        clock: Clock,
        is_listening: Callable[[], bool],
        replace: Callable[[str], None],
    ) -> None:
        self._monitor = monitor
        self._source = source
        self._sink = sink
        self._tape = tape
        self._markets = {market.symbol: market for market in markets}
        self._params = params
        self._clock = clock
        self._is_listening = is_listening
        self._replace = replace
        self._status_s = clock.monotonic_s()
        self._log = get_logger()
        for market in self._markets.values():
            monitor.set_trading(market.symbol, is_trading=market.is_trading, now_s=self._status_s)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(_ROUND_S)
            if self._is_listening():
                await self.round()

    async def round(self) -> None:
        """Look up what is silent now, and act on what the feed has lost."""
        for symbol in self._monitor.lost(self._clock.monotonic_s()):
            self._log.warning("market_lost_by_feed", symbol=symbol)
            self._replace(symbol)
        silent = self._monitor.due(self._clock.monotonic_s())
        if silent or self._monitor.has_halted:
            await self._refresh_status()
        for market in silent:
            if self._monitor.is_trading(market.symbol):
                await self._look_up(market)
            else:
                now_s = self._clock.monotonic_s()
                self._monitor.on_checked(market.symbol, has_later_trades=False, now_s=now_s)

    async def _refresh_status(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._status_s < self._params.status_age_s:
            return
        try:
            listed = await self._source.markets()
        except ExchangeError as error:
            # Retried in the next round that finds a silent market; until then the last status holds.
            self._log.warning("market_status_unknown", error=str(error))
            return
        self._status_s = self._clock.monotonic_s()
        for symbol in self._markets:
            market = listed.get(symbol)
            is_trading = market is not None and market.is_trading
            self._monitor.set_trading(symbol, is_trading=is_trading, now_s=self._status_s)

    async def _look_up(self, silent: SilentMarket) -> None:
        symbol = silent.symbol
        try:
            has_later_trades = await self._fetch_later(symbol)
        except ExchangeError as error:
            # Retried when the doubled threshold is over.
            self._log.warning("silence_unexplained", symbol=symbol, error=str(error))
            has_later_trades = False
        self._monitor.on_checked(symbol, has_later_trades=has_later_trades, now_s=self._clock.monotonic_s())
        self._log.debug("silence_looked_up", symbol=symbol, silence_s=round(silent.silence_s, 1))

    async def _fetch_later(self, symbol: str) -> bool:
        """Bring what the venue has after the highest id that we saw; return whether there was anything."""
        market, limit = self._markets[symbol], self._params.page_limit
        seen = self._tape.highest_seen(symbol)
        if seen is None:
            await self._begin(market)
            return False
        seen_us = self._tape.time_before(symbol, seen + 1)
        while True:
            await self._sink.wait_for_room()
            page = await self._source.trades(
                market, from_id=seen + 1, after_us=seen_us, limit=limit, is_urgent=False
            )
            later = [trade for trade in page.trades if trade.trade_id > seen]
            self._sink.on_backfilled(later, page.invalid)
            if len(page.trades) < limit or not later:
                return bool(later)
            seen, seen_us = later[-1].trade_id, later[-1].event_time_us

    async def _begin(self, market: Market) -> None:
        """Begin a market that never said anything at its latest trades."""
        limit = min(self._params.first_trades, self._params.page_limit)
        if limit == 0:
            return
        page = await self._source.trades(market, from_id=None, after_us=None, limit=limit, is_urgent=False)
        # A venue that is asked by time may give more.
        trades = page.trades[-limit:]
        if trades and self._tape.highest_seen(market.symbol) is None:
            self._tape.begin(market.symbol, trades[0].trade_id)
            self._sink.on_backfilled(trades, page.invalid)
