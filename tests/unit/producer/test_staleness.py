"""Silences: scaled to the market, explained by REST, excused by a halt."""

from random import Random

import pytest

from producer.staleness import StalenessMonitor, StalenessParams

BTC, QUIET = "BTC-USDT", "QUIET-USDT"
PARAMS = StalenessParams(min_s=10, max_s=300, multiple=20, grace_s=3)


@pytest.fixture
def monitor() -> StalenessMonitor:
    return StalenessMonitor([BTC, QUIET], PARAMS, now_s=0)


def symbols(monitor: StalenessMonitor, now_s: float) -> list[str]:
    return [silent.symbol for silent in monitor.due(now_s)]


def feed(monitor: StalenessMonitor, *, every_s: float, until_s: float, symbol: str = BTC) -> None:
    for number in range(1, round(until_s / every_s) + 1):
        monitor.on_trade(symbol, number * every_s)


def test_a_busy_market_is_looked_up_after_the_shortest_silence(monitor: StalenessMonitor) -> None:
    feed(monitor, every_s=0.1, until_s=100)
    assert symbols(monitor, 109.9) == []
    assert symbols(monitor, 110) == [BTC]


def test_the_threshold_scales_with_the_time_between_trades(monitor: StalenessMonitor) -> None:
    feed(monitor, every_s=3, until_s=900)
    assert symbols(monitor, 900 + 50) == [QUIET]
    assert symbols(monitor, 900 + 65) == [BTC]


def test_a_quiet_market_is_looked_up_after_the_longest_silence(monitor: StalenessMonitor) -> None:
    assert symbols(monitor, 299) == []
    assert symbols(monitor, 300) == [BTC, QUIET]


def test_a_burst_does_not_make_a_quiet_market_busy(monitor: StalenessMonitor) -> None:
    random = Random(5)  # noqa: S311 - a test's choice
    now_s = 0.0
    for _ in range(10):
        now_s += 250 + random.random()
        for number in range(10):
            monitor.on_trade(QUIET, now_s + number / 100)
    assert QUIET not in symbols(monitor, now_s + 200)


def test_each_silence_is_returned_once_until_it_was_looked_up(monitor: StalenessMonitor) -> None:
    assert symbols(monitor, 300) == [BTC, QUIET]
    assert symbols(monitor, 5_000) == []
    monitor.on_checked(BTC, has_later_trades=False, now_s=5_000)
    assert symbols(monitor, 5_299) == []
    assert symbols(monitor, 5_300) == [BTC]


def test_a_market_found_quiet_is_looked_up_less_often_until_it_trades(monitor: StalenessMonitor) -> None:
    feed(monitor, every_s=0.1, until_s=100)
    checked = []
    now_s = 100.0
    while now_s < 600:
        now_s += 1
        if BTC in symbols(monitor, now_s):
            checked.append(now_s - 100)
            monitor.on_checked(BTC, has_later_trades=False, now_s=now_s)
    assert checked == [10, 30, 70, 150, 310]
    monitor.on_trade(BTC, 700)
    assert monitor.silence_s(BTC, 701) == 1


def test_a_market_that_rest_knows_more_of_is_lost_after_the_grace(monitor: StalenessMonitor) -> None:
    monitor.due(300)
    monitor.on_checked(BTC, has_later_trades=True, now_s=301)
    assert monitor.lost(303.9) == []
    assert monitor.lost(304) == [BTC]
    assert monitor.lost(305) == []


def test_a_trade_within_the_grace_proves_the_feed_alive(monitor: StalenessMonitor) -> None:
    monitor.due(300)
    monitor.on_checked(BTC, has_later_trades=True, now_s=301)
    monitor.on_trade(BTC, 303)
    assert monitor.lost(400) == []


def test_an_answer_that_a_trade_overtook_says_nothing(monitor: StalenessMonitor) -> None:
    monitor.due(300)
    monitor.on_trade(BTC, 300.5)
    monitor.on_checked(BTC, has_later_trades=True, now_s=301)
    assert monitor.lost(1_000) == []


def test_a_halt_excuses_silence(monitor: StalenessMonitor) -> None:
    feed(monitor, every_s=0.1, until_s=100)
    monitor.set_trading(BTC, is_trading=False, now_s=105)
    assert monitor.has_halted
    assert symbols(monitor, 200) == []
    monitor.set_trading(BTC, is_trading=True, now_s=1_000)
    # The silence counts from the end of the halt.
    assert symbols(monitor, 1_009) == [QUIET]
    assert symbols(monitor, 1_010) == [BTC]


def test_a_trade_ends_a_halt(monitor: StalenessMonitor) -> None:
    monitor.set_trading(BTC, is_trading=False, now_s=0)
    monitor.on_trade(BTC, 50)
    assert monitor.is_trading(BTC)


def test_silence_while_nobody_listened_does_not_count(monitor: StalenessMonitor) -> None:
    monitor.restart(299)
    assert symbols(monitor, 598) == []
    assert symbols(monitor, 599) == [BTC, QUIET]
