import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clock import ManualClock
from shared.store.database import Database


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "empty.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "store.db"
    shutil.copy(migrated_file, path)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
