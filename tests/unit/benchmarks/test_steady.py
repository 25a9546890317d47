import time

from benchmarks.steady import Course, Past, measured
from benchmarks.trades import earlier_trades, market_trades
from detector.market_engines import MarketEngines
from detector.params import EngineParams


def burn(ms: float) -> None:
    until_s = time.thread_time() + ms / 1e3
    while time.thread_time() < until_s:
        pass


def test_the_warm_up_does_not_count() -> None:
    course = Course(trades=1_000)
    seen: list[int] = []
    steady: list[int] = []

    def advance(until: int) -> None:
        burn(50 if until == course.warm_up else 8)
        seen.append(until)

    cost = measured(course, advance, at_steady=lambda: steady.append(len(seen)))
    assert seen == [400, 1_000]
    assert steady == [1]
    assert 10 <= cost.main_us < 50
    assert cost.wall_us >= 10


def test_the_past_ends_where_the_tape_begins() -> None:
    past = earlier_trades(markets=5, rate_per_s=20.0)
    tape = list(market_trades(200, markets=5, rate_per_s=20.0))
    first = tape[0]
    assert (past.times_us[1:] >= past.times_us[:-1]).all()
    assert 0 < first.event_time_us - past.times_us[-1] < 1_000_000
    last_prices = {past[at].symbol: past[at].price for at in range(len(past))}
    assert set(last_prices) == {trade.symbol for trade in tape}
    assert abs(last_prices[first.symbol] / first.price - 1) < 0.01


def test_a_step_remembers_the_past_at_its_first_trade() -> None:
    enabled = ("zscore",)
    past = Past(markets=2, rate_per_s=2.0)
    engines = MarketEngines(EngineParams(enabled=enabled))
    past.resume(engines, enabled=enabled)
    assert sorted(engines.symbols()) == ["M000-USDT", "M001-USDT"]
    assert int(engines.snapshot("M000-USDT")["0/zscore/detector/seen"]) >= 1_000
