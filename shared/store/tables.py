"""The tables, as typed mappings. A change here needs a revision in `migrations/versions/`; a test compares.

Times are integer microseconds since the epoch, UTC (`BIGINT`); prices and scores are double precision; text
has no limit, because a long name must not stop the pipeline. Every primary key comes from the event's
content, so that storing an event twice is storing it once. What is looked at whole and never searched
(features, contributions, window, episode) is one JSON column each.
"""

from enum import StrEnum
from typing import Annotated

from sqlalchemy import JSON, BigInteger, Double, Index, LargeBinary, MetaData, Text, false, text, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Constraint names are fixed, so that a later revision can name what it changes.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Key = Annotated[str, mapped_column(Text, primary_key=True)]
BigKey = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=False)]
Big = Annotated[int, mapped_column(BigInteger)]
Real = Annotated[float, mapped_column(Double)]
Words = Annotated[str, mapped_column(Text)]


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=_NAMES)


class TradeRow(Base):
    """One public trade; columns as in `shared.events.Trade`."""

    __tablename__ = "trades"
    __table_args__ = (
        Index(None, "symbol", "event_time_us"),
        # The key is the row: without SQLite's hidden row id the table is half as large and quicker to fill.
        {"sqlite_with_rowid": False},
    )

    exchange: Mapped[Key]
    symbol: Mapped[Key]
    trade_id: Mapped[BigKey]
    price: Mapped[Real]
    quantity: Mapped[Real]
    is_buyer_maker: Mapped[bool]
    event_time_us: Mapped[Big]
    received_time_us: Mapped[Big]


class AnomalyRow(Base):
    """One anomaly event; columns as in `shared.events.Anomaly`."""

    __tablename__ = "anomalies"
    __table_args__ = (
        Index(None, "symbol", "event_time_us"),
        Index(None, "kind", "event_time_us"),
        Index(None, "severity", "event_time_us"),
        Index(None, "event_time_us"),
    )

    anomaly_id: Mapped[Key]
    symbol: Mapped[Words]
    exchange: Mapped[Words]
    kind: Mapped[Words]
    detector: Mapped[Words]
    fingerprint: Mapped[Words]
    severity: Mapped[Words]
    score: Mapped[Real]
    rarity: Mapped[Real | None]
    threshold: Mapped[Real]
    threshold_on: Mapped[Words]
    event_time_us: Mapped[Big]
    trade_id: Mapped[Big]
    price: Mapped[Real]
    window: Mapped[dict[str, int]] = mapped_column(JSON)
    features: Mapped[dict[str, float]] = mapped_column(JSON)
    contributions: Mapped[dict[str, float]] = mapped_column(JSON)
    reason: Mapped[Words]
    episode: Mapped[dict[str, str | int | float]] = mapped_column(JSON)
    shadow: Mapped[bool] = mapped_column(server_default=false())
    context: Mapped[dict[str, str | int | float] | None] = mapped_column(JSON(none_as_null=True))


class TapeGapRow(Base):
    """Trades that could not be had; columns as in `shared.events.TapeGap`."""

    __tablename__ = "tape_gaps"

    exchange: Mapped[Key]
    symbol: Mapped[Key]
    first_missing_id: Mapped[BigKey]
    last_missing_id: Mapped[BigKey]
    reason: Mapped[Words]
    detected_time_us: Mapped[Big]


class QuarantineRow(Base):
    """A detector stopped on a market; columns as in `shared.events.Quarantine`."""

    __tablename__ = "quarantines"

    detector: Mapped[Key]
    fingerprint: Mapped[Key]
    symbol: Mapped[Key]
    trade_id: Mapped[BigKey]
    error: Mapped[Words]
    event_time_us: Mapped[Big]
    released: Mapped[bool] = mapped_column(server_default=false())
    until_us: Mapped[Big] = mapped_column(server_default="0")


class AlertRow(Base):
    """A change in the life of an alert; columns as in `shared.events.Alert`."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "symbol", "time_us"), Index(None, "anomaly_id"))

    alert_id: Mapped[Key]
    anomaly_id: Mapped[Key]
    state: Mapped[Key]
    time_us: Mapped[BigKey]
    symbol: Mapped[Words]
    kind: Mapped[Words]
    severity: Mapped[Words]
    channels: Mapped[list[str]] = mapped_column(JSON)
    detail: Mapped[Words]
    exchange: Mapped[Words] = mapped_column(server_default=text("''"))
    fingerprint: Mapped[Words] = mapped_column(server_default=text("''"))
    incident_id: Mapped[Words] = mapped_column(server_default=text("''"))
    level: Mapped[int] = mapped_column(server_default="0")
    author: Mapped[Words] = mapped_column(server_default=text("''"))
    until_us: Mapped[Big] = mapped_column(server_default="0")


class DeadLetterRow(Base):
    """A record that could not be used; columns as in `shared.events.DeadLetter`.

    The id is derived from content, as records that never were in Kafka have no partition and offset.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (Index(None, "time_us"),)

    dead_letter_id: Mapped[Key]
    source: Mapped[Words]
    partition: Mapped[int]
    offset: Mapped[Big]
    key: Mapped[bytes] = mapped_column(LargeBinary)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[Words]
    time_us: Mapped[Big]


class DeliveryState(StrEnum):
    """Where a notification stands."""

    PENDING = "pending"
    SENT = "sent"
    SUPPRESSED = "suppressed"
    REFUSED = "refused"


class DeliveryRow(Base):
    """The alerter's outbox: one notification on one channel. Its queries are the alerter's.

    What goes to the topic `alerts` is in it too, under a channel's name of its own.

    Attributes:
        notification_id: idempotency key of the notification.
        channel: where it goes (`telegram:<chat>`, ...).
        incident_id: the thread that it belongs to.
        sequence: its number within the thread.
        rings: whether people are to be told, and not only a message brought up to date.
        anomaly_id: of the anomaly that it explains.
        alert_id: of that anomaly's alert, as in `shared.events.Alert`.
        state: a value of `DeliveryState`.
        reason: why it is suppressed or refused, or the last error; empty otherwise.
        attempts: deliveries tried.
        next_attempt_us: not to be tried before; meaningful while pending.
        sent_us: when the channel took it.
        message_ref: the channel's id of the message (Telegram: message id, Slack: ts); while pending, empty
            when an attempt may have arrived, and null when surely none has.
        payload: the notification as JSON, so that the outbox needs no other table.
        created_us: when the alerter decided it.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "state", "next_attempt_us"),
        Index(None, "symbol", "kind", "channel", "created_us"),
        Index(None, "channel", "state", "created_us"),
        Index(None, "alert_id"),
        Index(None, "anomaly_id"),
        Index(None, "incident_id", "channel", "sequence"),
    )

    notification_id: Mapped[Key] = mapped_column(server_default=text("''"))
    channel: Mapped[Key]
    incident_id: Mapped[Words] = mapped_column(server_default=text("''"))
    sequence: Mapped[Big] = mapped_column(server_default="1")
    rings: Mapped[bool] = mapped_column(server_default=true())
    anomaly_id: Mapped[Words]
    alert_id: Mapped[Words]
    symbol: Mapped[Words]
    kind: Mapped[Words]
    severity: Mapped[Words]
    state: Mapped[Words]
    reason: Mapped[Words]
    attempts: Mapped[int]
    next_attempt_us: Mapped[Big]
    sent_us: Mapped[Big | None]
    message_ref: Mapped[Words | None]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[Big]


class LifecycleRow(Base):
    """The memory of the life cycle of alerts: one record a row. Its queries are the alerter's.

    Attributes:
        name: section and key of the record; the row without a section counts the changes of all.
        version: number of the change that wrote it.
        payload: the record as JSON.
    """

    __tablename__ = "lifecycle"

    name: Mapped[Key]
    version: Mapped[Big]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class LeaseRow(Base):
    """Who does what only one process at a time may do.

    Attributes:
        name: of what is leased.
        holder: the process that has it.
        until_us: from when on another one may take it.
    """

    __tablename__ = "leases"

    name: Mapped[Key]
    holder: Mapped[Words]
    until_us: Mapped[Big]


class LabelRow(Base):
    """What one person says about one episode; columns as in `shared.store.labels.Label`."""

    __tablename__ = "labels"
    __table_args__ = (Index(None, "symbol", "start_us"), Index(None, "time_us"))

    episode_id: Mapped[Key]
    author: Mapped[Key]
    verdict: Mapped[Words]
    note: Mapped[Words]
    time_us: Mapped[Big]
    symbol: Mapped[Words]
    exchange: Mapped[Words]
    kind: Mapped[Words]
    detector: Mapped[Words]
    fingerprint: Mapped[Words]
    start_us: Mapped[Big]
    end_us: Mapped[Big]
