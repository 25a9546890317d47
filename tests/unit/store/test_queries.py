"""Reading the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from shared.events import Severity
from shared.store import queries
from shared.store.database import Database
from shared.store.writes import store
from tests import samples

SECOND_US = 1_000_000


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    with database.session() as session:
        store(session, [ANOMALIES[name] for name in ("b", "a", "d", "c")])
        store(session, samples.trades(5, first_id=10))
        store(session, samples.trades(3, first_id=7, symbol="ETH-USDT"))
        store(session, [samples.tape_gap(20), samples.tape_gap(5, symbol="ETH-USDT")])
        yield session
    database.close()


ANOMALIES = {
    "a": samples.anomaly("a", severity=Severity.LOW),
    "b": samples.anomaly("b", kind="flash_crash", at_us=samples.START_US + SECOND_US),
    "c": samples.anomaly("c", symbol="ETH-USDT", at_us=samples.START_US + 2 * SECOND_US),
    "d": samples.anomaly("d", severity=Severity.CRITICAL, at_us=samples.START_US + 2 * SECOND_US),
}


def test_an_anomaly_comes_back_whole(session: Session) -> None:
    assert queries.anomaly(session, "b") == ANOMALIES["b"]


def test_an_unknown_anomaly_is_none(session: Session) -> None:
    assert queries.anomaly(session, "unknown") is None


def test_the_order_of_contributions_is_kept(session: Session) -> None:
    found = queries.anomaly(session, "a")
    assert found is not None
    assert list(found.contributions) == ["notional", "log_return_10s"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "cdba"),
        ({"limit": 2}, "cd"),
        ({"limit": None}, "cdba"),
        ({"symbol": "ETH-USDT"}, "c"),
        ({"kind": "flash_crash"}, "b"),
        ({"min_severity": Severity.HIGH}, "cdb"),
        ({"min_severity": Severity.CRITICAL}, "d"),
        ({"since_us": samples.START_US + SECOND_US}, "cdb"),
        ({"until_us": samples.START_US + SECOND_US}, "a"),
        ({"symbol": "BTC-USDT", "min_severity": Severity.HIGH, "limit": 1}, "d"),
    ],
)
def test_anomalies_by_filter_latest_first(session: Session, wanted: dict[str, object], found: str) -> None:
    anomalies = queries.anomalies(session, **wanted)  # type: ignore[arg-type]  # a table of filters
    assert "".join(anomaly.anomaly_id for anomaly in anomalies) == found


def test_trades_of_a_market_in_a_span(session: Session) -> None:
    trades = queries.trades(
        session,
        symbol="BTC-USDT",
        since_us=samples.trade(11).event_time_us,
        until_us=samples.trade(14).event_time_us,
    )
    assert trades == samples.trades(3, first_id=11)


def test_trades_of_another_venue_are_none(session: Session) -> None:
    assert queries.trades(session, symbol="BTC-USDT", exchange="coinbase") == []


def test_the_summary_of_markets_shows_whether_the_tape_is_whole(session: Session) -> None:
    bitcoin, ether = queries.markets(session)
    assert bitcoin[:5] == ("binance", "BTC-USDT", 5, 10, 14)
    assert ether[:5] == ("binance", "ETH-USDT", 3, 7, 9)
    assert bitcoin.first_us == samples.trade(10).event_time_us
    assert bitcoin.last_us == samples.trade(14).event_time_us


def test_gaps_by_market(session: Session) -> None:
    assert queries.tape_gaps(session, symbol="ETH-USDT") == [samples.tape_gap(5, symbol="ETH-USDT")]
    assert [gap.first_missing_id for gap in queries.tape_gaps(session)] == [20, 5]
