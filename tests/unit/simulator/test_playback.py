"""Source time to wall time."""

from collections.abc import Iterator

import pytest

from simulator.playback import Playback
from simulator.source import Chunk, Injected, MarketTrade, SymbolInfo

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
NOW = 1_800_000_000 * SECOND


class ListSource:
    symbols = (SymbolInfo(symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT"),)
    start_us = START

    def __init__(
        self, *seconds: float, is_restamped: bool = False, injected: tuple[Injected, ...] = ()
    ) -> None:
        self.is_restamped = is_restamped
        self._seconds = seconds
        self._injected = list(injected)

    def history(self) -> list[MarketTrade]:
        return [trade(0, -1)]

    def chunks(self) -> Iterator[Chunk]:
        for number, second in enumerate(self._seconds, start=1):
            yield Chunk([trade(number, second)], self._injected if number == 1 else [])


def trade(trade_id: int, second: float) -> MarketTrade:
    time_us = START + round(second * SECOND)
    return MarketTrade("BTCUSDT", trade_id, "1.00000000", "1.00000000", False, time_us, time_us)


def ids(playback: Playback, after_s: float, limit: int = 100) -> list[int]:
    played = playback.take(now_us=NOW + round(after_s * SECOND), limit=limit)
    return [trade.trade_id for trade in played.trades]


def test_nothing_happens_before_the_start() -> None:
    playback = Playback(ListSource(0, 1), speed=1)
    assert ids(playback, 100) == []
    assert playback.due_in_us(now_us=NOW) is None
    assert not playback.is_started


def test_trades_come_when_they_are_due_at_the_speed() -> None:
    playback = Playback(ListSource(0, 1, 2, 30), speed=10)
    playback.start(now_us=NOW)
    assert ids(playback, 0) == [1]
    assert ids(playback, 0.09) == []
    assert playback.due_in_us(now_us=NOW) == SECOND // 10
    assert ids(playback, 0.21) == [2, 3]
    assert ids(playback, 2.9) == []
    assert [playback.is_finished, ids(playback, 3.1), playback.is_finished] == [False, [4], True]
    assert playback.due_in_us(now_us=NOW) is None


def test_a_second_start_changes_nothing() -> None:
    playback = Playback(ListSource(0, 1), speed=1)
    playback.start(now_us=NOW)
    playback.start(now_us=NOW + 5 * SECOND)
    assert ids(playback, 1) == [1, 2]


def test_no_more_than_the_limit_at_once_and_nothing_is_lost() -> None:
    playback = Playback(ListSource(*range(10)), speed=1)
    playback.start(now_us=NOW)
    assert ids(playback, 100, limit=4) == [1, 2, 3, 4]
    assert playback.due_in_us(now_us=NOW + 100 * SECOND) == 0
    assert ids(playback, 100, limit=4) + ids(playback, 100, limit=4) == [5, 6, 7, 8, 9, 10]


def test_time_that_jumps_back_keeps_the_order() -> None:
    playback = Playback(ListSource(0, 5, 2, 6), speed=1)
    playback.start(now_us=NOW)
    assert ids(playback, 4.9) == [1]
    assert ids(playback, 5) == [2, 3]
    assert ids(playback, 6) == [4]


def test_holding_puts_off_what_is_to_come() -> None:
    playback = Playback(ListSource(0, 1), speed=1)
    playback.start(now_us=NOW)
    playback.hold(us=2 * SECOND)
    assert ids(playback, 2.5) == [1]
    assert ids(playback, 3) == [2]


def test_a_recording_keeps_its_times() -> None:
    playback = Playback(ListSource(0, 1), speed=1)
    playback.start(now_us=NOW)
    [first] = playback.take(now_us=NOW).trades
    assert (first.trade_time_us, first.event_time_us) == (START, START)
    assert playback.market_time_us(now_us=NOW + SECOND // 2) == START + SECOND // 2
    assert playback.history(now_us=NOW)[0].trade_time_us == START - SECOND


def test_restamped_times_begin_at_the_start() -> None:
    injected = Injected(
        kind="whale", symbol="BTCUSDT", market="BTC-USDT", start_us=START, end_us=START + 1, parameters={}
    )
    playback = Playback(ListSource(0, 1, is_restamped=True, injected=(injected,)), speed=2)
    assert playback.history(now_us=NOW - 5 * SECOND)[0].trade_time_us == NOW - 6 * SECOND
    playback.start(now_us=NOW)
    played = playback.take(now_us=NOW)
    assert [trade.trade_time_us for trade in played.trades] == [NOW]
    assert [(event.start_us, event.end_us) for event in played.injected] == [(NOW, NOW + 1)]
    assert playback.market_time_us(now_us=NOW + SECOND) == NOW + 2 * SECOND


def test_an_event_is_told_once_when_time_has_reached_it() -> None:
    injected = Injected(
        kind="flash_crash",
        symbol="BTCUSDT",
        market="BTC-USDT",
        start_us=START + SECOND,
        end_us=START + 9 * SECOND,
        parameters={},
    )
    playback = Playback(ListSource(0, 1, 2, injected=(injected,)), speed=1)
    playback.start(now_us=NOW)
    told = [playback.take(now_us=NOW + after_s * SECOND).injected for after_s in range(3)]
    assert told == [[], [injected], []]


def test_a_speed_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="speed"):
        Playback(ListSource(0), speed=0)
