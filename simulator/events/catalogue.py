"""The scenarios there are: one literal table."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from simulator.effects import Effect, MarketFacts
from simulator.events.arbitrage import divergence
from simulator.events.flash_crash import crash, spike
from simulator.events.manipulation import ignition, marking_close, quick_ignition
from simulator.events.pump_dump import pump_dump
from simulator.events.spoofing import layering, spoofing
from simulator.events.wash_trading import wash
from simulator.events.whale import iceberg, whale

Plan: TypeAlias = Callable[[float, float, MarketFacts, np.random.Generator], Effect]


class Scenario(NamedTuple):
    """One scenario.

    Attributes:
        kind: of the event, as detectors name it.
        plan: makes the effect from strength, seconds of the source, facts and randomness.
        unit: of the strength.
        usual: bounds of the strengths that are drawn where none is set, evenly by ratio.
        markets: that it happens on, within seconds; 0: all.
        is_of_one_venue: whether other venues of the market see nothing of it.
    """

    kind: str
    plan: Plan
    unit: str
    usual: tuple[float, float]
    markets: int = 1
    is_of_one_venue: bool = False


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "pump_dump": Scenario("pump_dump", pump_dump, "% rise within 25 s", (8.0, 60.0)),
    "flash_crash": Scenario("flash_crash", crash, "% fall within 20 to 90 s", (11.0, 25.0)),
    "market_crash": Scenario("flash_crash", crash, "% fall of every market", (6.0, 15.0), markets=0),
    "spike": Scenario("spike", spike, "% rise within 20 to 90 s", (11.0, 25.0)),
    "whale": Scenario("whale", whale, "times the 99 % point of orders", (25.0, 100.0), is_of_one_venue=True),
    "iceberg": Scenario(
        "whale",
        iceberg,
        "times the 99 % point of orders, in equal slices",
        (25.0, 100.0),
        is_of_one_venue=True,
    ),
    "wash_trading": Scenario(
        "wash_trading", wash, "% of the market's trades", (30.0, 70.0), is_of_one_venue=True
    ),
    "momentum_ignition": Scenario("manipulation", ignition, "% move within 3 to 15 s", (1.0, 4.0)),
    "marking_close": Scenario("manipulation", marking_close, "% move before the close", (0.5, 2.0)),
    "layered_burst": Scenario(
        "manipulation", quick_ignition, "% move of five markets within 5 s", (0.5, 2.0), markets=5
    ),
    "spoofing": Scenario("manipulation", spoofing, "times what stands on ten levels", (2.0, 12.0)),
    "layering": Scenario("manipulation", layering, "times what stands on ten levels, together", (2.0, 12.0)),
    "arbitrage": Scenario(
        "arbitrage", divergence, "bps between two venues", (120.0, 500.0), is_of_one_venue=True
    ),
}


def scenario(name: str) -> Scenario:
    """Return a scenario.

    Raises:
        ValueError: there is none of this name; names those that there are.
    """
    if name not in SCENARIOS:
        raise ValueError(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
