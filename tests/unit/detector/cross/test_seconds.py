"""Seconds: in which order ticks are looked at, and what becomes of those out of order."""

import pytest

from detector.cross import seconds as module
from detector.cross.seconds import Second, Seconds
from shared.events import MarketTick
from tests.data.cross_tapes import START_S, tick


def at(at_s: float, symbol: str = "BTC-USDT") -> MarketTick:
    return tick("binance", symbol, at_s, 100.0)


def fed(seconds: Seconds, *ticks: MarketTick) -> list[Second | MarketTick]:
    return [each for one in ticks for each in seconds.take(one)]


def done(found: list[Second | MarketTick]) -> list[tuple[int, int]]:
    return [(each.at_s - START_S, len(each.ticks)) for each in found if isinstance(each, Second)]


def test_a_second_is_complete_when_one_is_younger_by_the_lateness() -> None:
    seconds = Seconds(lateness_s=2.0)
    assert not done(fed(seconds, at(10.0), at(10.5, "ETH-USDT"), at(12.9)))[2:]
    assert done(fed(seconds, at(13.0))) == [(10, 2)]


def test_within_a_second_time_decides_then_the_name() -> None:
    seconds = Seconds(lateness_s=2.0)
    unordered = [at(10.5), at(10.2, "ETH-USDT"), at(10.5, "ADA-USDT")]
    found = fed(seconds, *unordered, at(13.0))
    last = [each for each in found if isinstance(each, Second)][-1]
    assert last.ticks == [unordered[1], unordered[2], unordered[0]]


def test_a_late_tick_is_told_apart_and_counted() -> None:
    seconds = Seconds(lateness_s=2.0)
    fed(seconds, at(10.0), at(20.0))
    late = at(17.9)
    assert fed(seconds, late) == [late]
    assert seconds.late == 1
    assert fed(seconds, at(18.1)) == []


def test_one_wrong_clock_does_not_make_everybody_late() -> None:
    seconds = Seconds(lateness_s=2.0)
    fed(seconds, at(0.0), at(1e6, "BAD-USDT"))
    assert done(fed(seconds, at(3.0)))[-1] == (0, 1)
    assert (seconds.late, seconds.dropped) == (0, 1)


def test_a_second_tick_confirms_a_jump_ahead() -> None:
    seconds = Seconds(lateness_s=2.0)
    fed(seconds, at(0.0))
    found = done(fed(seconds, at(5_000.0), at(5_000.5, "ETH-USDT"), at(5_003.0)))
    with_ticks = [at_s for at_s, count in found if count]
    assert with_ticks == [0, 5_000]
    # Time passes in between, but not for ever.
    assert found[-2] == (module.LONGEST_IDLE_S, 0)
    assert seconds.dropped == 0


def test_time_that_is_set_back_for_good_begins_anew() -> None:
    seconds = Seconds(lateness_s=2.0)
    fed(seconds, at(10_000.0))
    again = [at(number / 10) for number in range(module.SET_BACK_TICKS + 100)]
    found = fed(seconds, *again)
    assert seconds.late == module.SET_BACK_TICKS - 1
    assert done(found)[-1][0] == 106


def test_damaged_state_is_refused() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Seconds(lateness_s=2.0).load_state("[")
