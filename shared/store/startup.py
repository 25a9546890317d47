"""What a worker does first with the store: wait until it is there and bring it to the newest schema."""

import threading

import structlog

from shared.errors import StoreUnavailableError
from shared.store.database import Database
from shared.stream.retry import Backoff

_log = structlog.get_logger()


def migrate_when_available(database: Database, stop: threading.Event) -> bool:
    """Migrate, waiting for a store that cannot be reached yet; return false when stopped before.

    Raises:
        ConfigError: the store refuses our credentials, or its folder cannot be made.
        StoreError: a revision failed, or the schema is newer than this program.
    """
    backoff = Backoff()
    while not stop.is_set():
        try:
            database.migrate()
        except StoreUnavailableError as error:
            wait_s = backoff.next_s()
            _log.warning("store_unavailable", detail=error.detail, retry_in_s=round(wait_s, 2))
            stop.wait(wait_s)
        else:
            return True
    return False
