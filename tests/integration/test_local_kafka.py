"""A local Apache Kafka through stops, crashes and faults, and kept in the background by the command line."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kafka.apache import ApacheKafka, ApacheKafkaParams
from deploy.kafka.broker import RunningBroker
from deploy.kafka.ports import is_free, speaks_kafka
from deploy.kafka.process import is_running
from shared import topics
from shared.errors import PortInUseError, PrerequisiteError
from shared.stream.broker import TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually

ROOT = Path(__file__).resolve().parents[2]
PARTITION = TopicPartition(topics.TRADES, 0)

pytestmark = pytest.mark.integration


def connect(servers: str, prefix: str = "") -> KafkaBroker:
    broker = KafkaBroker(KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=2))
    broker.ensure_topics()
    return broker


def publish(broker: KafkaBroker, *values: bytes) -> None:
    producer = broker.producer()
    for value in values:
        producer.produce(topics.TRADES, value, key=b"BTC-USDT", partition=0)
    assert producer.flush(30) == 0
    producer.close()


def read(broker: KafkaBroker, count: int) -> list[bytes]:
    consumer = broker.consumer(group=None)
    consumer.assign({PARTITION: 0})
    values: list[bytes] = []

    def has_all() -> bool:
        values.extend(message.value() for message in consumer.consume(100, 0.1))
        return len(values) >= count

    eventually(has_all, seconds=30, about=f"{count} records")
    consumer.close()
    return values


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.kafka", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env=dict(os.environ)
    )


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_data_and_address_survive_a_restart(own_kafka: ApacheKafka, ending: str) -> None:
    servers, pid = own_kafka.bootstrap_servers, own_kafka.pid
    publish(connect(servers), b"before")
    (own_kafka.stop if ending == "stop" else own_kafka.kill)()
    assert own_kafka.pid == 0
    assert not speaks_kafka(servers)
    own_kafka.start()
    assert own_kafka.bootstrap_servers == servers
    assert own_kafka.pid not in {0, pid}
    broker = connect(servers)
    publish(broker, b"after")
    assert read(broker, 2) == [b"before", b"after"]


def test_a_producer_gets_over_a_crash(own_kafka: ApacheKafka) -> None:
    broker = connect(own_kafka.bootstrap_servers)
    producer = broker.producer()
    producer.produce(topics.TRADES, b"1", key=b"BTC-USDT", partition=0)
    assert producer.flush(30) == 0
    own_kafka.kill()
    producer.produce(topics.TRADES, b"2", key=b"BTC-USDT", partition=0)
    own_kafka.start()
    assert producer.flush(30) == 0
    producer.close()
    assert read(broker, 2) == [b"1", b"2"]


def test_another_object_takes_a_data_folder_over(own_kafka: ApacheKafka, tmp_path: Path) -> None:
    servers = own_kafka.bootstrap_servers
    publish(connect(servers), b"kept")
    own_kafka.stop()
    with ApacheKafka(ApacheKafkaParams(data_dir=tmp_path / "kafka")) as successor:
        assert successor.bootstrap_servers == servers
        assert read(connect(servers), 1) == [b"kept"]


def test_transactions_are_to_be_had(kafka: RunningBroker, kafka_topic_prefix: str) -> None:
    assert kafka.supports_transactions
    broker = connect(kafka.bootstrap_servers, kafka_topic_prefix)
    publish(broker, b"input")
    consumer = broker.consumer(group=f"{kafka_topic_prefix}group")
    consumer.subscribe([topics.TRADES])
    eventually(lambda: bool(consumer.consume(1, 0.1)), seconds=30, about="the input")
    producer = broker.producer(transactional_id=f"{kafka_topic_prefix}id")
    for outcome in ("aborted", "committed"):
        producer.begin()
        producer.produce(topics.TRADES, outcome.encode(), key=b"BTC-USDT", partition=0)
        if outcome == "aborted":
            producer.abort()
        else:
            producer.commit({PARTITION: 1}, consumer)
    assert consumer.committed([PARTITION]) == {PARTITION: 1}
    producer.close()
    consumer.close()
    assert read(broker, 2) == [b"input", b"committed"]


def test_a_port_that_is_taken_is_a_clear_sentence(own_kafka: ApacheKafka, tmp_path: Path) -> None:
    port, folder = own_kafka.port, tmp_path / "second"
    with pytest.raises(PortInUseError, match=f"port {port}, needed for the local Apache Kafka"):
        ApacheKafka(ApacheKafkaParams(data_dir=folder, port=port)).start()
    answer = cli("start", "--kind", "apache-kafka", "--port", str(port), "--folder", str(folder))
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: port {port}, needed for the local Apache Kafka")
    assert "Traceback" not in answer.stderr


def test_a_broker_that_dies_at_the_start_shows_its_log(own_kafka: ApacheKafka, tmp_path: Path) -> None:
    own_kafka.kill()
    meta = tmp_path / "kafka" / "data" / "meta.properties"
    meta.write_text(re.sub(r"node\.id=1", "node.id=7", meta.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(PrerequisiteError, match=r"did not start. The end of its log:[\s\S]*node") as caught:
        own_kafka.start()
    assert "7" in str(caught.value)
    assert own_kafka.pid == 0


@pytest.mark.usefixtures("local_kafka_prerequisites")
def test_a_temporary_data_folder_goes_with_the_broker() -> None:
    with ApacheKafka(ApacheKafkaParams()) as broker:
        folder = broker._folder
        assert folder is not None
        assert folder.is_dir()
    assert not folder.exists()
    broker.stop()


@pytest.mark.usefixtures("local_kafka_prerequisites")
def test_no_broker_is_left_when_its_starter_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from deploy.kafka.apache import ApacheKafka, ApacheKafkaParams
broker = ApacheKafka(ApacheKafkaParams(data_dir=Path({str(tmp_path / "kafka")!r})))
broker.start()
print(broker.pid, broker.port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    starter = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    pid, port = map(int, starter.stdout.split())
    eventually(
        lambda: not is_running(pid, mark="kafka.Kafka") and is_free(port),
        seconds=30,
        about="its broker's end",
    )


@pytest.mark.usefixtures("local_kafka_prerequisites")
@pytest.mark.parametrize("kind", ["apache-kafka", "builtin"])
def test_the_command_line_keeps_a_broker_in_the_background(tmp_path: Path, kind: str) -> None:
    folder = ("--folder", str(tmp_path / "background"))
    assert cli("status", *folder).returncode == 1
    started = cli("start", "--kind", kind, "--port", "0", *folder)
    try:
        assert started.returncode == 0, started.stderr
        exported = re.search(r"export KAFKA_BOOTSTRAP_SERVERS=(\S+)", started.stdout)
        assert exported is not None
        assert speaks_kafka(exported[1])
        assert ("at_least_once" in started.stdout) is (kind == "builtin")
        assert "Already running" in cli("start", "--kind", kind, *folder).stdout
        status = cli("status", *folder)
        assert status.returncode == 0
        assert f"{kind} answers at {exported[1]}" in status.stdout
    finally:
        stopped = cli("stop", *folder)
    assert f"Stopped {kind}" in stopped.stdout
    assert not speaks_kafka(exported[1])
    assert "None is running" in cli("stop", *folder).stdout
