"""The verdict: topics, store and the alerter's decisions against an undisturbed engine on the same tape."""

from collections import Counter
from dataclasses import dataclass, field

from detector.engine import Engine
from detector.params import EngineParams
from shared import topics
from shared.codec import decode
from shared.events import Anomaly, Trade
from shared.store import queries
from shared.store.database import Database
from shared.store.tables import DeliveryRow, DeliveryState
from shared.stream.broker import Broker, TopicPartition

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
        repeated_notifications: messages that people got twice, which the alerter may send after a crash.
    """

    faults: list[str] = field(default_factory=list)
    tapes: dict[str, MarketTape] = field(default_factory=dict)
    anomalies: dict[str, Anomaly] = field(default_factory=dict)
    repeated_notifications: int = 0

    @property
    def trades(self) -> int:
        """How many trades are on the tape."""
        return sum(tape.trades for tape in self.tapes.values())


def partitions_of(broker: Broker, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic."""
    consumer = broker.consumer(group=None)
    partitions = consumer.partitions_of(topic)
    consumer.close()
    return partitions


def judge_topics(broker: Broker, engine: EngineParams) -> Verdict:
    """Return whether the tape is whole, and how the anomalies compare with an undisturbed engine's."""
    verdict = Verdict()
    expected = _replay(broker, Engine(engine), verdict)
    _judge_anomalies(broker, expected, verdict)
    for topic in (topics.TAPE_GAPS, topics.DEAD_LETTERS, topics.QUARANTINES):
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
            trade = decode(message.value(), Trade)
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


def _judge_anomalies(broker: Broker, expected: dict[str, Anomaly], verdict: Verdict) -> None:
    counts: Counter[str] = Counter()
    for message in broker.read_all(partitions_of(broker, topics.ANOMALIES)):
        anomaly = decode(message.value(), Anomaly)
        counts[anomaly.anomaly_id] += 1
        verdict.anomalies[anomaly.anomaly_id] = anomaly
    found = verdict.anomalies
    repeated = sum(1 for count in counts.values() if count > 1)
    missing = expected.keys() - found.keys()
    unexpected = found.keys() - expected.keys()
    different = [i for i in found.keys() & expected.keys() if found[i] != expected[i]]
    for what, which in (("missing", missing), ("unexpected", unexpected), ("different", different)):
        if which:
            sample = [found.get(i, expected.get(i)) for i in sorted(which)[:3]]
            verdict.faults.append(f"{len(which)} anomalies are {what}, such as {sample}")
    if repeated:
        verdict.faults.append(f"{repeated} anomalies were committed more than once")
    if not expected:
        verdict.faults.append("no anomalies: there is nothing to agree on")


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
    if stored != verdict.anomalies:
        verdict.faults.append(f"the store holds {len(stored)} anomalies, or other ones than the topic")
    if kept != verdict.tapes:
        verdict.faults.append(f"the store holds other trades than the topic: {kept}")
    if decided != verdict.anomalies.keys():
        verdict.faults.append(f"the alerter decided about {len(decided)} anomalies")


def judge_people(verdict: Verdict, database: Database, heard: list[str]) -> None:
    """Compare what was marked as sent with what people got."""
    with database.session() as session:
        rows = session.query(DeliveryRow.anomaly_id).filter(DeliveryRow.state == DeliveryState.SENT.value)
        sent = {row[0] for row in rows}
    if unheard := sent - set(heard):
        verdict.faults.append(f"{len(unheard)} notifications are marked as sent, and nobody got them")
    verdict.repeated_notifications = len(heard) - len(set(heard))
