"""Flash crashes and whales on recordings: in time, and within the budget."""

from pathlib import Path

import pytest

from benchmarks.crashes import minute_bars, recorded
from benchmarks.whales import played
from shared.events import Anomaly, EpisodePhase

pytestmark = pytest.mark.real_data

# 2025-10-10: 20:30; and one minute after the price is 5 % below that before the crash.
QUIET_UNTIL_US = 1_760_128_200_000_000
POL_US = 1_760_130_022_000_000
SKY_US = 1_760_130_871_000_000


def at(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        pytest.skip(f"{folder / name} is not there; set REAL_DATA_DIR")
    return folder / name


def opened(events: list[Anomaly]) -> list[Anomaly]:
    return [event for event in events if event.episode.phase == EpisodePhase.OPENED]


@pytest.mark.parametrize(("symbol", "until_us"), [("POLUSDT", POL_US), ("SKYUSDT", SKY_US)])
def test_the_crash_is_told_in_time_and_nothing_before(
    real_data_dir: Path, symbol: str, until_us: int
) -> None:
    day = recorded(at(real_data_dir, f"crash-2025-10-10/binance_trades_2025-10-10_{symbol}.csv.gz"))
    first = opened(day.events)[0]
    assert first.kind == "flash_crash"
    assert QUIET_UNTIL_US < first.event_time_us <= until_us
    assert " fell " in first.reason
    assert any("is recovered" in event.reason for event in day.events)


def test_a_calm_day_has_neither_crash_nor_spike(real_data_dir: Path) -> None:
    assert recorded(at(real_data_dir, "binance-vision/BTCUSDC-aggTrades-2025-10-04.zip")).events == []


def test_the_labelled_crash_of_the_minute_bars_is_found(real_data_dir: Path) -> None:
    at(real_data_dir, "klines/BTC_USDT-1m-2024-07-26_2024-08-25.feather")
    [bitcoin, _] = minute_bars(real_data_dir / "klines")
    # 2024-08-05, 00:45 to 01:14.
    assert any(1_722_818_700e6 <= us < 1_722_820_440e6 for us in bitcoin.opened("flash_crash"))
    assert len(bitcoin.opened("flash_crash")) <= 3


def test_whales_keep_the_budget(real_data_dir: Path) -> None:
    events = played([at(real_data_dir, "binance-vision/BTCUSDC-aggTrades-2025-10-04.zip")]).events
    assert 1 <= len(opened(events)) <= 5
    assert any("fills at one instant" in event.reason for event in events)
    assert any("given back within" in event.reason for event in events)
