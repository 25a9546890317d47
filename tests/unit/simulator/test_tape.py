"""The trades that REST knows."""

from simulator.source import MarketTrade
from simulator.tape import Tape


def trade(trade_id: int) -> MarketTrade:
    return MarketTrade("BTCUSDT", trade_id, "1.00000000", "1.00000000", False, trade_id, trade_id)


def filled(*ids: int, capacity: int = 1_000) -> Tape:
    tape = Tape(capacity=capacity)
    for trade_id in ids:
        tape.append(trade(trade_id))
    return tape


def ids(trades: list[MarketTrade]) -> list[int]:
    return [trade.trade_id for trade in trades]


def test_repeats_are_ignored_and_late_trades_put_in_their_place() -> None:
    tape = filled(1, 2, 2, 5, 3, 5, 6)
    assert ids(tape.latest(10)) == [1, 2, 3, 5, 6]


def test_the_oldest_are_forgotten_beyond_the_capacity() -> None:
    tape = filled(*range(1_000), capacity=100)
    assert 100 <= len(tape) <= 125
    assert tape.last_id == 999
    assert tape.first_id == 1_000 - len(tape)
    assert ids(tape.from_id(0, 2)) == [tape.first_id, tape.first_id + 1]


def test_an_empty_tape_answers() -> None:
    tape = filled()
    assert (tape.first_id, tape.last_id) == (None, None)
    assert tape.latest(5) == tape.from_id(1, 5) == tape.between(0, 9, 5) == tape.until(9, 5) == []
