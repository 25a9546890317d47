"""One way to get a broker, whichever the machine can offer.

    with start_broker() as broker:
        ...                                   # broker.bootstrap_servers, broker.supports_transactions

`auto` takes the first that is to be had: the external broker whose address is given, a local Apache Kafka
(Java and Maven, or the jars of an earlier run), librdkafka's built-in cluster. `docker compose up -d` is the
way with Docker; it starts the workers too and needs nothing from here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from deploy.kafka import builtin, java
from deploy.kafka.apache import ApacheKafka, ApacheKafkaParams
from deploy.kafka.builtin import BuiltinKafka
from deploy.kafka.ports import speaks_kafka
from shared.errors import PrerequisiteError, ToolMissingError
from shared.topics import TOPICS

BrokerKind = Literal["external", "apache-kafka", "builtin"]
BrokerChoice = Literal["auto", "external", "apache-kafka", "builtin"]


class RunningBroker(Protocol):
    """A broker that answers."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: `host:port`, several joined by commas."""
        ...

    @property
    def kind(self) -> BrokerKind:
        """Which of the ways it is."""
        ...

    @property
    def supports_transactions(self) -> bool:
        """Whether `exactly_once` holds on it."""
        ...

    def stop(self) -> None:
        """Stop it, if it is ours to stop. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ExternalBroker:
    """A broker that somebody else runs."""

    bootstrap_servers: str
    kind: Literal["external"] = "external"
    supports_transactions: bool = True

    def stop(self) -> None:
        """Leave it alone: it is not ours."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _say_nothing(_sentence: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class BrokerParams:
    """What a broker is started with.

    Attributes:
        external_servers: address of a broker that runs already; empty for none.
        data_dir: where a local Apache Kafka keeps its data; None for a temporary folder.
        port: where a local Apache Kafka listens; 0 for any free one.
        topic_prefix: as in the setting KAFKA_TOPIC_PREFIX.
        partitions: of the topic trades, as in the setting KAFKA_PARTITIONS.
        cache_dir: where the jars of Apache Kafka are kept.
        tell: is given a sentence when something takes a while, or is less than one might expect.
    """

    external_servers: str = ""
    data_dir: Path | None = None
    port: int = 0
    topic_prefix: str = ""
    partitions: int = 12
    cache_dir: Path = field(default_factory=java.default_cache_dir)
    tell: Callable[[str], None] = _say_nothing


_DEFAULTS: Final = BrokerParams()


def start_broker(choice: BrokerChoice = "auto", params: BrokerParams = _DEFAULTS) -> RunningBroker:
    """Start a broker, or find the external one, and return it when it answers.

    Args:
        choice: which way; `auto` for the first that is to be had.
        params: how.

    Raises:
        ToolMissingError: `apache-kafka` was asked for, and Java or Maven is missing.
        PortInUseError: the port that was asked for is taken.
        PrerequisiteError: the broker does not answer, or could not be started.
    """
    if choice == "external" or (choice == "auto" and params.external_servers):
        return _external(params.external_servers)
    if choice == "builtin":
        return _builtin(params)
    try:
        return _apache(params)
    except ToolMissingError as error:
        if choice != "auto":
            raise
        params.tell(str(error))
        return _builtin(params)


def _external(servers: str) -> ExternalBroker:
    if not servers:
        raise PrerequisiteError("no external broker is named: set KAFKA_BOOTSTRAP_SERVERS to its host:port.")
    if not any(speaks_kafka(address) for address in servers.split(",")):
        raise PrerequisiteError(
            f"no Kafka broker answers at {servers}. Start it, or set KAFKA_BOOTSTRAP_SERVERS to another one."
        )
    return ExternalBroker(bootstrap_servers=servers)


def _apache(params: BrokerParams) -> ApacheKafka:
    broker = ApacheKafka(
        ApacheKafkaParams(
            data_dir=params.data_dir, port=params.port, cache_dir=params.cache_dir, tell=params.tell
        )
    )
    try:
        broker.start()
    except PrerequisiteError:
        broker.stop()
        raise
    return broker


def _builtin(params: BrokerParams) -> BuiltinKafka:
    params.tell(builtin.LIMITS)
    broker = BuiltinKafka(topic_partitions(prefix=params.topic_prefix, partitions=params.partitions))
    broker.start()
    return broker


def topic_partitions(*, prefix: str, partitions: int) -> dict[str, int]:
    """Return every topic's name on the broker with its number of partitions."""
    return {f"{prefix}{spec.name}": spec.partitions(partitions) for spec in TOPICS}
