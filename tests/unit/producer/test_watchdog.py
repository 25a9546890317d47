"""Silent markets are looked up; what the feed lost is brought, and its connection replaced."""

import asyncio
from collections.abc import Sequence

import pytest

from producer.exchanges.markets import Market, MarketMap
from producer.exchanges.protocol import InvalidFrame, TradePage
from producer.staleness import StalenessMonitor, StalenessParams
from producer.tape import Tape, TapeParams
from producer.watchdog import Watchdog, WatchdogParams
from shared.clock import ManualClock
from shared.errors import ExchangeUnavailableError
from shared.events import Trade

SYMBOL = "BTC-USDT"


def market(status: str = "TRADING") -> Market:
    return Market(
        symbol=SYMBOL, native="BTCUSDT", quote="USDT", status=status, is_trading=status == "TRADING"
    )


def trade(number: int) -> Trade:
    return Trade("binance", SYMBOL, number, 1.0, 1.0, False, number, number)


class World:
    """A venue, the tape's side, and what became of the market."""

    def __init__(self, *, status: str = "TRADING") -> None:
        self.clock = ManualClock()
        self.ids: list[int] = list(range(100, 120))
        self.status = status
        self.is_down = False
        self.questions: list[int | None] = []
        self.status_questions = 0
        self.brought: list[int] = []
        self.replaced: list[str] = []
        self.tape = Tape(TapeParams(backfill_on_start_trades=0))
        params = StalenessParams(min_s=10, max_s=300, grace_s=3)
        self.monitor = StalenessMonitor([SYMBOL], params, now_s=self.clock.monotonic_s())
        self.watchdog = Watchdog(
            monitor=self.monitor,
            source=self,
            sink=self,
            tape=self.tape,
            markets=[market(status)],
            params=WatchdogParams(page_limit=5, first_trades=3),
            clock=self.clock,
            is_listening=lambda: True,
            replace=self.replaced.append,
        )

    async def markets(self) -> MarketMap:
        self.status_questions += 1
        if self.is_down:
            raise ExchangeUnavailableError("binance", detail="down")
        return MarketMap("binance", [market(self.status)])

    async def trades(
        self, market: Market, *, from_id: int | None, after_us: int | None, limit: int, is_urgent: bool
    ) -> TradePage:
        assert after_us == (None if from_id is None else from_id - 1), "a trade's time is its id here"
        assert market.symbol == SYMBOL
        assert not is_urgent
        self.questions.append(from_id)
        if self.is_down:
            raise ExchangeUnavailableError("binance", detail="down")
        ids = self.ids[-limit:] if from_id is None else [n for n in self.ids if n >= from_id][:limit]
        return TradePage([trade(number) for number in ids], [])

    def on_backfilled(self, trades: Sequence[Trade], invalid: Sequence[InvalidFrame]) -> None:
        assert not invalid
        output = self.tape.feed(trades, now_s=self.clock.monotonic_s())
        self.brought += [item.trade_id for item in output.trades]

    async def wait_for_room(self) -> None:
        """There is always room."""

    def live(self, number: int) -> None:
        self.monitor.on_trade(SYMBOL, self.clock.monotonic_s())
        self.tape.feed([trade(number)], now_s=self.clock.monotonic_s())

    def after(self, seconds: float) -> None:
        """Let time pass, then do one round."""
        self.clock.advance(seconds=seconds)
        asyncio.run(self.watchdog.round())


@pytest.fixture
def world() -> World:
    return World()


def test_a_quiet_market_is_just_quiet(world: World) -> None:
    world.live(119)
    world.after(300)
    assert world.questions == [120]
    world.after(10)
    assert world.replaced == []


def test_what_the_feed_lost_is_brought_page_by_page_and_its_connection_replaced(world: World) -> None:
    world.live(107)
    world.after(300)
    assert world.brought == list(range(108, 120))
    assert world.questions == [108, 113, 118]
    assert world.replaced == []
    world.after(3)
    assert world.replaced == [SYMBOL]


def test_a_feed_that_was_only_slower_than_rest_keeps_its_connection(world: World) -> None:
    world.live(118)
    world.after(300)
    world.live(119)
    world.after(5)
    assert world.replaced == []


def test_a_market_that_never_said_anything_begins_at_its_latest_trades(world: World) -> None:
    world.after(300)
    assert world.questions == [None]
    assert world.brought == [117, 118, 119]
    world.after(5)
    assert world.replaced == []


def test_a_halted_market_is_not_asked_for_until_it_trades_again() -> None:
    world = World(status="HALT")
    world.after(1_000)
    assert world.questions == []
    assert world.status_questions == 1
    world.status = "TRADING"
    world.after(61)
    assert world.questions == []
    world.after(300)
    assert world.questions == [None]


def test_a_market_that_was_halted_meanwhile_is_excused(world: World) -> None:
    world.live(119)
    world.status = "HALT"
    world.after(300)
    assert world.questions == []


def test_a_venue_that_does_not_answer_is_asked_again_later(world: World) -> None:
    world.live(118)
    world.is_down = True
    world.after(300)
    assert world.brought == []
    world.is_down = False
    world.after(300)
    assert world.brought == [119]
