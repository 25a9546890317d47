"""Driven moves on recordings: those of a thin market before a crash are told, a large calm one has none."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector.engine import Engine
from shared.events import Anomaly, EpisodePhase
from shared.recordings import read
from tests.data.driven_tapes import DRIVEN_PARAMS

pytestmark = pytest.mark.real_data

_CRASH = "crash-2025-10-10"


def opened(path: Path) -> list[Anomaly]:
    if not path.exists():
        pytest.skip(f"{path} is not there; set REAL_DATA_DIR")
    engine = Engine(DRIVEN_PARAMS)
    events = [event for batch in read([path]) for event in engine.on_batch(batch)]
    assert all(isinstance(event, Anomaly) for event in events)
    return [e for e in events if isinstance(e, Anomaly) and e.episode.phase == EpisodePhase.OPENED]


def times(alarms: list[Anomaly]) -> list[str]:
    return [f"{datetime.fromtimestamp(alarm.event_time_us / 1e6, UTC):%H:%M:%S}" for alarm in alarms]


@pytest.mark.parametrize("day", ["2025-10-04", "2025-10-08"])
def test_a_large_market_on_ordinary_days_has_none(real_data_dir: Path, day: str) -> None:
    assert opened(real_data_dir / f"binance-vision/BTCUSDC-aggTrades-{day}.zip") == []


def test_one_side_drives_a_thin_market_and_the_price_comes_back(real_data_dir: Path) -> None:
    alarms = opened(real_data_dir / _CRASH / "binance_trades_2025-10-10_SKYUSDT.csv.gz")
    assert {"15:31:37", "16:06:51"} <= set(times(alarms))
    assert len(alarms) <= 5
    down = alarms[times(alarms).index("15:31:37")]
    assert down.reason.startswith("SKY-USDT looks like momentum ignition: driven 1.2 % down within 1")
    assert "% of it sells; 6" in down.reason


def test_a_mark_at_a_full_hour_is_told_as_one(real_data_dir: Path) -> None:
    [mark] = opened(real_data_dir / _CRASH / "coinbase_trades_2025-10-10_SKY-USD.csv.gz")
    assert mark.reason.startswith(
        "SKY-USD may have been marked at the 21:00 close: driven 1.9 % down within "
    )
    assert mark.features["at_close"] == 1.0
