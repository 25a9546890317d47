"""Which settings a market is judged by, and which values are refused."""

import math

import pytest

import config
from detector.catalogue import CATALOGUE
from detector.params import EngineParams
from detector.settings import (
    SETTINGS,
    applies,
    config_faults,
    differing,
    dumped,
    effective,
    faults,
    loaded,
    parsed,
    with_values,
)
from shared.events import DetectorConfig, SettingValue

BASE = EngineParams()
NAMES = ", ".join(entry.name for entry in CATALOGUE)


def event(scope: str, *markets: str, **settings: SettingValue) -> DetectorConfig:
    return DetectorConfig(scope=scope, settings=settings, markets=list(markets), version=1, time_us=0)


def test_the_market_goes_before_its_class_and_that_before_the_default() -> None:
    configs = [
        event("market:ETH-BTC", min_move_pct=3.0),
        event("class:on-bitcoin", "*-BTC", min_move_pct=2.0, budget_per_day=2.0),
        event("default", min_move_pct=1.0, budget_per_day=1.0, episode_quiet_s=10.0),
    ]
    params, sources = effective(BASE, configs, "ETH-BTC")
    assert (params.min_move_pct, params.budget_per_day, params.episode_quiet_s) == (3.0, 2.0, 10.0)
    assert params.whale_min_notional == BASE.whale_min_notional
    assert sources["min_move_pct"] == "market:ETH-BTC"
    assert sources["budget_per_day"] == "class:on-bitcoin"
    assert sources["episode_quiet_s"] == "default"
    assert sources["whale_min_notional"] == "DETECTOR_WHALE_MIN_NOTIONAL"
    assert effective(BASE, configs, "ETH-USDT").params.min_move_pct == 1.0


def test_of_two_classes_the_later_in_the_alphabet_decides() -> None:
    configs = [
        event("class:b", "BTC-*", budget_per_day=2.0),
        event("class:a", "BTC-USDT", budget_per_day=1.0),
    ]
    assert effective(BASE, configs, "BTC-USDT").sources["budget_per_day"] == "class:b"
    assert effective(BASE, configs[::-1], "BTC-USDT").params.budget_per_day == 2.0


@pytest.mark.parametrize(
    ("pattern", "symbol", "is_meant"),
    [
        ("*-BTC", "ETH-BTC", True),
        ("*-BTC", "BTC-USDT", False),
        ("ETH-BTC", "ETH-BTC", True),
        ("*", "ETH-BTC", True),
        ("eth-btc", "ETH-BTC", False),
        ("[A-Z]*", "ETH-BTC", False),
        ("ETH-BT?", "ETH-BTC", False),
    ],
)
def test_in_a_class_only_the_asterisk_is_special(pattern: str, symbol: str, is_meant: bool) -> None:  # noqa: FBT001 - a parameter of a test
    assert applies(event("class:any", pattern), symbol) is is_meant


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_names_units_and_bounds_are_those_of_the_environment(name: str) -> None:
    field = config.Settings.model_fields[f"detector_{name}"]
    setting = SETTINGS[name]
    bounds = {
        key: getattr(fact, key)
        for fact in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(fact, key)
    }
    assert bounds.get("gt" if setting.excludes_low else "ge") == setting.low
    assert bounds.get("lt" if setting.excludes_high else "le") == setting.high
    assert field.json_schema_extra == {"unit": setting.unit}
    assert isinstance(getattr(BASE, name), setting.kind)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("budget_per_day=0", "budget_per_day takes a number above 0 to 10,000 (alerts/day), not 0.0"),
        ("min_move_pct=101", "min_move_pct takes a number from 0 to 100 (%), not 101.0"),
        ("flash_crash_drop_pct=100", "flash_crash_drop_pct takes a number above 0 below 100 (%), not 100.0"),
        ("whale_min_notional=inf", "whale_min_notional takes a number from 0 (quote), not inf"),
        ("whale_min_notional=nan", "whale_min_notional takes a number from 0 (quote), not nan"),
        ("forest_trees=1.5", "forest_trees takes a whole number from 1 to 500 (trees), not '1.5'"),
        ("zscore_robust=maybe", "zscore_robust takes true or false, not 'maybe'"),
        ("enabled=wale", f"enabled takes names of detectors, joined by commas: {NAMES}, not ['wale']"),
        ("budget_per_dya=3", "budget_per_dya cannot be set per market. Did you mean budget_per_day?"),
        ("budget_per_day", "'budget_per_day' sets nothing; write name=value"),
    ],
)
def test_what_is_refused_is_named_with_what_it_takes(assignment: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"takes|cannot|nothing") as refused:
        parsed([assignment])
    assert str(refused.value) == sentence


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="forest_trees") as refused:
        parsed(["forest_trees=0", "min_move_pct=-1", "enabled=whale"])
    assert len(str(refused.value).splitlines()) == 2


def test_values_come_in_the_types_that_the_engine_takes() -> None:
    values = parsed(
        ["enabled=whale, forest", "budget_per_day=3", "zscore_robust=True", "forest_trees=8", "shadow="]
    )
    params = with_values(BASE, values)
    assert params.enabled == ("whale", "forest")
    assert (params.budget_per_day, params.zscore_robust, params.forest_trees) == (3.0, True, 8)
    assert params.shadow == ()
    assert isinstance(with_values(BASE, {"budget_per_day": 3}).budget_per_day, float)


def test_what_differs_makes_the_same_parameters_again() -> None:
    params = with_values(BASE, {"enabled": ["whale"], "forest_trees": 8})
    assert with_values(BASE, loaded(dumped(differing(BASE, params)))) == params
    assert differing(BASE, BASE) == {}
    with pytest.raises(ValueError, match="no object"):
        loaded("[1]")


def test_a_truth_is_no_number() -> None:
    assert list(faults({"budget_per_day": True, "forest_trees": False}))
    assert list(faults({"min_move_pct": math.nan}))


def test_a_class_needs_markets_and_nothing_else_has_them() -> None:
    assert config_faults(event("class:a", min_move_pct=1.0)) == [
        "class:a names no markets; give --markets BTC-USDT,... or a pattern like *-BTC"
    ]
    assert config_faults(event("class:a")) == []
    assert config_faults(event("default", "BTC-USDT")) == ["default is no class; only a class names markets"]
