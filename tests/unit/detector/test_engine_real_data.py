"""The engine on whole days of real markets: it finds the crash, and it keeps quiet on a calm day."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector.engine import Engine
from detector.params import EngineParams
from shared.events import Anomaly, EpisodePhase, Trade
from tests.data.detector_tapes import archive_day, crash_day

PARAMS = EngineParams(enabled=("zscore", "forest", "combined", "whale", "flash_crash"))

pytestmark = pytest.mark.real_data


def judged(trades: list[Trade]) -> list[Anomaly]:
    engine = Engine(PARAMS)
    events = [
        event
        for start in range(0, len(trades), 500)
        for event in engine.on_batch(trades[start : start + 500])
    ]
    assert engine.rejected_trades == 0
    assert all(isinstance(event, Anomaly) for event in events), "no detector broke"
    return [event for event in events if isinstance(event, Anomaly)]


def opened(events: list[Anomaly]) -> Counter[str]:
    return Counter(event.detector for event in events if event.episode.phase == EpisodePhase.OPENED)


def existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not there; set REAL_DATA_DIR")
    return path


@pytest.mark.parametrize("market", ["POL", "SKY"])
def test_the_crash_is_found_and_nothing_before_it(real_data_dir: Path, market: str) -> None:
    name = f"crash-2025-10-10/binance_trades_2025-10-10_{market}USDT.csv.gz"
    events = judged(crash_day(existing(real_data_dir / name), f"{market}-USDT"))
    crashes = [event for event in events if event.detector == "flash_crash"]
    first = datetime.fromtimestamp(crashes[0].event_time_us / 1e6, UTC)
    # Prices fell from 20:50 on, and collapsed at 21:15.
    assert datetime(2025, 10, 10, 20, 45, tzinfo=UTC) < first < datetime(2025, 10, 10, 21, 20, tzinfo=UTC)
    assert opened(events)["flash_crash"] <= 5
    assert max(event.score for event in crashes) > 5, "many times what is required"


def test_a_calm_day_stays_within_the_budget(real_data_dir: Path) -> None:
    trades = archive_day(
        existing(real_data_dir / "binance-vision/BTCUSDC-aggTrades-2025-10-04.zip"), "BTC-USDC"
    )
    counts = opened(judged(trades))
    assert counts["flash_crash"] == 0
    assert counts["whale"] >= 1, "a day's largest prints are worth telling"
    for detector in ("zscore", "forest", "combined", "whale"):
        assert counts[detector] <= PARAMS.budget_per_day
