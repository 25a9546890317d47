from producer.timing import Timing, TimingMonitor


def fed(*pairs: tuple[int, int]) -> Timing | None:
    monitor = TimingMonitor()
    for event_time_us, received_time_us in pairs:
        monitor.on_trade("BTC-USDT", event_time_us=event_time_us, received_time_us=received_time_us)
    return monitor.timing("BTC-USDT")


def test_nothing_is_known_of_a_market_that_has_not_traded() -> None:
    assert fed() is None


def test_the_minimum_is_skew_and_the_shortest_way_and_the_median_the_usual_one() -> None:
    timing = fed((1_000, 1_090), (2_000, 2_050), (3_000, 3_070))
    assert timing == Timing(skew_min_us=50, skew_median_us=70, late_total=0)


def test_a_venue_whose_clock_is_ahead_gives_a_negative_skew() -> None:
    timing = fed((1_000, 400))
    assert timing is not None
    assert timing.skew_min_us == -600


def test_a_clock_that_was_put_right_shows_after_a_window() -> None:
    timing = fed(*((n, n - 5) for n in range(200)), *((n, n + 80) for n in range(200, 328)))
    assert timing == Timing(skew_min_us=80, skew_median_us=80, late_total=0)


def test_late_trades_are_those_older_than_the_newest_before_them() -> None:
    timing = fed((5, 9), (3, 9), (5, 9), (4, 9), (6, 9))
    assert timing is not None
    assert timing.late_total == 2
