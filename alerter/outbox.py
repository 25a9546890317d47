"""The outbox: every decision and every notification that is due, in the store.

`take` writes a batch's decisions in one transaction, before Kafka's offsets are committed, so a crash loses
no notification; a batch that comes again finds its decisions there and adds nothing. The life cycle has no
memory of its own: for each batch it is rebuilt from the rows that can matter to it.

`claim` hands out the oldest pending notification of a channel and nothing behind it, so each channel keeps
its order. A claim counts the attempt and moves `next_attempt_us` by a lease *before* anything is sent; when
the process dies with a notification in flight, whoever comes next takes it once the lease is over. That is
the one case in which people may be told twice: the channel took the message, and the process (or its
connection to the store) died before that could be written down. At most the one notification in flight on
each channel is repeated, and both messages show the same `anomaly_id`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Table, Update, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from alerter.lifecycle import Decision, Lifecycle, LifecycleParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import decode, encode
from shared.events import Anomaly, Severity
from shared.store.database import POSTGRESQL, Database
from shared.store.tables import DeliveryRow, DeliveryState

# The channel of a row that only says why nobody was told.
NO_CHANNEL: Final = ""

_HEARD: Final = (DeliveryState.PENDING.value, DeliveryState.SENT.value)


class _PastRow(NamedTuple):
    """What the life cycle needs to know of a row; the names are those of its columns."""

    anomaly_id: str
    channel: str
    alert_id: str
    symbol: str
    kind: str
    severity: str
    state: str
    reason: str
    created_us: int


_PAST: Final = [getattr(DeliveryRow, name) for name in _PastRow._fields]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A notification that was claimed for one attempt.

    Attributes:
        anomaly: what is to be told.
        channel: where.
        attempts: tried so far, this one included.
        created_us: when it was decided.
    """

    anomaly: Anomaly
    channel: str
    attempts: int
    created_us: int


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """The oldest notification of a channel must wait, and so must those behind it.

    Attributes:
        until_us: when it may be tried.
    """

    until_us: int


class Outbox:
    """Decisions and notifications in the table `deliveries`; one thread may `take` while others do the rest.

    Args:
        database: the store, migrated.
        lifecycle: what people want to hear, and where.
    """

    def __init__(self, database: Database, *, lifecycle: LifecycleParams) -> None:
        self._database = database
        self._lifecycle = lifecycle
        self._cooldown_us = round(lifecycle.cooldown_s * MICROSECONDS_PER_SECOND)
        self._latest_us = 0

    def take(self, anomalies: Sequence[Anomaly], *, now_us: int) -> list[Decision]:
        """Decide about a batch and make the decisions durable, all or none of them.

        Args:
            anomalies: in order; they may have been taken before.
            now_us: the alerter's time.

        Returns:
            One decision per anomaly; for one taken before, the decision of then.

        Raises:
            StoreUnavailableError: not now; offer the batch again.
        """
        if not anomalies:
            return []
        # Times are distinct, because the order of notifications is the order of these times.
        first_us = max(now_us, self._latest_us + 1)
        self._latest_us = first_us + len(anomalies)
        with self._database.session() as session:
            lifecycle = Lifecycle(self._lifecycle)
            lifecycle.restore(self._past(session, anomalies, now_us=first_us))
            decisions = [lifecycle.on_anomaly(a, first_us + n) for n, a in enumerate(anomalies)]
            rows = [row for pair in zip(decisions, anomalies, strict=True) for row in _rows(*pair)]
            _insert(session, rows)
        return decisions

    def claim(self, channel: str, *, now_us: int, lease_s: float) -> Delivery | NotYet | None:
        """Take the oldest pending notification of a channel for one attempt.

        Args:
            channel: name of the channel.
            now_us: the alerter's time.
            lease_s: for how long nobody else may try it; longer than an attempt can last.

        Returns:
            The notification, or until when it must wait, or None when nothing is pending.

        Raises:
            StoreUnavailableError: not now.
        """
        is_pending = (DeliveryRow.channel == channel, DeliveryRow.state == DeliveryState.PENDING)
        oldest = (
            select(DeliveryRow)
            .where(*is_pending)
            .order_by(DeliveryRow.created_us, DeliveryRow.anomaly_id)
            .limit(1)
        )
        with self._database.session(read_only=True) as session:
            row = session.scalars(oldest).one_or_none()
        if row is None:
            return None
        if row.next_attempt_us > now_us:
            return NotYet(until_us=row.next_attempt_us)
        # Whoever changes the attempts first has it.
        claiming = _only(row.anomaly_id, channel, row.attempts).values(
            attempts=row.attempts + 1, next_attempt_us=now_us + round(lease_s * MICROSECONDS_PER_SECOND)
        )
        if not self._change(claiming):
            return NotYet(until_us=now_us)
        return Delivery(
            anomaly=decode(row.payload, Anomaly),
            channel=channel,
            attempts=row.attempts + 1,
            created_us=row.created_us,
        )

    def mark_sent(self, delivery: Delivery, *, message_ref: str, now_us: int) -> None:
        """Write down that the channel took it, even if the lease ran out meanwhile."""
        self._change(
            _only(delivery.anomaly.anomaly_id, delivery.channel).values(
                state=DeliveryState.SENT, reason="", sent_us=now_us, message_ref=_words(message_ref)
            )
        )

    def mark_failed(self, delivery: Delivery, *, reason: str, next_attempt_us: int) -> None:
        """Write down that this attempt failed and when the next one is due."""
        self._change(
            _only(delivery.anomaly.anomaly_id, delivery.channel, delivery.attempts).values(
                reason=_words(reason), next_attempt_us=next_attempt_us
            )
        )

    def mark_refused(self, delivery: Delivery, *, reason: str) -> None:
        """Write down that the channel will never take it, and why."""
        self._change(
            _only(delivery.anomaly.anomaly_id, delivery.channel, delivery.attempts).values(
                state=DeliveryState.REFUSED, reason=_words(reason)
            )
        )

    def refuse_others(self, channels: Iterable[str]) -> int:
        """Refuse what is pending for channels that are no longer configured; return how many there were."""
        return self._change(
            update(DeliveryRow)
            .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.channel.not_in(list(channels)))
            .values(state=DeliveryState.REFUSED, reason="the channel is no longer configured")
        )

    def pending(self) -> dict[str, int]:
        """Return how many notifications wait, per channel that has any."""
        query = (
            select(DeliveryRow.channel, func.count())
            .where(DeliveryRow.state == DeliveryState.PENDING)
            .group_by(DeliveryRow.channel)
        )
        with self._database.session(read_only=True) as session:
            return {channel: int(count) for channel, count in session.execute(query)}

    def _change(self, statement: Update) -> int:
        with self._database.session() as session:
            return session.connection().execute(statement).rowcount

    def _past(self, session: Session, anomalies: Sequence[Anomaly], *, now_us: int) -> list[Decision]:
        """Return the decisions that matter: of these anomalies, of their alerts, of their cooldowns."""
        in_cooldown = (
            DeliveryRow.symbol.in_({_words(a.symbol) for a in anomalies}),
            DeliveryRow.kind.in_({_words(a.kind) for a in anomalies}),
            DeliveryRow.created_us > now_us - self._cooldown_us,
            DeliveryRow.state.in_(_HEARD),
        )
        wanted: tuple[tuple[ColumnElement[bool], ...], ...] = (
            (DeliveryRow.anomaly_id.in_({_words(a.anomaly_id) for a in anomalies}),),
            (DeliveryRow.alert_id.in_({_words(a.episode.episode_id) for a in anomalies}),),
            in_cooldown,
        )
        rows: dict[tuple[str, str], _PastRow] = {}
        for conditions in wanted:
            for row in map(_PastRow._make, session.execute(select(*_PAST).where(*conditions))):
                rows[row.anomaly_id, row.channel] = row
        by_anomaly: dict[str, list[_PastRow]] = {}
        for row in rows.values():
            by_anomaly.setdefault(row.anomaly_id, []).append(row)
        return [_decision(group) for group in by_anomaly.values()]


def _decision(rows: Sequence[_PastRow]) -> Decision:
    """Return the decision that the rows of one anomaly record."""
    first = rows[0]
    return Decision(
        anomaly_id=first.anomaly_id,
        alert_id=first.alert_id,
        symbol=first.symbol,
        kind=first.kind,
        severity=Severity(first.severity),
        decided_us=first.created_us,
        channels=tuple(sorted(row.channel for row in rows if row.channel != NO_CHANNEL)),
        reason=first.reason if first.channel == NO_CHANNEL else "",
        is_heard=any(row.state in _HEARD for row in rows),
    )


def _rows(decision: Decision, anomaly: Anomaly) -> list[dict[str, object]]:
    state = DeliveryState.PENDING if decision.channels else DeliveryState.SUPPRESSED
    return [
        {
            "anomaly_id": _words(decision.anomaly_id),
            "channel": channel,
            "alert_id": _words(decision.alert_id),
            "symbol": _words(decision.symbol),
            "kind": _words(decision.kind),
            "severity": decision.severity.value,
            "state": state.value,
            "reason": decision.reason,
            "attempts": 0,
            "next_attempt_us": decision.decided_us,
            "sent_us": None,
            "message_ref": None,
            "payload": encode(anomaly),
            "created_us": decision.decided_us,
        }
        for channel in decision.channels or (NO_CHANNEL,)
    ]


def _insert(session: Session, rows: list[dict[str, object]]) -> None:
    table = DeliveryRow.__table__
    assert isinstance(table, Table)
    dialect = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    # What is already there stands: it was decided earlier and may have been sent.
    session.connection().execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _only(anomaly_id: str, channel: str, attempts: int | None = None) -> Update:
    """Address one row; with `attempts`, only while it is pending and nobody has tried since."""
    statement = update(DeliveryRow).where(
        DeliveryRow.anomaly_id == _words(anomaly_id), DeliveryRow.channel == channel
    )
    if attempts is None:
        return statement
    return statement.where(DeliveryRow.attempts == attempts, DeliveryRow.state == DeliveryState.PENDING)


def _words(text: str) -> str:
    # The one character that PostgreSQL's text cannot hold.
    return text.replace("\x00", "\ufffd")
