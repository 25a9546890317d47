"""The store, as pages need it: anomalies that memory has forgotten, and what people say about anomalies."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.clock import Clock
from shared.errors import ConfigError, StoreError
from shared.events import Anomaly
from shared.store import queries
from shared.store.database import Database
from shared.store.labels import Label, labels, save_label

_READ_EVERY_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the store has.

    Attributes:
        latest_first: labels.
        fault: why they could not be read just now; empty when they could.
    """

    latest_first: Sequence[Label] = ()
    fault: str = ""


class Archive(Protocol):
    """What pages need."""

    def labels(self) -> Labels:
        """Return the latest labels, at most a few seconds old."""
        ...

    def save(self, label: Label) -> None:
        """Store a label.

        Raises:
            StoreError: it could not be stored.
            ConfigError: the store refuses us.
        """
        ...

    def anomaly(self, anomaly_id: str) -> Anomaly | None:
        """Return an anomaly; None when it is not stored, or the store cannot be read."""
        ...


class StoreArchive:
    """Reads and writes the store; safe for use by several threads.

    Args:
        database: the store; brought to the newest schema when it is used first.
        clock: ours.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._is_migrated = False
        self._labels = Labels()
        self._read_at_s: float | None = None

    def labels(self) -> Labels:
        """Return the latest labels, as `Archive` says."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._read_at_s is None or now_s - self._read_at_s >= _READ_EVERY_S:
                self._labels = self._read()
                self._read_at_s = self._clock.monotonic_s()
            return self._labels

    def save(self, label: Label) -> None:
        """Store a label, as `Archive` says."""
        with self._lock:
            self._migrate()
            with self._database.session() as session:
                save_label(session, label)
            self._read_at_s = None

    def anomaly(self, anomaly_id: str) -> Anomaly | None:
        """Return an anomaly, as `Archive` says."""
        try:
            with self._lock:
                self._migrate()
                with self._database.session(read_only=True) as session:
                    return queries.anomaly(session, anomaly_id)
        except (StoreError, ConfigError):
            # The page says that it is not known here; what is wrong with the store stands with the labels.
            return None

    def _read(self) -> Labels:
        try:
            self._migrate()
            with self._database.session(read_only=True) as session:
                return Labels(latest_first=tuple(labels(session)))
        except (StoreError, ConfigError) as error:
            return Labels(latest_first=self._labels.latest_first, fault=str(error))

    def _migrate(self) -> None:
        if not self._is_migrated:
            self._database.migrate()
            self._is_migrated = True
