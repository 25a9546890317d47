"""Wash trading on recordings: the market that is taken for washed is told once, a calm large one never."""

from pathlib import Path

import pytest

from detector.engine import Engine
from shared.events import Anomaly
from shared.recordings import read
from tests.data.wash_tapes import WASH_PARAMS

pytestmark = pytest.mark.real_data


def told(path: Path) -> list[Anomaly]:
    if not path.exists():
        pytest.skip(f"{path} is not there; set REAL_DATA_DIR")
    engine = Engine(WASH_PARAMS)
    events = [event for batch in read([path]) for event in engine.on_batch(batch)]
    assert all(isinstance(event, Anomaly) for event in events)
    return [event for event in events if isinstance(event, Anomaly)]


def test_the_washed_market_is_told_with_its_first_full_window(real_data_dir: Path) -> None:
    events = told(real_data_dir / "frames/binance-spot/ALPINEBTC.json")
    assert [event.episode.phase for event in events][:1] == ["opened"]
    assert {event.episode.phase for event in events[1:]} <= {"updated"}
    # The recording begins with trade 1264398.
    assert events[0].trade_id == 1_264_398 + 1_023
    assert events[0].features["round_trips"] > 0.2
    assert events[0].features["p_round_trips"] < 1e-3


@pytest.mark.parametrize(
    "name",
    [
        "binance-vision/BTCUSDC-aggTrades-2025-10-04.zip",
        "crash-2025-10-10/binance_trades_2025-10-10_SKYUSDT.csv.gz",
        "pumps/trades/FUEL_2020-03-27_21.00.csv.zst",
    ],
)
def test_busy_calm_crashing_and_pumped_markets_are_not_washed(real_data_dir: Path, name: str) -> None:
    assert told(real_data_dir / name) == []
