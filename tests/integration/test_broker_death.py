"""A broker that dies and comes back while a transaction is open: the commit ends, one way or the other."""

import threading

import pytest

from deploy.kafka.apache import ApacheKafka
from shared import topics
from shared.errors import BrokerAbortableError
from shared.stream.broker import Message, TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.deadlines import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_a_commit_survives_a_broker_that_dies_within_the_transaction(own_kafka: ApacheKafka) -> None:
    broker = KafkaBroker(KafkaParams(bootstrap_servers=own_kafka.bootstrap_servers, partitions=1))
    broker.ensure_topics()
    feed = broker.producer()
    for value in (b"1", b"2"):
        feed.produce(topics.TRADES, value, key=b"BTC-USDT")
    assert feed.flush(30) == 0
    consumer = broker.consumer(group="survivor")
    consumer.subscribe([topics.TRADES])
    taken: list[Message] = []

    def has_read() -> bool:
        taken.extend(consumer.consume(10, 0.1))
        return len(taken) == 2

    eventually(has_read, seconds=60, about="two records")
    producer = broker.producer(transactional_id="survivor")
    outcome: list[str] = []
    partition = TopicPartition(topics.TRADES, 0)

    def commit() -> None:
        try:
            producer.commit({partition: 2}, consumer)
        except BrokerAbortableError:
            # The broker took so long that the group gave us up; also an answer.
            producer.abort()
            outcome.append("aborted")
        else:
            outcome.append("committed")

    # One that succeeds: what hung were clients that knew their coordinators.
    producer.begin()
    producer.produce(topics.ANOMALIES, b"before", key=b"BTC-USDT")
    producer.commit({partition: 1}, consumer)
    producer.begin()
    producer.produce(topics.ANOMALIES, b"after", key=b"BTC-USDT")
    own_kafka.kill()
    # In a thread of its own: a commit that hangs must fail this test, not hang it.
    committing = threading.Thread(target=commit, daemon=True)
    committing.start()
    own_kafka.start()
    committing.join(60)

    found = [m.value() for m in broker.read_all([TopicPartition(topics.ANOMALIES, 0)])]
    offsets = consumer.committed([partition])
    assert (outcome, found, offsets) in (
        (["committed"], [b"before", b"after"], {partition: 2}),
        (["aborted"], [b"before"], {partition: 1}),
    )
    consumer.close()
