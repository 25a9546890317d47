"""Quotes of a simulated market, with an event in them."""

from functools import cache

from shared.stream.quotes import QuoteColumns
from simulator.crowd import MarketParams
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.tapes import stretches


@cache
def busy(scenario: str) -> QuoteColumns:
    """Return half an hour of two markets; with an event in the first after 25 minutes, or without."""
    events = (Scheduled(scenario, "BTCUSDT", 1_500.0, 12.0),) if scenario else ()
    params = MarketParams(
        symbols=("BTCUSDT", "SOLUSDT"),
        rate=5.0,
        seed=5,
        duration_s=1_800.0,
        has_quotes=True,
        scenarios=ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0, scheduled=events),
    )
    (stretch,) = stretches(params)
    assert stretch.quotes is not None
    return stretch.quotes
