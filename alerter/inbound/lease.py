"""A lease in the store: of several alerters, one at a time does what only one may do.

Whoever holds it renews it well before its end; when the holder dies, the next one takes it once it is over.
The times are those of the alerters' clocks, so the lease must be much longer than these clocks differ.
"""

from sqlalchemy import Table, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.store.database import POSTGRESQL, Database
from shared.store.tables import LeaseRow


class Lease:
    """One lease, as one process sees it. Blocks; not for an event loop.

    Args:
        database: the store, migrated.
        name: of what is leased.
        holder: this process.
        length_s: how long it is held without being renewed.
        clock: the time.
    """

    def __init__(self, database: Database, *, name: str, holder: str, length_s: float, clock: Clock) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._length_us = round(length_s * MICROSECONDS_PER_SECOND)
        self._clock = clock

    def hold(self) -> bool:
        """Take the lease, or renew it; return whether it is ours.

        Raises:
            StoreUnavailableError: not now; it may have run out meanwhile.
        """
        now_us = self._clock.now_us()
        table = LeaseRow.__table__
        assert isinstance(table, Table)
        with self._database.session() as session:
            dialect = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
            wanted = {"holder": self._holder, "until_us": now_us + self._length_us}
            insert = dialect.insert(table).values(name=self._name, **wanted)
            taking = insert.on_conflict_do_update(
                index_elements=["name"],
                set_=wanted,
                where=or_(LeaseRow.holder == self._holder, LeaseRow.until_us <= now_us),
            )
            session.connection().execute(taking)
            query = select(LeaseRow.holder).where(LeaseRow.name == self._name)
            return session.scalars(query).one() == self._holder

    def release(self) -> None:
        """Let somebody else have it at once.

        Raises:
            StoreUnavailableError: not now; it runs out by itself.
        """
        with self._database.session() as session:
            session.execute(
                delete(LeaseRow).where(LeaseRow.name == self._name, LeaseRow.holder == self._holder)
            )
