"""librdkafka's built-in cluster, through the same client as any broker."""

import pytest

from deploy.kafka.broker import topic_partitions
from deploy.kafka.builtin import BuiltinCluster, BuiltinKafka
from deploy.kafka.ports import speaks_kafka
from shared import topics
from shared.stream.broker import Message, TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually


def connect(servers: str, prefix: str = "") -> KafkaBroker:
    return KafkaBroker(KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=3))


def test_topics_have_the_partitions_they_were_given() -> None:
    with BuiltinCluster(topic_partitions(prefix="t-", partitions=3)) as cluster:
        broker = connect(cluster.bootstrap_servers, "t-")
        broker.ensure_topics()
        consumer = broker.consumer(group=None)
        assert {spec.name: len(consumer.partitions_of(spec.name)) for spec in topics.TOPICS} == {
            spec.name: spec.partitions(3) for spec in topics.TOPICS
        }
        consumer.close()
    assert not speaks_kafka(cluster.bootstrap_servers)


def test_an_impossible_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="trades"):
        BuiltinCluster({"trades": 0})


def test_a_helper_process_serves_other_processes_until_it_is_stopped() -> None:
    helper = BuiltinKafka(topic_partitions(prefix="", partitions=3))
    with helper:
        servers = helper.bootstrap_servers
        broker = connect(servers)
        producer = broker.producer()
        producer.produce(topics.TRADES, b"value", key=b"BTC-USDT", partition=2)
        assert producer.flush(20) == 0
        consumer = broker.consumer(group=None)
        consumer.assign({TopicPartition(topics.TRADES, 2): 0})
        read: list[Message] = []

        def has_read() -> bool:
            read.extend(consumer.consume(1, 0.1))
            return bool(read)

        eventually(has_read, seconds=20, about="the record")
        assert read[0].value() == b"value"
        consumer.close()
        producer.close()
        helper.start()
        assert helper.bootstrap_servers == servers
    assert not speaks_kafka(servers)
    helper.stop()
    assert not helper.supports_transactions
