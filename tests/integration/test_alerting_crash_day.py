"""The day of a real crash through detectors and alerter, both by default: calm first, then one digest."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerter.backtest.figures import by_day_and_market
from alerter.backtest.replay import Replay, replay
from alerter.backtest.source import recorded
from alerter.notification import NotificationEvent
from alerter.rules.file import DEFAULT, load
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND

pytestmark = [pytest.mark.integration, pytest.mark.real_data, pytest.mark.timeout(1_200)]

BUDGET_PER_MARKET = 5
MARKETS = 6


def at(clock: str) -> int:
    moment = datetime.fromisoformat(f"2025-10-10 {clock}").replace(tzinfo=UTC)
    return round(moment.timestamp() * MICROSECONDS_PER_SECOND)


@pytest.fixture(scope="module")
def heard(real_data_dir: Path) -> Replay:
    folder = real_data_dir / "crash-2025-10-10"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    rules = Rules(load(DEFAULT), channels=["console"])
    return replay(recorded([folder], keep=None), rules, name="default")


def test_the_calm_hours_keep_the_alert_budget(heard: Replay) -> None:
    calm = [notification for notification in heard.rung if notification.time_us < at("20:00")]
    (markets,) = by_day_and_market(calm).values() if calm else [{}]
    assert all(count <= BUDGET_PER_MARKET for count in markets.values()), markets
    assert len(calm) <= BUDGET_PER_MARKET * MARKETS


def test_the_crash_is_a_digest_and_is_escalated_within_a_minute_of_its_first_alert(heard: Replay) -> None:
    crash_us = at("20:45")
    began_us = min(
        anomaly.event_time_us
        for anomaly in heard.anomalies
        if anomaly.event_time_us >= crash_us
        and anomaly.episode.opened_us >= crash_us
        and anomaly.severity.rank >= load(DEFAULT).min_severity.rank
    )
    told = [n for n in heard.rung if n.digest is not None and n.time_us >= crash_us]
    escalated = next(n for n in told if n.event is NotificationEvent.ESCALATED)
    assert told[0].time_us - began_us <= 60 * MICROSECONDS_PER_SECOND
    assert escalated.time_us - began_us <= 60 * MICROSECONDS_PER_SECOND
