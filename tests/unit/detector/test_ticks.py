"""Ticks: which trades are told to the cross-market step, and with what."""

import dataclasses

import pytest

from detector.engine import Engine
from detector.ticks import TickParams
from shared.events import Anomaly, MarketTick, Trade
from shared.stream.step import OutputEvent
from tests.data.detector_tapes import SMALL, START_US, crash, market

PARAMS = dataclasses.replace(SMALL, enabled=("flash_crash",), ticks=TickParams())


def trade(number: int, at_s: float, price: float, *, quantity: float = 2.0, sells: bool = False) -> Trade:
    time_us = START_US + round(at_s * 1e6)
    return Trade("binance", "BTC-USDT", number, price, quantity, sells, time_us, time_us)


def ticks(events: list[OutputEvent]) -> list[MarketTick]:
    return [event for event in events if isinstance(event, MarketTick)]


def told(*trades: Trade) -> list[int]:
    return [tick.trade_id for tick in ticks(Engine(PARAMS).on_batch(trades))]


def test_the_first_trade_is_told_and_then_one_a_second() -> None:
    tape = [trade(number, number * 0.25, 100.0) for number in range(10)]
    assert told(*tape) == [0, 4, 8]


def test_a_move_is_told_sooner_the_larger_it_is() -> None:
    assert told(trade(0, 0.0, 100.0), trade(1, 0.08, 100.06), trade(2, 0.11, 100.06)) == [0, 2]
    assert told(trade(0, 0.0, 100.0), trade(1, 0.009, 100.5), trade(2, 0.011, 100.51)) == [0, 2]
    assert told(trade(0, 0.0, 100.0), trade(1, 0.5, 100.04)) == [0]


def test_a_tick_sums_up_what_was_traded_since_the_one_before() -> None:
    tape = [
        trade(0, 0.0, 100.0),
        trade(1, 0.2, 100.0, quantity=3.0),
        trade(2, 0.4, 100.0, quantity=5.0, sells=True),
        trade(3, 1.0, 100.0, quantity=1.0),
    ]
    first, second = ticks(Engine(PARAMS).on_batch(tape))
    assert (first.trades, first.notional, first.signed_flow) == (1, 200.0, 200.0)
    assert (second.trades, second.notional, second.signed_flow) == (3, 900.0, -100.0)
    assert second.opened == ()
    assert (second.price, second.event_time_us) == (100.0, tape[3].event_time_us)


def test_a_clock_that_is_set_back_does_not_silence_a_market() -> None:
    assert told(trade(0, 100_000.0, 100.0), trade(1, 0.0, 100.0), trade(2, 0.1, 100.0)) == [0, 1]


def test_the_trade_at_which_an_episode_opens_is_told_with_it() -> None:
    events = Engine(PARAMS).on_batch(crash(market(1_000), at=700, depth=0.05, length=20))
    opened = next(event for event in events if isinstance(event, Anomaly))
    found = [tick for tick in ticks(events) if tick.opened]
    assert [tick.trade_id for tick in found] == [opened.trade_id]
    assert found[0].opened == (opened,)
    assert events.index(found[0]) == events.index(opened) + 1


def test_any_split_and_a_restart_tell_the_same() -> None:
    tape = crash(market(1_000), at=700, depth=0.05, length=20)
    whole = Engine(PARAMS).on_batch(tape)
    engine, events = Engine(PARAMS), list[OutputEvent]()
    for start in range(0, 1_000, 7):
        events += engine.on_batch(tape[start : start + 7])
        state = engine.snapshot("BTC-USDT")
        engine = Engine(PARAMS)
        engine.restore("BTC-USDT", state)
    assert events == whole
    assert len(ticks(whole)) > 100


def test_without_parameters_nothing_is_told() -> None:
    engine = Engine(dataclasses.replace(PARAMS, ticks=None))
    assert not ticks(engine.on_batch(market(100)))


def test_times_and_moves_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        TickParams(interval_s=0.0)
