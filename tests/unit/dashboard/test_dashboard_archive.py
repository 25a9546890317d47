from pathlib import Path

import pytest

from dashboard.anomalies import label_of, stored_episode
from dashboard.archive import StoreArchive
from shared.clock import ManualClock
from shared.errors import ConfigError
from shared.store.database import Database
from shared.store.labels import Verdict
from shared.store.writes import store
from tests.data.dashboard_scene import make_anomaly

ANOMALY = make_anomaly("BTC-USDT", event_us=1_760_000_000_000_000, price=1.0)
LABEL = label_of(stored_episode(ANOMALY), Verdict.REAL, note=" listing ", author="ann", now_us=1)


def test_labels_are_stored_in_a_store_that_nobody_has_made_yet(tmp_path: Path) -> None:
    archive = StoreArchive(Database(f"sqlite:///{tmp_path}/store.db"), ManualClock())
    assert archive.labels().latest_first == ()
    archive.save(LABEL)
    assert archive.labels().latest_first == (LABEL,)
    assert LABEL.note == "listing"


def test_an_anomaly_that_memory_has_forgotten_comes_from_the_store(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.migrate()
    with database.session() as session:
        store(session, [ANOMALY])
    archive = StoreArchive(database, ManualClock())
    assert archive.anomaly(ANOMALY.anomaly_id) == ANOMALY
    assert archive.anomaly("unknown") is None


def test_a_store_that_cannot_be_had_is_said_and_stops_no_page(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    archive = StoreArchive(Database(f"sqlite:///{tmp_path}/file/store.db"), ManualClock())
    assert archive.labels().fault
    assert archive.anomaly("a") is None
    with pytest.raises(ConfigError):
        archive.save(LABEL)
