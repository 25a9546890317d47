"""Kafka behind the interfaces of `broker.py`; the one file that imports confluent_kafka.

It is longer than our usual because it is the one: consumer, producer, topics and errors of the library.

Consumers read committed records only and commit by hand. Producers are idempotent with `acks=all`. Records go
to partitions by murmur2 of the key, Java's default, so that writers in other languages agree with us.

How long anything may take is derived in `timeouts.py`.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

import confluent_kafka as ck
import stamina
import structlog
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, not so declared
from confluent_kafka.cimpl import NewTopic

from shared import topics as topic_specs
from shared.clock import SystemClock
from shared.errors import (
    BrokerAbortableError,
    BrokerError,
    BrokerFatalError,
    BrokerRetriableError,
    ConfigError,
)
from shared.stream.broker import Consumer, Message, Producer, RebalanceListener, TopicPartition
from shared.stream.timeouts import REQUEST_TIMEOUT_S, Timeouts

_QUEUE_FULL_POLL_S: Final = 0.05
# Short, so that a partition's new leader is asked soon after the old one has died.
_BOUNDS_TIMEOUT_S: Final = REQUEST_TIMEOUT_S / 5
_EDGES: Final = (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
# What one client may hold in memory: fetched and not yet consumed, or produced and not yet acknowledged.
_FETCHED_KB: Final = 32 * 1024
_QUEUED_KB: Final = 64 * 1024
_QUEUED_RECORDS: Final = 100_000
CLIENT_ID: Final = "tapewatch"
# Where the library lies, for those who call it without its Python interface.
PACKAGE: Final = Path(ck.__file__).parent

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class KafkaParams:
    """How to reach a broker, and how topics are created on it.

    Attributes:
        bootstrap_servers: `host:port`, several joined by commas.
        topic_prefix: put before every topic's name.
        partitions: of `trades` and the other topics per market.
        replication_factor: of every topic.
        compression: `lz4` or `zstd`.
        trades_retention_ms: how long trades are kept.
        session_timeout_s: silence after which a member of a group is taken for dead; with the protocol
            `consumer` it is the broker that says so (`group.consumer.session.timeout.ms`).
        group_protocol: of consumer groups: `classic`, or `consumer` (KIP-848, brokers from 4.0 on).
    """

    bootstrap_servers: str
    topic_prefix: str = ""
    partitions: int = 12
    replication_factor: int = 1
    compression: Literal["lz4", "zstd"] = "lz4"
    trades_retention_ms: int = topic_specs.DAY_MS
    session_timeout_s: float = 15.0
    group_protocol: Literal["classic", "consumer"] = "classic"

    @property
    def timeouts(self) -> Timeouts:
        """How long anything may take."""
        return Timeouts(session_s=self.session_timeout_s)


def translate(operation: str, error: ck.KafkaError) -> BrokerError:
    """Return librdkafka's error as one of ours: fatal, abortable, or retriable."""
    detail = f"{error.name()}: {error.str()}"
    if error.fatal() or error.code() in _FATAL_CODES:
        return BrokerFatalError(operation, detail=detail)
    if error.txn_requires_abort() or error.code() in _EVICTED_CODES:
        return BrokerAbortableError(operation, detail=detail)
    if error.retriable() or error.code() in _RETRIABLE_CODES:
        return BrokerRetriableError(operation, detail=detail)
    return BrokerFatalError(operation, detail=detail)


def _code(name: str) -> int:
    # Codes of the library itself begin with an underscore, as in C; they are public all the same.
    code: int = getattr(ck.KafkaError, name)
    return code


_PARTITION_EOF: Final = _code("_PARTITION_EOF")
_FATAL_CODES: Final = frozenset({_code("_FENCED"), _code("_STATE")})
_RETRIABLE_CODES: Final = frozenset(
    {
        _code("_ALL_BROKERS_DOWN"),
        _code("_TRANSPORT"),
        _code("_TIMED_OUT"),
        _code("_TIMED_OUT_QUEUE"),
        _code("_MSG_TIMED_OUT"),
        _code("_MAX_POLL_EXCEEDED"),
        _code("_RESOLVE"),
        _code("REQUEST_TIMED_OUT"),
        _code("COORDINATOR_NOT_AVAILABLE"),
        _code("NOT_COORDINATOR"),
        _code("REBALANCE_IN_PROGRESS"),
        _code("NOT_LEADER_FOR_PARTITION"),
        _code("LEADER_NOT_AVAILABLE"),
        _code("UNKNOWN_TOPIC_OR_PART"),
        _code("COORDINATOR_LOAD_IN_PROGRESS"),
        _code("_WAIT_COORD"),
        _code("_WAIT_CACHE"),
        _code("NETWORK_EXCEPTION"),
        _code("KAFKA_STORAGE_ERROR"),
        _code("UNSTABLE_OFFSET_COMMIT"),
        _code("FENCED_LEADER_EPOCH"),
        _code("UNKNOWN_LEADER_EPOCH"),
        _code("OFFSET_NOT_AVAILABLE"),
        _code("NOT_ENOUGH_REPLICAS"),
        _code("NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    }
)
# The group goes on without us: what is in hand is not ours to commit. We join again by reading on.
_EVICTED_CODES: Final = frozenset(
    {
        _code("ILLEGAL_GENERATION"),
        _code("UNKNOWN_MEMBER_ID"),
        _code("FENCED_MEMBER_EPOCH"),
        _code("STALE_MEMBER_EPOCH"),
        _code("_ASSIGNMENT_LOST"),
    }
)


class _Names:
    """Our names of topics and the broker's."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def on_broker(self, topic: str) -> str:
        return self._prefix + topic

    def ours(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)

    def partition(self, theirs: ck.TopicPartition) -> TopicPartition:
        return TopicPartition(self.ours(theirs.topic), theirs.partition)

    def their_partitions(self, offsets: Mapping[TopicPartition, int]) -> list[ck.TopicPartition]:
        return [ck.TopicPartition(self.on_broker(p.topic), p.partition, o) for p, o in offsets.items()]


class KafkaBroker:
    """A Kafka cluster."""

    def __init__(self, params: KafkaParams) -> None:
        self._params = params
        self._names = _Names(params.topic_prefix)
        self._timeouts = params.timeouts

    def ensure_topics(self) -> None:
        """Create the topics of `shared.topics` that are missing, and wait until they can be used.

        Raises:
            BrokerError: the broker cannot be reached, or refuses.
            ConfigError: a topic exists with another number of partitions.
        """
        admin = AdminClient(self._client_config())
        existing = _list_topics(admin)
        missing = []
        faults = []
        for spec in topic_specs.TOPICS:
            name = self._names.on_broker(spec.name)
            wanted = spec.partitions(self._params.partitions)
            if name not in existing:
                missing.append(self._new_topic(spec, wanted))
            elif existing[name] != wanted:
                faults.append(
                    f"topic {name} has {existing[name]} partitions, KAFKA_PARTITIONS asks for {wanted}: "
                    f"set KAFKA_PARTITIONS={existing[name]}, or another KAFKA_TOPIC_PREFIX"
                )
        if faults:
            raise ConfigError(faults)
        if missing:
            self._create(admin, missing)

    def _new_topic(self, spec: topic_specs.TopicSpec, partitions: int) -> NewTopic:
        return NewTopic(
            self._names.on_broker(spec.name),
            num_partitions=partitions,
            replication_factor=self._params.replication_factor,
            config=spec.broker_config(trades_retention_ms=self._params.trades_retention_ms),
        )

    @staticmethod
    def _create(admin: AdminClient, missing: list[NewTopic]) -> None:
        for future in admin.create_topics(missing, operation_timeout=REQUEST_TIMEOUT_S).values():
            try:
                future.result(timeout=2 * REQUEST_TIMEOUT_S)
            except ck.KafkaException as error:
                # Several workers start at once, and each makes sure.
                if error.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate("create topics", error.args[0]) from error
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + REQUEST_TIMEOUT_S
        names = {topic.topic for topic in missing}
        while not names <= _list_topics(admin).keys():
            if clock.monotonic_s() > deadline_s:
                raise BrokerRetriableError("create topics", detail="created topics do not appear")

    def consumer(self, *, group: str | None, from_start: bool = True) -> Consumer:
        """Return a consumer that reads committed records only."""
        return KafkaConsumer(
            self._consumer_config(group, from_start), self._names, self._timeouts, edges=self._edges
        )

    @cached_property
    def _edges(self) -> "_Edges":
        return _Edges(self._client_config(), self._timeouts)

    def read_all(
        self,
        partitions: Sequence[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        give_up_after_s: float | None = None,
    ) -> Iterator[Message]:
        """Return every retained committed record of the partitions, up to what are their ends now or later.

        Raises:
            BrokerRetriableError: the broker was silent for longer than `give_up_after_s`.
        """
        config = {**self._consumer_config(None, from_start=True), "enable.partition.eof": True}
        client = ck.Consumer(config)
        clock = SystemClock()
        # A partition that is being written to reaches its end more than once.
        unfinished = set(partitions)
        try:
            offsets = {p: (starts or {}).get(p, ck.OFFSET_BEGINNING) for p in partitions}
            client.assign(self._names.their_partitions(offsets))
            heard_s = clock.monotonic_s()
            while unfinished:
                for message in _take(client, 500, REQUEST_TIMEOUT_S):
                    error = message.error()
                    if error is None:
                        yield cast("Message", message)
                    elif error.code() == _PARTITION_EOF:
                        partition = TopicPartition(self._names.ours(message.topic()), message.partition())
                        unfinished.discard(partition)
                    elif isinstance(fault := translate("read", error), BrokerRetriableError):
                        continue
                    else:
                        raise fault
                    heard_s = clock.monotonic_s()
                if give_up_after_s is not None and clock.monotonic_s() > heard_s + give_up_after_s:
                    raise BrokerRetriableError("read", detail=f"no answer for {give_up_after_s:g} s")
        finally:
            client.close()

    def producer(self, *, transactional_id: str | None = None) -> Producer:
        """Return an idempotent producer; with an id, a transactional one, fencing its elder.

        Raises:
            BrokerError: the transaction coordinator does not answer.
        """
        config = {
            **self._client_config(),
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": self._params.compression,
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": _QUEUED_RECORDS,
            "queue.buffering.max.kbytes": _QUEUED_KB,
            "message.max.bytes": 1_000_000,
            "delivery.report.only.error": True,
        }
        if transactional_id is None:
            # A record that is given up while its successors are sent leaves a hole that nobody can mend. So
            # none is given up: writers wait for as long as it takes.
            config["delivery.timeout.ms"] = 0
        else:
            config["delivery.timeout.ms"] = _ms(self._timeouts.delivery_s)
            config["transactional.id"] = self._params.topic_prefix + transactional_id
            config["transaction.timeout.ms"] = _ms(self._timeouts.transaction_s)
        return KafkaProducer(
            config, self._names, self._timeouts, is_transactional=transactional_id is not None
        )

    def _client_config(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._params.bootstrap_servers,
            "client.id": CLIENT_ID,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2_000,
            # By default librdkafka forgets all brokers when none answers. After that a transaction's offsets
            # are never answered for, not even by the call's own time-out (2.16.0, a broker killed and
            # restarted within a transaction: the commit hung for good).
            "metadata.recovery.strategy": "none",
            "logger": _log_adapter,
            # librdkafka's own lines about reconnecting would come every second while a broker is away.
            "log.connection.close": False,
        }

    def _membership_config(self) -> dict[str, Any]:
        if self._params.group_protocol == "consumer":
            # How long a silent member is kept, and who gets what, is then for the broker to say.
            return {"group.protocol": "consumer"}
        return {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _ms(self._timeouts.session_s),
            "heartbeat.interval.ms": _ms(self._timeouts.heartbeat_s),
        }

    def _consumer_config(self, group: str | None, from_start: bool) -> dict[str, Any]:  # noqa: FBT001
        return {
            **self._client_config(),
            "group.id": f"reader-{uuid.uuid4()}" if group is None else self._params.topic_prefix + group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest" if from_start else "latest",
            **self._membership_config(),
            "max.poll.interval.ms": _ms(self._timeouts.max_poll_s),
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": _FETCHED_KB,
            # The default of one second idles a fast reader (measured: a third of the throughput).
            "fetch.queue.backoff.ms": 50,
            "topic.metadata.refresh.interval.ms": 30_000,
        }


def _ms(seconds: float) -> int:
    return int(seconds * 1_000)


class _LogAdapter:
    """Passes librdkafka's log lines to ours; confluent_kafka calls it like a `logging.Logger`."""

    def log(self, level: int, message: str, *args: object) -> None:
        _log.log(level, "librdkafka", detail=message % args if args else message)


_log_adapter: Final = _LogAdapter()


def _list_topics(admin: AdminClient) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=REQUEST_TIMEOUT_S)
    except ck.KafkaException as error:
        raise translate("list topics", error.args[0]) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}


def _take(client: ck.Consumer, max_records: int, timeout_s: float) -> list[Any]:
    # The library waits until it has all that was asked for: so ask for one, then for what is there.
    messages: list[Any] = client.consume(num_messages=1, timeout=timeout_s)
    if messages and max_records > 1:
        messages += client.consume(num_messages=max_records - 1, timeout=0)
    return messages


def _retrying(operation: str, timeout_s: float, function: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - untyped library
    """Call the library; while it says that the same call may succeed later, call again, with pauses."""
    for attempt in stamina.retry_context(
        on=BrokerRetriableError, attempts=None, timeout=timeout_s, wait_max=1.0
    ):
        with attempt:
            try:
                return function(*args, **kwargs)
            except ck.KafkaException as error:
                raise translate(operation, error.args[0]) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _answer_within(timeout_s: float, function: Callable[..., object], *args: object) -> object:
    """Return what a call of the library returns, or raise `TimeoutError` and leave it to itself.

    It can't be ended. Its thread keeps nobody from leaving the process.
    """
    answer: Future[object] = Future()

    def call() -> None:
        try:
            answer.set_result(function(*args))
        except ck.KafkaException as error:
            answer.set_exception(error)

    threading.Thread(target=call, name="kafka-call", daemon=True).start()
    return answer.result(timeout_s)


class _Edges:
    """Where partitions begin and end, asked through a client of its own.

    A consumer would ask the leaders that it remembers, also one that has died, until it looks around again;
    and within a rebalance it can't be made to (`Consumer.list_topics` there ends the process: confluent-kafka
    2.16.1).
    """

    def __init__(self, config: dict[str, Any], timeouts: Timeouts) -> None:
        self._config = config
        self._timeouts = timeouts

    @cached_property
    def _client(self) -> AdminClient:
        return AdminClient(self._config)

    def ask(self, partition: ck.TopicPartition) -> tuple[int, int]:
        """Return the first retained offset and the one after the last; wait while its leader moves."""
        low, high = _retrying("read bounds", self._timeouts.moving_s, self._ask, partition)
        return low, high

    def _ask(self, partition: ck.TopicPartition) -> tuple[int, int]:
        self._client.list_topics(partition.topic, timeout=REQUEST_TIMEOUT_S)
        asked = [
            self._client.list_offsets(
                {partition: edge},
                isolation_level=ck.IsolationLevel.READ_COMMITTED,
                request_timeout=_BOUNDS_TIMEOUT_S,
            )
            for edge in _EDGES
        ]
        low, high = (int(answer[partition].result().offset) for answer in asked)
        return low, high


class Diversion(Protocol):
    """Somebody who reads the records of partitions in the consumer's stead. Partitions are named as we do."""

    def divert(self, partitions: Sequence[TopicPartition]) -> None:
        """Take these over; they will be assigned next."""
        ...

    def release(self, partitions: Sequence[TopicPartition]) -> None:
        """Give these back; they will be unassigned next."""
        ...

    def close(self) -> None:
        """Give all back; the client will be closed next."""
        ...


class KafkaConsumer:
    """Implements `broker.Consumer`."""

    def __init__(self, config: dict[str, Any], names: _Names, timeouts: Timeouts, *, edges: _Edges) -> None:
        self._client = ck.Consumer(config)
        self._edges = edges
        self._is_subscribed = False
        self._names = names
        self._timeouts = timeouts
        self._diversion: Diversion | None = None

    @property
    def client(self) -> ck.Consumer:
        """The library's consumer, for a transactional commit."""
        return self._client

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener | None = None) -> None:
        """Join the group."""
        self._is_subscribed = True
        names = [self._names.on_broker(topic) for topic in topics]
        if listener is None:
            self._client.subscribe(names)
            return

        def assigned(client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            starts = listener.assigned([self._names.partition(p) for p in partitions])
            for partition in partitions:
                partition.offset = starts.get(self._names.partition(partition), ck.OFFSET_STORED)
            if self._diversion:
                self._diversion.divert([self._names.partition(p) for p in partitions])
            client.incremental_assign(partitions)

        def revoked(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            listener.revoked([self._names.partition(p) for p in partitions])
            self._release(partitions)

        def lost(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            listener.lost([self._names.partition(p) for p in partitions])
            self._release(partitions)

        self._client.subscribe(names, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _release(self, partitions: list[ck.TopicPartition]) -> None:
        if self._diversion:
            self._diversion.release([self._names.partition(p) for p in partitions])

    def divert(self, diversion: Diversion) -> None:
        """Let somebody else read the records, who calls `serve` in the place of `consume`."""
        self._diversion = diversion

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, outside any group."""
        if self._diversion:
            self._diversion.divert(list(offsets))
        self._client.assign(self._names.their_partitions(offsets))

    def consume(self, max_records: int, timeout_s: float) -> list[Message]:
        """Return up to `max_records` records.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
            BrokerFatalError: this consumer cannot go on.
        """
        try:
            messages = _take(self._client, max_records, timeout_s)
        except ck.KafkaException as error:
            raise translate("consume", error.args[0]) from error
        sound = [message for message in messages if message.error() is None]
        if len(sound) != len(messages):
            faults = [translate("consume", m.error()) for m in messages if m.error() is not None]
            fatal = next((fault for fault in faults if not isinstance(fault, BrokerRetriableError)), None)
            if fatal is not None:
                raise fatal
            if not sound:
                raise faults[0]
        return sound

    def serve(self) -> None:
        """Do what `consume` does besides reading records, without waiting.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
            BrokerFatalError: this consumer cannot go on, or a record came here that was to be read elsewhere.
        """
        if self.consume(1, 0):
            raise BrokerFatalError("consume", detail="a record came past its diversion")

    def fault(self, code: int, reason: str) -> BrokerError:
        """Return one of the library's errors as one of ours."""
        return translate("consume", ck.KafkaError(code, reason))

    def is_member(self) -> bool:
        """Return whether the group counts on us, as far as we know.

        With the protocol `consumer` an id is kept for life, so one who was dropped hears of it later. There
        the broker itself refuses its commits: it checks id and epoch of every one.
        """
        return self._is_subscribed and bool(self._client.memberid())

    def topic_of(self, message: Message) -> str:
        """Return the topic of a record, without the prefix."""
        return self._names.ours(message.topic())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue an assigned partition at `offset`."""
        self._call("seek", self._client.seek, *self._names.their_partitions({partition: offset}))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        self._call("pause", self._client.pause, self._names.their_partitions(dict.fromkeys(partitions, 0)))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        self._call("resume", self._client.resume, self._names.their_partitions(dict.fromkeys(partitions, 0)))

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the group's committed offsets; waits until no transaction on them is pending."""
        if not partitions:
            # The library would ask even so; within the loss of partitions it then waited until its time-out.
            return {}
        asked = self._names.their_partitions(dict.fromkeys(partitions, 0))
        # Another node may be about to coordinate the group.
        answer = _retrying(
            "read commits",
            self._timeouts.moving_s,
            self._client.committed,
            asked,
            timeout=self._timeouts.committed_s,
        )
        return {self._names.partition(p): p.offset for p in answer if p.offset >= 0}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read, and wait for the answer."""
        asked = self._names.their_partitions(offsets)
        answer = self._call("commit", self._client.commit, offsets=asked, asynchronous=False)
        for partition in answer or []:
            if partition.error is not None:
                raise translate("commit", partition.error)

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the first retained offset and the one after the last."""
        [theirs] = self._names.their_partitions({partition: 0})
        return self._edges.ask(theirs)

    def lag(self, partition: TopicPartition, position: int) -> int:
        """Return how many records lie at or after `position`, as far as known from the last fetch."""
        [theirs] = self._names.their_partitions({partition: 0})
        bounds = self._call("read lag", self._client.get_watermark_offsets, theirs, cached=True)
        return 0 if bounds is None else max(0, bounds[1] - position)

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic; an empty list when it does not exist."""
        name = self._names.on_broker(topic)
        metadata = self._call("list topics", self._client.list_topics, name, timeout=REQUEST_TIMEOUT_S)
        found = metadata.topics.get(name)
        return [] if found is None or found.error else [TopicPartition(topic, n) for n in found.partitions]

    def offsets_at(self, time_us: int, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset written at or after a time, or the end offset when there is none.

        librdkafka's built-in cluster answers with -1 to everything: then the start is returned.
        """
        asked = self._names.their_partitions(dict.fromkeys(partitions, time_us // 1_000))
        answer = self._call("find offsets", self._client.offsets_for_times, asked, timeout=REQUEST_TIMEOUT_S)
        return {self._names.partition(p): p.offset if p.offset >= 0 else self._edge(p) for p in answer}

    def _edge(self, theirs: ck.TopicPartition) -> int:
        low, high = self.bounds(self._names.partition(theirs))
        return high if theirs.offset == ck.OFFSET_END and theirs.error is None else low

    def name_on_broker(self, topic: str) -> str:
        """Return a topic's name with the deployment's prefix."""
        return self._names.on_broker(topic)

    def close(self) -> None:
        """Leave the group."""
        if self._diversion:
            self._diversion.close()
        self._client.close()

    @staticmethod
    def _call(operation: str, function: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - untyped library
        # A new topic has no leader for a moment, a restarted broker no coordinator.
        return _retrying(operation, REQUEST_TIMEOUT_S, function, *args, **kwargs)


class KafkaProducer:
    """Implements `broker.Producer`."""

    def __init__(
        self, config: dict[str, Any], names: _Names, timeouts: Timeouts, *, is_transactional: bool
    ) -> None:
        self._failure: ck.KafkaError | None = None
        self._config = {**config, "on_delivery": self._delivered, "error_cb": self._failed}
        self._names = names
        self._timeouts = timeouts
        self._is_transactional = is_transactional
        # A call of the client has not returned, and no other may be made.
        self._is_stuck = False
        self._client = self._connect()

    def _connect(self) -> ck.Producer:
        client = ck.Producer(self._config)
        if self._is_transactional:
            self._transact("init transactions", client.init_transactions, 2 * REQUEST_TIMEOUT_S)
        return client

    def _delivered(self, error: ck.KafkaError | None, message: object) -> None:
        del message
        # The first failure explains the ones that follow it.
        if error is not None and self._failure is None:
            self._failure = error

    def _failed(self, error: ck.KafkaError) -> None:
        # Without this, the library raises what is no exception. What is not fatal it mends and logs itself.
        if error.fatal():
            self._failure = error

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise translate("deliver", failure)

    def produce(self, topic: str, value: bytes | None, *, key: bytes, partition: int | None = None) -> None:
        """Queue a record, waiting while the queue is full.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        while not self._queued(topic, value, key, partition):
            self._client.poll(_QUEUE_FULL_POLL_S)
        self._check()

    def try_produce(self, topic: str, value: bytes, *, key: bytes, partition: int | None = None) -> bool:
        """Queue a record and return true, or return false at once when the queue is full."""
        self._client.poll(0)
        self._check()
        return self._queued(topic, value, key, partition)

    def _queued(self, topic: str, value: bytes | None, key: bytes, partition: int | None) -> bool:
        name = self._names.on_broker(topic)
        try:
            if partition is None:
                self._client.produce(name, value=value, key=key)
            else:
                self._client.produce(name, value=value, key=key, partition=partition)
        except BufferError:
            return False
        except ck.KafkaException as error:
            raise translate("produce", error.args[0]) from error
        return True

    def poll(self, timeout_s: float = 0) -> None:
        """Serve delivery reports."""
        self._client.poll(timeout_s)
        self._check()

    def flush(self, timeout_s: float) -> int:
        """Wait until every queued record is acknowledged; return how many are not."""
        remaining = int(self._client.flush(timeout_s))
        self._check()
        return remaining

    def begin(self) -> None:
        """Begin a transaction."""
        self._transact("begin", self._client.begin_transaction)

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit what was produced since `begin`, together with the consumer's next offsets to read."""
        assert isinstance(consumer, KafkaConsumer)
        if offsets:
            membership = consumer.client.consumer_group_metadata()
            # Asked after that: the metadata of one whom the group has dropped names no member, and a broker
            # takes such a commit, for the sake of old clients, without any fencing.
            if not consumer.is_member():
                raise BrokerAbortableError("send offsets", detail="the group goes on without this consumer")
            self._transact("send offsets", self._send_offsets, offsets, membership)
        self._transact("commit", self._client.commit_transaction, self._timeouts.delivery_s)
        self._check()

    def _send_offsets(self, offsets: Mapping[TopicPartition, int], membership: object) -> None:
        send = self._client.send_offsets_to_transaction
        theirs = self._names.their_partitions(offsets)
        try:
            _answer_within(REQUEST_TIMEOUT_S, send, theirs, membership, REQUEST_TIMEOUT_S / 1.5)
        except TimeoutError as error:
            # The node that coordinated the group has died: librdkafka may wait for that very one, beyond the
            # time it was given and for good (2.16.0; its issues 5456 and 5511).
            self._is_stuck = True
            raise BrokerAbortableError(
                "send offsets", detail=f"no answer for {REQUEST_TIMEOUT_S:g} s"
            ) from error

    def abort(self) -> None:
        """Forget what was produced since `begin`."""
        if self._is_stuck:
            # An heir under the same id makes the broker abort what was open, and fences who left it.
            self._client = self._connect()
            self._is_stuck = False
            _log.warning("producer_replaced")
        else:
            self._transact("abort", self._client.abort_transaction, 2 * REQUEST_TIMEOUT_S)
        self._failure = None

    def _transact(self, operation: str, function: Any, *args: Any) -> None:  # noqa: ANN401 - untyped library
        # librdkafka asks that a retriable error be answered by the same call, and marks what must be aborted.
        _retrying(operation, self._timeouts.transaction_s, function, *args)

    def close(self) -> None:
        """Flush and release the connection."""
        self.flush(self._timeouts.delivery_s)
