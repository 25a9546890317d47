"""The verdict: topics, store and the alerter's decisions against an undisturbed engine on the same tape."""

from collections import Counter
from dataclasses import dataclass, field

from alerter.notification import Notification
from alerter.outbox import TOPIC
from detector.engine import Engine
from detector.params import EngineParams
from shared import topics
from shared.codec import decode
from shared.errors import InvalidRecordError
from shared.events import Alert, Anomaly, DeadLetter, Trade
from shared.store import queries
from shared.store.database import Database
from shared.store.tables import AlertRow, DeadLetterRow, DeliveryRow, DeliveryState
from shared.stream.broker import Broker, TopicPartition
from shared.stream.dead_letters import KEPT_PAYLOAD_BYTES

_BATCH_TRADES = 1_000


@dataclass
class MarketTape:
    """What the topic holds of one market."""

    first_id: int
    last_id: int
    trades: int = 0


@dataclass
class Verdict:
    """What was found.

    Attributes:
        faults: one sentence each; none when all is well.
        tapes: by market.
        anomalies: committed ones by id.
        repeated_anomalies: how many of them were committed more than once.
        invalid: records of the tape that are no trades, by partition and offset.
        alerts: what the alerter told on its topic.
        letters: what was set aside, each letter once.
        repeated_notifications: messages that people got twice, which the alerter may send after a crash.
    """

    faults: list[str] = field(default_factory=list)
    tapes: dict[str, MarketTape] = field(default_factory=dict)
    anomalies: dict[str, Anomaly] = field(default_factory=dict)
    repeated_anomalies: int = 0
    invalid: dict[tuple[int, int], bytes] = field(default_factory=dict)
    alerts: set[tuple[str, str, str, int]] = field(default_factory=set)
    letters: set[DeadLetter] = field(default_factory=set)
    repeated_notifications: int = 0

    @property
    def trades(self) -> int:
        """How many trades are on the tape."""
        return sum(tape.trades for tape in self.tapes.values())

    @property
    def invalid_records(self) -> int:
        """How many records of the tape are no trades."""
        return len(self.invalid)


def partitions_of(broker: Broker, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic."""
    consumer = broker.consumer(group=None)
    partitions = consumer.partitions_of(topic)
    consumer.close()
    return partitions


def judge_topics(broker: Broker, engine: EngineParams, *, may_repeat: bool = False) -> Verdict:
    """Return whether the tape is whole, and how the anomalies compare with an undisturbed engine's.

    Args:
        broker: where the topics are.
        engine: what the detectors run.
        may_repeat: whether an anomaly may be committed again, as long as it is the same.
    """
    verdict = Verdict()
    expected = _replay(broker, Engine(engine), verdict)
    _judge_anomalies(broker, expected, verdict, may_repeat=may_repeat)
    for topic in (topics.TAPE_GAPS, topics.QUARANTINES):
        count = sum(1 for _ in broker.read_all(partitions_of(broker, topic)))
        if count:
            verdict.faults.append(f"{count} records on {topic}")
    return verdict


def _replay(broker: Broker, engine: Engine, verdict: Verdict) -> dict[str, Anomaly]:
    """Read the tape partition by partition: check its ids, and return what the engine finds on it."""
    expected: dict[str, Anomaly] = {}
    for partition in partitions_of(broker, topics.TRADES):
        batch: list[Trade] = []
        for message in broker.read_all([partition]):
            try:
                trade = decode(message.value(), Trade)
            except InvalidRecordError as error:
                verdict.invalid[message.partition(), message.offset()] = error.payload
                continue
            _follow(trade, verdict)
            batch.append(trade)
            if len(batch) == _BATCH_TRADES:
                _judge(engine, batch, expected)
                batch.clear()
        _judge(engine, batch, expected)
    return expected


def _judge(engine: Engine, batch: list[Trade], expected: dict[str, Anomaly]) -> None:
    expected.update(
        {event.anomaly_id: event for event in engine.on_batch(batch) if isinstance(event, Anomaly)}
    )


def _follow(trade: Trade, verdict: Verdict) -> None:
    tape = verdict.tapes.setdefault(trade.symbol, MarketTape(trade.trade_id, trade.trade_id - 1))
    if trade.trade_id != tape.last_id + 1:
        verdict.faults.append(f"{trade.symbol}: trade {trade.trade_id} follows {tape.last_id}")
    tape.last_id = trade.trade_id
    tape.trades += 1


def _judge_anomalies(
    broker: Broker, expected: dict[str, Anomaly], verdict: Verdict, *, may_repeat: bool
) -> None:
    counts: Counter[str] = Counter()
    for message in broker.read_all(partitions_of(broker, topics.ANOMALIES)):
        anomaly = decode(message.value(), Anomaly)
        counts[anomaly.anomaly_id] += 1
        if verdict.anomalies.setdefault(anomaly.anomaly_id, anomaly) != anomaly:
            verdict.faults.append(f"{anomaly.anomaly_id} was committed with two different contents")
    found = verdict.anomalies
    repeated = verdict.repeated_anomalies = sum(1 for count in counts.values() if count > 1)
    missing = expected.keys() - found.keys()
    unexpected = found.keys() - expected.keys()
    different = [i for i in found.keys() & expected.keys() if found[i] != expected[i]]
    for what, which in (("missing", missing), ("unexpected", unexpected), ("different", different)):
        if which:
            sample = [found.get(i, expected.get(i)) for i in sorted(which)[:3]]
            verdict.faults.append(f"{len(which)} anomalies are {what}, such as {sample}")
    if repeated and not may_repeat:
        verdict.faults.append(f"{repeated} anomalies were committed more than once")
    if not expected:
        verdict.faults.append("no anomalies: there is nothing to agree on")


def judge_letters(
    verdict: Verdict, broker: Broker, *, published: Counter[bytes], may_repeat: bool = False
) -> None:
    """Compare what was set aside with what had to be: exactly the invalid records, by each that reads them.

    Args:
        verdict: of `judge_topics`.
        broker: where the topics are.
        published: the invalid values that were put on the tape, and how often.
        may_repeat: whether the detectors may set a record aside again.
    """
    if Counter(verdict.invalid.values()) != published:
        verdict.faults.append(
            f"{len(verdict.invalid)} invalid records are on the tape, or other ones than put"
        )
    found: dict[str, Counter[tuple[int, int]]] = {"detector": Counter(), "recorder": Counter()}
    for message in broker.read_all(partitions_of(broker, topics.DEAD_LETTERS)):
        letter = decode(message.value(), DeadLetter)
        verdict.letters.add(letter)
        place = letter.partition, letter.offset
        value = verdict.invalid.get(place)
        if letter.source != topics.TRADES or letter.reader not in found or value is None:
            verdict.faults.append(f"set aside without need: {letter.source} {place} by {letter.reader!r}")
        elif (letter.payload, letter.cut_bytes) != _kept(value):
            verdict.faults.append(f"other bytes than those of {place} were set aside")
        else:
            found[letter.reader][place] += 1
    for reader, counts in found.items():
        if missing := verdict.invalid.keys() - counts.keys():
            verdict.faults.append(f"{reader} has not set aside {sorted(missing)[:3]}, {len(missing)} in all")
        if reader == "detector" and counts.total() > len(counts) and not may_repeat:
            verdict.faults.append(f"{reader} has set aside {counts.total() - len(counts)} records again")


def _kept(value: bytes) -> tuple[bytes, int]:
    return value[:KEPT_PAYLOAD_BYTES], max(0, len(value) - KEPT_PAYLOAD_BYTES)


def judge_alerts(verdict: Verdict, broker: Broker) -> None:
    """Compare what the alerter told on its topic with the anomalies."""
    told = set()
    for message in broker.read_all(partitions_of(broker, topics.ALERTS)):
        alert = decode(message.value(), Alert)
        # Told again after a crash, equal to the byte.
        verdict.alerts.add((alert.alert_id, alert.anomaly_id, alert.state, alert.time_us))
        told.add(alert.anomaly_id)
    if told != verdict.anomalies.keys():
        verdict.faults.append(f"the alerts are about {len(told)} anomalies, or other ones than committed")


def judge_venue(verdict: Verdict, last_ids: dict[str, int]) -> None:
    """Compare the tape's ends with those of the venue."""
    for symbol, last_id in last_ids.items():
        tape = verdict.tapes.get(symbol)
        if tape is None or tape.last_id != last_id:
            verdict.faults.append(
                f"{symbol}: the tape ends at {tape and tape.last_id}, the venue at {last_id}"
            )


def judge_store(verdict: Verdict, database: Database) -> None:
    """Compare the store with the topics: the same trades, the same anomalies, and a decision about each."""
    with database.session() as session:
        stored = {anomaly.anomaly_id: anomaly for anomaly in queries.anomalies(session, limit=None)}
        kept = {m.symbol: MarketTape(m.first_id, m.last_id, m.trades) for m in queries.markets(session)}
        decided = {row[0] for row in session.query(DeliveryRow.anomaly_id).distinct()}
        alerts = session.query(AlertRow).count()
        letters = session.query(DeadLetterRow).count()
    if stored != verdict.anomalies:
        verdict.faults.append(f"the store holds {len(stored)} anomalies, or other ones than the topic")
    if kept != verdict.tapes:
        verdict.faults.append(f"the store holds other trades than the topic: {kept}")
    if decided != verdict.anomalies.keys():
        verdict.faults.append(f"the alerter decided about {len(decided)} anomalies")
    if alerts != len(verdict.alerts):
        verdict.faults.append(f"the store holds {alerts} alerts, the topic {len(verdict.alerts)}")
    if letters != len(verdict.letters):
        verdict.faults.append(f"the store holds {letters} dead letters, the topic {len(verdict.letters)}")


def pending(database: Database) -> int:
    """Return how many notifications wait to be sent."""
    with database.session(read_only=True) as session:
        return session.query(DeliveryRow).filter(DeliveryRow.state == DeliveryState.PENDING.value).count()


def judge_people(verdict: Verdict, database: Database, heard: list[str]) -> None:
    """Compare what was marked as sent with what people got: the reference that stands on each message."""
    with database.session() as session:
        rows = session.query(DeliveryRow.payload).filter(
            DeliveryRow.state == DeliveryState.SENT.value,
            DeliveryRow.channel != TOPIC,
            # What does not ring changes a message that is there.
            DeliveryRow.rings.is_(True),
        )
        sent = Counter(_reference(decode(row[0], Notification)) for row in rows)
    got = Counter(heard)
    if unheard := (sent - got).total():
        verdict.faults.append(f"{unheard} notifications are marked as sent, and nobody got them")
    verdict.repeated_notifications = (got - sent).total()


def _reference(notification: Notification) -> str:
    """Return what a message is known by: a digest is about no single anomaly."""
    return notification.incident_id if notification.digest else notification.anomaly.anomaly_id
