"""A real Apache Kafka for tests: an external one, a container, or a local process; else skip, saying why.

- `kafka`: one broker for the whole session, shared. Give every test its own `kafka_topic_prefix`.
- `own_kafka`: a local broker of the test's own, to be stopped, killed and started again.
- `kafka_cluster`: three local nodes of the test's own, each a broker and a controller, any of which may die.

`KAFKA_TEST_BOOTSTRAP_SERVERS` names an external broker. Without it, a container is used where a Docker engine
answers and the image can be had, and otherwise a local process, for which Java and Maven are needed.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.kafka import java
from deploy.kafka.apache import ApacheKafka, ApacheKafkaParams, new_cluster_id
from deploy.kafka.broker import BrokerParams, ExternalBroker, RunningBroker, start_broker
from deploy.kafka.ports import LOOPBACK, free_ports, speaks_kafka
from shared.errors import PrerequisiteError
from tests.deadlines import eventually

IMAGE = f"apache/kafka:{java.KAFKA_VERSION}"
_CONTAINER_STARTS_WITHIN_S = 120.0
_DOCKER_ANSWERS_WITHIN_S = 15.0


@pytest.fixture(scope="session")
def kafka() -> Iterator[RunningBroker]:
    """A broker for the whole session, with transactions."""
    if servers := os.environ.get("KAFKA_TEST_BOOTSTRAP_SERVERS"):
        with start_broker("external", BrokerParams(external_servers=servers)) as broker:
            yield broker
        return
    # An image that cannot be fetched is no reason to test less where a local process can do it.
    reasons = []
    for way in (_container, _local):
        with way() as (started, reason):
            if started is not None:
                yield started
                return
            reasons.append(reason)
    pytest.skip("no Kafka to test with: " + "; ".join(reasons))


@pytest.fixture
def kafka_topic_prefix() -> str:
    """A prefix for topic names that no other test has."""
    return f"test-{secrets.token_hex(4)}-"


@pytest.fixture(scope="session")
def local_kafka_prerequisites() -> None:
    """Skip the test where no local Apache Kafka can be run."""
    if reason := _why_no_local():
        pytest.skip(f"no local Kafka: {reason}")


@pytest.fixture
def own_kafka(tmp_path: Path, local_kafka_prerequisites: None) -> Iterator[ApacheKafka]:  # noqa: ARG001 - skips
    """A running local broker for one test, to be killed and started again on the same port and data."""
    with ApacheKafka(ApacheKafkaParams(data_dir=tmp_path / "kafka")) as broker:
        yield broker


class KafkaCluster:
    """Local nodes that hold a copy of everything each, and go on while a majority lives.

    Args:
        folder: for their data.
        size: how many.

    Attributes:
        nodes: by node id.
    """

    def __init__(self, folder: Path, *, size: int = 3) -> None:
        ports = free_ports(2 * size)
        meeting = ports[size:]
        voters = ",".join(f"{number + 1}@{LOOPBACK}:{port}" for number, port in enumerate(meeting))
        cluster_id = new_cluster_id()
        self.nodes = {
            number + 1: ApacheKafka(
                ApacheKafkaParams(
                    data_dir=folder / f"node-{number + 1}",
                    port=ports[number],
                    controller_port=meeting[number],
                    cluster_id=cluster_id,
                    properties={
                        "node.id": f"{number + 1}",
                        "controller.quorum.voters": voters,
                        **_cluster_properties(size),
                    },
                    heap_mb=256,
                )
            )
            for number in range(size)
        }

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return ",".join(node.bootstrap_servers for node in self.nodes.values())

    def start(self) -> None:
        """Start all nodes, which is one after the other no use: each waits for a majority."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            for started in [pool.submit(node.start) for node in self.nodes.values()]:
                started.result()

    def stop(self) -> None:
        """Stop all nodes without ceremony; an orderly stop of the last ones would wait for a majority."""
        for node in self.nodes.values():
            node.kill()


def _cluster_properties(size: int) -> dict[str, str]:
    copies, majority = f"{size}", f"{size // 2 + 1}"
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": majority,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": majority,
        # A dead node is noticed in seconds, as in the one-node template, also by the nodes that copy from it.
        "replica.lag.time.max.ms": "5000",
    }


@pytest.fixture
def kafka_cluster(tmp_path: Path, local_kafka_prerequisites: None) -> Iterator[KafkaCluster]:  # noqa: ARG001 - skips
    """Three running local nodes for one test."""
    cluster = KafkaCluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def _local() -> Iterator[tuple[RunningBroker | None, str]]:
    if reason := _why_no_local():
        yield None, reason
        return
    # Whatever fails from here on is a fault, and no reason to skip.
    with start_broker("apache-kafka") as broker:
        yield broker, ""


def _why_no_local() -> str:
    """Return why Apache Kafka cannot be run as a local process; an empty text when it can."""
    try:
        java.find_java()
        java.ensure_jars(java.default_cache_dir(), tell=lambda _: None)
    except PrerequisiteError as error:
        return str(error)
    return ""


@contextmanager
def _container() -> Iterator[tuple[RunningBroker | None, str]]:
    if reason := _why_no_docker():
        yield None, reason
        return
    # Imported here: only where there is an engine can these modules do anything.
    from docker.errors import DockerException  # type: ignore[import-untyped]  # noqa: PLC0415
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_ports(1)[0]
    servers = f"{LOOPBACK}:{port}"
    container = DockerContainer(IMAGE).with_envs(**container_environment(port))
    # Docker's own notation for "on loopback only", for which testcontainers has no method.
    container.ports["9092/tcp"] = (LOOPBACK, port)  # type: ignore[assignment]
    try:
        container.start()
    except DockerException as error:
        yield None, f"{IMAGE} did not start: {error}"
        return
    try:
        eventually(
            lambda: speaks_kafka(servers),
            seconds=_CONTAINER_STARTS_WITHIN_S,
            about=f"an answer from {IMAGE}",
            every_s=0.2,
        )
        yield ExternalBroker(bootstrap_servers=servers), ""
    finally:
        container.stop()


def container_environment(port: int) -> dict[str, str]:
    """Return the image's settings for one KRaft node that clients reach at this port of loopback.

    Any of them replaces the image's default configuration as a whole, so all that is needed is here.
    """
    return {
        "CLUSTER_ID": "tapewatchtests00000000",
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT_HOST://{LOOPBACK}:{port},PLAINTEXT://localhost:19092",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:29093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
    }


def _why_no_docker() -> str:
    """Return why no Docker engine can be used; an empty text when one can."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_DOCKER_ANSWERS_WITHIN_S
        )
    except FileNotFoundError:
        return "Docker is not installed"
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer"
    return "" if answer.returncode == 0 else "no Docker engine answers"
