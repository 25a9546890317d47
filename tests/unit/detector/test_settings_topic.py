"""What the command line reads from the topic, writes to it, and shows."""

import pytest
from rich.console import Console

from detector.params import EngineParams
from detector.settings_topic import (
    Signature,
    market_table,
    publish,
    read,
    scope_of,
    scopes_table,
    with_changes,
)
from shared import topics
from shared.errors import ConfigError
from shared.events import DetectorConfig
from shared.stream.memory import MemoryBroker

BY_ANNA = Signature(time_us=1_760_000_000_000_000, author="anna", comment="quieter")


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    made.ensure_topics()
    return made


def text(table: object) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_what_is_published_is_read_the_latest_of_each_scope(broker: MemoryBroker) -> None:
    assert read(broker) == ()
    first = with_changes((), "default", BY_ANNA, values={"min_move_pct": 1.0})
    publish(broker, first)
    second = with_changes(read(broker), "market:BTC-USDT", BY_ANNA, values={"budget_per_day": 2.0})
    publish(broker, second)
    third = with_changes(read(broker), "default", BY_ANNA, values={"budget_per_day": 9.0})
    publish(broker, third)
    assert read(broker) == (third, second)
    assert third.settings == {"min_move_pct": 1.0, "budget_per_day": 9.0}
    assert [first.version, second.version, third.version] == [1, 2, 3]


def test_what_is_unset_is_left_to_wider_scopes(broker: MemoryBroker) -> None:
    publish(
        broker,
        with_changes((), "class:big", BY_ANNA, values={"min_move_pct": 1.0}, markets=["BTC-*", "ETH-USDT"]),
    )
    left = with_changes(read(broker), "class:big", BY_ANNA, without=["min_move_pct"])
    assert (left.settings, left.markets) == ({}, ["BTC-*", "ETH-USDT"])
    with pytest.raises(ConfigError, match="budget_per_day is not set for class:big"):
        with_changes(read(broker), "class:big", BY_ANNA, without=["budget_per_day"])


def test_a_class_without_markets_is_refused() -> None:
    with pytest.raises(ConfigError, match="class:big names no markets"):
        with_changes((), "class:big", BY_ANNA, values={"min_move_pct": 1.0})


def test_one_scope_is_asked_for() -> None:
    assert scope_of(market="BTC-USDT", class_name=None, is_default=False) == "market:BTC-USDT"
    assert scope_of(market=None, class_name="big", is_default=False) == "class:big"
    assert scope_of(market=None, class_name=None, is_default=True) == "default"
    with pytest.raises(ConfigError, match="say for what"):
        scope_of(market=None, class_name=None, is_default=False)
    with pytest.raises(ConfigError, match="say for what"):
        scope_of(market="BTC-USDT", class_name=None, is_default=True)
    with pytest.raises(ConfigError, match="'btcusdt' is no market"):
        scope_of(market="btcusdt", class_name=None, is_default=False)


def test_tables_show_values_and_where_they_come_from() -> None:
    config = with_changes((), "class:big", BY_ANNA, values={"shadow": ["forest"]}, markets=["BTC-*"])
    rows = {
        line.split()[1]: line
        for line in text(market_table(EngineParams(), (config,), "BTC-USDT")).splitlines()
        if "│" in line
    }
    assert "forest" in rows["shadow"]
    assert "class:big" in rows["shadow"]
    assert "DETECTOR_MIN_MOVE_PCT" in rows["min_move_pct"]
    shown = text(scopes_table((config,)))
    assert all(
        word in shown for word in ("class:big", "BTC-*", "shadow=forest", "anna", "quieter", "2025-10-09")
    )


def test_a_foreign_record_is_passed_over(broker: MemoryBroker) -> None:
    producer = broker.producer()
    producer.produce(topics.DETECTOR_CONFIG, b"{}", key=b"default")
    faulty = DetectorConfig(scope="default", settings={"forest_trees": 0}, version=1, time_us=0)
    publish(broker, faulty)
    assert read(broker) == ()
