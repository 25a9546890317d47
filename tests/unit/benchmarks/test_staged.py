from dataclasses import replace

import pytest

from benchmarks.staged import QUIET, Stage, StageParams, schedule
from simulator.crowd import Crowd
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.tapes import Stretch, stretch

PARAMS = StageParams(
    markets=3, enabled=("flash_crash",), trades_per_s=1.0, warm_up_s=1_800.0, stretch_s=600.0
)


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(PARAMS)


def test_a_stage_warms_up_in_whole_stretches(stage: Stage) -> None:
    assert stage.at_s == 1_800.0
    assert stage.alarms == []


def test_an_event_is_played_to_its_end_and_found(stage: Stage) -> None:
    at_s = stage.at_s + 60.0
    played = stage.play([Scheduled("flash_crash", stage.symbols[1], at_s, 30.0)])
    (event,), (alarm,) = played.truth, played.alarms
    assert (event.market, alarm.symbol, alarm.kind) == ("SIM001-USDT", "SIM001-USDT", "flash_crash")
    (span,) = played.watches[0].spans
    assert span.start_us <= event.start_us <= alarm.time_us < event.end_us < span.end_us


def test_what_is_played_leaves_no_trace(stage: Stage) -> None:
    crash = schedule("flash_crash", 30.0, stage=stage, spread_s=60.0, seed=1)
    first, quiet, again = stage.play(crash), stage.play(_late(stage)), stage.play(crash)
    assert len(first.alarms) == 3
    assert quiet.alarms == []
    assert again == first


def test_each_market_gets_an_event_of_its_own_at_the_same_times_for_all_strengths(stage: Stage) -> None:
    weak, strong = (
        schedule("whale", strength, stage=stage, spread_s=100.0, seed=4) for strength in (1.0, 9.0)
    )
    assert [event.symbol for event in weak] == list(stage.symbols)
    assert [event._replace(strength=9.0) for event in weak] == strong
    assert all(0.0 <= event.at_s - stage.at_s - 60.0 < 100.0 for event in weak)


def test_a_scenario_of_several_markets_comes_once(stage: Stage) -> None:
    (event,) = schedule("market_crash", 1.0, stage=stage, spread_s=100.0, seed=4)
    assert event.symbol == stage.symbols[1]


def test_markets_are_the_same_until_an_event_begins() -> None:
    quiet = Crowd(PARAMS.market)
    for number in range(2):
        stretch(quiet, number)
    at_s = 3 * 600.0 + 10.0
    changed = quiet.with_scenarios(
        ScenarioParams(
            whales_per_hour=0.0,
            crashes_per_hour=0.0,
            scheduled=(Scheduled("flash_crash", "SIM000USDT", at_s, 30.0),),
        )
    )
    before = [stretch(crowd, 2) for crowd in (changed, quiet)]
    after = [stretch(crowd, 3) for crowd in (changed, quiet)]
    assert _prices(before[0]) == _prices(before[1])
    assert _prices(after[0]) != _prices(after[1])
    assert [event.scenario for event in after[0].truth] == ["flash_crash"]


def test_a_copy_of_a_quiet_market_goes_on_as_if_it_had_never_stopped() -> None:
    straight = Crowd(replace(PARAMS.market, exchanges=("binance", "coinbase")))
    stretch(straight, 0)
    copied = straight.with_scenarios(QUIET)
    assert _prices(stretch(copied, 1)) == _prices(stretch(straight, 1))


def _late(stage: Stage) -> list[Scheduled]:
    """Return an event that is too weak to be seen."""
    return schedule("flash_crash", 0.001, stage=stage, spread_s=60.0, seed=1)


def _prices(part: Stretch) -> list[tuple[str, float, int]]:
    return [(trade.symbol, trade.price, trade.event_time_us) for trade in part.trades]
