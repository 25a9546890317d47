"""Moves of the market on 2025-10-10: of four markets on three venues, those of the news and the crash."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.arbitrage import told
from detector.cross.params import CrossParams, MarketMoveParams
from shared.events import EpisodePhase

pytestmark = pytest.mark.real_data


def test_the_news_and_the_crash_are_moves_of_the_market(real_data_dir: Path) -> None:
    params = CrossParams(enabled=("market_move",), market_move=MarketMoveParams(least_markets=4))
    measured = told(sorted((real_data_dir / "crash-2025-10-10").glob("*.csv.gz")), params)
    opened = [
        f"{datetime.fromtimestamp(anomaly.event_time_us / 1e6, UTC):%H:%M}"
        for anomaly in measured.anomalies
        if anomaly.episode.phase is EpisodePhase.OPENED
    ]
    before, after = [at for at in opened if at < "20:30"], [at for at in opened if at >= "20:30"]
    assert before == ["14:58", "15:31"]
    assert any("21:12" <= at <= "21:14" for at in after)
