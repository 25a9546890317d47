"""The outbox: the memory of the life cycle, every notification that is due, and every event, in the store.

`take` writes what follows from a batch in one transaction, before Kafka's offsets are committed, so a crash
loses no notification; what comes again is known and adds nothing. The memory of the life cycle is in the same
transaction. Its version is counted there, and whoever counts holds a lock on it: several alerters decide one
after the other, each on what the one before it left, so that all agree.

`claim` hands out the oldest pending notification of a channel and nothing behind it, so each channel keeps
its order. A claim counts the attempt and moves `next_attempt_us` by a lease *before* anything is sent; when
the process dies with a notification in flight, whoever comes next takes it once the lease is over. That, and
an answer that is lost on its way, are the cases in which people may be told twice: the channel took the
message, and nobody could write that down. At most the one notification in flight on each channel is
repeated; both have the same `notification_id`, and the repetition says what it is (`Delivery.may_repeat`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import Table, Update, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from alerter.lifecycle import Lifecycle, Outcome
from alerter.notification import Notification
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id, decode, encode
from shared.errors import InvalidRecordError, StoreError
from shared.events import Alert, AlertCommand, Anomaly
from shared.store.database import POSTGRESQL, Database
from shared.store.tables import DeliveryRow, DeliveryState, LifecycleRow

# The "channel" of what goes to the topic `alerts`.
TOPIC: Final = "topic:alerts"

_VERSION: Final = "version"
_PUBLISHED_AT_ONCE: Final = 1_000
# A message that may be there, and nobody noted its id.
_PERHAPS: Final = ""
Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A notification that was claimed for one attempt.

    Attributes:
        notification: what is to be told.
        channel: where.
        thread_ref: the channel's id of the incident's message; empty when there is none yet.
        attempts: tried so far, this one included.
        created_us: when it was decided.
        may_repeat: whether an attempt before may have arrived.
    """

    notification: Notification
    channel: str
    thread_ref: str
    attempts: int
    created_us: int
    may_repeat: bool = False


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """The oldest notification of a channel must wait, and so must those behind it.

    Attributes:
        until_us: when it may be tried.
    """

    until_us: int


class Outbox:
    """Decisions and notifications in the store; one thread may `take` while others do the rest.

    Args:
        database: the store, migrated.
        rules: what people want to hear, and where.
    """

    def __init__(self, database: Database, *, rules: Rules) -> None:
        self._database = database
        self._rules = rules
        self._lifecycle: Lifecycle | None = None
        self._version = 0
        self._has_new_rules = False
        self._latest_us = 0

    def use(self, rules: Rules) -> None:
        """Decide by other rules from the next `take` on."""
        self._rules = rules
        self._has_new_rules = True

    def take(self, events: Sequence[Anomaly | AlertCommand], *, now_us: int) -> list[Alert]:
        """Decide about a batch and about what is due, and make that durable, all or nothing.

        Args:
            events: in order; they may have been taken before.
            now_us: the alerter's time.

        Returns:
            The changes in the lives of alerts; they are in the outbox as well.

        Raises:
            StoreUnavailableError: not now; offer the batch again.
            StoreError: the store's memory is of another version, or damaged.
        """
        # Times are distinct, because the order of notifications is the order of these times.
        first_us = max(now_us, self._latest_us + 1)
        lifecycle, self._lifecycle = self._lifecycle, None
        with self._database.session() as session:
            version = self._count_version(session)
            if lifecycle is None or version != self._version + 1:
                lifecycle = self._restored(session)
            outcomes = self._decided(lifecycle, self._unknown(session, events), first_us)
            rows = [row for at_us, outcome in outcomes for row in _rows(outcome, at_us)]
            _supersede(session, outcomes)
            _insert(session, rows)
            self._remember(session, lifecycle, version)
        # Only what is committed is kept in mind.
        self._lifecycle, self._version, self._has_new_rules = lifecycle, version, False
        self._latest_us = first_us + len(events) + 1
        return [alert for _, outcome in outcomes for alert in outcome.alerts]

    def is_due(self, now_us: int) -> bool:
        """Return whether time alone makes something to decide, here or at another alerter that is gone.

        Raises:
            StoreUnavailableError: not now.
            StoreError: the store's memory is of another version, or damaged.
        """
        with self._database.session(read_only=True) as session:
            query = select(LifecycleRow.version).where(LifecycleRow.name == _VERSION)
            version = session.scalars(query).one_or_none() or 0
            if self._lifecycle is None or version != self._version:
                self._lifecycle, self._version = self._restored(session), version
        due_us = self._lifecycle.due_us
        return self._has_new_rules or (due_us is not None and due_us <= now_us)

    def unpublished(self) -> list[tuple[str, Alert]]:
        """Return events that are not on the topic yet, with ids, the oldest first; a thousand at most."""
        query = (
            select(DeliveryRow.notification_id, DeliveryRow.payload)
            .where(DeliveryRow.channel == TOPIC, DeliveryRow.state == DeliveryState.PENDING)
            .order_by(DeliveryRow.created_us, DeliveryRow.sequence)
            .limit(_PUBLISHED_AT_ONCE)
        )
        with self._database.session(read_only=True) as session:
            return [(identity, decode(payload, Alert)) for identity, payload in session.execute(query)]

    def mark_published(self, identities: Sequence[str], *, now_us: int) -> None:
        """Write down that these events are on the topic."""
        self._change(
            update(DeliveryRow)
            .where(DeliveryRow.channel == TOPIC, DeliveryRow.notification_id.in_(identities))
            .values(state=DeliveryState.SENT, sent_us=now_us)
        )

    def claim(
        self, channel: str, *, now_us: int, lease_s: float, min_interval_s: float = 0.0
    ) -> Delivery | NotYet | None:
        """Take the oldest pending notification of a channel for one attempt.

        Args:
            channel: name of the channel.
            now_us: the alerter's time.
            lease_s: for how long nobody else may try it; longer than an attempt can last.
            min_interval_s: to the last notification that the channel took, from any alerter.

        Returns:
            The notification, or until when it must wait, or None when nothing is pending.

        Raises:
            StoreUnavailableError: not now.
        """
        is_pending = (DeliveryRow.channel == channel, DeliveryRow.state == DeliveryState.PENDING)
        oldest = (
            select(DeliveryRow)
            .where(*is_pending)
            .order_by(DeliveryRow.created_us, DeliveryRow.sequence, DeliveryRow.notification_id)
            .limit(1)
        )
        with self._database.session(read_only=True) as session:
            row = session.scalars(oldest).one_or_none()
            thread_ref = "" if row is None else _thread_ref(session, row)
            # After the row: by then, whatever was before it in the queue is written down.
            last_us = _last_sent_us(session, channel) if row is not None and min_interval_s else 0
        if row is None:
            return None
        # Another's clock may be ahead.
        paced_us = min(last_us, now_us) + round(min_interval_s * MICROSECONDS_PER_SECOND)
        if (until_us := max(row.next_attempt_us, paced_us)) > now_us:
            return NotYet(until_us=until_us)
        # Whoever changes the attempts first has it.
        claiming = _only(row.notification_id, channel, row.attempts).values(
            attempts=row.attempts + 1,
            next_attempt_us=now_us + round(lease_s * MICROSECONDS_PER_SECOND),
            # What whoever comes next finds, should this process die.
            message_ref=_PERHAPS,
        )
        if not self._change(claiming):
            return NotYet(until_us=now_us)
        return Delivery(
            notification=_notification(row),
            channel=channel,
            thread_ref=thread_ref,
            attempts=row.attempts + 1,
            created_us=row.created_us,
            may_repeat=row.message_ref == _PERHAPS,
        )

    def mark_sent(self, delivery: Delivery, *, message_ref: str, now_us: int) -> None:
        """Write down that the channel took it, even if the lease ran out meanwhile."""
        self._change(
            _only(delivery.notification.notification_id, delivery.channel).values(
                state=DeliveryState.SENT, reason="", sent_us=now_us, message_ref=_words(message_ref)
            )
        )

    def mark_failed(
        self, delivery: Delivery, *, reason: str, next_attempt_us: int, may_have_arrived: bool = False
    ) -> None:
        """Write down that this attempt failed and when the next one is due."""
        is_uncertain = may_have_arrived or delivery.may_repeat
        self._change(
            _only(delivery.notification.notification_id, delivery.channel, delivery.attempts).values(
                reason=_words(reason),
                next_attempt_us=next_attempt_us,
                message_ref=_PERHAPS if is_uncertain else None,
            )
        )

    def mark_refused(self, delivery: Delivery, *, reason: str) -> None:
        """Write down that the channel will never take it, and why."""
        self._end(delivery, DeliveryState.REFUSED, reason)

    def mark_skipped(self, delivery: Delivery, *, reason: str) -> None:
        """Write down that the channel has no use for it, and why."""
        self._end(delivery, DeliveryState.SUPPRESSED, reason)

    def refuse_others(self, channels: Iterable[str]) -> int:
        """Refuse what is pending for channels that are no longer configured; return how many there were."""
        return self._change(
            update(DeliveryRow)
            .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.channel.not_in([*channels, TOPIC]))
            .values(state=DeliveryState.REFUSED, reason="the channel is no longer configured")
        )

    def pending(self) -> dict[str, int]:
        """Return how many notifications wait, per channel that has any."""
        query = (
            select(DeliveryRow.channel, func.count())
            .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.channel != TOPIC)
            .group_by(DeliveryRow.channel)
        )
        with self._database.session(read_only=True) as session:
            return {channel: int(count) for channel, count in session.execute(query)}

    def _end(self, delivery: Delivery, state: DeliveryState, reason: str) -> None:
        self._change(
            _only(delivery.notification.notification_id, delivery.channel, delivery.attempts).values(
                state=state, reason=_words(reason)
            )
        )

    def _change(self, statement: Update) -> int:
        with self._database.session() as session:
            return session.connection().execute(statement).rowcount

    def _count_version(self, session: Session) -> int:
        """Count one more change of the memory; nobody else decides until this session ends."""
        insert = _dialect(session).insert(_table(LifecycleRow))
        counted = insert.values(name=_VERSION, version=1, payload=b"").on_conflict_do_update(
            index_elements=["name"], set_={"version": LifecycleRow.version + literal(1)}
        )
        statement = counted.returning(LifecycleRow.version)
        return int(session.connection().execute(statement).scalar_one())

    def _restored(self, session: Session) -> Lifecycle:
        query = select(LifecycleRow.name, LifecycleRow.payload).where(LifecycleRow.name != _VERSION)
        lifecycle = Lifecycle(self._rules)
        try:
            lifecycle.restore([(name, payload) for name, payload in session.execute(query)])
        except (msgspec.DecodeError, KeyError) as error:
            raise StoreError("restore", detail=f"the life cycle's memory: {error}") from error
        return lifecycle

    def _unknown(
        self, session: Session, events: Sequence[Anomaly | AlertCommand]
    ) -> list[Anomaly | AlertCommand]:
        """Return what was not taken before; the life cycle itself forgets after some time."""
        identities = {_words(event.anomaly_id) for event in events if isinstance(event, Anomaly)}
        if not identities:
            return list(events)
        query = select(DeliveryRow.anomaly_id).where(
            DeliveryRow.channel == TOPIC, DeliveryRow.anomaly_id.in_(identities)
        )
        known = set(session.scalars(query))
        return [
            event
            for event in events
            if not isinstance(event, Anomaly) or _words(event.anomaly_id) not in known
        ]

    def _decided(
        self, lifecycle: Lifecycle, events: Sequence[Anomaly | AlertCommand], first_us: int
    ) -> list[tuple[int, Outcome]]:
        outcomes = []
        if self._has_new_rules:
            outcomes.append((first_us, lifecycle.configure(self._rules, first_us)))
        for at_us, event in enumerate(events, start=first_us):
            on_event = lifecycle.on_anomaly if isinstance(event, Anomaly) else lifecycle.on_command
            outcomes.append((at_us, on_event(event, at_us)))  # type: ignore[arg-type]  # each takes its own kind
        outcomes.append((first_us + len(events), lifecycle.on_time(first_us + len(events))))
        return outcomes

    def _remember(self, session: Session, lifecycle: Lifecycle, version: int) -> None:
        changes = {_words(name): payload for name, payload in lifecycle.changes().items()}
        gone = [name for name, payload in changes.items() if payload is None]
        kept = [{"name": n, "version": version, "payload": p} for n, p in changes.items() if p is not None]
        if gone:
            session.connection().execute(delete(LifecycleRow).where(LifecycleRow.name.in_(gone)))
        if kept:
            insert = _dialect(session).insert(_table(LifecycleRow))
            statement = insert.on_conflict_do_update(
                index_elements=["name"],
                set_={"version": insert.excluded.version, "payload": insert.excluded.payload},
            )
            session.connection().execute(statement, kept)


def _thread_ref(session: Session, row: DeliveryRow) -> str:
    query = (
        select(DeliveryRow.message_ref)
        .where(
            DeliveryRow.incident_id == row.incident_id,
            DeliveryRow.channel == row.channel,
            DeliveryRow.state == DeliveryState.SENT,
            DeliveryRow.message_ref != "",
        )
        # The latest: when somebody has deleted the message, what rang next has made another one.
        .order_by(DeliveryRow.sequence.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none() or ""


def _last_sent_us(session: Session, channel: str) -> int:
    """Return when a channel took something last; 0: never."""
    # A channel is served in this order, so the latest decided was sent last.
    query = (
        select(DeliveryRow.sent_us)
        .where(DeliveryRow.channel == channel, DeliveryRow.state == DeliveryState.SENT)
        .order_by(DeliveryRow.created_us.desc(), DeliveryRow.sequence.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none() or 0


def _notification(row: DeliveryRow) -> Notification:
    try:
        return decode(row.payload, Notification)
    except InvalidRecordError:
        # Decided before there were incidents, and still waiting.
        anomaly = decode(row.payload, Anomaly)
        return Notification.of(anomaly, channels=(row.channel,), now_us=row.created_us)


def _rows(outcome: Outcome, at_us: int) -> list[Row]:
    told = [row for notification in outcome.notifications for row in _notification_rows(notification, at_us)]
    return told + [_alert_row(alert, number, at_us) for number, alert in enumerate(outcome.alerts)]


def _notification_rows(notification: Notification, at_us: int) -> list[Row]:
    anomaly = notification.anomaly
    shared_columns: Row = {
        "notification_id": notification.notification_id,
        "incident_id": notification.incident_id,
        "sequence": notification.sequence,
        "rings": notification.rings,
        "anomaly_id": _words(anomaly.anomaly_id),
        "alert_id": _words(anomaly.episode.episode_id),
        "symbol": _words(anomaly.symbol),
        "kind": _words(anomaly.kind),
        "severity": notification.severity.value,
        "payload": encode(notification),
    }
    return [_row({**shared_columns, "channel": channel}, at_us) for channel in notification.channels]


def _alert_row(alert: Alert, number: int, at_us: int) -> Row:
    identity = content_id(
        alert.alert_id, alert.anomaly_id, alert.incident_id, alert.state, alert.time_us, alert.detail
    )
    return _row(
        {
            "notification_id": identity,
            "channel": TOPIC,
            "incident_id": alert.incident_id,
            "sequence": number,
            "rings": False,
            "anomaly_id": _words(alert.anomaly_id),
            "alert_id": _words(alert.alert_id),
            "symbol": _words(alert.symbol),
            "kind": _words(alert.kind),
            "severity": alert.severity.value,
            "payload": encode(alert),
        },
        at_us,
    )


def _row(columns: Row, at_us: int) -> Row:
    return {
        **columns,
        "state": DeliveryState.PENDING.value,
        "reason": "",
        "attempts": 0,
        "next_attempt_us": at_us,
        "sent_us": None,
        "message_ref": None,
        "created_us": at_us,
    }


def _supersede(session: Session, outcomes: Sequence[tuple[int, Outcome]]) -> None:
    """Drop changes of messages that nobody has tried to send and that a later one makes superfluous."""
    latest: dict[tuple[str, str], int] = {}
    for _, outcome in outcomes:
        for notification in outcome.notifications:
            for channel in notification.channels:
                latest[notification.incident_id, channel] = notification.sequence
    for (incident_id, channel), sequence in latest.items():
        session.connection().execute(
            update(DeliveryRow)
            .where(
                DeliveryRow.incident_id == incident_id,
                DeliveryRow.channel == channel,
                DeliveryRow.sequence < sequence,
                DeliveryRow.rings.is_(False),
                DeliveryRow.state == DeliveryState.PENDING,
                DeliveryRow.attempts == 0,
            )
            .values(state=DeliveryState.SUPPRESSED, reason="a later change says it")
        )


def _insert(session: Session, rows: list[Row]) -> None:
    if rows:
        # What is already there stands: it was decided earlier and may have been sent.
        statement = _dialect(session).insert(_table(DeliveryRow)).on_conflict_do_nothing()
        session.connection().execute(statement, rows)


def _table(mapped: type[DeliveryRow | LifecycleRow]) -> Table:
    table = mapped.__table__
    assert isinstance(table, Table)
    return table


def _dialect(session: Session):  # type: ignore[no-untyped-def]  # noqa: ANN202 - one of two modules
    return postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite


def _only(notification_id: str, channel: str, attempts: int | None = None) -> Update:
    """Address one row; with `attempts`, only while it is pending and nobody has tried since."""
    statement = update(DeliveryRow).where(
        DeliveryRow.notification_id == notification_id, DeliveryRow.channel == channel
    )
    if attempts is None:
        return statement
    return statement.where(DeliveryRow.attempts == attempts, DeliveryRow.state == DeliveryState.PENDING)


def _words(text: str) -> str:
    # The one character that PostgreSQL's text cannot hold.
    return text.replace("\x00", "\ufffd")
