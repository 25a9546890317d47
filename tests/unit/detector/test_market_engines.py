"""Markets under their own settings: shadows, ends of episodes, snapshots, and what moves between engines."""

from dataclasses import replace

import pytest

from detector.engine import Engine
from detector.market_engines import MarketEngines
from shared.errors import SnapshotRefusedError
from shared.events import Anomaly, DetectorConfig, EpisodePhase, SettingValue
from tests.data.detector_tapes import SMALL, altered, crash, market

CRASHED = crash(market(1_500), at=900, depth=0.05, length=600)


def default(**values: SettingValue) -> tuple[DetectorConfig, ...]:
    return (DetectorConfig(scope="default", settings=values, version=1, time_us=0),)


def told(engines: MarketEngines | Engine, start: int, stop: int) -> list[Anomaly]:
    return [event for event in engines.on_batch(CRASHED[start:stop]) if isinstance(event, Anomaly)]


def test_without_settings_it_is_the_engine() -> None:
    engines = MarketEngines(SMALL)
    assert told(engines, 0, 1_500) == told(Engine(SMALL), 0, 1_500)
    assert engines.fingerprint == Engine(SMALL).fingerprint
    assert "settings" not in engines.snapshot("BTC-USDT")


def test_what_a_shadow_finds_is_marked_and_is_what_it_would_find_live() -> None:
    live = told(Engine(SMALL), 0, 1_500)
    trial = told(Engine(replace(SMALL, enabled=("combined",), shadow=("flash_crash",))), 0, 1_500)
    assert {event.detector: event.shadow for event in trial} == {"combined": False, "flash_crash": True}
    ours = [event for event in trial if event.detector == "flash_crash"]
    theirs = [event for event in live if event.detector == "flash_crash"]
    assert [(event.trade_id, event.score, event.reason) for event in ours] == [
        (event.trade_id, event.score, event.reason) for event in theirs
    ]
    assert not {event.anomaly_id for event in ours} & {event.anomaly_id for event in theirs}


def test_an_episode_that_was_alerted_stays_live_when_its_detector_goes_on_trial() -> None:
    engines = MarketEngines(SMALL)
    opened = next(event for event in told(engines, 0, 905) if event.detector == "flash_crash")
    assert engines.configure("BTC-USDT", default(shadow=["flash_crash"])).events == []
    quiet = [altered(trade, event_time_us=trade.event_time_us + 10**9) for trade in market(1_501)[1_500:]]
    later = [*told(engines, 905, 1_500), *engines.on_batch(quiet)]
    closed = [e for e in later if isinstance(e, Anomaly) and e.episode.phase == EpisodePhase.CLOSED]
    ends = [event for event in closed if event.episode.episode_id == opened.anomaly_id]
    assert [event.shadow for event in ends] == [False]


def test_an_episode_of_a_detector_that_is_switched_off_ends() -> None:
    engines = MarketEngines(SMALL)
    before = [event for event in told(engines, 0, 905) if event.detector == "flash_crash"]
    _, events = engines.configure("BTC-USDT", default(enabled=["whale"]))
    [end] = [e for e in events if isinstance(e, Anomaly) and e.detector == "flash_crash"]
    assert end.episode.phase == EpisodePhase.CLOSED
    assert end.episode.episode_id == before[0].anomaly_id
    assert end.reason.startswith("No longer watched, by settings. It was: BTC-USDT fell")
    assert end.anomaly_id not in {event.anomaly_id for event in before}
    assert not [event for event in told(engines, 905, 1_500) if event.detector == "flash_crash"]


def test_settings_for_a_market_to_come_hold_from_its_first_trade_until_it_is_forgotten() -> None:
    engines = MarketEngines(SMALL)
    assert not engines.configure("BTC-USDT", default(enabled=["whale"])).has_changed
    assert {event.detector for event in told(engines, 0, 1_500)} <= {"whale"}
    engines.evict("BTC-USDT")
    assert engines.params_of("BTC-USDT") == SMALL
    assert "flash_crash" in {event.detector for event in told(engines, 0, 1_500)}


def test_a_snapshot_brings_its_settings() -> None:
    engines, other = MarketEngines(SMALL), MarketEngines(SMALL)
    engines.configure("BTC-USDT", default(forest_trees=6, budget_per_day=50))
    found = told(engines, 0, 1_000)
    assert found
    state = engines.snapshot("BTC-USDT")
    other.restore("BTC-USDT", state)
    assert other.params_of("BTC-USDT") == replace(SMALL, forest_trees=6, budget_per_day=50.0)
    assert told(other, 1_000, 1_500) == told(engines, 1_000, 1_500)


@pytest.mark.parametrize("settings", ['{"forest_trees": 0}', "[]", "{", '{"unknown": 1}'])
def test_a_snapshot_with_damaged_settings_is_refused(settings: str) -> None:
    engines = MarketEngines(SMALL)
    told(engines, 0, 100)
    with pytest.raises(SnapshotRefusedError):
        engines.restore("BTC-USDT", engines.snapshot("BTC-USDT") | {"settings": settings})
    assert list(engines.symbols()) == ["BTC-USDT"]


def test_markets_back_under_the_base_leave_no_engine_behind() -> None:
    engines = MarketEngines(SMALL)
    told(engines, 0, 300)
    for values in (default(budget_per_day=1.0), default(budget_per_day=2.0), ()):
        assert engines.configure("BTC-USDT", values).has_changed
        assert list(engines.symbols()) == ["BTC-USDT"]
    assert list(engines._engines) == [SMALL]


def test_shedding_reaches_engines_that_come_later() -> None:
    engines = MarketEngines(SMALL)
    engines.shed(engines.shed_levels)
    engines.configure("BTC-USDT", default(budget_per_day=999))
    assert {event.detector for event in told(engines, 0, 1_500)} <= {"whale", "flash_crash"}


def test_numbers_beyond_the_wire_are_passed_over() -> None:
    engines = MarketEngines(SMALL)
    engines.configure("BTC-USDT", default(budget_per_day=999))
    huge = altered(CRASHED[0], trade_id=2**70)
    assert engines.on_batch([huge, *CRASHED]) == told(Engine(replace(SMALL, budget_per_day=999.0)), 0, 1_500)
