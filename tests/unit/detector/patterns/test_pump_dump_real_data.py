"""Pumps on recordings: real ones are announced at once, and large markets have none."""

from pathlib import Path

import pytest

from detector.engine import Engine
from shared.events import Anomaly, EpisodePhase
from shared.recordings import read
from tests.data.pump_tapes import PUMP_PARAMS

pytestmark = pytest.mark.real_data


def opened(path: Path) -> list[Anomaly]:
    if not path.exists():
        pytest.skip(f"{path} is not there; set REAL_DATA_DIR")
    engine = Engine(PUMP_PARAMS)
    events = [event for batch in read([path]) for event in engine.on_batch(batch)]
    assert all(isinstance(event, Anomaly) for event in events)
    return [e for e in events if isinstance(e, Anomaly) and e.episode.phase == EpisodePhase.OPENED]


@pytest.mark.parametrize(
    "name",
    [
        "binance-vision/BTCUSDC-aggTrades-2025-10-08.zip",
        "crash-2025-10-10/binance_trades_2025-10-10_SKYUSDT.csv.gz",
    ],
)
def test_a_large_market_is_not_pumped_in_news_nor_in_the_recovery_of_a_crash(
    real_data_dir: Path, name: str
) -> None:
    assert opened(real_data_dir / name) == []


def test_a_real_pump_is_announced_within_its_first_seconds(real_data_dir: Path) -> None:
    # Labelled start: 2020-03-27 21:00:00, a chunk of 25 s.
    alarms = opened(real_data_dir / "pumps/trades/FUEL_2020-03-27_21.00.csv.zst")
    start_us = 1_585_342_800_000_000
    hits = [
        event for event in alarms if start_us - 10_000_000 <= event.event_time_us <= start_us + 60_000_000
    ]
    assert len(hits) == 1
    assert hits[0].reason.startswith("FUEL-BTC is being pumped: up ")
    assert " after 21:00" in hits[0].reason or " before 21:00" in hits[0].reason
