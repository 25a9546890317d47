"""The bounds of a tape's patience, and what happens beyond them."""

import pytest

from producer.tape import FillRequest, Position, Restart, Tape, TapeParams, UnfilledRange
from shared.events import Trade

SYMBOL = "BTC-USDT"


def trade(number: int, symbol: str = SYMBOL, *, time_us: int | None = None) -> Trade:
    return Trade("binance", symbol, number, 1.0, 1.0, False, number if time_us is None else time_us, number)


def trades(*numbers: int) -> list[Trade]:
    return [trade(number) for number in numbers]


def resumed(**params: float) -> Tape:
    return Tape(TapeParams(**params), {SYMBOL: Position(9, 9)})  # type: ignore[arg-type]  # test shorthand


def published(items: list[Trade]) -> list[int]:
    return [item.trade_id for item in items]


def test_a_hole_is_asked_for_only_after_the_grace() -> None:
    tape = resumed(grace_s=0.25)
    assert published(tape.feed(trades(10, 12), now_s=0).trades) == [10]
    assert tape.tick(now_s=0.2).requests == []
    assert tape.tick(now_s=0.25).requests == [FillRequest(SYMBOL, 11, 11)]
    assert tape.tick(now_s=9).requests == []


def test_a_reordering_within_the_grace_asks_nothing() -> None:
    tape = resumed()
    tape.feed(trades(11), now_s=0)
    assert published(tape.feed(trades(10), now_s=0.1).trades) == [10, 11]
    assert tape.tick(now_s=1).requests == []


def test_only_the_market_with_the_hole_waits() -> None:
    tape = Tape(TapeParams(), {SYMBOL: Position(9, 9), "ETH-USDT": Position(9, 9)})
    output = tape.feed([trade(11), trade(10, "ETH-USDT")], now_s=0)
    assert [item.symbol for item in output.trades] == ["ETH-USDT"]
    assert tape.waiting_total == 1


def test_duplicates_are_dropped_and_counted_also_while_they_wait() -> None:
    tape = resumed()
    output = tape.feed(trades(10, 10, 12, 12), now_s=0)
    assert published(output.trades) == [10]
    assert tape.duplicates_total == 2


def test_a_fresh_market_asks_for_its_history_at_once() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=5))
    assert tape.feed(trades(100), now_s=50).trades == []
    assert tape.tick(now_s=50).requests == [FillRequest(SYMBOL, 95, 99)]


def test_history_stops_at_the_first_id() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=5))
    tape.feed(trades(2), now_s=0)
    assert tape.tick(now_s=0).requests == [FillRequest(SYMBOL, 0, 1)]


def test_history_that_the_venue_does_not_have_is_no_gap() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=5))
    tape.feed(trades(100), now_s=0)
    [request] = tape.tick(now_s=0).requests
    assert tape.feed(trades(98), now_s=0).trades == []
    output = tape.end_fill(request, reason="absent", is_absent=True)
    # What is before the first known trade never was asked for; what is after it is missing.
    assert published(output.trades) == [98, 100]
    assert output.unfilled == [UnfilledRange(SYMBOL, 99, 99, "absent")]


def test_history_that_could_not_be_asked_for_is_a_gap() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=5))
    tape.feed(trades(100), now_s=0)
    [request] = tape.tick(now_s=0).requests
    output = tape.end_fill(request, reason="no answer", is_absent=False)
    assert output.unfilled == [UnfilledRange(SYMBOL, 95, 99, "no answer")]
    assert published(output.trades) == [100]


def test_after_a_resume_nothing_may_be_missing() -> None:
    tape = resumed()
    tape.feed(trades(13), now_s=0)
    [request] = tape.tick(now_s=1).requests
    assert request == FillRequest(SYMBOL, 10, 12)
    output = tape.end_fill(request, reason="absent", is_absent=True)
    assert output.unfilled == [UnfilledRange(SYMBOL, 10, 12, "absent")]


def test_a_hole_that_is_too_large_is_published_not_asked_for() -> None:
    tape = resumed(backfill_max_trades=3)
    tape.feed(trades(14), now_s=0)
    output = tape.tick(now_s=1)
    assert output.requests == []
    [gap] = output.unfilled
    assert (gap.first_id, gap.last_id) == (10, 13)
    assert "more than the 3" in gap.reason
    assert published(output.trades) == [14]


def test_too_many_waiting_trades_give_the_hole_up() -> None:
    tape = resumed(max_waiting_trades=3)
    tape.feed(trades(11, 12, 13), now_s=0)
    assert tape.tick(now_s=1).unfilled == []
    tape.feed(trades(14), now_s=1)
    output = tape.tick(now_s=1)
    [gap] = output.unfilled
    assert (gap.first_id, gap.last_id) == (10, 10)
    assert "3 trades waited" in gap.reason
    assert published(output.trades) == [11, 12, 13, 14]


def test_too_long_a_wait_gives_the_hole_up() -> None:
    tape = resumed(max_wait_s=60)
    tape.feed(trades(11), now_s=0)
    assert tape.tick(now_s=59).unfilled == []
    output = tape.tick(now_s=60)
    assert [gap.reason for gap in output.unfilled] == ["not filled within 60 s"]
    assert published(output.trades) == [11]
    # REST answers too late: the range was published as missing, and order is kept.
    assert tape.feed(trades(10), now_s=61).trades == []


def test_what_came_by_itself_is_no_longer_wanted() -> None:
    tape = resumed()
    tape.feed(trades(13), now_s=0)
    [request] = tape.tick(now_s=1).requests
    assert tape.first_missing(request) == 10
    tape.feed(trades(11), now_s=1)
    assert tape.first_missing(request) == 10
    tape.feed(trades(10), now_s=1)
    assert tape.first_missing(request) == 12
    tape.feed(trades(12), now_s=1)
    assert tape.first_missing(request) is None


def test_a_later_hole_given_up_first_is_published_in_its_place() -> None:
    tape = resumed()
    tape.feed(trades(11, 13), now_s=0)
    early, late = tape.tick(now_s=1).requests
    assert tape.end_fill(late, reason="absent", is_absent=True).unfilled == []
    tape.feed(trades(10), now_s=1)
    output = tape.end_fill(early, reason="absent", is_absent=True)
    assert output.unfilled == []
    assert tape.last_published(SYMBOL) == 13


def test_a_venue_that_counts_anew_begins_a_new_tape() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=2), {SYMBOL: Position(1_000, 1_000)})
    output = tape.feed([trade(5, time_us=20_000_000)], now_s=0)
    assert output.restarts == [Restart(SYMBOL, 1_001, 5)]
    assert tape.tick(now_s=0).requests == [FillRequest(SYMBOL, 3, 4)]


@pytest.mark.parametrize("time_us", [500, 1_000, 9_000_000])
def test_an_old_trade_is_a_duplicate_not_a_new_count(time_us: int) -> None:
    tape = Tape(TapeParams(), {SYMBOL: Position(1_000, 1_000)})
    output = tape.feed([trade(5, time_us=time_us)], now_s=0)
    assert output.restarts == []
    assert tape.duplicates_total == 1


def test_a_silent_market_begins_where_it_is_told() -> None:
    tape = Tape(TapeParams(backfill_on_start_trades=5))
    assert tape.highest_seen(SYMBOL) is None
    tape.begin(SYMBOL, 50)
    assert published(tape.feed(trades(50, 51), now_s=0).trades) == [50, 51]
    assert tape.tick(now_s=1).requests == []
    assert (tape.last_published(SYMBOL), tape.highest_seen(SYMBOL)) == (51, 51)


def test_a_latest_trade_that_the_venue_tells_of_is_missed_and_asked_for() -> None:
    tape = resumed()
    tape.expect(SYMBOL, 12, now_s=0)
    assert tape.highest_seen(SYMBOL) == 12
    assert tape.tick(now_s=1).requests == [FillRequest(SYMBOL, 10, 12)]
    assert published(tape.feed(trades(10, 11, 12, 13), now_s=1).trades) == [10, 11, 12, 13]
    assert tape.waiting_total == 0


def test_a_trade_that_comes_after_its_announcement_is_no_hole() -> None:
    tape = resumed(grace_s=0.25)
    tape.expect(SYMBOL, 10, now_s=0)
    assert published(tape.feed(trades(10), now_s=0.1).trades) == [10]
    assert tape.tick(now_s=1).requests == []


@pytest.mark.parametrize("word", [0, 8, 9, 10_000_000])
def test_a_word_that_tells_nothing_or_too_much_is_not_believed(word: int) -> None:
    tape = resumed()
    tape.expect(SYMBOL, word, now_s=0)
    tape.expect("ETH-USDT", 5, now_s=0)
    assert tape.tick(now_s=1).requests == []
    assert published(tape.feed(trades(10), now_s=1).trades) == [10]


def test_the_time_before_an_id_is_that_of_the_nearest_trade_that_is_had() -> None:
    tape = Tape(TapeParams(), {SYMBOL: Position(9, 900)})
    assert tape.time_before("ETH-USDT", 5) is None
    assert tape.time_before(SYMBOL, 10) == 900
    tape.feed([trade(12, time_us=1_200), trade(15, time_us=1_500)], now_s=0)
    assert tape.time_before(SYMBOL, 10) == 900
    assert tape.time_before(SYMBOL, 13) == 1_200
    assert tape.time_before(SYMBOL, 99) == 1_500
