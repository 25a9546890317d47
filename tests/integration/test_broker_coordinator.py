"""A cluster loses the node that coordinates the detectors: they go on, nothing is lost or doubled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually
from tests.servers.kafka import KafkaCluster
from tests.stream_crew import GROUP, Crew, Tape, committed_anomalies

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "ADA-USDT", "DOT-USDT")
GROUPS = "__consumer_offsets"
TRANSACTIONS = "__transaction_state"


def java_hash(text: str) -> int:
    """Return the hash by which Kafka picks the partition, and so the node, that coordinates a name.

    Source: java.lang.String.hashCode, org.apache.kafka.common.utils.Utils.abs.
    """
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFF_FFFF
    signed = value - (value >> 31 << 32)
    return 0 if signed == -(2**31) else abs(signed)


class Leaders:
    """Who leads what in a cluster."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
        self._size = len(cluster.nodes)

    def coordinator(self, topic: str, name: str) -> int:
        """Return the node that coordinates a group or a transactional id; -1 for none."""
        partitions = self._admin.list_topics(topic, timeout=30).topics[topic].partitions
        return int(partitions[java_hash(name) % len(partitions)].leader) if partitions else -1

    def are_all_copies_in_sync(self) -> bool:
        """Return whether any node may die without anything becoming unavailable."""
        topics = self._admin.list_topics(timeout=30).topics.values()
        return all(len(p.isrs) == self._size for topic in topics for p in topic.partitions.values())


def pick_instances(leaders: Leaders, node: int) -> tuple[str, str]:
    """Return two detectors' names: the node coordinates the first's transactions, not the second's."""
    names = [str(number) for number in range(1, 100)]
    is_there = {name: leaders.coordinator(TRANSACTIONS, f"{GROUP}-{name}") == node for name in names}
    return next(n for n in names if is_there[n]), next(n for n in names if not is_there[n])


@contextmanager
def written_all_the_time(tape: Tape) -> Iterator[None]:
    """Let trades come, so that what dies has transactions in hand."""
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.02):
            tape.write(10)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_detectors_go_on_without_the_node_that_coordinated_them(kafka_cluster: KafkaCluster) -> None:
    broker = KafkaBroker(
        KafkaParams(
            bootstrap_servers=kafka_cluster.bootstrap_servers,
            partitions=4,
            replication_factor=3,
            session_timeout_s=6.0,
        )
    )
    broker.ensure_topics()
    leaders = Leaders(kafka_cluster)
    tape = Tape(broker, SYMBOLS)
    tape.write(600)
    # The broker makes its topics for groups and transactions when they are first asked for.
    assert not tape.is_judged()
    broker.producer(transactional_id="first").close()
    eventually(leaders.are_all_copies_in_sync, seconds=120, about="copies in sync", every_s=0.5)
    node = leaders.coordinator(GROUPS, GROUP)
    instances = pick_instances(leaders, node)
    coordinated = [(GROUPS, GROUP), (TRANSACTIONS, f"{GROUP}-{instances[0]}")]
    with Crew(broker, instances=instances) as crew:
        eventually(tape.is_judged, seconds=120, about="the first trades to be judged", every_s=0.5)
        with written_all_the_time(tape):
            kafka_cluster.nodes[node].kill()
            eventually(
                lambda: all(leaders.coordinator(*what) not in {node, -1} for what in coordinated),
                seconds=120,
                about="another node to coordinate",
                every_s=0.2,
            )
        eventually(tape.is_judged, seconds=180, about="everybody to go on", every_s=0.5)
        tape.write(600)
        eventually(tape.is_judged, seconds=120, about="the last trades to be judged", every_s=0.5)
    tape.close()
    assert crew.crashes == 0, crew.faults
    found, repeated = committed_anomalies(broker)
    assert found == tape.expected()
    assert repeated == 0
