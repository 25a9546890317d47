"""Export: the store as recordings that are read back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.export import Exported, ExportParams, export
from shared.recordings import read
from shared.recordings.anomalies import read_anomalies
from shared.store.database import Database
from shared.store.writes import store
from tests import samples

HOUR_US = 3_600_000_000
LATER = samples.trade(50, at_us=samples.START_US + 5 * HOUR_US)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    with database.session() as session:
        store(session, [*samples.trades(50), LATER, *samples.trades(5, symbol="ETH-USDT")])
        store(session, [samples.anomaly("a"), samples.anomaly("b", symbol="ETH-USDT")])
    yield database
    database.close()


def test_the_whole_store_is_written_and_read_back(database: Database, tmp_path: Path) -> None:
    hours: list[tuple[str, int]] = []
    params = ExportParams(folder=tmp_path / "out")
    done = export(database, params, on_hour=lambda symbol, trades: hours.append((symbol, trades)))
    assert done == Exported(trades=56, anomalies=2, files=4)
    assert hours == [("BTC-USDT", 50), ("BTC-USDT", 1), ("ETH-USDT", 5)]
    bitcoin = [t for batch in read([tmp_path / "out"], markets=["BTC-USDT"]) for t in batch]
    assert bitcoin == [*samples.trades(50), LATER]
    assert [anomaly.anomaly_id for anomaly in read_anomalies([tmp_path / "out"])] == ["a", "b"]


def test_chosen_markets_only(database: Database, tmp_path: Path) -> None:
    params = ExportParams(folder=tmp_path / "out", markets=frozenset({"ETH-USDT"}))
    assert export(database, params, on_hour=lambda *_: None) == Exported(trades=5, anomalies=1, files=2)


def test_exporting_again_overwrites(database: Database, tmp_path: Path) -> None:
    params = ExportParams(folder=tmp_path / "out")
    for _ in range(2):
        export(database, params, on_hour=lambda *_: None)
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 4
