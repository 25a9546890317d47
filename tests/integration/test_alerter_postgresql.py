"""The alerter's outbox on a real PostgreSQL: the same behaviour as on SQLite, tested by the same tests."""

from collections.abc import Callable, Iterator

import pytest

from shared.store.database import Database
from tests.servers.postgresql import (
    postgresql_fixture,  # noqa: F401 - pytest finds fixtures in the module's names
    postgresql_url_fixture,  # noqa: F401 - the same
)
from tests.unit.alerter import test_outbox

pytestmark = pytest.mark.integration

# All but the one that makes the store fail in SQLite's own words.
SHARED = [
    test
    for name, test in vars(test_outbox).items()
    if name.startswith("test_")
    and test is not test_outbox.test_a_batch_of_which_one_part_cannot_be_stored_leaves_nothing
]


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url)
    database.migrate()
    yield database
    database.close()


@pytest.mark.parametrize("test", SHARED, ids=lambda test: test.__name__)
def test_outbox_on_postgresql(test: Callable[[Database], None], database: Database) -> None:
    test(database)
