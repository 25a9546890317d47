"""Stores events, each once however often it comes: `INSERT ... ON CONFLICT DO NOTHING` on content's own keys.

One prepared statement runs over all rows of a table, so there is no limit on variables to chunk for: SQLite
takes some 100,000 trades a second, PostgreSQL some 50,000.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.codec import content_id
from shared.events import Alert, Anomaly, DeadLetter, Quarantine, TapeGap, Trade
from shared.store.database import POSTGRESQL
from shared.store.tables import (
    AlertRow,
    AnomalyRow,
    Base,
    DeadLetterRow,
    QuarantineRow,
    TapeGapRow,
    TradeRow,
)

Row = dict[str, object]
E = TypeVar("E", bound=msgspec.Struct)


def _fields(event: msgspec.Struct) -> Row:
    """Return an event's fields; nested events as mappings."""
    row = msgspec.to_builtins(event, builtin_types=(bytes,))
    assert isinstance(row, dict)
    return row


def _worded(event: msgspec.Struct) -> Row:
    """Return an event's fields without the one character that PostgreSQL's text cannot hold.

    Such words come from foreign bytes (an error's message, a reason), and must not stop the recorder.
    """
    return {
        name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value
        for name, value in _fields(event).items()
    }


def _dead_letter(letter: DeadLetter) -> Row:
    identity = content_id(
        letter.source, letter.partition, letter.offset, letter.time_us, letter.key.hex(), letter.payload.hex()
    )
    row = {"dead_letter_id": identity, **_worded(letter)}
    # The topic alone tells who set it aside, and whether it is whole.
    del row["reader"], row["cut_bytes"]
    return row


def _trade(trade: Trade) -> Row:
    # Written out, for this is the one that runs thousands of times a second.
    return {
        # As in `_worded`: a foreign writer's name must not stop the recorder either.
        "exchange": trade.exchange.replace("\x00", "\ufffd"),
        "symbol": trade.symbol.replace("\x00", "\ufffd"),
        "trade_id": trade.trade_id,
        "price": trade.price,
        "quantity": trade.quantity,
        "is_buyer_maker": trade.is_buyer_maker,
        "event_time_us": trade.event_time_us,
        "received_time_us": trade.received_time_us,
    }


_STORED: Final[Mapping[type[msgspec.Struct], tuple[type[Base], Callable[..., Row]]]] = {
    Trade: (TradeRow, _trade),
    Anomaly: (AnomalyRow, _worded),
    TapeGap: (TapeGapRow, _worded),
    Quarantine: (QuarantineRow, _worded),
    Alert: (AlertRow, _worded),
    DeadLetter: (DeadLetterRow, _dead_letter),
}


def store(session: Session, events: Iterable[msgspec.Struct]) -> dict[str, int]:
    """Store events of any kind that has a table.

    Args:
        session: an open writing session; the events are stored when it commits.
        events: in any order, repeats allowed.

    Returns:
        Per table, how many rows are new; tables that got none of the events are left out.

    Raises:
        KeyError: there is no table for an event's type.
    """
    by_type: dict[type[msgspec.Struct], list[msgspec.Struct]] = {}
    for event in events:
        by_type.setdefault(type(event), []).append(event)
    new_rows = {}
    for event_type, group in by_type.items():
        mapped, row_of = _STORED[event_type]
        table = mapped.__table__
        assert isinstance(table, Table)
        new_rows[table.name] = _insert(session, table, [row_of(event) for event in group])
    return new_rows


def _insert(session: Session, table: Table, rows: Sequence[Row]) -> int:
    dialect = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    # On the connection, as the session has nothing to do for rows without mapped objects.
    options = {"preserve_rowcount": True}
    return session.connection().execute(statement, rows, execution_options=options).rowcount
